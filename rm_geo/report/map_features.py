"""Sites, holes and lines as layers of the map in a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from pyproj import CRS, Transformer

from rm_geo.io.features import FeatureTable, read_features
from rm_geo.planning.comparison import CHANGE_COLOURS, CHANGE_NAMES
from rm_geo.products.colormap import hex_of
from rm_geo.report.map_layers import Frame
from rm_geo.sites.site import Site

MOST_FEATURES: Final = 500
"""Features of a layer that are shown."""

_MOST_COORDINATES: Final = 60_000
_COLLECTED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Point": shapely.multipoints,
    "LineString": shapely.multilinestrings,
    "Polygon": shapely.multipolygons,
}
_SHOWN_PX: Final = 1600  # pixels of the map over which a deviation is not seen
_COLOURS: Final[Mapping[str, str]] = {
    "holes": "#d7191c",
    "next_drive": "#0050a0",
    "overlap": "#7b3294",
    "overshooters": "#8c510a",
}
_CHANGE_COLOURS: Final[Mapping[str, str]] = {
    CHANGE_NAMES[value]: hex_of(colour) for value, colour in CHANGE_COLOURS.items()
}
_OTHER_COLOUR: Final = "#333333"
_DECIMALS: Final = 1  # of metres


@dataclass(frozen=True)
class FeatureLayer:
    """Features on the map.

    Attributes
    ----------
    name : str
        Name of the layer.
    title : str
        Name in the list of layers.
    features : list of mapping
        Each with ``type``, ``coordinates``, ``title``, ``rows`` and ``colour``.
    is_shown : bool
        Whether it is shown at first.
    total : int
        Features in the file; more than are shown if there are too many.
    """

    name: str
    title: str
    features: Sequence[Mapping[str, Any]]
    is_shown: bool
    total: int

    def to_json(self) -> dict[str, Any]:
        """Give the layer as the script of the page takes it."""
        return {
            "name": self.name,
            "title": self.title,
            "features": list(self.features),
            "shown": self.is_shown,
            "total": self.total,
        }


def feature_layer(path: Path, frame: Frame, title: str, *, is_shown: bool) -> FeatureLayer | None:
    """Read a vector file of a plan.

    Parameters
    ----------
    path : Path
        A file with one layer.
    frame : Frame
        The map.
    title : str
        Name in the list of layers.
    is_shown : bool
        Whether it is shown at first.

    Returns
    -------
    FeatureLayer or None
        None if there is no feature.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    table = read_features(path)
    if not len(table):
        return None
    shapes = _on_map(table, frame)
    features = [
        {
            **shapely_json(shape),
            "title": _title(table, place),
            "rows": _rows(table, place),
            "colour": _colour(table, place),
        }
        for place, shape in enumerate(shapes)
    ]
    return FeatureLayer(table.name, title, features, is_shown, len(table))


def site_layer(sites: Sequence[Site], frame: Frame) -> FeatureLayer | None:
    """Show sites as points with the direction of their beam.

    Parameters
    ----------
    sites : sequence of Site
        In the CRS of the map.
    frame : Frame
        The map.

    Returns
    -------
    FeatureLayer or None
        None without sites.
    """
    features = []
    for site in sites[:MOST_FEATURES]:
        rows = [("cell", site.cell or "")]
        if site.frequency_mhz is not None:
            rows.append(("carrier", f"{site.frequency_mhz:g} MHz"))
        if site.azimuth_deg is not None:
            rows.append(("azimuth", f"{site.azimuth_deg:g}°"))
        if site.uncertainty_m:
            rows.append(("position", f"estimated, ± {site.uncertainty_m:.0f} m"))
        features.append(
            {
                "type": "Point",
                "coordinates": [round(site.x - frame.x, 1), round(site.y - frame.y, 1)],
                "title": site.cell or "site",
                "rows": rows,
                "colour": "#111111",
                "azimuth": site.azimuth_deg,
            }
        )
    return FeatureLayer("sites", "Sites", features, True, len(sites)) if features else None


def hole_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """List the coverage holes, the most important first, with their place in degrees.

    Parameters
    ----------
    path : Path
        ``holes.gpkg`` of a plan.

    Returns
    -------
    rows : list of dict
        Columns of the first holes, with ``longitude`` and ``latitude``.
    total : int
        Number of all holes.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    table = read_features(path)
    if not len(table):
        return [], 0
    points = shapely.point_on_surface(table.geometry)
    change = Transformer.from_crs(table.crs, CRS.from_epsg(4326), always_xy=True)
    longitude, latitude = change.transform(shapely.get_x(points), shapely.get_y(points))
    rows = [
        {
            **{name: plain(values[place]) for name, values in table.columns.items()},
            "longitude": float(longitude[place]),
            "latitude": float(latitude[place]),
        }
        for place in range(min(len(table), MOST_FEATURES))
    ]
    return rows, len(table)


def shapely_json(shape: Any) -> dict[str, Any]:  # noqa: ANN401 - a geometry of shapely
    """Give type and coordinates of a geometry as GeoJSON has them, rounded to decimetres.

    Parameters
    ----------
    shape : shapely geometry

    Returns
    -------
    dict

    Examples
    --------
    >>> shapely_json(shapely.Point(1.04, 2.0))
    {'type': 'Point', 'coordinates': [1.0, 2.0]}
    """
    described = shapely.geometry.mapping(shape)
    return {"type": described["type"], "coordinates": _round(described["coordinates"])}


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a column
    """Give a value of numpy as one of Python; None for NaN.

    Examples
    --------
    >>> plain(np.float32(1.5)), plain(np.nan), plain("a")
    (1.5, None, 'a')
    """
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _on_map(table: FeatureTable, frame: Frame) -> list[Any]:
    """Give the first geometries in metres from the origin of the map, simplified if need be."""
    shapes = shapely.force_2d(table.geometry[:MOST_FEATURES])
    if table.crs != frame.crs:
        change = Transformer.from_crs(table.crs, frame.crs, always_xy=True)
        shapes = shapely.transform(
            shapes, lambda xy: np.column_stack(change.transform(xy[:, 0], xy[:, 1]))
        )
    kept = _simplified(shapes)
    moved = shapely.transform(kept, lambda xy: xy - (frame.x, frame.y))
    return list(moved)


def _simplified(shapes: Any) -> Any:  # noqa: ANN401 - an array of geometries
    """Simplify geometries that have more detail than the map shows; drop the smallest parts.

    Outlines may then cross: they are drawn, not computed with.
    """
    if shapely.get_num_coordinates(shapes).sum() <= _MOST_COORDINATES:
        return shapes
    west, south, east, north = shapely.total_bounds(shapes)
    tolerance_m = max(east - west, north - south) / _SHOWN_PX
    parts, owner = shapely.get_parts(shapes, return_index=True)
    simple = shapely.simplify(parts, tolerance_m, preserve_topology=False)
    size = np.maximum(shapely.area(simple), shapely.length(simple) * tolerance_m)
    order = np.argsort(-size, kind="stable")
    count = np.cumsum(shapely.get_num_coordinates(simple[order]))
    chosen = np.sort(order[(count <= _MOST_COORDINATES) & (size[order] > 0.0)])
    kept = np.full(len(shapes), None, dtype=object)
    for place in np.unique(owner[chosen]):
        flat = shapely.get_parts(simple[chosen[owner[chosen] == place]])  # some are cut in two
        flat = flat[shapely.get_type_id(flat) == shapely.get_type_id(flat[0])]
        kept[place] = _COLLECTED[flat[0].geom_type](flat)
    empty = shapely.is_missing(kept)
    kept[empty] = shapely.point_on_surface(shapes[empty])
    return kept


def _title(table: FeatureTable, place: int) -> str:
    """Name a feature."""
    for name in ("rank", "change", "cell", "class", "name", "value"):
        if name in table.columns:
            value = plain(table.columns[name][place])
            return str(value) if name != "rank" else f"{table.name.rstrip('s')} {value}"
    return f"{table.name} {place + 1}"


def _rows(table: FeatureTable, place: int) -> list[tuple[str, str]]:
    """List the attributes of a feature as text."""
    rows = []
    for name, values in table.columns.items():
        value = plain(values[place])
        if value is None or value == "" or name == "colour":
            continue
        rows.append((name, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows


def _colour(table: FeatureTable, place: int) -> str:
    """Give the colour of a feature: of its column or its change, else of its layer."""
    if "change" in table.columns:
        return _CHANGE_COLOURS.get(str(table.columns["change"][place]), _OTHER_COLOUR)
    if "colour" in table.columns and isinstance(table.columns["colour"][place], str):
        return str(table.columns["colour"][place])
    return _COLOURS.get(table.name, _OTHER_COLOUR)


def _round(coordinates: Any) -> Any:  # noqa: ANN401 - nested sequences of numbers
    """Round nested coordinates."""
    if isinstance(coordinates, (int, float)):
        return round(float(coordinates), _DECIMALS)
    return [_round(part) for part in coordinates]
