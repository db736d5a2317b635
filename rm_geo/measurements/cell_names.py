"""Names of files for cells."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

UNKNOWN: Final = "unknown"
"""Name of the cell of rows without one."""

MAX_BYTES: Final = 80
"""Longest name in UTF-8; leaves room for suffixes under every file system's 255."""

_HASH_DIGITS: Final = 8
_UNSAFE: Final = re.compile(r"[^\w.+=@~-]+")
# Windows keeps these for devices, with any extension.
_RESERVED: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.I
)


def safe_file_name(cell: str | None) -> str:
    """Convert the name of a cell to a file name that is valid on every file system.

    Letters and digits of any script are kept. A changed name ends with a hash of the original,
    so that ``A/B`` and ``A:B`` get different names.

    Parameters
    ----------
    cell : str or None
        Name of the cell; None for rows without one.

    Returns
    -------
    str
        At most 80 bytes of UTF-8, without separators, control characters, leading dots
        or dashes, trailing dots or spaces; ``unknown`` for None and for blank text.

    Examples
    --------
    >>> safe_file_name("40"), safe_file_name(None)
    ('40', 'unknown')
    >>> safe_file_name("../etc/passwd")
    'etc_passwd-7fef78f5'
    """
    if cell is None or not cell.strip():
        return UNKNOWN
    name = unicodedata.normalize("NFC", _UNSAFE.sub("_", unicodedata.normalize("NFC", cell)))
    name = re.sub(r"\.{2,}", "_", name).strip("._- ")
    if _RESERVED.fullmatch(name) or not name:
        name = f"cell_{name}".rstrip("_")
    if name == cell and len(name.encode()) <= MAX_BYTES:
        return name
    return _with_hash(name, cell)


def safe_file_names(cells: Iterable[str | None]) -> dict[str | None, str]:
    """Choose file names for several cells that are distinct on every file system.

    Names that differ only in case, or not at all after :func:`safe_file_name`, get a hash. The
    result does not depend on the order of the cells.

    Parameters
    ----------
    cells : iterable of (str or None)
        Names of cells.

    Returns
    -------
    dict of (str or None) to str
        File name of each cell.

    Examples
    --------
    >>> safe_file_names(["1", "2", None])
    {None: 'unknown', '1': '1', '2': '2'}
    """
    distinct = sorted(set(cells), key=lambda cell: (cell is not None, cell or ""))
    taken: set[str] = set()
    names: dict[str | None, str] = {}
    for cell in distinct:
        name, attempt = safe_file_name(cell), 0
        while _folded(name) in taken:
            name = _with_hash(safe_file_name(cell), f"{cell}{'#' * attempt}")
            attempt += 1
        taken.add(_folded(name))
        names[cell] = name
    return names


def _folded(name: str) -> str:
    """Return the form in which case-insensitive file systems compare names."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _with_hash(name: str, original: str) -> str:
    """Truncate a name and append a hash of the original."""
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    room = MAX_BYTES - _HASH_DIGITS - 1
    short = name.encode("utf-8", "ignore")[:room].decode("utf-8", "ignore").rstrip("._- ")
    return f"{short}-{digest}"
