"""Completeness check of shapefiles: GDAL reads a truncated file without an error."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from rm_geo.errors import InputError
from rm_geo.io.sidecars import sidecar_file

_HEADER_BYTES: Final = 100
# Length in 16-bit words at byte 24, big-endian (ESRI Shapefile Technical Description).
_LENGTH_AT: Final = 24


def check_shapefile(path: Path) -> None:
    """Check that a shapefile has its sidecars (.shx, .dbf) and that no file is truncated.

    Parameters
    ----------
    path : Path
        The ``.shp``.

    Raises
    ------
    InputError
        If ``.shx`` or ``.dbf`` is missing, or a file is shorter than its header states.

    Examples
    --------
    >>> check_shapefile(Path("missing.shp"))
    Traceback (most recent call last):
    rm_geo.errors.InputError: missing.shp lacks its sidecar missing.shx and missing.dbf...
    """
    needed = {s: sidecar_file(path, s) for s in (".shx", ".dbf")}
    missing = [suffix for suffix, file in needed.items() if file is None]
    if missing:
        raise InputError(
            f"{path} lacks its sidecar {' and '.join(path.stem + s for s in missing)}.",
            hint="A shapefile is at least .shp, .shx and .dbf side by side: copy them all.",
            path=path,
        )
    for file in (path, needed[".shx"]):
        if file is not None:
            _check_length(file, _shape_length(file))
    if (table := needed[".dbf"]) is not None:
        _check_length(table, _dbf_length(table))


def _shape_length(file: Path) -> int:
    """Length in bytes that the header of a .shp or .shx states."""
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return _HEADER_BYTES
    (words,) = struct.unpack_from(">i", header, _LENGTH_AT)
    return 2 * int(words)


def _dbf_length(file: Path) -> int:
    """Length in bytes that the header of a .dbf states."""
    with file.open("rb") as stream:
        header = stream.read(12)
    if len(header) < 12:
        return 12
    records, header_bytes, record_bytes = struct.unpack_from("<IHH", header, 4)
    return int(header_bytes + records * record_bytes)


def _check_length(file: Path, announced: int) -> None:
    """Raise an error if a file is shorter than its header states."""
    size = file.stat().st_size
    if size < announced:
        raise InputError(
            f"{file} is cut short: {size} bytes of {announced}.",
            hint="Copy or export the shapefile again.",
            path=file,
        )
