"""Building footprints read from any layer of polygons."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from rm_geo._types import FloatArray
from rm_geo.errors import CrsError, InputError, UsageError, about_its_file
from rm_geo.grid import CrsLike, Grid
from rm_geo.io.crs import CoordinateStats, parse_crs
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.features import layers_of, opened_vector, vector_reason
from rm_geo.io.sqlite_tables import refuse_view
from rm_geo.progress import Progress

DEFAULT_HEIGHT_COLUMNS = ("height", "height_m", "building_height", "HEIGHT", "Height", "hoehe")


@dataclass(frozen=True)
class Buildings:
    """Building footprints with heights.

    Attributes
    ----------
    polygons : tuple of shapely geometries
        In ``crs``.
    heights_m : ndarray of float32, shape (N,)
        Heights over ground.
    crs : pyproj.CRS
        A projected CRS with metres.
    source : Path
        The file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from shapely.geometry import box
    >>> houses = (box(0.0, 0.0, 10.0, 20.0), box(30.0, 0.0, 45.0, 12.0))
    >>> heights_m = np.array([9.0, 12.5], np.float32)
    >>> Buildings(houses, heights_m, CRS.from_epsg(32633), Path("houses.gpkg")).bounds
    (0.0, 0.0, 45.0, 20.0)
    """

    polygons: tuple[BaseGeometry, ...]
    heights_m: FloatArray
    crs: CRS
    source: Path

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in metres."""
        boxes = np.array([polygon.bounds for polygon in self.polygons])
        west, south = boxes[:, :2].min(axis=0)
        east, north = boxes[:, 2:].max(axis=0)
        return float(west), float(south), float(east), float(north)


@about_its_file
def read_buildings(
    path: str | os.PathLike[str],
    *,
    layer: str | None = None,
    height_column: str | None = None,
    default_height_m: float = 25.0,
    crs: CrsLike | None = None,
    near: Grid | None = None,
    progress: Progress | None = None,
) -> Buildings:
    """Read building footprints and convert them to metres.

    Parameters
    ----------
    path : path-like
        Any layer of polygons in a format of OGR.
    layer : str, optional
        Name of the layer; required if there are several.
    height_column : str, optional
        Column of heights in metres. Default: the first of :data:`DEFAULT_HEIGHT_COLUMNS`.
    default_height_m : float
        Height of buildings without one, in metres.
    crs : CRS, optional
        Where the file does not state one: its own is kept, with a warning if they differ.
    near : Grid, optional
        Read only buildings that intersect its bounds, such as from a file of a whole country.
    progress : Progress, optional
        Receives warnings.

    Returns
    -------
    Buildings
        Polygons and heights in a projected CRS with metres.

    Raises
    ------
    InputError
        If the file cannot be read or holds no polygons.
    CrsError
        If there is no CRS.
    UsageError
        If the named column does not exist.

    Examples
    --------
    >>> import geopandas, tempfile
    >>> houses = geopandas.GeoSeries([box(13.0, 46.0, 13.0001, 46.0002)], crs=4326)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     houses.to_frame("geometry").assign(height=12.0).to_file(f"{folder}/houses.geojson")
    ...     buildings = read_buildings(f"{folder}/houses.geojson")
    >>> buildings.crs.to_epsg(), buildings.heights_m.tolist()
    (32633, [12.0])
    """
    import geopandas
    import pyogrio

    source = Path(path)
    chosen = _chosen_layer(source, layer)
    wanted: dict[str, Any] = {"layer": chosen}
    with opened_vector(source) as file:
        refuse_view(file, chosen)
        try:
            if near is not None and pyogrio.read_info(file, **wanted)["crs"] is not None:
                wanted["bbox"] = geopandas.GeoSeries([box(*near.bounds)], crs=near.crs)
            frame = geopandas.read_file(file, **wanted)
        except Exception as error:  # pyogrio and GDAL raise several unrelated types
            raise InputError(
                f"{source} cannot be read as a layer of buildings: {vector_reason(error)}",
                hint="Give a GeoPackage, GeoJSON, FlatGeobuf or shapefile of polygons.",
                path=source,
            ) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise InputError(
            f"{source} has no geometry.", hint="Buildings must be polygons.", path=source
        )
    if near is not None and frame.crs is None:  # `crs` is that of the measurements there
        raise CrsError(
            f"{source} has no CRS.", hint="Set it in the file (ogr2ogr -a_srs).", path=source
        )
    own = None if frame.crs is None else CRS.from_user_input(frame.crs)
    stated = CrsChoice.choose(own, None if crs is None else parse_crs(crs), str(source))
    if near is not None and frame.empty:
        raise InputError(
            f"{source} has no building where the map is.",
            hint="Check its CRS; leave the buildings out where there are none.",
            path=source,
        )
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    frame = frame[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])]
    if frame.empty:
        raise InputError(
            f"{source} holds no polygons.", hint="Buildings must be polygons.", path=source
        )
    west, south, east, north = frame.total_bounds
    look = CoordinateStats.at(np.array([west, east]), np.array([south, north]))
    stated = stated.check(look, str(source))
    if stated.warning and progress is not None:
        progress.log(f"Warning: {stated.warning}")
    frame = frame.set_crs(stated.crs, allow_override=True)
    if frame.crs.is_geographic or not all(a.unit_name == "metre" for a in frame.crs.axis_info[:2]):
        frame = frame.to_crs(frame.estimate_utm_crs())
    heights = _heights(frame, height_column, default_height_m, source)
    return Buildings(
        tuple(frame.geometry.make_valid()), heights, CRS.from_user_input(frame.crs), source
    )


def _chosen_layer(source: Path, layer: str | None) -> str:
    """Choose the layer; refuse one that does not exist, and several if none was given."""
    names = [name for name, _ in layers_of(source)]
    if layer is not None and layer not in names:
        raise InputError(
            f"{source} has no layer {layer!r}.",
            hint=f"It has {', '.join(names) or 'none'}.",
            path=source,
        )
    if layer is None and len(names) > 1:
        raise InputError(
            f"{source} has {len(names)} layers: {', '.join(names)}.",
            hint="Say which holds the buildings (`buildings_layer`, or `layer` of 'simulate').",
            parameter="buildings_layer",
            path=source,
        )
    if not names:
        raise InputError(f"{source} has no layer.", path=source)
    return names[0] if layer is None else layer


def _heights(
    frame: Mapping[str, Sequence[object]], column: str | None, default_m: float, source: Path
) -> FloatArray:
    """Read heights from a column; the default where a height is missing."""
    import pandas

    if column is not None and column not in frame:
        raise UsageError(
            f"{source} has no column {column!r}.",
            hint="See `height_column`.",
            parameter="height_column",
            path=source,
        )
    found = column or next((name for name in DEFAULT_HEIGHT_COLUMNS if name in frame), None)
    if not (default_m > 0.0 and math.isfinite(default_m)):
        raise UsageError("The height of buildings must be above 0 m.", parameter="default_height_m")
    if found is None:
        return np.full(len(frame[next(iter(frame))]), default_m, dtype=np.float32)
    values = pandas.to_numeric(pandas.Series(list(frame[found])), errors="coerce").to_numpy(float)
    usable = np.isfinite(values) & (values > 0.0)
    return np.where(usable, values, default_m).astype(np.float32)
