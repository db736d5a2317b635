"""Overshooters: cells that serve or pollute far beyond their usual reach.

The reach of a cell is the median distance from its site of the pixels that it serves. A pixel is
*far* if it lies beyond a fixed distance, or beyond a multiple of that reach. A cell serves where
it is the strongest; it pollutes where it is within a margin of the strongest without serving.

Two passes over the bands need little memory: :class:`ReachHistograms` collects distances, and
:class:`FarAreas` collects the far pixels in coarse blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS
from scipy import ndimage

from rm_geo._types import BoolArray, Float64Array, IndexArray
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.io.tables.column_roles import quoted
from rm_geo.planning.map_set import CellMap, MapSetBand
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.planning.ranking import Ranking, candidates, rank_cells
from rm_geo.planning.settings import OverlapSettings, OvershootSettings, PlanSettings

TABLE_FILE: Final = "overshooters.csv"
LINES_FILE: Final = "overshooters.gpkg"

_BIN_M: Final = 10.0
_FEWEST_BINS: Final = 64
_BLOCK_M: Final = 25.0


def far_limit_m(reach_m: float, settings: OvershootSettings) -> float:
    """Distance from the site beyond which a pixel is far.

    Parameters
    ----------
    reach_m : float
        Median distance of the pixels that the cell serves, in metres; NaN where it serves none.
    settings : OvershootSettings
        Thresholds.

    Returns
    -------
    float
        Metres.

    Examples
    --------
    >>> far_limit_m(500.0, OvershootSettings(max_km=2.0)), far_limit_m(np.nan, OvershootSettings())
    (1500.0, 5000.0)
    """
    limit_m = 1000.0 * settings.max_km
    return limit_m if np.isnan(reach_m) else min(limit_m, settings.max_times_median * reach_m)


class ReachHistograms:
    """Distances of the pixels that each cell serves, collected band by band.

    Parameters
    ----------
    grid : Grid
        Grid of the maps.
    site_xy : array_like of float, shape (C, 2)
        Positions of the sites in the CRS of the grid; NaN where unknown.
    overlap : OverlapSettings
        Margin and floor.

    Examples
    --------
    >>> grid = Grid.create(0.0, 100.0, (1, 40), 10.0, 32633)
    >>> levels = np.full((1, 1, 40), -80.0, dtype=np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 40), np.array([0]), levels)
    >>> reach = ReachHistograms(grid, [[5.0, 95.0]], OverlapSettings())
    >>> reach.add(band, rank_cells(band))
    >>> reach.median_m().tolist(), reach.farthest_m.tolist()
    ([195.0], [390.0])
    """

    def __init__(self, grid: Grid, site_xy: ArrayLike, overlap: OverlapSettings) -> None:
        self._grid = grid
        self._xy = np.asarray(site_xy, dtype=np.float64)
        self._overlap = overlap
        self._counts: list[NDArray[np.int64]] = [
            np.zeros(_FEWEST_BINS, dtype=np.int64) for _ in self._xy
        ]
        self.farthest_m: Float64Array = np.zeros(len(self._xy))
        """Distance of the farthest pixel that each cell serves or pollutes, shape (C,)."""

    def add(self, band: MapSetBand, ranking: Ranking) -> None:
        """Add a band.

        Parameters
        ----------
        band : MapSetBand
            Of a set of as many cells on this grid.
        ranking : Ranking
            Its strongest cells.
        """
        for cell, row, col, serves in _strong_pixels(band, ranking, self._overlap):
            if np.isnan(self._xy[cell]).any() or not row.size:
                continue
            away_m = _distance_m(self._grid, row, col, self._xy[cell])
            self.farthest_m[cell] = max(self.farthest_m[cell], float(away_m.max()))
            counts = np.bincount((away_m[serves] / _BIN_M).astype(np.int64))
            self._counts[cell] = _sum(self._counts[cell], counts)

    def median_m(self) -> Float64Array:
        """Median distance of the served pixels of each cell, shape (C,), in metres.

        Returns
        -------
        ndarray of float64
            Centre of a bin of 10 m; NaN for a cell without a site or a served pixel.
        """
        medians = np.full(len(self._counts), np.nan)
        for cell, counts in enumerate(self._counts):
            total = int(counts.sum())
            if total:
                middle = np.searchsorted(np.cumsum(counts), 0.5 * total)
                medians[cell] = (float(middle) + 0.5) * _BIN_M
        return medians


@dataclass(frozen=True)
class FarArea:
    """A connected area far from the site of the cell that is strong there.

    Attributes
    ----------
    cell : int
        Position of the cell in the set.
    x, y : float
        Centroid of the far pixels, in the CRS of the grid.
    distance_m : float
        From the site to the centroid.
    farthest_m : float
        From the site to the farthest pixel of the area.
    served_m2, polluted_m2 : float
        Area that the cell serves, and that it pollutes.
    """

    cell: int
    x: float
    y: float
    distance_m: float
    farthest_m: float
    served_m2: float
    polluted_m2: float

    @property
    def area_m2(self) -> float:
        """Served and polluted area."""
        return self.served_m2 + self.polluted_m2


class FarAreas:
    """Collects the far pixels of each cell, band by band, in blocks of some pixels.

    Parameters
    ----------
    grid : Grid
        Grid of the maps.
    site_xy : array_like of float, shape (C, 2)
        Positions of the sites; NaN where unknown.
    reach_m : array_like of float, shape (C,)
        From :class:`ReachHistograms`.
    settings : PlanSettings
        Thresholds.

    Examples
    --------
    A cell that is alone 105 m and farther from its site:

    >>> grid = Grid.create(0.0, 10.0, (1, 40), 10.0, 32633)
    >>> levels = np.full((1, 1, 40), -80.0, dtype=np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 40), np.array([0]), levels)
    >>> far = FarAreas(grid, [[5.0, 5.0]], [50.0], PlanSettings(overshoot={"max_km": 0.1}))
    >>> far.add(band, rank_cells(band))
    >>> [(area.cell, area.distance_m, area.served_m2) for area in far.areas()]
    [(0, 250.0, 2900.0)]
    """

    def __init__(
        self, grid: Grid, site_xy: ArrayLike, reach_m: ArrayLike, settings: PlanSettings
    ) -> None:
        self._grid = grid
        self._xy = np.asarray(site_xy, dtype=np.float64)
        medians_m = np.asarray(reach_m, dtype=np.float64)
        self._far_m = [far_limit_m(float(median_m), settings.overshoot) for median_m in medians_m]
        self._settings = settings
        self._block_px = max(1, round(_BLOCK_M / grid.spacing_m))
        self._width = -(-grid.shape[1] // self._block_px)
        self._sums: list[list[tuple[IndexArray, Float64Array]]] = [[] for _ in self._xy]

    def add(self, band: MapSetBand, ranking: Ranking) -> None:
        """Add a band.

        Parameters
        ----------
        band : MapSetBand
            Of a set of as many cells on this grid.
        ranking : Ranking
            Its cells by level.
        """
        for cell, row, col, serves in _strong_pixels(band, ranking, self._settings.overlap):
            if np.isnan(self._xy[cell]).any():
                continue
            away_m = _distance_m(self._grid, row, col, self._xy[cell])
            far = away_m > self._far_m[cell]
            if far.any():
                sums = self._block_sums(row[far], col[far], serves[far], away_m[far])
                self._sums[cell].append(sums)

    def _block_sums(
        self, row: IndexArray, col: IndexArray, serves: BoolArray, away_m: Float64Array
    ) -> tuple[IndexArray, Float64Array]:
        """Sum served and polluted pixels, x and y, and find the farthest pixel, by block."""
        x, y = self._grid.to_world(row + 0.5, col + 0.5)
        block = row // self._block_px * self._width + col // self._block_px
        names, place = np.unique(block, return_inverse=True)
        sums = [
            np.bincount(place, weights=values, minlength=names.size)
            for values in (serves, ~serves, x, y)
        ]
        farthest = np.zeros(names.size)
        np.maximum.at(farthest, place, away_m)
        return names, np.column_stack([*sums, farthest])

    def areas(self) -> tuple[FarArea, ...]:
        """Far areas of all cells.

        Returns
        -------
        tuple of FarArea
            The largest first. Blocks of about 25 m that touch, also diagonally, are one area;
            areas below the least area are left out.
        """
        found: list[FarArea] = []
        for cell, parts in enumerate(self._sums):
            if parts:
                found += self._areas_of(cell, parts)
        return tuple(sorted(found, key=lambda area: -area.area_m2))

    def _areas_of(
        self, cell: int, parts: Sequence[tuple[IndexArray, Float64Array]]
    ) -> Iterator[FarArea]:
        """Far areas of one cell."""
        names = np.concatenate([names for names, _ in parts])
        sums = np.vstack([sums for _, sums in parts])
        rows, cols = names // self._width, names % self._width
        top, left = rows.min(), cols.min()
        image = np.zeros((rows.max() - top + 1, cols.max() - left + 1), dtype=np.bool_)
        image[rows - top, cols - left] = True
        labels, _ = ndimage.label(image, structure=np.ones((3, 3)))
        label = labels[rows - top, cols - left]
        pixel_m2 = self._grid.spacing_m**2
        for number in np.unique(label):
            own = sums[label == number]
            served, polluted, x, y = own[:, :4].sum(axis=0)
            count = served + polluted
            if count * pixel_m2 < self._settings.overshoot.min_area_m2:
                continue
            x, y = float(x / count), float(y / count)
            yield FarArea(
                cell=cell,
                x=x,
                y=y,
                distance_m=float(np.hypot(x - self._xy[cell, 0], y - self._xy[cell, 1])),
                farthest_m=float(own[:, 4].max()),
                served_m2=float(served * pixel_m2),
                polluted_m2=float(polluted * pixel_m2),
            )


def overshooter_rows(
    areas: Sequence[FarArea],
    names: Sequence[str],
    reach_m: ArrayLike,
    settings: OvershootSettings,
) -> list[dict[str, object]]:
    """Describe the overshooting cells as the rows of a table.

    Parameters
    ----------
    areas : sequence of FarArea
        From :meth:`FarAreas.areas`.
    names : sequence of str, shape (C,)
        Names of the cells.
    reach_m : array_like of float, shape (C,)
        Median distance of the served pixels; NaN for a cell that serves none.
    settings : OvershootSettings
        Thresholds.

    Returns
    -------
    list of dict
        One row a cell, the largest far area first: ``cell``, ``reach_m``, ``limit_m``,
        ``far_served_km2``, ``far_polluted_km2``, ``areas``, ``farthest_m``.

    Examples
    --------
    >>> area = FarArea(0, 0.0, 0.0, 900.0, 1000.0, 5e4, 0.0)
    >>> rows = overshooter_rows([area], ["A"], [200.0], OvershootSettings())
    >>> rows[0]["cell"], rows[0]["limit_m"], rows[0]["far_served_km2"]
    ('A', 600.0, 0.05)
    """
    medians_m = np.asarray(reach_m, dtype=np.float64)
    by_cell: dict[int, list[FarArea]] = {}
    for area in areas:
        by_cell.setdefault(area.cell, []).append(area)
    order = sorted(by_cell, key=lambda cell: -sum(area.area_m2 for area in by_cell[cell]))
    return [
        {
            "cell": names[cell],
            "reach_m": None if np.isnan(medians_m[cell]) else float(medians_m[cell]),
            "limit_m": far_limit_m(float(medians_m[cell]), settings),
            "far_served_km2": sum(area.served_m2 for area in by_cell[cell]) / 1e6,
            "far_polluted_km2": sum(area.polluted_m2 for area in by_cell[cell]) / 1e6,
            "areas": len(by_cell[cell]),
            "farthest_m": round(max(area.farthest_m for area in by_cell[cell]), 1),
        }
        for cell in order
    ]


def far_lines(
    areas: Sequence[FarArea],
    names: Sequence[str],
    site_xy: ArrayLike,
    crs: CRS,
    metadata: Mapping[str, str] | None = None,
) -> FeatureTable:
    """Draw a line from the site of a cell to each of its far areas.

    Parameters
    ----------
    areas : sequence of FarArea
        From :meth:`FarAreas.areas`.
    names : sequence of str, shape (C,)
        Names of the cells.
    site_xy : array_like of float, shape (C, 2)
        Positions of the sites.
    crs : pyproj.CRS
        CRS of the positions.
    metadata : mapping of str to str, optional
        Provenance.

    Returns
    -------
    FeatureTable
        Layer ``overshooters``.

    Examples
    --------
    >>> area = FarArea(0, 900.0, 0.0, 900.0, 1000.0, 5e4, 0.0)
    >>> far_lines([area], ["A"], [[0.0, 0.0]], CRS(32633)).geometry[0].length
    900.0
    """
    import shapely

    xy = np.asarray(site_xy, dtype=np.float64)
    lines = np.empty(len(areas), dtype=object)
    lines[:] = [shapely.LineString([xy[area.cell], (area.x, area.y)]) for area in areas]
    columns = ("distance_m", "farthest_m", "served_m2", "polluted_m2")
    return FeatureTable(
        "overshooters",
        lines,
        {
            "cell": np.array([names[area.cell] for area in areas], dtype=object),
            **{
                name: np.array([getattr(area, name) for area in areas], dtype=np.float64)
                for name in columns
            },
        },
        crs,
        "LineString",
        metadata or {},
    )


def site_positions(cells: Sequence[CellMap]) -> Float64Array:
    """Give the positions of the sites of cells.

    Parameters
    ----------
    cells : sequence of CellMap
        Cells of a set.

    Returns
    -------
    ndarray of float64, shape (C, 2)
        Metres in the CRS of the set; NaN where a site is unknown.

    Examples
    --------
    >>> site_positions([]).shape
    (0, 2)
    """
    known = [(np.nan, np.nan) if c.site is None else (c.site.x, c.site.y) for c in cells]
    return np.array(known, dtype=np.float64).reshape(-1, 2)


def _strong_pixels(
    band: MapSetBand, ranking: Ranking, overlap: OverlapSettings
) -> Iterator[tuple[int, IndexArray, IndexArray, BoolArray]]:
    """Cell, grid rows and columns of the pixels that it serves or pollutes, which it serves."""
    counted = candidates(band, ranking, margin_db=overlap.margin_db, floor_dbm=overlap.floor_dbm)
    for cell, near in counted:
        row, col = np.nonzero(near)
        serves = ranking.best_cell[row, col] == cell
        yield cell, row + band.rows.start, col + band.cols.start, serves


def _distance_m(grid: Grid, row: IndexArray, col: IndexArray, site: Float64Array) -> Float64Array:
    """Distance of the centres of pixels from a site."""
    x, y = grid.to_world(row + 0.5, col + 0.5)
    return np.asarray(np.hypot(x - site[0], y - site[1]))


def _sum(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add histograms of different lengths."""
    if first.size < second.size:
        first, second = second, first
    total = np.array(first)
    total[: second.size] += second
    return total


class _Stream:
    """Overshooters in the making."""

    def __init__(self, context: PlanContext) -> None:
        self._context = context
        self._xy = site_positions(context.maps.cells)
        self._reach = ReachHistograms(context.grid, self._xy, context.settings.overlap)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        self._reach.add(band, ranking)
        return {}

    def finish(self) -> ProductResult:
        """Give the overshooting cells."""
        context, settings = self._context, self._context.settings
        names = [cell.name for cell in context.maps.cells]
        reach_m = self._reach.median_m()
        areas = self._areas(reach_m)
        rows = overshooter_rows(areas, names, reach_m, settings.overshoot)
        unknown = [cell.title for cell in context.maps.cells if cell.site is None]
        warnings: tuple[str, ...] = ()
        if unknown:
            warnings = (
                f"The site of {len(unknown)} of {len(names)} cells is unknown: they are not judged "
                f"({quoted(unknown)}).",
            )
        lines = far_lines(areas, names, self._xy, context.grid.crs, context.metadata)
        return ProductResult(
            {
                "overshooters": len(rows),
                "median_reach_m": {
                    name: float(value)
                    for name, value in zip(names, reach_m, strict=True)
                    if np.isfinite(value)
                },
            },
            {TABLE_FILE: rows},
            {LINES_FILE: [lines]},
            warnings,
        )

    def _areas(self, reach_m: Float64Array) -> tuple[FarArea, ...]:
        """Go over the maps again if any cell has a far pixel."""
        context, settings = self._context, self._context.settings
        limits_m = np.array([far_limit_m(float(value), settings.overshoot) for value in reach_m])
        if not (self._reach.farthest_m > limits_m).any():
            return ()
        far = FarAreas(context.grid, self._xy, reach_m, settings)
        for band in context.maps.bands(layers=("reported_probability",)):
            context.progress.check()
            far.add(band, rank_cells(band, min_reported=settings.servers.min_reported))
        return far.areas()


def _refusal(context: PlanContext) -> str | None:
    """Refuse maps of which no site is known."""
    if all(cell.site is None for cell in context.maps.cells):
        return "the site of no cell is known; give a site table (`sites`)."
    return None


PRODUCTS: Final = (
    Product(
        "overshooters",
        "Cells that serve or pollute far beyond their usual reach.",
        "The reach of a cell is the median distance from its site of the pixels where it is the "
        "strongest. A pixel is far beyond `overshoot.max_km` or `overshoot.max_times_median` times "
        "the reach; far pixels that a cell serves, or pollutes as `overlap` counts it, form areas "
        "if they touch within 25 m.",
        (TABLE_FILE, LINES_FILE),
        unit="km2",
        refusal=_refusal,
        stream=_Stream,
    ),
)
"""Products of this module."""
