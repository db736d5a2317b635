"""Exports to Google Earth: a KMZ with overlays, a legend, and placemarks.

GDAL cuts large maps into tiles (driver KMLSUPEROVERLAY). The document around them is a template:
GDAL's driver LIBKML, as pyogrio calls it, writes placemarks without colours, which cover the map
in opaque white.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
import rasterio
import shapely
from PIL import Image
from pyproj import CRS, Transformer
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

from rm_geo.io.features import FeatureTable
from rm_geo.planning.export_source import ExportSource, copy_with_driver
from rm_geo.products.layer_style import MISSING_INDEX
from rm_geo.products.legend import draw_legend

LARGEST_OVERLAY_PX: Final = 4096
"""Longest side of a map that is one overlay; larger ones are cut into tiles."""

_KML: Final = "http://www.opengis.net/kml/2.2"
_TILE_PX: Final = 256
_WGS84: Final = CRS.from_epsg(4326)
_DIGITS: Final = 7  # of degrees: 1 cm
_FILL_OPACITY: Final = "66"
_LAYER_COLOURS: Final[Mapping[str, str]] = {"holes": "#e31a1c", "sites": "#1a1a1a"}
_OTHER_COLOUR: Final = "#3366cc"
_NAME_COLUMNS: Final = ("name", "cell", "class", "hole", "rank", "value")


@dataclass(frozen=True)
class _Style:
    """Colours of placemarks, each ``aabbggrr`` as in KML."""

    id: str
    line: str
    fill: str


@dataclass(frozen=True)
class _Part:
    """A geometry without parts: its kind, and the coordinates of its rings."""

    kind: str
    rings: Sequence[str]


@dataclass(frozen=True)
class _Placemark:
    """A feature."""

    name: str
    style: str
    values: Sequence[tuple[str, str]]
    parts: Sequence[_Part]


@dataclass(frozen=True)
class _Folder:
    """A layer of features."""

    name: str
    placemarks: Sequence[_Placemark]


@dataclass
class _Document:
    """What the template shows."""

    title: str
    description: str
    styles: dict[str, _Style] = field(default_factory=dict)
    folders: list[_Folder] = field(default_factory=list)
    overlay: Mapping[str, Any] | None = None
    tiles: Mapping[str, str] | None = None
    legend: str = ""


def write_kmz(
    target: Path,
    work: Path,
    source: ExportSource | None,
    features: Sequence[FeatureTable] = (),
    *,
    title: str,
    largest_overlay_px: int = LARGEST_OVERLAY_PX,
) -> None:
    """Write a KMZ.

    Parameters
    ----------
    target : Path
        The file to write.
    work : Path
        Empty folder for intermediate files.
    source : ExportSource or None
        The map; None for features alone.
    features : sequence of FeatureTable
        Layers of placemarks, in any CRS. A column ``colour`` (``#rrggbb``) gives their colours.
    title : str
        Name of the document.
    largest_overlay_px : int
        Longest side of a map that becomes one overlay; larger ones are cut into tiles of 256
        pixels at several resolutions, of which Google Earth loads those that it shows.

    Raises
    ------
    DependencyError, OutputError
        As of :func:`rm_geo.planning.export_source.copy_with_driver`.
    """
    content = work / "kmz"
    content.mkdir()
    document = _Document(title, _description(source))
    if source is not None:
        _add_map(document, source, content, work, largest_overlay_px)
    for table in features:
        _add_features(document, table)
    (content / "doc.kml").write_text(_render(document), "utf-8")
    files = sorted(path for path in content.rglob("*") if path.is_file())
    files.sort(key=lambda path: path != content / "doc.kml")  # the document comes first
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(content).as_posix())


def _description(source: ExportSource | None) -> str:
    """Say what the map is and where it comes from."""
    if source is None:
        return ""
    tags = source.file.tags
    shown = ("cell_name", "method", "model", "input", "software")
    facts = [f"{name.replace('_', ' ')}: {tags[name]}" for name in shown if tags.get(name)]
    return "\n".join([source.style.title, *facts])


def _add_map(
    document: _Document, source: ExportSource, content: Path, work: Path, largest_px: int
) -> None:
    """Add the map in degrees, as one overlay or as tiles, and its legend."""
    name = source.file.path.stem
    if max(_warped_shape(source)) <= largest_px:
        indices = source.write_indices(work / "indices.tif")
        with rasterio.open(indices) as dataset, _in_degrees(dataset) as warped:
            picture = Image.fromarray(warped.read(1), mode="P")
            bounds = warped.bounds
        picture.putpalette(source.style.palette()[:, :3].tobytes())
        picture.save(content / "map.png", transparency=MISSING_INDEX, optimize=True)
        sides = ("north", bounds.top), ("south", bounds.bottom), ("east", bounds.right)
        box = {side: f"{value:.9f}" for side, value in (*sides, ("west", bounds.left))}
        document.overlay = {"name": name, "href": "map.png", **box}
    else:
        coloured = source.write_rgba(work / "rgba.tif")
        degrees = work / "degrees.tif"
        with rasterio.open(coloured) as dataset, _in_degrees(dataset) as warped:
            copy_with_driver(
                warped, degrees, "GTiff", TILED="YES", COMPRESS="LZW", BIGTIFF="IF_SAFER"
            )
        # Each zoom level reads the whole map: from overviews, not from all its pixels.
        with rasterio.open(degrees, "r+") as dataset:
            factors = [2**n for n in range(1, 16) if max(dataset.shape) >> n >= _TILE_PX]
            dataset.build_overviews(factors, Resampling.nearest)
        (content / "tiles").mkdir()
        copy_with_driver(degrees, content / "tiles" / "doc.kml", "KMLSUPEROVERLAY", FORMAT="PNG")
        _order_regions(content / "tiles")
        document.tiles = {"name": name, "href": "tiles/doc.kml"}
    draw_legend(source.style.title, source.style.legend()).save(content / "legend.png")
    document.legend = "legend.png"


def _warped_shape(source: ExportSource) -> tuple[int, int]:
    """Give the rows and columns of the map in degrees."""
    grid = source.grid
    rows, cols = grid.shape
    crs = rasterio.crs.CRS.from_user_input(grid.crs)
    _, width, height = calculate_default_transform(crs, "EPSG:4326", cols, rows, *grid.bounds)
    return height or rows, width or cols


def _order_regions(folder: Path) -> None:
    """Put the elements of regions into the order of the schema, which strict readers check.

    GDAL writes the levels of detail of a region before its extent.
    """
    for prefix, name in {"": _KML, "gx": "http://www.google.com/kml/ext/2.2"}.items():
        ElementTree.register_namespace(prefix, name)
    for path in folder.rglob("*.kml"):
        tree = ElementTree.parse(path)
        for region in tree.iter(f"{{{_KML}}}Region"):
            region[:] = sorted(region, key=lambda element: element.tag.endswith("Lod"))
        tree.write(path, "utf-8", xml_declaration=True)


def _in_degrees(dataset: Any) -> WarpedVRT:  # noqa: ANN401 - rasterio's dataset
    """Warp a raster to longitude and latitude, pixel by pixel: colours are not mixed."""
    return WarpedVRT(dataset, crs="EPSG:4326", resampling=Resampling.nearest)


def _add_features(document: _Document, table: FeatureTable) -> None:
    """Add a layer of placemarks."""
    shapes = _in_wgs84(table)
    colours = table.columns.get("colour")
    columns = {name: values for name, values in table.columns.items() if name != "colour"}
    placemarks = []
    for place, shape in enumerate(shapes):
        colour = _LAYER_COLOURS.get(table.name, _OTHER_COLOUR)
        if colours is not None and isinstance(colours[place], str):
            colour = colours[place]
        style = f"colour{colour.lstrip('#').lower()}"
        document.styles.setdefault(style, _style(style, colour))
        values = [(name, _text(given[place])) for name, given in columns.items()]
        values = [(name, text) for name, text in values if text]
        named = dict(values)
        title = next((named[name] for name in _NAME_COLUMNS if name in named), str(place + 1))
        placemarks.append(_Placemark(title, style, values, list(_parts(shape))))
    document.folders.append(_Folder(table.name, placemarks))


def _in_wgs84(table: FeatureTable) -> Sequence[Any]:
    """Give the geometries in longitude and latitude."""
    change = Transformer.from_crs(table.crs, _WGS84, always_xy=True)
    flat = shapely.force_2d(table.geometry)
    moved = shapely.transform(
        flat, lambda xy: np.column_stack(change.transform(xy[:, 0], xy[:, 1]))
    )
    return list(moved)


def _parts(shape: Any) -> Iterable[_Part]:  # noqa: ANN401 - a geometry of shapely
    """Split a geometry into parts of the kinds that KML has."""
    for part in shapely.get_parts(shape):
        if part.is_empty:
            continue
        if part.geom_type == "Polygon":
            # KML wants outer rings counter-clockwise.
            oriented = shapely.orient_polygons(part)
            rings = [oriented.exterior, *oriented.interiors]
            yield _Part("Polygon", [_coordinates(ring) for ring in rings])
        elif part.geom_type in {"LineString", "LinearRing"}:
            yield _Part("LineString", [_coordinates(part)])
        elif part.geom_type == "Point":
            yield _Part("Point", [_coordinates(part)])
        else:
            yield from _parts(part)


def _coordinates(shape: Any) -> str:  # noqa: ANN401 - a geometry of shapely
    """Write coordinates as KML does."""
    return " ".join(f"{x:.{_DIGITS}f},{y:.{_DIGITS}f}" for x, y in shapely.get_coordinates(shape))


def _style(name: str, colour: str) -> _Style:
    """Make the style of a colour: an opaque outline, and a translucent area."""
    red, green, blue = colour[1:3], colour[3:5], colour[5:7]
    return _Style(name, f"ff{blue}{green}{red}", f"{_FILL_OPACITY}{blue}{green}{red}")


def _text(value: object) -> str:
    """Write an attribute; an empty text for a missing one."""
    if value is None or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return str(value)


def _render(document: _Document) -> str:
    """Write the document."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("rm_geo.planning"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("doc.kml.j2").render(
        title=document.title,
        description=document.description,
        styles=list(document.styles.values()),
        folders=document.folders,
        overlay=document.overlay,
        tiles=document.tiles,
        legend=document.legend,
    )
    # XML does not allow the other control characters, not even escaped.
    return "".join(c for c in text if c in "\t\n\r" or c >= " ")
