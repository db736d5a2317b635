"""Statistics of the level in areas: squares of a grid, or the polygons of a layer.

Pixels count with the exact share of their area that lies in a zone, as exactextract computes it.
Where persons or roads are given as weights, a pixel counts with those on it. Means are those of
levels in dBm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._types import Float64Array, FloatArray
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable, read_layer
from rm_geo.io.raster_reader import RasterFile, open_raster
from rm_geo.planning.best_server import COMPOSITE_FILE
from rm_geo.planning.coverage import classify
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.planning.settings import CoverageClass
from rm_geo.planning.weights import population_on, read_roads

WeightName: TypeAlias = Literal["area", "population", "roads"]
"""What shares and means are weighted by."""

_BIN_DB: Final = 0.1
_NO_BIN: Final = -(2**31)
_BLOCK_PX: Final = 1 << 21
_WIDE: Final = 4
_CELLS_IN_MEMORY: Final = 1 << 23
_MOST_SQUARES: Final = 2_000_000
_STEPS_IN_PIXEL: Final = 4
_GRID_FILES: Final = ("statistics_grid.gpkg", "statistics_grid.csv")
_POLYGON_FILES: Final = ("statistics_polygons.gpkg", "statistics_polygons.csv")


class Weights(Protocol):
    """Weights of pixels, window by window."""

    def read(self, rows: slice, cols: slice) -> FloatArray:
        """Read the weights of the pixels of a window.

        Parameters
        ----------
        rows, cols : slice
            The window, inside the grid.

        Returns
        -------
        ndarray of float32, shape (h, w)
            The weights; 0 where there is none.
        """


@dataclass(frozen=True)
class PopulationWeights:
    """Persons on the pixels of a grid, read from a raster window by window.

    Attributes
    ----------
    path : Path
        Raster of persons for each pixel.
    grid : Grid
        Pixels.
    """

    path: Path
    grid: Grid

    def read(self, rows: slice, cols: slice) -> FloatArray:
        """Read the persons of a window.

        Parameters
        ----------
        rows, cols : slice
            The window, inside the grid.

        Returns
        -------
        ndarray of float32, shape (h, w)
            Persons in each pixel.

        Raises
        ------
        InputError
            If the raster cannot be read.
        """
        return population_on(self.path, self.grid.window(rows, cols))


@dataclass(frozen=True, eq=False)
class RoadWeights:
    """Metres of road on the pixels of a grid; made by :meth:`of`.

    Attributes
    ----------
    pixel : ndarray of int64, shape (n,)
        ``row * columns + column`` of pixels with roads, ascending.
    length_m : ndarray of float32, shape (n,)
        Metres on them.
    shape : tuple of int
        Rows and columns of the grid.
    """

    pixel: NDArray[np.int64]
    length_m: FloatArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, lines: NDArray[np.object_], grid: Grid) -> RoadWeights:
        """Divide lines over the pixels that they cross.

        Parameters
        ----------
        lines : ndarray of object, shape (n,)
            Shapely lines in the CRS of the grid.
        grid : Grid
            Pixels.

        Returns
        -------
        RoadWeights
            Lengths are exact to a quarter of a pixel for each piece of a line in a pixel.

        Examples
        --------
        >>> grid = Grid.create(0.0, 10.0, (1, 3), 10.0, 32633)
        >>> roads = RoadWeights.of(np.array([shapely.LineString([(5, 5), (20, 5)])]), grid)
        >>> roads.read(slice(0, 1), slice(0, 3)).round(2).tolist()
        [[5.0, 10.0, 0.0]]
        """
        parts = shapely.get_parts(np.asarray(lines, dtype=object))
        xy, line = shapely.get_coordinates(parts, return_index=True)
        joined = np.flatnonzero(line[1:] == line[:-1])
        start, end = xy[joined], xy[joined + 1]
        length_m = np.hypot(*(end - start).T)
        steps = np.maximum(1, np.ceil(length_m * _STEPS_IN_PIXEL / grid.spacing_m)).astype(np.int64)
        of_segment = np.repeat(np.arange(steps.size), steps)
        within = np.arange(of_segment.size) - np.repeat(np.cumsum(steps) - steps, steps)
        share = ((within + 0.5) / steps[of_segment])[:, None]
        middle = start[of_segment] + share * (end - start)[of_segment]
        row, col = (np.floor(axis).astype(np.int64) for axis in grid.to_pixel(*middle.T))
        height, width = grid.shape
        inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        pixel, place = np.unique((row * width + col)[inside], return_inverse=True)
        step_m = (length_m / steps)[of_segment][inside]
        total = np.bincount(place, weights=step_m, minlength=pixel.size).astype(np.float32)
        return cls(pixel, total, grid.shape)

    def read(self, rows: slice, cols: slice) -> FloatArray:
        """Read the length of the roads of a window.

        Parameters
        ----------
        rows, cols : slice
            The window, inside the grid.

        Returns
        -------
        ndarray of float32, shape (h, w)
            Metres of road in each pixel.
        """
        width = self.shape[1]
        first, last = np.searchsorted(self.pixel, [rows.start * width, rows.stop * width])
        row, col = np.divmod(self.pixel[first:last], width)
        inside = (col >= cols.start) & (col < cols.stop)
        values: FloatArray = np.zeros(
            (rows.stop - rows.start, cols.stop - cols.start), dtype=np.float32
        )
        values[row[inside] - rows.start, col[inside] - cols.start] = self.length_m[first:last][
            inside
        ]
        return values


@dataclass(frozen=True, eq=False)
class Zones:
    """Areas for statistics.

    Attributes
    ----------
    name : str
        Name of the layer.
    geometry : ndarray of object, shape (n,)
        Shapely polygons in the CRS of the map.
    columns : mapping of str to ndarray of shape (n,)
        Attributes that are kept.
    crs : pyproj.CRS
        CRS of the polygons.
    warnings : tuple of str
        What was changed or left out.
    """

    name: str
    geometry: NDArray[np.object_]
    columns: Mapping[str, NDArray[Any]]
    crs: CRS
    warnings: tuple[str, ...] = ()


def square_zones(grid: Grid, side_m: float) -> Zones:
    """Divide a grid into squares, whose corners lie on multiples of their side.

    Parameters
    ----------
    grid : Grid
        The area.
    side_m : float
        Side of a square in metres.

    Returns
    -------
    Zones
        From north to south, with ``west`` and ``south`` in metres.

    Raises
    ------
    UsageError
        If there are more than 2 million squares.

    Examples
    --------
    >>> zones = square_zones(Grid.create(5.0, 20.0, (2, 2), 10.0, 32633), 10.0)
    >>> len(zones.geometry), zones.geometry[0].bounds
    (6, (0.0, 10.0, 10.0, 20.0))
    """
    west, south, east, north = grid.bounds
    first_col, end_col = int(np.floor(west / side_m)), int(np.ceil(east / side_m))
    first_row, end_row = int(np.floor(south / side_m)), int(np.ceil(north / side_m))
    count = (end_col - first_col) * (end_row - first_row)
    if count > _MOST_SQUARES:
        raise UsageError(
            f"Squares of {side_m:g} m are {count:,} in this area.",
            hint=f"Choose larger ones (`statistics.grid_m`), at most {_MOST_SQUARES:,} squares.",
            parameter="statistics.grid_m",
        )
    row, col = np.meshgrid(
        np.arange(end_row - 1, first_row - 1, -1), np.arange(first_col, end_col), indexing="ij"
    )
    left, bottom = col.ravel() * side_m, row.ravel() * side_m
    squares = np.asarray(shapely.box(left, bottom, left + side_m, bottom + side_m), dtype=object)
    return Zones("statistics_grid", squares, {"west": left, "south": bottom}, grid.crs)


def read_zones(path: Path, grid: Grid) -> Zones:
    """Read a layer of polygons that reach into a grid.

    Parameters
    ----------
    path : Path
        Layer of polygons in any CRS; of several layers the first of polygons.
    grid : Grid
        Area, and CRS of the result.

    Returns
    -------
    Zones
        Invalid polygons are repaired, and those outside the area left out, with a warning. All
        attributes are kept.

    Raises
    ------
    InputError
        If the file cannot be read, or has no polygon in the area.
    CrsError
        If it has no CRS.
    """
    table = read_layer(path, grid.crs, "polygons")
    invalid = int((~shapely.is_valid(table.geometry)).sum())
    areas = np.empty(len(table), dtype=object)
    areas[:] = [_polygonal(area) for area in shapely.make_valid(table.geometry)]
    inside = shapely.intersects(areas, shapely.box(*grid.bounds)) & ~shapely.is_empty(areas)
    if not inside.any():
        raise InputError(
            f"No polygon of {path} reaches into the area of the maps.",
            hint="Check its CRS, or give the polygons of this area.",
            path=path,
        )
    warnings = []
    if invalid:
        warnings.append(f"{invalid} invalid polygons of {path} were repaired.")
    if not inside.all():
        left_out = int((~inside).sum())
        warnings.append(f"{left_out} of {len(areas)} polygons of {path} lie outside the maps.")
    columns = {name: values[inside] for name, values in table.columns.items()}
    return Zones("statistics_polygons", areas[inside], columns, grid.crs, tuple(warnings))


def _polygonal(area: Any) -> Any:  # noqa: ANN401 - shapely geometries
    """Keep the polygons of a repaired geometry."""
    if area.geom_type in {"Polygon", "MultiPolygon"}:
        return area
    parts = [part for part in shapely.get_parts(area) if part.geom_type.endswith("Polygon")]
    return shapely.union_all(parts) if parts else shapely.Polygon()


@dataclass(frozen=True, eq=False)
class ZonalStatistics:
    """Statistics of the level in zones.

    Attributes
    ----------
    area_m2, known_share : ndarray of float64, shape (n,)
        Area of each zone, and the share of it where a level is known.
    mean_dbm : ndarray of float64, shape (n,)
        Mean level in dBm, weighted; NaN where nothing is known, or nothing has a weight.
    shares : ndarray of float64, shape (n, classes)
        Share of each class where a level is known, weighted; they add to one.
    percentiles_dbm : ndarray of float64, shape (n, percentiles)
        Percentiles of the level, weighted, exact to 0.1 dB.
    weight, known_weight : ndarray of float64, shape (n,), or None
        Sum of the weights, and of those where a level is known; None without weights.
    """

    area_m2: Float64Array
    known_share: Float64Array
    mean_dbm: Float64Array
    shares: Float64Array
    percentiles_dbm: Float64Array
    weight: Float64Array | None = None
    known_weight: Float64Array | None = None


def zonal_statistics(
    level: RasterFile,
    zones: Zones,
    classes: Sequence[CoverageClass],
    percentiles: Sequence[float] = (5.0, 50.0, 95.0),
    *,
    weights: Weights | None = None,
    check: Callable[[], None] = lambda: None,
) -> ZonalStatistics:
    """Compute area shares, mean and percentiles of the level in zones.

    Parameters
    ----------
    level : RasterFile
        Raster of the level in dBm, read window by window.
    zones : Zones
        Areas in its CRS; they may overlap.
    classes : sequence of CoverageClass
        From the strongest to the weakest.
    percentiles : sequence of float
        0..100.
    weights : Weights, optional
        Weights of the pixels of the raster; all count the same if not given.
    check : callable
        Called between parts of the work; raises to stop it.

    Returns
    -------
    ZonalStatistics

    Examples
    --------
    >>> import tempfile
    >>> from rm_geo.io.cog import write_raster
    >>> from rm_geo.planning.settings import CoverageSettings
    >>> grid = Grid.create(0.0, 10.0, (1, 4), 10.0, 32633)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "level.tif")
    ...     write_raster(path, np.array([[-70.0, -85.0, -85.0, np.nan]], np.float32), grid)
    ...     zones = square_zones(grid, 20.0)
    ...     found = zonal_statistics(open_raster(path), zones, CoverageSettings().classes)
    >>> found.mean_dbm.tolist(), found.known_share.tolist(), found.shares[:, :2].tolist()
    ([-77.5, -85.0], [0.5, 0.25], [[0.5, 0.5], [0.0, 1.0]])
    """
    from exactextract import Operation, exact_extract
    from exactextract.feature import GeoPandasFeatureSource
    from geopandas import GeoDataFrame

    count = len(zones.geometry)
    source = _sources(level, classes, weights)
    weight = source.get("weight")
    kind = "" if weight is None else "weighted_"
    operations = [
        Operation("count", "known_px", source["level"]),
        Operation(f"{kind}mean", "mean", source["level"], weight),
        *(
            Operation(stat, f"{name}_{stat}", source[name], weight if "weighted" in stat else None)
            for name in ("class", "bin")
            for stat in ("unique", f"{kind}frac")
        ),
    ]
    if weight is not None:
        operations += [
            Operation("sum", "weight", weight),
            Operation("weighted_sum", "known_weight", source["known"], weight),
        ]
    made = ZonalStatistics(
        area_m2=np.asarray(shapely.area(zones.geometry), dtype=np.float64),
        known_share=np.zeros(count),
        mean_dbm=np.full(count, np.nan),
        shares=np.full((count, len(classes)), np.nan),
        percentiles_dbm=np.full((count, len(percentiles)), np.nan),
        weight=None if weight is None else np.zeros(count),
        known_weight=None if weight is None else np.zeros(count),
    )
    # Sorted from north to south, zones share the blocks that are read.
    order = np.argsort(-shapely.bounds(zones.geometry)[:, 3], kind="stable")
    for part in np.array_split(order, max(1, count // 1000)):
        check()
        frame = GeoDataFrame({"zone": part}, geometry=zones.geometry[part], crs=zones.crs)
        features = exact_extract(
            [source[name] for name in ("level", "class", "bin")],
            GeoPandasFeatureSource(frame),
            operations,
            weights=weight,
            include_cols=["zone"],
            max_cells_in_memory=_CELLS_IN_MEMORY,
        )
        for feature in features:
            _fill(made, feature["properties"], kind, percentiles, level.grid.spacing_m**2)
    return made


def _fill(
    made: ZonalStatistics,
    found: Mapping[str, Any],
    kind: str,
    percentiles: Sequence[float],
    pixel_m2: float,
) -> None:
    """Take the statistics of a zone from what exactextract found."""
    zone = int(found["zone"])
    if made.area_m2[zone] > 0.0:
        made.known_share[zone] = min(found["known_px"] * pixel_m2 / made.area_m2[zone], 1.0)
    if made.weight is not None and made.known_weight is not None:
        made.weight[zone] = np.nan_to_num(found["weight"] or 0.0)
        made.known_weight[zone] = np.nan_to_num(found["known_weight"] or 0.0)
        if made.known_weight[zone] <= 0.0:
            return
    if found["known_px"] <= 0.0:
        return
    made.mean_dbm[zone] = found["mean"]
    made.shares[zone] = 0.0
    made.shares[zone, np.asarray(found["class_unique"]) - 1] = found[f"class_{kind}frac"]
    bins = np.asarray(found["bin_unique"], dtype=np.float64)
    share = np.asarray(found[f"bin_{kind}frac"], dtype=np.float64)
    made.percentiles_dbm[zone] = _percentiles(bins, share, percentiles)


def _percentiles(
    bins: Float64Array, share: Float64Array, percentiles: Sequence[float]
) -> Float64Array:
    """Percentiles of a histogram of bins of 0.1 dB: centres of the bins that hold them."""
    order = np.argsort(bins)
    reached = np.cumsum(share[order])
    wanted = np.asarray(percentiles, dtype=np.float64) / 100.0 * reached[-1]
    place = np.searchsorted(reached, wanted - 1e-12)
    return np.asarray((bins[order][np.minimum(place, bins.size - 1)] + 0.5) * _BIN_DB)


class _Blocks:
    """Reads a raster in blocks of rows, and keeps the last one."""

    def __init__(
        self, read: Callable[[slice, slice], NDArray[Any]], shape: tuple[int, int]
    ) -> None:
        self._read = read
        self._shape = shape
        self._rows = self._cols = slice(0, 0)
        self._values: NDArray[Any] = np.empty((0, 0))

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a window."""
        if not (_within(rows, self._rows) and _within(cols, self._cols)):
            self._load(rows, cols)
        return self._values[
            rows.start - self._rows.start : rows.stop - self._rows.start,
            cols.start - self._cols.start : cols.stop - self._cols.start,
        ]

    def _load(self, rows: slice, cols: slice) -> None:
        """Read the window, and what lies beside and below it if that is not much."""
        height, width = self._shape
        tall = max(rows.stop - rows.start, _BLOCK_PX // width)
        if tall * width <= _WIDE * _BLOCK_PX:
            rows = slice(rows.start, min(rows.start + tall, height))
            cols = slice(0, width)
        self._rows, self._cols = rows, cols
        self._values = self._read(rows, cols)


def _within(part: slice, whole: slice) -> bool:
    """Whether a range lies in another."""
    return bool(whole.start <= part.start and part.stop <= whole.stop)


def _sources(
    level: RasterFile, classes: Sequence[CoverageClass], weights: Weights | None
) -> dict[str, Any]:
    """Rasters for exactextract, which are read and derived window by window."""
    from exactextract.raster import RasterSource

    class Source(RasterSource):  # type: ignore[misc]  # exactextract has no types
        """A raster on the grid of the level."""

        def __init__(
            self, name: str, read: Callable[[slice, slice], NDArray[Any]], nodata: float
        ) -> None:
            super().__init__()
            self.set_name(name)
            self._blocks = _Blocks(read, level.grid.shape)
            self._nodata = nodata

        def res(self) -> tuple[float, float]:
            return level.grid.spacing_m, level.grid.spacing_m

        def extent(self) -> tuple[float, float, float, float]:
            return level.grid.bounds

        def srs_wkt(self) -> str:
            return str(level.grid.crs.to_wkt())

        def nodata_value(self) -> float:
            return self._nodata

        def read_window(self, x0: int, y0: int, nx: int, ny: int) -> NDArray[Any]:
            window: NDArray[Any] = self._blocks.read(slice(y0, y0 + ny), slice(x0, x0 + nx))
            return window

    values = _Blocks(level.read, level.grid.shape)

    def class_of(rows: slice, cols: slice) -> NDArray[Any]:
        return classify(values.read(rows, cols), classes)

    def bin_of(rows: slice, cols: slice) -> NDArray[Any]:
        dbm = values.read(rows, cols).astype(np.float64)
        return np.where(np.isnan(dbm), _NO_BIN, np.floor(dbm / _BIN_DB)).astype(np.int32)

    def known(rows: slice, cols: slice) -> NDArray[Any]:
        unknown = np.isnan(values.read(rows, cols))
        return np.asarray(np.where(unknown, np.nan, 1.0), dtype=np.float32)

    made = {
        "level": Source("level", values.read, np.nan),
        "class": Source("class", class_of, 0),
        "bin": Source("bin", bin_of, _NO_BIN),
    }
    if weights is not None:
        made["known"] = Source("known", known, np.nan)
        made["weight"] = Source("weight", weights.read, np.nan)
    return made


def statistics_table(
    zones: Zones,
    found: ZonalStatistics,
    classes: Sequence[CoverageClass],
    percentiles: Sequence[float],
    *,
    weight: WeightName = "area",
    metadata: Mapping[str, str] | None = None,
) -> FeatureTable:
    """Put statistics beside the zones.

    Parameters
    ----------
    zones : Zones
        The areas.
    found : ZonalStatistics
        Their statistics.
    classes, percentiles
        As of :func:`zonal_statistics`.
    weight : {"area", "population", "roads"}
        What was weighted by.
    metadata : mapping of str to str, optional
        Provenance.

    Returns
    -------
    FeatureTable
        Zones where a level is known, with ``area_m2``, ``known_share``, ``mean_dbm``,
        ``p5_dbm`` and so on, ``share_NAME`` of each class; with weights also ``population`` or
        ``roads_m`` and what of them is known. Attributes of the zones that have one of these
        names are left out.

    Examples
    --------
    >>> from rm_geo.planning.settings import CoverageSettings
    >>> classes = CoverageSettings().classes
    >>> one, share = np.ones(1), np.eye(len(classes))[:1]
    >>> found = ZonalStatistics(one, one, -70.0 * one, share, np.array([[-70.0]]))
    >>> zones = Zones("z", np.array([shapely.box(0, 0, 1, 1)]), {}, CRS(32633))
    >>> list(statistics_table(zones, found, classes, [50.0]).columns)[:5]
    ['area_m2', 'known_share', 'mean_dbm', 'p50_dbm', 'share_excellent']
    """
    columns: dict[str, NDArray[Any]] = {
        "area_m2": found.area_m2,
        "known_share": np.round(found.known_share, 6),
        "mean_dbm": np.round(found.mean_dbm, 3),
    }
    for place, percentile in enumerate(percentiles):
        columns[f"p{percentile:g}_dbm"] = np.round(found.percentiles_dbm[:, place], 2)
    for place, one in enumerate(classes):
        name = "".join(c if c.isalnum() else "_" for c in one.name.lower()).strip("_")
        columns[f"share_{name}"] = np.round(found.shares[:, place], 6)
    if found.weight is not None and found.known_weight is not None:
        name = "population" if weight == "population" else "roads_m"
        columns[name] = np.round(found.weight, 3)
        columns[f"{name}_known"] = np.round(found.known_weight, 3)
    kept = found.known_share > 0.0
    own = {name: values for name, values in zones.columns.items() if name not in columns}
    shapes = [shapely.MultiPolygon([a] if a.geom_type == "Polygon" else a) for a in zones.geometry]
    geometry = np.empty(len(shapes), dtype=object)
    geometry[:] = shapes
    return FeatureTable(
        zones.name,
        geometry[kept],
        {name: values[kept] for name, values in {**own, **columns}.items()},
        zones.crs,
        "MultiPolygon",
        metadata or {},
    )


def _derive(context: PlanContext) -> ProductResult:
    """Make the statistics of squares, and of polygons where they are given."""
    settings = context.settings
    warnings: list[str] = []
    all_zones = [square_zones(context.grid, settings.statistics.grid_m)]
    if context.inputs.polygons is not None:
        all_zones.append(read_zones(context.inputs.polygons, context.grid))
    level = open_raster(context.raster(COMPOSITE_FILE))
    weights = _weights(context)
    made = _Made()
    for zones, (layer_file, table_file) in zip(
        all_zones, (_GRID_FILES, _POLYGON_FILES), strict=False
    ):
        warnings += zones.warnings
        found = zonal_statistics(
            level,
            zones,
            settings.coverage.classes,
            settings.statistics.percentiles,
            weights=weights,
            check=context.progress.check,
        )
        table = statistics_table(
            zones,
            found,
            settings.coverage.classes,
            settings.statistics.percentiles,
            weight=settings.statistics.weight,
            metadata=context.metadata,
        )
        made.features[layer_file] = [table]
        made.tables[table_file] = [
            dict(zip(table.columns, row, strict=True))
            for row in zip(*(values.tolist() for values in table.columns.values()), strict=True)
        ]
        made.statistics[zones.name] = {"zones": len(table)}
    made.statistics["weight"] = settings.statistics.weight
    return ProductResult(made.statistics, made.tables, made.features, tuple(warnings))


@dataclass
class _Made:
    """Files of the product."""

    statistics: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)


def _weights(context: PlanContext) -> Weights | None:
    """Open the weights that the settings name."""
    inputs = context.inputs
    if context.settings.statistics.weight == "population" and inputs.population is not None:
        return PopulationWeights(inputs.population, context.grid)
    if context.settings.statistics.weight == "roads" and inputs.roads is not None:
        return RoadWeights.of(read_roads(inputs.roads, context.grid), context.grid)
    return None


def _refusal(context: PlanContext) -> str | None:
    """Refuse weights that are not given."""
    weight = context.settings.statistics.weight
    given = {"area": True, "population": context.inputs.population, "roads": context.inputs.roads}
    if not given[weight]:
        return f"`statistics.weight` is {weight!r}; give `{weight}`, or weight by 'area'."
    return None


PRODUCTS: Final = (
    Product(
        "statistics",
        "Shares of the classes, mean and percentiles of the level in squares and polygons.",
        "Level of the best server in squares of `statistics.grid_m`, and in the polygons of a "
        "layer: mean in dBm, percentiles, and share of each coverage class where the level is "
        "known. Pixels count with the exact share of their area in a zone, and with the persons or "
        "the metres of road on them if `statistics.weight` says so.",
        (*_GRID_FILES, *_POLYGON_FILES),
        unit="dBm",
        needs=("composite",),
        refusal=_refusal,
        derive=_derive,
    ),
)
"""Products of this module."""
