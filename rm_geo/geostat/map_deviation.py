"""Standard deviation of the map of a cell by the distance to its nearest measurement.

The cell's measurements are held out in blocks of two sizes and estimated by the method of the map
or, where that is a network, by the street ensemble, the classical member of the default map. The
deviations are quantiles of these errors, see :mod:`rm_geo.geostat.intervals`. Where the map errs
less than its classical member at held-out blocks, the deviations are scaled by the ratio of the
two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import BoolArray, Float64Array, FloatArray, IndexArray
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.intervals import (
    BLOCKS_M,
    DeviationCurve,
    block_mean_errors,
    held_out_folds,
    spread_db,
)
from rm_geo.geostat.street_ensemble import BIN_M, TREES_OF_FOLDS, Bins, StreetEnsemble
from rm_geo.geostat.street_map import known_site_m
from rm_geo.raster.resample import block_field_rows
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_FOLDS: Final = 4
_NEIGHBORS: Final = 20
_MOST_JUDGED: Final = 2000
"""Most bins of a fold that are estimated; a random subset of more."""

_MOST_JUDGED_BY_METHOD: Final = 200
"""The same where the method of the map estimates them, which takes some 10 ms each."""

PointEstimate: TypeAlias = Callable[[SparseRaster, Float64Array, Float64Array], FloatArray]
"""Levels in dBm at rows and columns in pixels, from measured pixels."""

_MOST_BINS: Final = 20_000
"""Most bins that the folds are formed of: those of whole blocks of 200 m."""

_ROWS_OF_BLOCKS: Final = 1e6
"""Numbers of blocks along one axis are below this."""

_LEAST_SPREAD_DB: Final = 3.0
_SCALES: Final = (0.5, 1.2)


@dataclass(frozen=True)
class MapDeviation:
    """Deviations of a map.

    Attributes
    ----------
    curve : DeviationCurve
        Deviations by distance.
    measured : KDTree
        Bins with a measurement, in metres from the north-west corner of the raster.
    height : int
        Rows of the raster.
    spacing_m : float
        Side of a pixel.
    support_m : float
        Side of the squares whose means the deviations are those of; 0 for pixels.
    held_out : int
        Errors that the curve was fitted to.
    """

    curve: DeviationCurve
    measured: KDTree
    height: int
    spacing_m: float
    support_m: float
    held_out: int

    @classmethod
    def fit(
        cls,
        sparse: SparseRaster,
        facts: SiteInfo,
        support_m: float = BIN_M,
        scale: float = 1.0,
        estimate: PointEstimate | None = None,
    ) -> MapDeviation:
        """Hold out the measurements of a cell, and fit the curve to the errors.

        Parameters
        ----------
        sparse : SparseRaster
            At least one measured pixel.
        facts : SiteInfo
            Position of the transmitter; used where it is known well.
        support_m : float
            Side of the squares whose mean levels are the truth; below 5 m single pixels are.
        scale : float
            Error of the map relative to that of the estimate; limited to 0.5 to 1.2.
        estimate : callable, optional
            Method of the map: takes measured pixels, rows and columns in pixels, and gives levels
            in dBm. The street ensemble if not given.

        Returns
        -------
        MapDeviation

        Examples
        --------
        >>> from rm_geo.grid import Grid
        >>> rng = np.random.default_rng(0)
        >>> level_dbm = np.full((20, 400), np.nan)
        >>> level_dbm[10] = -90 + np.cumsum(rng.normal(0.0, 0.5, 400))
        >>> grid = Grid.create(500_000, 5_000_000, (20, 400), 1.0, 32633)
        >>> sparse = SparseRaster.from_levels(grid, level_dbm)
        >>> deviation = MapDeviation.fit(sparse, SiteInfo())
        >>> near, far = deviation.at(np.array([[10.5, 200.5], [500.0, 200.5]]))
        >>> bool(0.0 < near <= far)
        True
        """
        bins = Bins.of_raster(sparse)
        used = _whole_blocks(bins)
        judged = _judged(sparse, used, support_m)
        site_m = known_site_m(sparse, facts)
        most = _MOST_JUDGED if estimate is None else _MOST_JUDGED_BY_METHOD
        found = []
        for size in BLOCKS_M:
            for kept, held in held_out_folds(used.position_m, blocks_m=(size,), folds=_FOLDS):
                at = np.flatnonzero(np.isin(judged.bin, held))
                if at.size > most:
                    at = np.sort(np.random.default_rng(0).choice(at, most, replace=False))
                place = judged.position_m[at]
                if estimate is None:
                    ensemble = StreetEnsemble.fit(
                        used.position_m[kept],
                        used.level_dbm[kept],
                        used.noise_db2[kept],
                        site_m,
                        _NEIGHBORS,
                        facts.path_gains,
                        TREES_OF_FOLDS,
                    )
                    estimated_dbm = ensemble.at(place)
                else:
                    left = sparse.select(np.isin(_nearest_bin(sparse, used), kept))
                    row, col = place.T / sparse.grid.spacing_m
                    estimated_dbm = estimate(left, row, col).astype(np.float64)
                error = estimated_dbm - judged.level_dbm[at]
                distance, _ = KDTree(used.position_m[kept]).query(place)
                if support_m > BIN_M:
                    place, error, distance = block_mean_errors(place, error, distance, support_m)
                block = np.floor(place / size) @ [1.0, _ROWS_OF_BLOCKS]
                found.append(np.column_stack([distance, error, block + size]))
        errors = np.concatenate([np.empty((0, 3)), *found])
        curve = DeviationCurve.fit(
            errors[:, 0],
            errors[:, 1] * float(np.clip(scale, *_SCALES)),
            block=errors[:, 2].astype(np.int64),
            largest_db=max(spread_db(sparse.level_dbm), _LEAST_SPREAD_DB),
        )
        spacing_m = sparse.grid.spacing_m
        height = sparse.grid.shape[0]
        return cls(curve, KDTree(bins.position_m), height, spacing_m, support_m, len(errors))

    def at(self, row_col: Float64Array) -> Float64Array:
        """Look up deviations at positions in pixels, shape (M, 2); in dB, shape (M,)."""
        distance_m, _ = self.measured.query(row_col * self.spacing_m)
        return self.curve.at(distance_m)

    def on_rows(self, rows: slice, wanted: BoolArray) -> FloatArray:
        """Look up the deviations of some rows, at the centres of blocks of some 5 m.

        Parameters
        ----------
        rows : slice
            Rows of the raster.
        wanted : ndarray of bool, shape (rows, W)
            Pixels that are needed; the others may be zero.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            In dB.
        """
        block_px = max(int(BIN_M / self.spacing_m), 1)
        return block_field_rows(self.at, rows, wanted, self.height, block_px)

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags: the support, and the deviations by distance."""
        by_distance = zip(self.curve.distance_m, self.curve.std_db, strict=True)
        return {
            "std_support_m": f"{self.support_m:g}",
            "std_by_distance": ", ".join(f"{m:.0f} m {db:.1f} dB" for m, db in by_distance),
            "std_held_out": str(self.held_out),
        }


@dataclass(frozen=True)
class _Judged:
    """Levels that intervals hold: positions in metres, levels in dBm, and their bins."""

    position_m: Float64Array
    level_dbm: Float64Array
    bin: IndexArray


def _judged(sparse: SparseRaster, bins: Bins, support_m: float) -> _Judged:
    """Gather the pixels of some bins, or the bins themselves."""
    if support_m >= BIN_M:
        return _Judged(bins.position_m, bins.level_dbm, np.arange(bins.level_dbm.size))
    nearest = _nearest_bin(sparse, bins)
    known = np.flatnonzero(nearest < bins.level_dbm.size)
    level = np.asarray(sparse.level_dbm, dtype=np.float64)
    return _Judged(_positions_m(sparse)[known], level[known], nearest[known])


def _positions_m(sparse: SparseRaster) -> Float64Array:
    """Positions of the measured pixels in metres from the north-west corner."""
    place = np.column_stack([sparse.row, sparse.col]).astype(np.float64) + 0.5
    return place * sparse.grid.spacing_m


def _nearest_bin(sparse: SparseRaster, bins: Bins) -> IndexArray:
    """Find the bin of each measured pixel; the number of bins if it is in none of them."""
    tree = KDTree(bins.position_m)
    _, nearest = tree.query(_positions_m(sparse), distance_upper_bound=BIN_M)
    return np.asarray(nearest, dtype=np.intp)


def _whole_blocks(bins: Bins) -> Bins:
    """Select random blocks of 200 m with some 20,000 bins; all bins if there are fewer."""
    number = bins.level_dbm.size
    if number <= _MOST_BINS:
        return bins
    block = block_numbers(bins.position_m[:, 1], bins.position_m[:, 0], max(BLOCKS_M))
    order = np.random.default_rng(0).permutation(int(block.max()) + 1)
    of_block = np.bincount(block)[order]
    chosen = order[: int(np.searchsorted(np.cumsum(of_block), _MOST_BINS)) + 1]
    at = np.flatnonzero(np.isin(block, chosen))
    return Bins(bins.position_m[at], bins.level_dbm[at], bins.noise_db2[at])
