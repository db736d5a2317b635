"""JSON of other programs: every fault of a text is a ValueError."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON.

    Parameters
    ----------
    text : str or bytes
        A document.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If it is not JSON, not text, or has too many levels, for which :mod:`json` raises a
        ``RecursionError``.

    Examples
    --------
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: too many levels
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too many levels") from None
