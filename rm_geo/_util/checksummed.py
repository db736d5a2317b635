"""JSON values in one line with a checksum, so that damage is found before anything is parsed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

_DIGITS: Final = 32
"""Hexadecimal digits of the checksum: 128 bits of BLAKE2."""


def to_line(value: object, purpose: str) -> bytes:
    """Write a value with its checksum.

    Parameters
    ----------
    value : object
        Any value of JSON.
    purpose : str
        What the value is, and where it belongs; the line is valid for this purpose alone.

    Returns
    -------
    bytes
        One line, with its end.

    Examples
    --------
    >>> from_line(to_line([1, None], "rows"), "rows")
    [1, None]
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return b"%s %s\n" % (_checksum(text, purpose), text)


def from_line(line: bytes, purpose: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a value that :func:`to_line` wrote.

    Parameters
    ----------
    line : bytes
        The line, with or without its end.
    purpose : str
        As it was written.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the line is damaged, incomplete, or of another purpose.

    Examples
    --------
    >>> from_line(to_line(0.042, "weight").replace(b"42", b"3"), "weight")
    Traceback (most recent call last):
        ...
    ValueError: the checksum is wrong
    """
    text = line.removesuffix(b"\n")[_DIGITS + 1 :]
    if line.removesuffix(b"\n") != b"%s %s" % (_checksum(text, purpose), text):
        raise ValueError("the checksum is wrong")
    return json.loads(text)


def _checksum(text: bytes, purpose: str) -> bytes:
    """Compute the checksum of a text for a purpose."""
    state = hashlib.blake2b(purpose.encode(), digest_size=_DIGITS // 2)
    state.update(b"\0" + text)
    return state.hexdigest().encode()
