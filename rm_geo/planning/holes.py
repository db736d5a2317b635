"""Coverage holes as polygons, ranked, and isolines of the level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.planning.best_server import COMPOSITE_FILE
from rm_geo.planning.coverage import PROBABILITY_FILE
from rm_geo.planning.map_set import CellMap
from rm_geo.planning.outlines import (
    isolines,
    label_means,
    outline,
    read_reduced,
    simplification,
)
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.planning.weights import length_within, population_on, read_roads

_FOUR: Final = ndimage.generate_binary_structure(2, 1)
_LISTED: Final = 10


def label_holes(
    missing: BoolArray, grid: Grid, *, min_area_m2: float = 0.0, close_m: float = 0.0
) -> NDArray[np.int32]:
    """Give numbers to the connected areas of pixels without coverage.

    Parameters
    ----------
    missing : ndarray of bool, shape (h, w)
        Pixels without coverage.
    grid : Grid
        Where the pixels are.
    min_area_m2 : float
        Smaller areas are left out.
    close_m : float
        Gaps narrower than this between areas are closed before (morphological closing).

    Returns
    -------
    ndarray of int32, shape (h, w)
        1, 2, ... for the areas, connected over the edges of pixels; 0 elsewhere.

    Examples
    --------
    >>> missing = np.array([[1, 0, 1], [1, 0, 0]], bool)
    >>> label_holes(missing, Grid.create(0, 0, (2, 3), 10.0, 32633), min_area_m2=150.0)
    array([[1, 0, 0],
           [1, 0, 0]], dtype=int32)
    """
    if close_m > grid.spacing_m:
        steps = max(1, round(close_m / (2.0 * grid.spacing_m)))
        padded = np.pad(missing, steps)
        closed = ndimage.binary_closing(padded, _FOUR, iterations=steps)
        missing = closed[steps:-steps, steps:-steps]
    labels, count = ndimage.label(missing, _FOUR, output=np.int32)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    kept = pixels * grid.spacing_m**2 >= min_area_m2
    kept[0] = False
    number = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    renumbered: NDArray[np.int32] = number[labels]
    return renumbered


def coverage_holes(context: PlanContext) -> FeatureTable:
    """Outline and rank the coverage holes.

    Parameters
    ----------
    context : PlanContext
        With the finished rasters ``composite_rsrp.tif``, and ``probability.tif`` where there is
        one.

    Returns
    -------
    FeatureTable
        One polygon for each hole, the most important first: ``rank``, ``area_m2``,
        ``mean_rsrp_dbm``, ``worst_rsrp_dbm``, ``probability`` (mean probability of coverage, null
        without standard deviations), ``population`` and ``road_m`` (null if not given),
        ``nearest_site``, ``site_distance_m`` (null without sites). Unknown pixels are no holes.
    """
    settings, outlines = context.settings.holes, context.settings.outlines
    level = read_reduced(context.raster(COMPOSITE_FILE), outlines.max_pixels)
    probability = None
    if context.folder is not None and (context.folder / PROBABILITY_FILE).exists():
        probability = read_reduced(context.raster(PROBABILITY_FILE), outlines.max_pixels).values
    missing = _missing(context, level.values, probability)
    labels = label_holes(
        missing, level.grid, min_area_m2=settings.min_area_m2, close_m=settings.close_m
    )
    exact = outline(labels, level.grid)
    shown = outline(labels, level.grid, simplify_m=simplification(outlines, level.grid))
    numbers = np.array(list(exact), dtype=np.int64)
    raw = np.array(list(exact.values()), dtype=object)
    pixels, means = label_means(labels, level.values, len(numbers) + 1)
    columns = {
        "area_m2": pixels[numbers] * level.grid.spacing_m**2,
        "mean_rsrp_dbm": np.round(means[numbers], 2),
        "worst_rsrp_dbm": _lowest(level.values, labels, numbers),
        "probability": _means_or_nan(probability, labels, numbers),
        "population": _population(context, level.grid, labels, numbers),
        "road_m": _roads(context, raw),
    }
    columns |= _nearest_sites(context.maps.cells, raw)
    order = np.argsort(-_importance(context, columns), kind="stable")
    return FeatureTable(
        "holes",
        np.array(list(shown.values()), dtype=object)[order],
        {"rank": np.arange(1, len(order) + 1), **{k: v[order] for k, v in columns.items()}},
        context.grid.crs,
        "MultiPolygon",
        context.metadata,
    )


def contour_lines(context: PlanContext) -> FeatureTable:
    """Draw the isolines of the composite.

    Parameters
    ----------
    context : PlanContext
        With the finished raster ``composite_rsrp.tif``.

    Returns
    -------
    FeatureTable
        One feature for each level that occurs, with ``rsrp_dbm`` and ``length_m``.
    """
    outlines = context.settings.outlines
    levels = outlines.contours_dbm or tuple(
        one.from_dbm for one in context.settings.coverage.classes if one.from_dbm is not None
    )
    raster = read_reduced(context.raster(COMPOSITE_FILE), outlines.max_pixels)
    found = isolines(raster.values, raster.grid, levels, min_length_m=outlines.min_contour_m)
    lines = np.array(list(found.values()), dtype=object)
    if len(lines):
        lines = shapely.simplify(lines, simplification(outlines, raster.grid) / 2.0)
        lines = np.array([_multi_line(line) for line in lines], dtype=object)
    return FeatureTable(
        "contours",
        lines,
        {"rsrp_dbm": np.array(list(found), dtype=np.float64), "length_m": shapely.length(lines)},
        context.grid.crs,
        "MultiLineString",
        context.metadata,
    )


def _missing(context: PlanContext, level: FloatArray, probability: FloatArray | None) -> BoolArray:
    """Give the pixels without coverage."""
    least = context.settings.holes.min_probability
    with np.errstate(invalid="ignore"):
        if least is None or probability is None:
            below = level < np.float32(context.settings.coverage.threshold_dbm)
        else:
            below = probability < np.float32(least)
    return np.asarray(below, dtype=bool)


def _lowest(
    values: FloatArray, labels: NDArray[np.int32], numbers: NDArray[np.int64]
) -> Float64Array:
    """Give the lowest known value of each area."""
    lowest: Float64Array = np.full(len(numbers) + 1, np.inf)
    inside = (labels > 0) & np.isfinite(values)
    np.minimum.at(lowest, labels[inside], values[inside].astype(np.float64))
    lowest = lowest[numbers]
    return np.where(np.isfinite(lowest), np.round(lowest, 2), np.nan)


def _means_or_nan(
    values: FloatArray | None, labels: NDArray[np.int32], numbers: NDArray[np.int64]
) -> Float64Array:
    """Give the mean of each area; NaN without values."""
    if values is None:
        return np.full(len(numbers), np.nan)
    return np.round(label_means(labels, values, len(numbers) + 1)[1][numbers], 4)


def _population(
    context: PlanContext, grid: Grid, labels: NDArray[np.int32], numbers: NDArray[np.int64]
) -> Float64Array:
    """Give the persons in each area; NaN without a population raster."""
    if context.inputs.population is None:
        return np.full(len(numbers), np.nan)
    persons = population_on(context.inputs.population, grid).ravel().astype(np.float64)
    return np.round(np.bincount(labels.ravel(), persons, len(numbers) + 1)[numbers], 2)


def _roads(context: PlanContext, areas: NDArray[np.object_]) -> Float64Array:
    """Give the length of roads in each area in metres; NaN without a road layer."""
    if context.inputs.roads is None:
        return np.full(len(areas), np.nan)
    return np.round(length_within(read_roads(context.inputs.roads, context.grid), areas), 1)


def _nearest_sites(cells: Sequence[CellMap], areas: NDArray[np.object_]) -> dict[str, NDArray[Any]]:
    """Give the cell whose site is nearest to each area, and the distance."""
    sited = [cell for cell in cells if cell.site is not None]
    nearest: NDArray[np.object_] = np.full(len(areas), None, dtype=object)
    distance = np.full(len(areas), np.nan)
    if sited and len(areas):
        points = shapely.points([(c.site.x, c.site.y) for c in sited if c.site is not None])
        at, found = shapely.STRtree(points).query_nearest(areas, all_matches=False)
        nearest[at] = [sited[index].name for index in found]
        distance[at] = np.round(shapely.distance(areas[at], points[found]), 1)
    return {"nearest_site": nearest, "site_distance_m": distance}


def _importance(context: PlanContext, columns: dict[str, NDArray[Any]]) -> Float64Array:
    """Give what the holes are ranked by; of equal ones the larger comes first."""
    by = context.settings.holes.rank_by
    area = columns["area_m2"].astype(np.float64)
    if by == "area":
        return area
    main = columns["population" if by == "population" else "road_m"]
    order = np.lexsort((area, np.nan_to_num(main)))
    importance: Float64Array = np.empty(len(area))
    importance[order] = np.arange(len(area))
    return importance


def _multi_line(line: Any) -> shapely.MultiLineString:  # noqa: ANN401 - one line or several
    """Make a simplified line several lines again."""
    return shapely.MultiLineString([line]) if isinstance(line, shapely.LineString) else line


def _refuse_holes(context: PlanContext) -> str | None:
    """Refuse a ranking, or a probability, for which something is missing."""
    settings = context.settings
    if settings.holes.rank_by == "population" and context.inputs.population is None:
        return "`holes.rank_by` is population, and no population raster is given (`population`)."
    if settings.holes.rank_by == "roads" and context.inputs.roads is None:
        return "`holes.rank_by` is roads, and no road layer is given (`roads`)."
    has_deviation = context.maps.has("std_db") or settings.coverage.std_db is not None
    if settings.holes.min_probability is not None and not has_deviation:
        return (
            "`holes.min_probability` needs the standard deviation of a map; write it when "
            "mapping (`uncertainty`), or give `coverage.std_db`."
        )
    return None


def _holes(context: PlanContext) -> ProductResult:
    """Make the holes, and their statistics."""
    table = coverage_holes(context)
    areas = table.columns["area_m2"]
    return ProductResult(
        {
            "holes": len(table),
            "area_km2": float(areas.sum()) / 1e6,
            "largest": [
                {name: _plain(values[place]) for name, values in table.columns.items()}
                for place in range(min(_LISTED, len(table)))
            ],
        },
        features={"holes.gpkg": [table]},
    )


def _plain(value: Any) -> object:  # noqa: ANN401 - a value of a column
    """Give a number of numpy as one of Python; None for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


PRODUCTS: Final = (
    Product(
        "holes",
        "Places without coverage, ranked.",
        "Connected areas of at least `holes.min_area_m2` in which the level is below "
        "`coverage.threshold_dbm`, or the probability of coverage below `holes.min_probability`. "
        "Pixels without a level are no holes. Areas are of the pixels; outlines are simplified.",
        ("holes.gpkg",),
        unit="m2",
        needs=("composite",),
        uses=("probability",),
        refusal=_refuse_holes,
        derive=_holes,
    ),
    Product(
        "contours",
        "Isolines of the level.",
        "Lines of equal level of the composite (marching squares between pixel centres), at "
        "`outlines.contours_dbm` or the breaks of the classes.",
        ("contours.gpkg",),
        unit="dBm",
        needs=("composite",),
        derive=lambda context: ProductResult(features={"contours.gpkg": [contour_lines(context)]}),
    ),
)
"""Products of this module."""
