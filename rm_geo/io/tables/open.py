"""Choice of the reader for a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rm_geo.errors import InputError, UsageError
from rm_geo.io.gml import without_gfs
from rm_geo.io.tables.delimited import open_delimited
from rm_geo.io.tables.json_lines import is_json_lines, open_json_lines
from rm_geo.io.tables.nmf import is_nmf, open_nmf
from rm_geo.io.tables.source import Source
from rm_geo.io.tables.zipped import open_zipped

DELIMITED_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
READABLE: Final = "SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV"

# First bytes of formats that are recognised with any extension.
_PARQUET_MAGIC: Final = b"PAR1"
_VECTOR_MAGICS: Final = {
    b"SQLite format 3\x00": "a GeoPackage or another SQLite database",
    b"fgb": "a FlatGeobuf",
    b"\x00\x00\x27\x0a": "a shapefile",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
}
_ZIP_MAGIC: Final = b"PK\x03\x04"
_ZIPPED_SUFFIXES: Final = (
    *DELIMITED_SUFFIXES,
    ".shp",
    ".gpkg",
    ".geojson",
    ".parquet",
    ".fgb",
    ".nmf",
    ".jsonl",
    ".ndjson",
    ".tab",
    ".log",
    ".dat",
)
_FOREIGN_MAGICS: Final = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\x00": "a TIFF raster",
    b"MM\x00*": "a TIFF raster",
    b"II+\x00": "a TIFF raster",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word document",
    b"\x7fELF": "a program",
}


def open_source(path: str | os.PathLike[str], *, layer: str | None = None) -> Source:
    r"""Open a file of points and describe it, without reading its rows.

    The format is determined by the content, then by the extension.

    Parameters
    ----------
    path : path-like
        A vector file, a Parquet file, delimited text, JSON lines, a Nemo log, or a ZIP archive of
        one of them.
    layer : str, optional
        The layer; required if several layers have points.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        If the file is missing, unreadable, damaged, or not a table of points.
    UsageError
        If the file does not have the layer.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,rsrp\n13.4,52.5,-90\n")
    ...     open_source(path).names
    ('lon', 'lat', 'rsrp')
    """
    file = Path(path)
    head = _first_bytes(file)
    if head is None:
        return _open_vector(file, layer)
    for magic, kind in _FOREIGN_MAGICS.items():
        if head.startswith(magic):
            raise InputError(
                f"{file} is {kind}, not a table of points.",
                hint=f"Readable are {READABLE}.",
                path=file,
            )
    if head.startswith(_PARQUET_MAGIC):
        _refuse_layer(file, layer)
        from rm_geo.io.tables.geoparquet import open_geoparquet  # imports pyarrow.parquet

        return open_geoparquet(file)
    if file.name.lower().endswith((".parquet", ".geoparquet", ".pq")):
        raise InputError(
            f"{file} is not a Parquet file, or it is cut short.",
            hint="Check its size, and export it again.",
            path=file,
        )
    is_delimited = file.name.lower().endswith(DELIMITED_SUFFIXES)
    if head.startswith(_ZIP_MAGIC) and not is_delimited:
        inner = open_zipped(file, _ZIPPED_SUFFIXES, lambda part: open_source(part, layer=layer))
        if inner is not None:
            return inner
    for magic, kind in _VECTOR_MAGICS.items():
        if head.startswith(magic) and is_delimited:
            # GDAL would read it as text, by its extension.
            raise InputError(
                f"{file} is {kind}, not text.", hint="Correct its extension.", path=file
            )
    if file.suffix.lower() == ".shp" or head.startswith(tuple(_VECTOR_MAGICS)):
        return _open_vector(file, layer)
    if is_nmf(head):
        _refuse_layer(file, layer)
        return open_nmf(file)
    if is_json_lines(file, head):
        _refuse_layer(file, layer)
        return open_json_lines(file)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"<", b"["):
        return _open_vector(file, layer)
    if file.suffix.lower() in _BINARY_LOGS:
        raise InputError(
            f"{file} is a binary log of {_BINARY_LOGS[file.suffix.lower()]}.",
            hint="Export it from that tool as CSV, with position, PCI, EARFCN and RSRP.",
            path=file,
        )
    if is_delimited or _is_plain_text(file, head):
        _refuse_layer(file, layer)
        return open_delimited(file)
    return _open_vector(file, layer)


_BINARY_LOGS: Final = {
    ".trp": "TEMS",
    ".log2": "TEMS",
    ".isf": "QXDM",
    ".dlf": "QXDM",
    ".hdf": "QXDM",
    ".drm": "XCAL",
    ".mf": "QualiPoc",
    ".sqz": "QualiPoc",
    ".nbl": "Nemo",
    ".qmdl": "Qualcomm",
}
_PLAIN_SUFFIXES: Final = (".dat", ".log", ".asc", ".xyz", ".out", ".prn", "")


def _is_plain_text(file: Path, head: bytes) -> bool:
    """Whether a file with an unknown extension may be delimited text."""
    if file.suffix.lower() not in _PLAIN_SUFFIXES or b"\x00" in head:
        return False
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _open_vector(file: Path, layer: str | None) -> Source:
    """Open a file of OGR; the module imports GeoPandas (half a second), so it is imported here."""
    from rm_geo.io.tables.ogr import open_vector

    with without_gfs(file):
        return open_vector(file, layer)


def _refuse_layer(file: Path, layer: str | None) -> None:
    """Raise an error if a layer is requested of a file without layers."""
    if layer is not None:
        raise UsageError(
            f"{file} has no layers, so none called {layer!r} (`layer`).",
            parameter="layer",
            path=file,
        )


def _first_bytes(file: Path) -> bytes | None:
    """Read the first bytes of a file; None for a folder that is a data set."""
    try:
        if file.is_dir():
            if file.suffix.lower() == ".gdb":
                return None
            raise InputError(f"{file} is a folder, not a file.", hint=_folder_hint(file), path=file)
        if file.exists() and not file.is_file():
            raise InputError(
                f"{file} is a device or a pipe, not a file.", hint="Give a file.", path=file
            )
        with file.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        raise InputError(
            f"{file} does not exist.", hint="Check the path and its spelling.", path=file
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{file} cannot be read: {reason}.", hint="Check its permissions.", path=file
        ) from error
    if not head:
        raise InputError(f"{file} is empty (0 bytes).", hint="Export it again.", path=file)
    return head


def _folder_hint(folder: Path) -> str:
    """List the readable files in a folder."""
    suffixes = (".shp", ".gpkg", ".geojson", ".parquet", ".fgb", *DELIMITED_SUFFIXES)
    found = sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(suffixes))
    if not found:
        return f"Give a file: {READABLE} are readable."
    return f"Give one of its files, such as {folder / found[0]}."
