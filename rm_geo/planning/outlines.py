"""Outlines of raster areas, and isolines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import shapes, sieve
from rasterio.windows import Window

from rm_geo._types import Float64Array, FloatArray
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.io.raster_reader import open_raster, opened_raster
from rm_geo.planning.product import PlanContext
from rm_geo.planning.settings import OutlineSettings

_SIMPLIFIED_PX: Final = 1.5
_LEVEL_FILE: Final = "composite_rsrp.tif"


@dataclass(frozen=True, eq=False)
class ReducedRaster:
    """A raster at the resolution in which it is outlined.

    Attributes
    ----------
    values : ndarray of float32, shape (h, w)
        NaN where unknown.
    grid : Grid
        Its pixels, a whole factor larger than those of the file.
    factor : int
        Pixels of the file along each pixel.
    """

    values: FloatArray
    grid: Grid
    factor: int


def read_reduced(path: Path, max_pixels: int, *, categorical: bool = False) -> ReducedRaster:
    """Read a raster at a bounded number of pixels.

    Parameters
    ----------
    path : Path
        A raster of one band.
    max_pixels : int
        Larger rasters are reduced by a whole factor; up to that many pixels less one are cut off
        at the southern and eastern edge.
    categorical : bool
        Take the most frequent value of each block instead of the mean.

    Returns
    -------
    ReducedRaster

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    file = open_raster(path, classes=categorical)
    height, width = file.grid.shape
    factor = max(1, math.ceil(math.sqrt(height * width / max_pixels)))
    if factor == 1:
        return ReducedRaster(file.read(slice(0, height), slice(0, width)), file.grid, 1)
    shape = max(1, height // factor), max(1, width // factor)
    window = Window(0, 0, shape[1] * factor, shape[0] * factor)
    with opened_raster(Path(path), is_accepted=True) as dataset:
        read = dataset.read(
            1,
            window=window,
            out_shape=shape,
            masked=True,
            resampling=Resampling.mode if categorical else Resampling.average,
        )
    west, _, _, north = file.grid.bounds
    grid = Grid.create(west, north, shape, file.grid.spacing_m * factor, file.grid.crs)
    values = np.ma.filled(read.astype(np.float32), np.nan)
    return ReducedRaster(np.asarray(values, dtype=np.float32), grid, factor)


def outline(
    labels: NDArray[np.int32], grid: Grid, *, simplify_m: float = 0.0
) -> dict[int, shapely.MultiPolygon]:
    """Outline the areas of equal labels.

    Parameters
    ----------
    labels : ndarray of int32, shape (h, w)
        Labels of the pixels; 0 belongs to no area.
    grid : Grid
        Where the pixels are.
    simplify_m : float
        Largest deviation of the outlines from the edges of the pixels in metres. Common borders
        of areas stay common: there are neither gaps nor overlaps (``ST_CoverageSimplify``).

    Returns
    -------
    dict of int to MultiPolygon
        One geometry for each label, by ascending label.

    Examples
    --------
    >>> labels = np.array([[1, 1, 2], [1, 0, 2]], np.int32)
    >>> areas = outline(labels, Grid.create(0, 0, (2, 3), 2.0, 32633))
    >>> {label: area.area for label, area in areas.items()}
    {1: 12.0, 2: 8.0}
    """
    parts: dict[int, list[shapely.Polygon]] = {}
    # In pixels, where corners are whole numbers and common corners are equal.
    found = shapes(labels, mask=labels != 0, connectivity=4, transform=Affine.identity())
    for geometry, value in found:
        outer, *inner = geometry["coordinates"]
        parts.setdefault(int(value), []).append(shapely.Polygon(outer, inner))
    numbers = sorted(parts)
    areas = np.array([shapely.MultiPolygon(parts[number]) for number in numbers], dtype=object)
    if len(areas):
        areas = simplify_areas(areas, simplify_m / grid.spacing_m)
        areas = shapely.transform(areas, lambda xy: _to_world(grid, xy))
    return dict(zip(numbers, areas, strict=True))


def simplify_areas(areas: NDArray[np.object_], deviation_px: float) -> NDArray[np.object_]:
    """Simplify areas of pixels; common borders stay common.

    Parameters
    ----------
    areas : ndarray of object, shape (n,)
        Multipolygons with corners at whole numbers.
    deviation_px : float
        Largest deviation in pixels; 0 changes nothing.

    Returns
    -------
    ndarray of object, shape (n,)
        Multipolygons.
    """
    if deviation_px <= 0.0 or not len(areas):
        return areas
    # A corner of one area may lie on an edge of another: the edges get all corners of pixels.
    noded = shapely.segmentize(areas, 1.0)
    simple = shapely.coverage_simplify(noded, deviation_px)
    return np.array([_multi(area) for area in simple], dtype=object)


def merge_small(labels: NDArray[np.int32], grid: Grid, min_area_m2: float) -> NDArray[np.int32]:
    """Give parts of areas that are too small to the largest area beside them.

    Parameters
    ----------
    labels : ndarray of int32, shape (h, w)
        Labels of the pixels; pixels of 0 do not change.
    grid : Grid
        Where the pixels are.
    min_area_m2 : float
        Smallest area in square metres that is kept.

    Returns
    -------
    ndarray of int32, shape (h, w)

    Examples
    --------
    >>> labels = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 0]], np.int32)
    >>> merge_small(labels, Grid.create(0, 0, (3, 3), 1.0, 32633), 2.0)[1]
    array([1, 1, 1], dtype=int32)
    """
    size = math.ceil(min_area_m2 / grid.spacing_m**2)
    if size <= 1 or not labels.any():
        return labels
    merged: NDArray[np.int32] = sieve(labels, min(size, labels.size), mask=labels != 0)
    # Small parts that only touch unknown pixels are kept; the mask itself never changes.
    return np.where(labels == 0, 0, merged).astype(np.int32)


def simplification(settings: OutlineSettings, grid: Grid) -> float:
    """Give the largest deviation of simplified outlines in metres.

    Parameters
    ----------
    settings : OutlineSettings
        The largest deviation, if it is set.
    grid : Grid
        Grid of the outlines.

    Returns
    -------
    float
        The largest deviation in metres.
    """
    chosen = settings.simplify_m
    return _SIMPLIFIED_PX * grid.spacing_m if chosen is None else chosen


def class_polygons(
    context: PlanContext,
    file: str,
    layer: str,
    names: Mapping[int, str],
    *,
    name_column: str,
    min_area_m2: float,
    columns: Mapping[str, Mapping[int, Any]] | None = None,
    lowest: int = 1,
) -> FeatureTable:
    """Outline the classes of a finished raster, with the area and mean level of each.

    Parameters
    ----------
    context : PlanContext
        With the finished raster and ``composite_rsrp.tif``.
    file : str
        Raster of class numbers.
    layer : str
        Name of the layer.
    names : mapping of int to str
        Names of the classes.
    name_column : str
        Column of the names.
    min_area_m2 : float
        As of :func:`merge_small`.
    columns : mapping of str to mapping of int to value, optional
        Further attributes by class number.
    lowest : int
        Classes below this number are not outlined.

    Returns
    -------
    FeatureTable
        One dissolved feature for each class that occurs.
    """
    settings = context.settings.outlines
    raster = read_reduced(context.raster(file), settings.max_pixels, categorical=True)
    level = read_reduced(context.raster(_LEVEL_FILE), settings.max_pixels).values
    known = np.where(np.isfinite(raster.values), raster.values + 1.0, 0.0).astype(np.int32)
    labels = np.maximum(merge_small(known, raster.grid, min_area_m2) - 1, 0)
    labels[labels < lowest] = 0
    areas = outline(labels, raster.grid, simplify_m=simplification(settings, raster.grid))
    numbers = list(areas)
    pixels, means = label_means(labels, level, max(numbers, default=0) + 1)
    return FeatureTable(
        layer,
        np.array(list(areas.values()), dtype=object),
        {
            "value": np.array(numbers, dtype=np.int32),
            name_column: np.array([names[number] for number in numbers], dtype=object),
            "area_m2": pixels[numbers] * raster.grid.spacing_m**2,
            "mean_rsrp_dbm": np.round(means[numbers], 2),
            **{
                name: np.array([values[number] for number in numbers])
                for name, values in (columns or {}).items()
            },
        },
        context.grid.crs,
        "MultiPolygon",
        context.metadata,
    )


def label_means(
    labels: NDArray[np.int32], values: FloatArray, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Count the pixels of each label, and average values over them.

    Parameters
    ----------
    labels : ndarray of int32, shape (h, w)
        Labels from 0 to ``count`` - 1.
    values : ndarray of float32, shape (h, w)
        NaN is left out of the mean.
    count : int
        Number of labels.

    Returns
    -------
    pixels : ndarray of int64, shape (count,)
    means : ndarray of float64, shape (count,)
        NaN for a label without values.

    Examples
    --------
    >>> label_means(np.array([[0, 1, 1]], np.int32), np.array([[1.0, 2.0, 4.0]], np.float32), 2)
    (array([1, 2]), array([1., 3.]))
    """
    flat = labels.ravel().astype(np.intp)
    pixels = np.bincount(flat, minlength=count)
    unknown = np.isnan(values).ravel()
    filled = np.where(unknown, 0.0, values.ravel())
    sums = np.bincount(flat, filled, minlength=count)
    numbers = pixels - np.bincount(flat[unknown], minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / numbers
    return pixels, means


def isolines(
    values: FloatArray, grid: Grid, levels: Sequence[float], *, min_length_m: float = 0.0
) -> dict[float, shapely.MultiLineString]:
    """Draw lines of equal value between the centres of the pixels.

    Parameters
    ----------
    values : ndarray of float32, shape (h, w)
        NaN where unknown; lines end there.
    grid : Grid
        Where the pixels are.
    levels : sequence of float
        Values of the lines.
    min_length_m : float
        Shorter lines are left out.

    Returns
    -------
    dict of float to MultiLineString
        Levels that occur, in the order given.

    Examples
    --------
    >>> grid = Grid.create(0, 0, (2, 3), 1.0, 32633)
    >>> lines = isolines(np.array([[0, 1, 2], [0, 1, 2]], np.float32), grid, [0.5, 9.0])
    >>> [(level, line.bounds) for level, line in lines.items()]
    [(0.5, (1.0, -1.5, 1.0, -0.5))]
    """
    import contourpy

    if min(values.shape) < 2:
        return {}
    rows, cols = values.shape
    x, _ = grid.to_world(0.5, np.arange(cols) + 0.5)
    _, y = grid.to_world(np.arange(rows) + 0.5, 0.5)
    generator: Any = contourpy.contour_generator(x, y, np.ma.masked_invalid(values))
    found = {}
    for level in levels:
        drawn = [
            shapely.LineString(line) for line in generator.lines(float(level)) if len(line) > 1
        ]
        lines = [line for line in drawn if line.length >= min_length_m]
        if lines:
            found[level] = shapely.MultiLineString(lines)
    return found


def _to_world(grid: Grid, xy: Float64Array) -> Float64Array:
    """Convert columns and rows to world coordinates, shape (n, 2)."""
    return np.column_stack(grid.to_world(xy[:, 1], xy[:, 0]))


def _multi(area: Any) -> shapely.MultiPolygon:  # noqa: ANN401 - a polygon or several
    """Make a simplified area several polygons again."""
    return shapely.MultiPolygon([area]) if isinstance(area, shapely.Polygon) else area
