"""Kinds of files that GDAL may open: decided by their content, before GDAL sees them.

GDAL chooses a driver by the content of a file, whatever its name. Some drivers read other files or
addresses that the file names: virtual data sources (VRT), pipelines (GDALG), services (WFS, WMS),
virtual tables of SQLite. Those are refused; the extension and the content of the others must agree.
``RM_GEO_ALLOW_REMOTE=1`` (``--allow-remote`` of the command line) lifts the restrictions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo.errors import InputError
from rm_geo.io.gdal_environment import allows_remote
from rm_geo.io.sqlite_tables import SQLITE_MAGIC, require_plain_tables
from rm_geo.io.zip_files import ZIP_MAGIC, require_bounded, zip_members

VECTOR_SUFFIXES: Final = (
    ".shp",
    ".gpkg",
    ".geojson",
    ".json",
    ".fgb",
    ".kml",
    ".gml",
    ".tab",
    ".mif",
    ".sqlite",
)
"""Extensions of vector files in a ZIP archive."""

RASTER_DRIVERS: Final = (
    "GTiff",
    "AAIGrid",
    "BMP",
    "BT",
    "DTED",
    "EHdr",
    "ENVI",
    "GPKG",
    "GRASSASCIIGrid",
    "GRIB",
    "GS7BG",
    "GSAG",
    "GSBG",
    "HFA",
    "JP2OpenJPEG",
    "JPEG",
    "NWT_GRC",
    "NWT_GRD",
    "PCRaster",
    "PNG",
    "RST",
    "SAGA",
    "SRTMHGT",
    "USGSDEM",
    "XYZ",
    "ZMap",
)
"""Raster formats that are complete in themselves: none names files elsewhere, or addresses."""

_HEAD_BYTES: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 22
_CRS_BYTES: Final = 1 << 16
_TIFF_MAGICS: Final = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_VIRTUAL_XML: Final = re.compile(
    rb"<\s*(?:\w+:)?(?:OGR\w*DataSource|VRT\w+|GDAL\w+|WCS_\w+|WMT_\w+|WMS_\w+|Capabilities)", re.I
)
_ROOT: Final = re.compile(rb"<(?![?!])\s*(?:([\w.-]+):)?([\w.-]+)")
# ASCII letters that are escaped: no program writes them, but they hide a word.
_HIDDEN_LETTER: Final = re.compile(rb"\\u00(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])", re.I)
_JSON_SUFFIXES: Final = (".geojson", ".json", ".geojsonl", ".geojsons", ".topojson", ".jsonl")
_XML_SUFFIXES: Final = {
    "kml": (".kml",),
    "gpx": (".gpx",),
    "osm": (".osm",),
    "gml": (".gml", ".xml"),
}
_RASTERS_BESIDE: Final = (".ovr", ".msk", ".ovr.msk", ".msk.ovr", ".ovr.ovr")
_HINT: Final = "Convert it to a GeoPackage (ogr2ogr) or a GeoTIFF (gdal_translate) first"


@dataclass(frozen=True)
class _Magic:
    """A binary vector format: its first bytes, its name, and its extensions."""

    start: bytes
    name: str
    suffixes: tuple[str, ...]
    at: int = 0


_MAGICS: Final = (
    _Magic(b"fgb", "a FlatGeobuf", (".fgb",)),
    _Magic(b"\x00\x00\x27\x0a", "a shapefile", (".shp",)),
    _Magic(b"\x0a\x09OSMHeader", "an OpenStreetMap file", (".pbf",), at=4),
    _Magic(SQLITE_MAGIC, "a GeoPackage or another SQLite database", (".gpkg", ".sqlite", ".db")),
    _Magic(ZIP_MAGIC, "a ZIP archive or a spreadsheet", (".xlsx", ".ods", ".kmz")),
)
_TEXTS: Final = {  # by extension: words with which the text begins
    ".tab": (b"!table",),
    ".mif": (b"version", b"charset", b"delimiter", b"coordsys", b"columns"),
}


def accepted_vector(path: Path) -> Path:
    """Check that a vector file is of a kind that is complete in itself.

    Parameters
    ----------
    path : Path
        A file, or the folder of a file geodatabase.

    Returns
    -------
    Path
        The absolute path, which GDAL does not take for the name of a service.

    Raises
    ------
    InputError
        If the format is unknown, names other files or addresses, does not fit the extension, or
        would unpack to an unreasonable size.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("<OGRVRTDataSource></OGRVRTDataSource>")
    ...     accepted_vector(path)
    Traceback (most recent call last):
    rm_geo.errors.InputError: ...drive.csv is a virtual data source of GDAL...
    """
    place = path.absolute()
    if allows_remote():
        return place
    if path.is_dir():
        if path.suffix.lower() != ".gdb":
            raise InputError(f"{path} is a folder, not a file.", hint="Give a file.", path=path)
        return place
    head = _head(path)
    found = next((m for m in _MAGICS if head[m.at :].startswith(m.start)), None)
    if found is not None and found.start == ZIP_MAGIC and path.suffix.lower() == ".zip":
        raise InputError(
            f"{path} holds no table that can be read.",
            hint="Unpack it, and give one of its files.",
            path=path,
        )
    if found is not None:
        _require_suffix(path, found.name, found.suffixes)
        if found.start == SQLITE_MAGIC:
            require_plain_tables(path)
        elif found.start == ZIP_MAGIC:
            require_bounded(path, zip_members(path))
        return place
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"["):
        _require_suffix(path, "a JSON text", _JSON_SUFFIXES)
        _require_plain_json(path)
    elif text[:1] == b"<":
        _require_plain_xml(path, text)
    elif (starts := _TEXTS.get(path.suffix.lower())) and text.lower().startswith(starts):
        _require_single_table(path, text)
    elif path.suffix.lower() != ".shp":  # a damaged shapefile: its reader explains it
        raise InputError(
            f"{path} cannot be read: it is not in a format that can be read.",
            hint="Readable are SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV.",
            path=path,
        )
    return place


def accepted_raster(path: Path) -> Path:
    """Check that a raster file is of a kind that is complete in itself.

    Open it with :data:`RASTER_DRIVERS` and :func:`rm_geo.io.gdal_environment.raster_options`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Path
        The absolute path.

    Raises
    ------
    InputError
        If it names other files or addresses, or its overviews or mask beside it are no TIFF.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "map.tif")
    ...     _ = path.write_text("<VRTDataset></VRTDataset>")
    ...     accepted_raster(path)
    Traceback (most recent call last):
    rm_geo.errors.InputError: ...map.tif is a virtual data source of GDAL...
    """
    if allows_remote():
        return path.absolute()
    head = _head(path)
    if head.startswith(SQLITE_MAGIC):
        require_plain_tables(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise _virtual(path)
    beside_it = [path.with_name(path.name + end) for end in _RASTERS_BESIDE]
    for beside in (*beside_it, path.with_suffix(".aux")):
        if beside.is_file() and not _head(beside).startswith((*_TIFF_MAGICS, b"EHFA_HEADER_TAG")):
            raise InputError(
                f"{beside} is not a TIFF; GDAL would read it with {path.name}.",
                hint="Remove it: overviews are not needed.",
                path=beside,
            )
    return path.absolute()


def _head(path: Path) -> bytes:
    """Read the first bytes of a file."""
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path} cannot be read: {reason}.", hint="Check its permissions.", path=path
        ) from error


def _require_suffix(path: Path, kind: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file whose extension is that of another format."""
    if not path.name.lower().endswith(suffixes):
        raise InputError(
            f"{path} is {kind}, which its extension does not say.",
            hint=f"Correct its extension: {', '.join(suffixes)}.",
            path=path,
        )


def _virtual(path: Path) -> InputError:
    """Explain that a file names others."""
    return InputError(
        f"{path} is a virtual data source of GDAL, which names other files or addresses.",
        hint=f"{_HINT}, or allow them (`allow_remote`).",
        path=path,
    )


def _require_plain_xml(path: Path, text: bytes) -> None:
    """Accept KML, GPX, OSM and GML without entities."""
    if _VIRTUAL_XML.search(text):
        raise _virtual(path)
    if b"<!DOCTYPE" in text.upper() or b"<!ENTITY" in text.upper():
        raise InputError(
            f"{path} defines entities (DOCTYPE), which are not read.", hint=f"{_HINT}.", path=path
        )
    root = _ROOT.search(re.sub(rb"<!--.*?-->", b"", text, flags=re.DOTALL))
    kind = "" if root is None else root[2].decode("ascii", "replace").lower()
    if kind not in _XML_SUFFIXES and b"opengis.net/gml" in text:
        kind = "gml"
    if kind not in _XML_SUFFIXES:
        raise InputError(f"{path} is XML of a kind that is not read.", hint=f"{_HINT}.", path=path)
    _require_suffix(path, kind.upper(), _XML_SUFFIXES[kind])


def _require_single_table(path: Path, text: bytes) -> None:
    """Refuse tables of MapInfo that are made of other tables."""
    if re.search(rb"isseamless|create\s+view|type\s+(?:linked|odbc)", text, re.I):
        raise _virtual(path)


def _require_plain_json(path: Path) -> None:
    """Refuse pipelines, and coordinate reference systems that are addresses."""
    before = b""
    with path.open("rb") as stream:
        start = 0
        while block := stream.read(_BLOCK_BYTES):
            text = before + block
            if b"gdal_streamed_alg" in text:
                raise _virtual(path)
            if b"\\u00" in text and _HIDDEN_LETTER.search(text):
                raise InputError(
                    f"{path} has escaped ASCII letters (\\u0041), which can hide an address.",
                    hint=f"{_HINT}, or write it again.",
                    path=path,
                )
            place = text.find(b'"crs"')
            while place >= 0:
                _require_named_crs(path, start - len(before) + place)
                place = text.find(b'"crs"', place + 1)
            start += len(block)
            before = text[-32:]


def _require_named_crs(path: Path, offset: int) -> None:
    """Refuse a CRS object of GeoJSON that is an address; GDAL would fetch it."""
    with path.open("rb") as stream:
        stream.seek(offset)
        text = stream.read(_CRS_BYTES).decode("utf-8", "replace")
    value = text.removeprefix('"crs"').lstrip()
    if not value.startswith(":") or not (value := value[1:].lstrip()).startswith("{"):
        return
    try:
        crs, _ = json.JSONDecoder().raw_decode(value)
        is_named = str(crs.get("type", "")).lower() in {"name", "epsg"}
    except (ValueError, RecursionError):
        is_named = False
    if not is_named:
        raise InputError(
            f"{path} states its CRS as an address, which is not fetched.",
            hint="Write the name of the CRS in its place, such as urn:ogc:def:crs:EPSG::32633.",
            path=path,
        )
