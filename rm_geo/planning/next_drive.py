"""Where to drive next: the streets whose measurement would lower the uncertainty most.

The errors of the map are taken as normal, with the standard deviation of the map and an
exponential correlation over the distance: ``cov(x, y) = std(x) std(y) exp(-|x - y| / range)``. A
drive along a piece of street measures its places with some noise. The variance that is left is
that of simple kriging with these measurements (Cressie, "Statistics for Spatial Data", 1993,
section 3.2), which does not depend on the levels that will be measured: so the value of a drive
is known beforehand. Pieces are chosen one after the other, each time the one that lowers the
variance most for each metre (greedy design; Krause, Singh and Guestrin, "Near-optimal sensor
placements in Gaussian processes", JMLR 9, 2008).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, pairwise
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from scipy import linalg, optimize, sparse
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from rm_geo._types import BoolArray, Float64Array, FloatArray, IndexArray
from rm_geo._util.threads import single_threaded_algebra
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable
from rm_geo.planning.map_set import CellMap, MapSetBand
from rm_geo.planning.product import PlanContext, Product, ProductResult
from rm_geo.planning.ranking import Ranking
from rm_geo.planning.weights import read_roads

DRIVE_FILE: Final = "next_drive.gpkg"

_CUTOFF_RANGES: Final = 3.0  # a measurement farther away lowers a variance by less than 0.25 %
_BLOCKS_IN_SEGMENT: Final = 4
_MOST_SEGMENTS: Final = 50_000
_CHUNK: Final = 4_000
_FREE_SHARE: Final = 0.5
_FREE_PROBABILITY: Final = 0.5
_LEAST_NOISE: Final = 1e-3
_DEFAULT_RANGE_M: Final = 50.0  # the usual decorrelation distance of shadowing in cities
_DEFAULT_NOISE_DB: Final = 2.0
_LEAST_GROWTH: Final = 0.05
_SHORTEST_RANGE_M: Final = 10.0
_RANGES: Final = 60
_DEVIATION: Final = re.compile(r"([\d.]+) m ([\d.]+) dB")


@dataclass(frozen=True, eq=False)
class UncertainPlaces:
    """Places of a map, and how uncertain each is.

    Attributes
    ----------
    xy : ndarray of float64, shape (n, 2)
        Centres of square blocks, in metres.
    std_db : ndarray of float64, shape (n,)
        Standard deviation of the map there.
    block_m : float
        Side of a block.
    free : ndarray of bool, shape (n,)
        Whether one can drive there, as far as buildings are known.
    """

    xy: Float64Array
    std_db: Float64Array
    block_m: float
    free: BoolArray


@dataclass(frozen=True, eq=False)
class DriveSegment:
    """A piece of street of a drive.

    Attributes
    ----------
    line : shapely.LineString
        The piece.
    length_m : float
        Its length.
    gain : float
        Variance that it removes, summed over the places, in dB2, given the pieces before it.
    rms_std_db : float
        Root mean square of the standard deviation of all places after it is driven.
    """

    line: shapely.LineString
    length_m: float
    gain: float
    rms_std_db: float


class VarianceBlocks:
    """Means of the variance of the strongest cell over square blocks, collected band by band.

    Parameters
    ----------
    grid : Grid
        Grid of the maps.
    block_px : int
        Side of a block in pixels.

    Examples
    --------
    >>> from rm_geo.planning.ranking import rank_cells
    >>> grid = Grid.create(0.0, 20.0, (2, 4), 10.0, 32633)
    >>> level = np.full((1, 2, 4), -90.0, np.float32)
    >>> std = np.array([[[3.0, 3.0, 4.0, np.nan], [3.0, 3.0, 4.0, 4.0]]], np.float32)
    >>> band = MapSetBand(slice(0, 2), slice(0, 4), np.array([0]), level, std)
    >>> blocks = VarianceBlocks(grid, 2)
    >>> blocks.add(band, rank_cells(band))
    >>> blocks.places().std_db.tolist(), blocks.places().xy.tolist()
    ([3.0, 4.0], [[10.0, 10.0], [30.0, 10.0]])
    """

    def __init__(self, grid: Grid, block_px: int) -> None:
        self._grid = grid
        self._block_px = block_px
        self._shape = tuple(-(-length // block_px) for length in grid.shape)
        count = self._shape[0] * self._shape[1]
        self._variance: Float64Array = np.zeros(count)
        self._pixels: Float64Array = np.zeros(count)
        self._built: Float64Array = np.zeros(count)
        self._seen: Float64Array = np.zeros(count)

    def add(self, band: MapSetBand, ranking: Ranking) -> None:
        """Add a band.

        Parameters
        ----------
        band : MapSetBand
            With standard deviations, and where known building probabilities.
        ranking : Ranking
            Its strongest cells.
        """
        if band.std_db is not None:
            place = np.maximum(ranking.place[0], 0)[None]
            std_db: FloatArray = np.take_along_axis(band.std_db, place, axis=0)[0]
            known = np.asarray(np.isfinite(std_db) & (ranking.place[0] >= 0))
            self._sum(self._variance, self._pixels, band, np.asarray(std_db * std_db), known)
        if band.buildings is not None:
            with np.errstate(invalid="ignore"):
                built = np.any(band.buildings >= _FREE_PROBABILITY, axis=0)
            seen = np.asarray(np.any(np.isfinite(band.buildings), axis=0))
            is_built = np.asarray(built, dtype=np.float32)
            self._sum(self._built, self._seen, band, is_built, seen)

    def _sum(
        self,
        sums: Float64Array,
        counts: Float64Array,
        band: MapSetBand,
        values: FloatArray,
        known: BoolArray,
    ) -> None:
        """Add values to their blocks."""
        row = (np.arange(band.rows.start, band.rows.stop) // self._block_px) * self._shape[1]
        col = np.arange(band.cols.start, band.cols.stop) // self._block_px
        block = np.add.outer(row, col)[known]
        sums += np.bincount(block, values[known], minlength=sums.size)
        counts += np.bincount(block, minlength=counts.size)

    def places(self) -> UncertainPlaces:
        """Give the blocks where a standard deviation is known."""
        known = np.flatnonzero(self._pixels)
        row, col = np.divmod(known, self._shape[1])
        x, y = self._grid.to_world((row + 0.5) * self._block_px, (col + 0.5) * self._block_px)
        with np.errstate(invalid="ignore"):
            built = self._built[known] / self._seen[known]
        return UncertainPlaces(
            np.column_stack([x, y]),
            np.sqrt(self._variance[known] / self._pixels[known]),
            self._block_px * self._grid.spacing_m,
            ~(built > 1.0 - _FREE_SHARE),
        )


class DriveModel:
    """Variance that is left at uncertain places after some pieces of street are driven.

    Parameters
    ----------
    places : UncertainPlaces
        Where the map is uncertain.
    range_m : float
        Distance at which the correlation has fallen to 1/e.
    noise_db : float
        Standard deviation of the measurement of a place.

    Examples
    --------
    >>> xy = np.array([[0.0, 0.0], [10.0, 0.0], [500.0, 0.0]])
    >>> places = UncertainPlaces(xy, np.full(3, 6.0), 10.0, np.ones(3, bool))
    >>> model = DriveModel(places, range_m=50.0, noise_db=2.0)
    >>> gain = model.drive(np.array([0]))
    >>> model.variance.round(1).tolist(), round(gain, 1)
    ([3.6, 14.3, 36.0], 54.1)
    """

    def __init__(self, places: UncertainPlaces, *, range_m: float, noise_db: float) -> None:
        self._places = places
        self._range_m = range_m
        self._noise = max(noise_db, _LEAST_NOISE) ** 2
        self._tree = cKDTree(places.xy)
        self.variance: Float64Array = np.square(places.std_db)
        """Variance that is left at each place, shape (n,), in dB2."""
        self._slot: IndexArray = np.full(len(places.std_db), -1, dtype=np.int64)
        self._driven: list[tuple[IndexArray, Float64Array]] = []
        self._driven_boxes: list[Float64Array] = []

    @property
    def reach_m(self) -> float:
        """Distance beyond which a measurement changes nothing."""
        return _CUTOFF_RANGES * self._range_m

    def gain(self, measured: IndexArray) -> float:
        """Variance that the measurement of places would remove, summed over all places.

        Parameters
        ----------
        measured : ndarray of int64, shape (m,)
            Positions of distinct places.

        Returns
        -------
        float
            dB2.
        """
        _, removed = self._weights(measured)
        return float(np.square(removed).sum())

    def first_gains(self, measured: Sequence[IndexArray]) -> Float64Array:
        """Gains of many pieces before any drive, each as of :meth:`gain`.

        Parameters
        ----------
        measured : sequence of ndarray of int64
            Positions of the places of each piece.

        Returns
        -------
        ndarray of float64
            dB2.
        """
        gains = np.zeros(len(measured))
        counts = np.array([own.size for own in measured])
        for count in np.unique(counts):
            pieces = np.flatnonzero(counts == count)
            for start in range(0, len(pieces), _CHUNK):
                part = pieces[start : start + _CHUNK]
                gains[part] = self._gains_of(np.array([measured[number] for number in part]))
        return gains

    def _gains_of(self, measured: IndexArray) -> Float64Array:
        """Gains of pieces of equally many places, shape (n, m): the trace of inverse(C) M.

        C is the covariance of the measured places with noise, and M sums the products of their
        covariances with all places.
        """
        xy, std_db = self._places.xy, self._places.std_db
        used, column = np.unique(measured, return_inverse=True)
        column = column.reshape(measured.shape)
        pairs = self._tree.sparse_distance_matrix(
            cKDTree(xy[used]), self.reach_m, output_type="ndarray"
        )
        covariance = np.exp(pairs["v"] / -self._range_m) * std_db[pairs["i"]]
        covariance *= std_db[used[pairs["j"]]]
        shape = len(xy), len(used)
        matrix = sparse.csc_matrix((covariance, (pairs["i"], pairs["j"])), shape=shape)
        count = measured.shape[1]
        products = np.empty((len(measured), count, count))
        for first, second in combinations_with_replacement(range(count), 2):
            both = matrix[:, column[:, first]].multiply(matrix[:, column[:, second]])
            products[:, first, second] = products[:, second, first] = both.sum(axis=0)
        step = xy[measured][:, :, None] - xy[measured][:, None]
        own = np.exp(np.linalg.norm(step, axis=3) / -self._range_m)
        own *= std_db[measured][:, :, None] * std_db[measured][:, None]
        own += self._noise * np.eye(count)
        return np.asarray(np.trace(np.linalg.solve(own, products), axis1=1, axis2=2))

    def drive(self, measured: IndexArray) -> float:
        """Take the measurement of places as given.

        Parameters
        ----------
        measured : ndarray of int64, shape (m,)
            Positions of distinct places.

        Returns
        -------
        float
            As of :meth:`gain`, which is removed from :attr:`variance`.
        """
        around, removed = self._weights(measured)
        lowered = np.square(removed).sum(axis=1)
        self.variance[around] = np.maximum(self.variance[around] - lowered, 0.0)
        self._driven.append((around, removed))
        self._driven_boxes.append(self.box_around(measured))
        return float(lowered.sum())

    def box_around(self, measured: IndexArray) -> Float64Array:
        """Give the box that holds all places which measurements change.

        Parameters
        ----------
        measured : ndarray of int64, shape (m,)
            Positions of places.

        Returns
        -------
        ndarray of float64, shape (4,)
            West, south, east, north.
        """
        xy = self._places.xy[measured]
        return np.concatenate([xy.min(axis=0) - self.reach_m, xy.max(axis=0) + self.reach_m])

    def _weights(self, measured: IndexArray) -> tuple[IndexArray, Float64Array]:
        """Places around measured ones, and vectors whose squares are the removed variance.

        With C the covariance of the measured places, noise included, and L its Cholesky factor,
        these are the rows of ``cov(places, measured) inverse(L).T``.
        """
        xy, std_db = self._places.xy, self._places.std_db
        found = self._tree.query_ball_point(xy[measured], self.reach_m)
        around = np.unique(np.concatenate([np.asarray(own, dtype=np.int64) for own in found]))
        place = np.searchsorted(around, measured)
        covariance = np.exp(cdist(xy[around], xy[measured]) / -self._range_m)
        covariance *= np.multiply.outer(std_db[around], std_db[measured])
        self._slot[around] = np.arange(len(around))
        for others, removed in self._near(measured):
            here = self._slot[others]
            common = here >= 0
            rank = np.minimum(np.searchsorted(others, measured), len(others) - 1)
            own = np.flatnonzero(others[rank] == measured)
            if own.size:
                lowered = removed[common] @ removed[rank[own]].T
                covariance[np.ix_(here[common], own)] -= lowered
        self._slot[around] = -1
        matrix = covariance[place] + self._noise * np.eye(len(measured))
        try:
            factor = linalg.cholesky(matrix, lower=True, check_finite=False)
        except linalg.LinAlgError:
            # Covariances that are cut off at the reach can leave it indefinite by a little.
            value, vector = linalg.eigh(0.5 * (matrix + matrix.T))
            return around, covariance @ (vector / np.sqrt(np.maximum(value, self._noise)))
        removed = linalg.solve_triangular(factor, covariance.T, lower=True, check_finite=False)
        return around, np.asarray(removed.T)

    def _near(self, measured: IndexArray) -> list[tuple[IndexArray, Float64Array]]:
        """Driven pieces that changed places which others can change, too."""
        if not self._driven:
            return []
        near = _overlap(np.array(self._driven_boxes), self.box_around(measured))
        return [self._driven[number] for number in np.flatnonzero(near)]


def _overlap(boxes: Float64Array, box: Float64Array) -> BoolArray:
    """Which boxes, shape (n, 4), overlap another one."""
    return np.asarray((boxes[:, :2] <= box[2:]).all(axis=1) & (boxes[:, 2:] >= box[:2]).all(axis=1))


def plan_drive(
    places: UncertainPlaces,
    lines: Sequence[shapely.LineString],
    *,
    budget_km: float,
    range_m: float,
    noise_db: float = 2.0,
    least_gain_share: float = 0.0,
) -> list[DriveSegment]:
    """Choose pieces of street to drive.

    Parameters
    ----------
    places : UncertainPlaces
        Where the map is uncertain.
    lines : sequence of shapely.LineString
        Pieces of street to choose from, in the CRS of the places.
    budget_km : float
        Length of all chosen pieces.
    range_m : float
        Distance at which the correlation of the errors has fallen to 1/e.
    noise_db : float
        Standard deviation of the measurement of a place.
    least_gain_share : float
        Smallest gain for each metre of a piece, as a share of that of the first one.

    Returns
    -------
    list of DriveSegment
        In the order of choice: the most variance removed for each metre first.

    Examples
    --------
    >>> x = np.arange(5.0, 400.0, 10.0)
    >>> std = np.where(x < 200.0, 2.0, 8.0)
    >>> places = UncertainPlaces(
    ...     np.column_stack([x, np.zeros(40)]), std, 10.0, np.ones(40, bool)
    ... )
    >>> pieces = [shapely.LineString([(a, 0), (a + 100, 0)]) for a in (0, 100, 200, 300)]
    >>> chosen = plan_drive(places, pieces, budget_km=0.2, range_m=50.0)
    >>> [segment.line.bounds[0] for segment in chosen]
    [200.0, 300.0]
    """
    if not len(places.std_db):
        return []
    candidates = _candidates(places, lines)
    if not candidates:
        return []
    with single_threaded_algebra():
        model = DriveModel(places, range_m=range_m, noise_db=noise_db)
        return _choose(model, candidates, 1000.0 * budget_km, least_gain_share)


def _choose(
    model: DriveModel,
    candidates: Sequence[_Candidate],
    budget_m: float,
    least_gain_share: float,
) -> list[DriveSegment]:
    """Choose greedily; a gain that has changed is computed when the former one is the largest."""
    first = model.first_gains([one.measured for one in candidates])
    heap = [(-first[number] / one.length_m, number) for number, one in enumerate(candidates)]
    heapq.heapify(heap)
    boxes = np.array([model.box_around(one.measured) for one in candidates])
    stale = np.zeros(len(candidates), dtype=np.bool_)
    left_m = budget_m
    least = 0.0
    chosen: list[DriveSegment] = []
    while heap:
        worth, number = heapq.heappop(heap)
        one = candidates[number]
        if one.length_m > left_m:
            continue
        if stale[number]:
            stale[number] = False
            heapq.heappush(heap, (-model.gain(one.measured) / one.length_m, number))
            continue
        if -worth < least:
            break
        if not chosen:
            least = -worth * least_gain_share
        gain = model.drive(one.measured)
        left_m -= one.length_m
        rms_db = float(np.sqrt(model.variance.mean()))
        chosen.append(DriveSegment(one.line, one.length_m, gain, rms_db))
        stale |= _overlap(boxes, boxes[number])  # gains farther away have not changed
    return chosen


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A piece of street that can be chosen."""

    line: shapely.LineString
    length_m: float
    measured: IndexArray


def _candidates(places: UncertainPlaces, lines: Sequence[shapely.LineString]) -> list[_Candidate]:
    """Pieces that lead through places of the map, at most 50,000: those where it is worst."""
    pieces = np.empty(len(lines), dtype=object)
    pieces[:] = list(lines)
    pieces = pieces[shapely.length(pieces) > 0.0]
    length_m = shapely.length(pieces)
    count = np.maximum(1, np.rint(length_m / places.block_m)).astype(np.int64)
    owner = np.repeat(np.arange(len(pieces)), count)
    within = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    share = (within + 0.5) / count[owner]
    points = shapely.line_interpolate_point(pieces[owner], share, normalized=True)
    away, place = cKDTree(places.xy).query(
        shapely.get_coordinates(points), distance_upper_bound=places.block_m
    )
    near = np.isfinite(away)
    variance = np.square(places.std_db)
    worth = np.bincount(owner[near], weights=variance[place[near]], minlength=len(pieces))
    order = np.argsort(-worth / length_m, kind="stable")[:_MOST_SEGMENTS]
    starts = np.searchsorted(owner, np.arange(len(pieces) + 1))
    found = []
    for number in order[worth[order] > 0.0]:
        part = slice(starts[number], starts[number + 1])
        measured = np.unique(place[part][near[part]]).astype(np.int64)
        found.append(_Candidate(pieces[number], float(length_m[number]), measured))
    return found


def road_pieces(
    roads: NDArray[np.object_], grid: Grid, segment_m: float
) -> list[shapely.LineString]:
    """Divide roads into pieces.

    Parameters
    ----------
    roads : ndarray of object, shape (n,)
        Shapely lines in the CRS of the grid.
    grid : Grid
        What lies outside it is cut off.
    segment_m : float
        Length of a piece; a road is divided evenly into pieces of about that.

    Returns
    -------
    list of LineString

    Examples
    --------
    >>> grid = Grid.create(0.0, 100.0, (10, 50), 10.0, 32633)
    >>> road = np.array([shapely.LineString([(-50, 50), (230, 50)])], dtype=object)
    >>> [round(piece.length) for piece in road_pieces(road, grid, 100.0)]
    [115, 115]
    """
    from shapely.ops import substring

    inside = shapely.intersection(roads, shapely.box(*grid.bounds))
    pieces: list[shapely.LineString] = []
    for line in shapely.get_parts(shapely.get_parts(inside)):
        if line.geom_type != "LineString" or line.length <= 0.0:
            continue
        ends = np.linspace(0.0, line.length, max(1, round(line.length / segment_m)) + 1)
        cut = (substring(line, start, end) for start, end in pairwise(ends))
        pieces += [piece for piece in cut if isinstance(piece, shapely.LineString)]
    return pieces


def free_pieces(places: UncertainPlaces, segment_m: float) -> list[shapely.LineString]:
    """Draw straight pieces through places without buildings, where no roads are given.

    Parameters
    ----------
    places : UncertainPlaces
        Blocks, and whether each is free.
    segment_m : float
        Length of a piece.

    Returns
    -------
    list of LineString
        Along the rows and columns of the blocks.

    Examples
    --------
    >>> xy = np.array([[5.0, 5.0], [15.0, 5.0], [25.0, 5.0], [5.0, 15.0]])
    >>> places = UncertainPlaces(xy, np.ones(4), 10.0, np.array([True, True, False, True]))
    >>> [piece.bounds for piece in free_pieces(places, 20.0)]
    [(0.0, 5.0, 20.0, 5.0), (5.0, 0.0, 5.0, 20.0)]
    """
    side = places.block_m
    count = max(1, round(segment_m / side))
    start = places.xy.min(axis=0, initial=np.inf)
    cell = np.rint((places.xy[places.free] - start) / side).astype(np.int64)
    if not len(cell):
        return []
    free = np.zeros(cell.max(axis=0) // count * count + 2 * count, dtype=np.bool_)
    free[cell[:, 0], cell[:, 1]] = True
    pieces: list[shapely.LineString] = []
    for axis in (0, 1):
        image = free if axis == 0 else free.T
        length = image.shape[0] // count * count
        runs = image[:length].reshape(-1, count, image.shape[1]).all(axis=1)
        along, across = np.nonzero(runs)
        ends = np.empty((len(along), 2, 2))
        ends[:, 0, axis] = along * count - 0.5
        ends[:, 1, axis] = along * count + count - 0.5
        ends[:, :, 1 - axis] = across[:, None]
        pieces += list(shapely.linestrings(start + ends * side))
    return pieces


def error_range_m(distance_m: Sequence[float], std_db: Sequence[float]) -> float | None:
    """Fit the range of the errors of a map to its deviations by distance.

    With an exponential correlation, simple kriging from one measurement in the distance ``h``
    leaves the variance ``nugget + sill (1 - exp(-2 h / range))``.

    Parameters
    ----------
    distance_m : sequence of float
        Distances to the nearest measurement.
    std_db : sequence of float
        Standard deviation of the map in each distance.

    Returns
    -------
    float or None
        Metres, at least 10 and at most the largest distance, beyond which nothing is known; None
        of fewer than four distances, or where the deviation does not grow.

    Examples
    --------
    >>> h = np.array([5.0, 15.0, 30.0, 60.0, 120.0])
    >>> round(error_range_m(h, np.sqrt(4.0 + 30.0 * (1.0 - np.exp(-2.0 * h / 80.0)))), -1)
    80.0
    """
    h, variance = np.asarray(distance_m, np.float64), np.square(np.asarray(std_db, np.float64))
    if h.size < 4 or h.max() <= _SHORTEST_RANGE_M:
        return None
    best_m, least = None, np.inf
    for range_m in np.geomspace(_SHORTEST_RANGE_M, h.max(), _RANGES):
        growth = np.column_stack([np.ones(h.size), 1.0 - np.exp(-2.0 * h / range_m)])
        (nugget, sill), misfit = optimize.nnls(growth, variance)
        if misfit < least:
            grows = sill > _LEAST_GROWTH * nugget
            best_m, least = (float(range_m) if grows else None), misfit
    return best_m


def stated_errors(cells: Sequence[CellMap]) -> tuple[float | None, float | None]:
    """Give what maps state of their errors, in the tags that predict writes.

    Parameters
    ----------
    cells : sequence of CellMap
        Tags ``std_by_distance`` and ``noise_db`` are read.

    Returns
    -------
    range_m, noise_db : float or None
        Medians over the cells; None where no map says.

    Examples
    --------
    >>> from rm_geo import RadioMap
    >>> grid = Grid.create(0.0, 100.0, (1, 1), 10.0, 32633)
    >>> tags = {"std_by_distance": "4 m 1.8 dB, 11 m 2.2 dB, 26 m 3.9 dB, 72 m 4.6 dB",
    ...         "noise_db": "2.10"}
    >>> cell = CellMap.of("7", RadioMap(grid, np.full((1, 1), -90.0), tags=tags))
    >>> range_m, noise_db = stated_errors([cell])
    >>> round(range_m, -1), noise_db
    (60.0, 2.1)
    """
    ranges, noises = [], []
    for cell in cells:
        found = _DEVIATION.findall(cell.radio_map.tags.get("std_by_distance", ""))
        range_m = error_range_m([float(m) for m, _ in found], [float(db) for _, db in found])
        if range_m is not None:
            ranges.append(range_m)
        try:
            noises.append(float(cell.radio_map.tags["noise_db"]))
        except (KeyError, ValueError):
            continue
    return (
        float(np.median(ranges)) if ranges else None,
        float(np.median(noises)) if noises else None,
    )


def drive_table(
    segments: Sequence[DriveSegment], crs: CRS, metadata: Mapping[str, str] | None = None
) -> FeatureTable:
    """Put the pieces of a drive into a table.

    Parameters
    ----------
    segments : sequence of DriveSegment
        In the order of choice.
    crs : pyproj.CRS
        CRS of the pieces.
    metadata : mapping of str to str, optional
        Provenance.

    Returns
    -------
    FeatureTable
        Layer ``next_drive``: ``rank``, ``length_m``, ``total_km``, ``gain_db2_per_m``,
        ``rms_std_db``.

    Examples
    --------
    >>> line = shapely.LineString([(0, 0), (100, 0)])
    >>> table = drive_table([DriveSegment(line, 100.0, 250.0, 4.0)], CRS(32633))
    >>> table.columns["rank"].tolist(), table.columns["gain_db2_per_m"].tolist()
    ([1], [2.5])
    """
    lines = np.empty(len(segments), dtype=object)
    lines[:] = [segment.line for segment in segments]
    length_m = np.array([segment.length_m for segment in segments], dtype=np.float64)
    gain = np.array([segment.gain for segment in segments], dtype=np.float64)
    return FeatureTable(
        "next_drive",
        lines,
        {
            "rank": np.arange(1, len(segments) + 1, dtype=np.int32),
            "length_m": np.round(length_m, 1),
            "total_km": np.round(np.cumsum(length_m) / 1000.0, 3),
            "gain_db2_per_m": np.round(gain / np.maximum(length_m, 1e-9), 4),
            "rms_std_db": np.round([segment.rms_std_db for segment in segments], 3),
        },
        crs,
        "LineString",
        metadata or {},
    )


@dataclass
class _Stream:
    """Uncertain places in the making."""

    context: PlanContext
    blocks: VarianceBlocks = field(init=False)

    def __post_init__(self) -> None:
        settings = self.context.settings.next_drive
        side_m = settings.segment_m / _BLOCKS_IN_SEGMENT
        self.blocks = VarianceBlocks(
            self.context.grid, max(1, round(side_m / self.context.grid.spacing_m))
        )

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        self.blocks.add(band, ranking)
        return {}

    def finish(self) -> ProductResult:
        """Choose the pieces to drive."""
        context, settings = self.context, self.context.settings.next_drive
        places = self.blocks.places()
        if context.inputs.roads is not None:
            roads = read_roads(context.inputs.roads, context.grid)
            pieces = road_pieces(roads, context.grid, settings.segment_m)
        else:
            pieces = free_pieces(places, settings.segment_m)
        range_m, noise_db = self._errors()
        chosen = plan_drive(
            places,
            pieces,
            budget_km=settings.budget_km,
            range_m=range_m,
            noise_db=noise_db,
            least_gain_share=settings.least_gain_share,
        )
        before = float(np.sqrt(np.square(places.std_db).mean())) if len(places.std_db) else None
        warnings: tuple[str, ...] = ()
        if context.inputs.roads is None:
            where = "between buildings" if context.maps.has("building_probability") else "anywhere"
            warnings = (f"No roads are given (`roads`): the next drive leads straight {where}.",)
        elif not pieces:
            warnings = (f"No road of {context.inputs.roads} reaches into the area of the maps.",)
        return ProductResult(
            {
                "segments": len(chosen),
                "length_km": sum(segment.length_m for segment in chosen) / 1000.0,
                "rms_std_before_db": before,
                "rms_std_after_db": chosen[-1].rms_std_db if chosen else before,
                "range_m": range_m,
                "noise_db": noise_db,
            },
            features={DRIVE_FILE: [drive_table(chosen, context.grid.crs, context.metadata)]},
            warnings=warnings,
        )

    def _errors(self) -> tuple[float, float]:
        """Range of the errors and noise: of the settings, else of the maps, else the usual."""
        settings = self.context.settings.next_drive
        range_m, noise_db = stated_errors(self.context.maps.cells)
        if settings.range_m is not None:
            range_m = settings.range_m
        if settings.noise_db is not None:
            noise_db = settings.noise_db
        return (
            _DEFAULT_RANGE_M if range_m is None else range_m,
            _DEFAULT_NOISE_DB if noise_db is None else noise_db,
        )


def _refusal(context: PlanContext) -> str | None:
    """Refuse maps without standard deviations."""
    if not context.maps.has("std_db"):
        return "no map has a standard deviation; predict with `uncertainty`."
    return None


PRODUCTS: Final = (
    Product(
        "next_drive",
        "Streets whose measurement would lower the uncertainty of the map most.",
        "Pieces of road (or between buildings, without a layer of roads) in the order in which "
        "each lowers the variance of the strongest cell most for each metre, given those before: "
        "the variance left by simple kriging with an exponential correlation of "
        "`next_drive.range_m`, or of the range that the deviations of the maps have, up to "
        "`next_drive.budget_km`, and until a piece gains less for each metre than "
        "`next_drive.least_gain_share` of the first one.",
        (DRIVE_FILE,),
        unit="dB",
        layers=("std_db", "building_probability"),
        refusal=_refusal,
        stream=_Stream,
    ),
)
"""Products of this module."""
