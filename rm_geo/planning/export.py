"""Radio maps and planning products in the formats of other tools."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import rasterio
import shapely

from rm_geo._util.atomic import (
    full_disk_error,
    is_full,
    output_error,
    output_folder,
    part_folder,
    publish_files,
    require_file_target,
)
from rm_geo.errors import InputError, OutputError, UsageError
from rm_geo.io.features import FeatureTable, only_layer, read_features, write_features
from rm_geo.io.raster_reader import GDAL_ERRORS, gdal_reason
from rm_geo.planning.export_kmz import LARGEST_OVERLAY_PX, write_kmz
from rm_geo.planning.export_points import write_geoparquet, write_xyz
from rm_geo.planning.export_raster import (
    INDEX_NAME,
    index_lines,
    write_ascii_grid,
    write_bil,
    write_png,
    write_vertical_mapper,
)
from rm_geo.planning.export_source import ExportSource, open_export_source
from rm_geo.products.radio_map import open_radio_map
from rm_geo.sites.site import Site

ExportFormat: TypeAlias = Literal[
    "kmz", "tab", "mif", "grd", "bil", "asc", "xyz", "png", "geoparquet"
]
"""Names of the formats."""

_VECTOR_ENDINGS: Final = frozenset(
    {".gpkg", ".geojson", ".json", ".fgb", ".shp", ".tab", ".mif", ".kml"}
)
_HOLES_NAME: Final = "holes.gpkg"
_CACHE_BYTES: Final = 256 * 2**20  # GDAL's own default is a twentieth of the machine's memory


@dataclass(frozen=True)
class FormatInfo:
    """What a format is.

    Attributes
    ----------
    ending : str
        Ending of its files.
    summary : str
        Files and readers, in one line.
    takes : {"raster", "vector", "both"}
        What can be written in it.
    """

    ending: str
    summary: str
    takes: Literal["raster", "vector", "both"]


FORMATS: Final[Mapping[ExportFormat, FormatInfo]] = MappingProxyType(
    {
        "kmz": FormatInfo(".kmz", "Google Earth: map, legend, sites and holes", "both"),
        "tab": FormatInfo(".tab", "MapInfo table of features", "vector"),
        "mif": FormatInfo(".mif", "MapInfo interchange format of features", "vector"),
        "grd": FormatInfo(".grd", "Northwood grid, as of Vertical Mapper", "raster"),
        "bil": FormatInfo(".bil", "BIL grid with header and index.txt: Planet, Atoll", "raster"),
        "asc": FormatInfo(".asc", "Esri ASCII grid", "raster"),
        "xyz": FormatInfo(".csv", "CSV of x, y, z of each known pixel", "raster"),
        "png": FormatInfo(".png", "Picture with world file and legend", "raster"),
        "geoparquet": FormatInfo(".parquet", "GeoParquet of pixels or features", "both"),
    }
)
"""All formats by name."""


def export_map(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    to: ExportFormat,
    *,
    layer: str | None = None,
    integer: bool = False,
    sites: Sequence[Site] | str | os.PathLike[str] = (),
    features: Sequence[str | os.PathLike[str]] | None = None,
    largest_overlay_px: int = LARGEST_OVERLAY_PX,
) -> tuple[Path, ...]:
    """Write a map or a layer of features in the format of another tool.

    Parameters
    ----------
    source : path-like
        A raster, such as ``40_rsrp.tif`` or ``coverage.tif``; or a vector file, such as
        ``holes.gpkg``.
    target : path-like
        The file to write, or a folder (it exists, or its name has no ending), in which the file
        gets the name of the source.
    to : {"kmz", "tab", "mif", "grd", "bil", "asc", "xyz", "png", "geoparquet"}
        The format.
    layer : str, optional
        Layer of a vector file with several.
    integer : bool
        Of BIL: 16-bit whole numbers instead of 32-bit floating point.
    sites : sequence of Site, or path-like
        Of KMZ: transmitters in the CRS of the map, or a site table; besides the one that the tags
        of the map name.
    features : sequence of path-like, optional
        Of KMZ: vector files that are shown as placemarks; ``holes.gpkg`` beside the map if not
        given.
    largest_overlay_px : int
        Of KMZ: a map with a longer side is cut into tiles.

    Returns
    -------
    tuple of Path
        The files that were written, the one asked for first.

    Raises
    ------
    UsageError
        If the format is unknown, or does not take rasters or features.
    InputError
        If the source or another file cannot be read, or has nothing to export.
    CrsError
        If the raster has no projected CRS.
    DependencyError
        If this GDAL has no driver that writes the format.
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (path,) = RadioMap(grid, np.full((2, 3), -90.0)).write(f"{folder}/7_rsrp.tif")
    ...     [made.name for made in export_map(path, folder, "bil")]
    ['7_rsrp.bil', '7_rsrp.hdr', '7_rsrp.prj', 'index.txt']
    """
    if to not in FORMATS:
        known = ", ".join(get_args(ExportFormat))
        raise UsageError(f"There is no format {to!r}.", hint=f"Known are {known}.", parameter="to")
    given = Path(source)
    file = _target(Path(target), given, to)
    is_vector = given.suffix.lower() in _VECTOR_ENDINGS
    _require_fitting(given, to, is_vector=is_vector)
    with (
        output_folder(file.parent),
        _staging(file) as (made, work),
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
    ):
        if is_vector:
            _write_vector(read_features(given, layer), made, to, work)
        else:
            opened = open_export_source(given)
            if to == "kmz":
                placemarks = _placemarks(opened, sites, features)
                write_kmz(
                    made,
                    work,
                    opened,
                    placemarks,
                    title=given.stem,
                    largest_overlay_px=largest_overlay_px,
                )
            else:
                _write_raster(opened, made, to, work, integer=integer)
            if to == "bil":
                index = index_lines({file.name: opened.grid}, file.parent / INDEX_NAME)
                (made.parent / INDEX_NAME).write_text(index, "utf-8")
        files = sorted(made.parent.iterdir(), key=lambda path: (path != made, path.name))
        return publish_files(files, file.parent)


def _target(target: Path, source: Path, to: ExportFormat) -> Path:
    """Name the file to write, and refuse one that would replace the source."""
    ending = FORMATS[to].ending
    is_folder = target.is_dir() or not target.suffix
    file = target / f"{source.stem}{ending}" if is_folder else target
    if file.suffix.lower() != ending:
        raise UsageError(
            f"{file} does not end in {ending}, as files of the format {to} do.",
            hint=f"Name it {file.with_suffix(ending).name}, or name a folder.",
            path=file,
        )
    if file.exists() and source.exists() and file.samefile(source):
        raise OutputError(f"{file} is the input.", hint="Choose another name.", path=file)
    return require_file_target(file)


def _require_fitting(source: Path, to: ExportFormat, *, is_vector: bool) -> None:
    """Refuse features for a format of rasters, and rasters for a format of features."""
    takes = FORMATS[to].takes
    if is_vector and takes == "raster":
        raise UsageError(
            f"{source} holds features, and the format {to} holds rasters.",
            hint="Choose tab, mif, kmz or geoparquet.",
            parameter="to",
            path=source,
        )
    if not is_vector and takes == "vector":
        raise UsageError(
            f"{source} is a raster, and the format {to} holds features.",
            hint="Export the polygons of a plan (coverage.gpkg, best_server.gpkg, holes.gpkg), or "
            "choose grd, bil or asc.",
            parameter="to",
            path=source,
        )


@contextmanager
def _staging(target: Path) -> Iterator[tuple[Path, Path]]:
    """Give a file in the making and a folder for intermediate files, beside the target.

    Errors of the libraries become errors that name the target.
    """
    try:
        with part_folder(target) as folder:
            out, work = folder / "out", folder / "work"
            out.mkdir()
            work.mkdir()
            yield out / target.name, work
    except GDAL_ERRORS as error:
        if is_full(target.parent):
            raise full_disk_error(target) from error
        raise OutputError(f"Cannot write {target}: {gdal_reason(error)}", path=target) from error
    except OSError as error:
        raise output_error(target, error) from error


def _write_raster(
    source: ExportSource, made: Path, to: ExportFormat, work: Path, *, integer: bool
) -> None:
    """Write a raster in a format other than KMZ."""
    if to == "asc":
        write_ascii_grid(source, made, work)
    elif to == "bil":
        write_bil(source, made, work, integer=integer)
    elif to == "grd":
        write_vertical_mapper(source, made, work)
    elif to == "png":
        write_png(source, made, work)
    elif to == "xyz":
        write_xyz(source, made)
    else:
        write_geoparquet(source, made)


def _write_vector(table: FeatureTable, made: Path, to: ExportFormat, work: Path) -> None:
    """Write a layer of features."""
    if to == "kmz":
        write_kmz(made, work, None, [table], title=table.name)
    elif to == "geoparquet":
        import geopandas

        columns = {name: list(values) for name, values in table.columns.items()}
        frame = geopandas.GeoDataFrame(columns, geometry=list(table.geometry), crs=table.crs)
        frame.to_parquet(made, index=False, compression="zstd")
    else:
        write_features(made, [table])


def _placemarks(
    source: ExportSource,
    sites: Sequence[Site] | str | os.PathLike[str],
    features: Sequence[str | os.PathLike[str]] | None,
) -> list[FeatureTable]:
    """Collect the sites and features that a KMZ shows beside its map."""
    path = source.file.path
    if features is None:
        beside = path.with_name(_HOLES_NAME)
        features = [beside] if beside.is_file() else []
    tables = [read_features(file, only_layer(Path(file))) for file in features]
    if isinstance(sites, (str, os.PathLike)):
        from rm_geo.sites.table import read_sites

        sites = read_sites(sites, target_crs=source.grid.crs, usual_crs=source.grid.crs)
    shown = list(sites)
    own = None if source.has_classes else _own_site(path)
    if own is not None and not any((own.x, own.y) == (site.x, site.y) for site in shown):
        shown.append(own)
    if shown:
        tables.append(_site_table(shown, own, source))
    return [table for table in tables if len(table)]


def _own_site(path: Path) -> Site | None:
    """Give the transmitter that the tags of a map name."""
    try:
        return open_radio_map(path).site
    except InputError:  # a raster of another quantity, or a damaged file beside it
        return None


def _site_table(sites: Sequence[Site], own: Site | None, source: ExportSource) -> FeatureTable:
    """Make a layer of points of sites; the tags of a map do not tell the height of its own."""
    columns = {
        "name": [site.cell or "site" for site in sites],
        "azimuth_deg": [np.nan if s.azimuth_deg is None else s.azimuth_deg for s in sites],
        "height_m": [np.nan if site is own else site.height_m for site in sites],
        "frequency_mhz": [np.nan if s.frequency_mhz is None else s.frequency_mhz for s in sites],
    }
    return FeatureTable(
        "sites",
        shapely.points([site.x for site in sites], [site.y for site in sites]),
        {
            name: np.array(values, dtype=object if name == "name" else float)
            for name, values in columns.items()
        },
        source.grid.crs,
        "Point",
    )
