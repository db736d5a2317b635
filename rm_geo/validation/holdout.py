"""Hold-out of measurements: errors of methods at positions that they have not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array, FloatArray
from rm_geo.errors import TooSmallError, UsageError
from rm_geo.estimators.base import Estimator, PointEstimator
from rm_geo.geostat.block_folds import balanced_folds, block_numbers, random_folds
from rm_geo.grid import Grid
from rm_geo.inference.batches import raster_batch
from rm_geo.measurements.model import Measurements
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.sites.facts import SiteInfo
from rm_geo.validation.metrics import ErrorSums

Predictor: TypeAlias = Callable[[Measurements, Grid, Float64Array, Float64Array], FloatArray]
"""Estimates RSRP in dBm, shape (n,), NaN where it gives none, from the measurements that may be
seen, a grid, and the rows and columns of pixel centres, shape (n,), such as 0.5."""

MapMaker: TypeAlias = Callable[[Measurements, Grid], FloatArray]
"""Takes measurements and a grid to a radio map in dBm, shape (H, W); NaN where unknown."""

Split: TypeAlias = Literal["blocks", "random"]


@dataclass(frozen=True)
class HoldoutScore:
    """How well one method predicts measurements that it has not seen.

    Attributes
    ----------
    method : str
        Name.
    points : int
        Measurements compared: those that every method predicted, so that none gains by
        being silent where it is hard.
    missing : int
        Measurements that this method said nothing about.
    rmse_db, mae_db, bias_db : float
        Over all compared measurements of all folds together; bias is estimate minus truth.
    worst_fold_rmse_db : float
        RMSE of the fold that was hardest for this method.
    """

    method: str
    points: int
    missing: int
    rmse_db: float
    mae_db: float
    bias_db: float
    worst_fold_rmse_db: float


def holdout(
    measurements: Measurements,
    predictors: Mapping[str, Predictor],
    *,
    folds: int = 5,
    block_m: float = 50.0,
    split: Split = "blocks",
    spacing_m: float = 1.0,
    margin_m: float = 0.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[HoldoutScore]:
    """Judge methods by k-fold hold-out of the measurements of one cell.

    Parameters
    ----------
    measurements : Measurements
        Of one cell.
    predictors : mapping of str to callable
        Names for the table, and the methods; see :data:`Predictor`.
    folds : int
        Each measurement is predicted once, from those of the other folds.
    block_m : float
        Side of the square blocks that go to a fold as a whole. Neighbours along a route
        are nearly copies of each other: only distant ones test a map.
    split : {"blocks", "random"}
        Whole blocks, or single measurements: the errors are too small then.
    spacing_m : float
        Side of the map's pixels; a measurement is compared with the pixel around it.
    margin_m : float
        How far the map reaches beyond the measurements.
    seed : int
        Seed of the blocks' origin, or of the random split.
    progress : Progress, optional
        Counts fits.

    Returns
    -------
    list of HoldoutScore
        In the order of the predictors.

    Raises
    ------
    TooSmallError
        If the measurements do not fill as many blocks as there are folds.
    """
    progress = progress or SilentProgress()
    grid = Grid.covering(
        measurements.x, measurements.y, measurements.crs, spacing_m=spacing_m, margin_m=margin_m
    )
    # A measurement is compared with the centre of the pixel around it.
    row, col = (np.floor(axis) + 0.5 for axis in grid.to_pixel(measurements.x, measurements.y))
    estimate_dbm = {name: np.full(len(measurements), np.nan) for name in predictors}
    fold_of = np.zeros(len(measurements), dtype=np.int64)
    progress.start(folds * len(predictors), "fits", "hold-out")
    for fold, test in enumerate(
        split_folds(measurements, folds=folds, block_m=block_m, split=split, seed=seed)
    ):
        fold_of[test] = fold
        seen = measurements.select(~test)
        for name, predictor in predictors.items():
            progress.check()
            estimate_dbm[name][test] = predictor(seen, grid, row[test], col[test])
            progress.advance()
    progress.finish()
    common = np.all([np.isfinite(values) for values in estimate_dbm.values()], axis=0)
    return [
        _score(name, values, measurements.rsrp_dbm, common, fold_of)
        for name, values in estimate_dbm.items()
    ]


def split_folds(
    measurements: Measurements,
    *,
    folds: int = 5,
    block_m: float = 50.0,
    split: Split = "blocks",
    seed: int = 0,
) -> Iterator[NDArray[np.bool_]]:
    """Give the measurements that each fold leaves out.

    Parameters
    ----------
    measurements : Measurements
        Of one cell.
    folds : int
        Number of folds, at least 2.
    block_m : float
        Side of a block in metres.
    split : {"blocks", "random"}
        Whole blocks, or single measurements.
    seed : int
        Seed of the origin of the blocks, or of the random split.

    Yields
    ------
    ndarray of bool, shape (N,)
        Each measurement is True in exactly one fold; blocks are spread so that the folds
        have about equally many measurements.

    Raises
    ------
    UsageError
        If there are fewer than two folds, or the blocks have no size.
    TooSmallError
        If the measurements do not fill as many blocks as there are folds.
    """
    if folds < 2 or block_m <= 0.0:
        raise UsageError("A hold-out needs at least 2 folds and blocks above 0 m.")
    count = len(measurements)
    groups = np.arange(count)
    if split == "blocks":
        col, row = np.random.default_rng(seed).random(2)
        groups = block_numbers(measurements.y, measurements.x, block_m, (row, col))
    filled = len(np.unique(groups))
    if filled < folds:
        raise TooSmallError(
            f"{count} measurements fill {filled} blocks, too few for {folds} folds.",
            hint="Take smaller blocks or fewer folds.",
        )
    blocked = split == "blocks"
    fold_of = balanced_folds(groups, folds) if blocked else random_folds(count, folds, seed)
    for fold in range(folds):
        yield fold_of == fold


def estimator_predictor(
    estimator: Estimator, transmitter_xy: tuple[float, float] | None = None
) -> Predictor:
    """Evaluate an estimator alone, on all measurements at once instead of tile by tile.

    Classical estimators are evaluated at the held-out positions only; of others the whole map
    is made.

    Parameters
    ----------
    estimator : Estimator
        One that takes tiles of any size; networks do not.
    transmitter_xy : tuple of float, optional
        Position in metres in the CRS of the grid, for methods that use it.

    Returns
    -------
    callable
        See :data:`Predictor`.
    """
    site = SiteInfo(transmitter_xy=transmitter_xy)
    if not isinstance(estimator, PointEstimator):

        def whole_map(seen: Measurements, grid: Grid) -> FloatArray:
            batch = raster_batch(bin_measurements(seen, grid), site)
            return np.asarray(estimator.estimate(batch).rsrp_dbm[0])

        return map_predictor(whole_map)

    def predictor(
        seen: Measurements, grid: Grid, row: Float64Array, col: Float64Array
    ) -> FloatArray:
        return estimator.estimate_at(bin_measurements(seen, grid), row, col, site)

    return predictor


def map_predictor(make: MapMaker) -> Predictor:
    """Evaluate whatever makes whole maps, by reading its map at the held-out positions.

    Parameters
    ----------
    make : callable
        Takes measurements and a grid to a radio map in dBm, shape (H, W).

    Returns
    -------
    callable
        See :data:`Predictor`. It raises ``ValueError`` for a map of another shape.
    """

    def predictor(
        seen: Measurements, grid: Grid, row: Float64Array, col: Float64Array
    ) -> FloatArray:
        rsrp_dbm = make(seen, grid)
        if rsrp_dbm.shape != grid.shape:
            raise ValueError(f"a map of shape {grid.shape} was due, not {rsrp_dbm.shape}")
        return np.asarray(rsrp_dbm[row.astype(np.int64), col.astype(np.int64)])

    return predictor


def _score(
    method: str,
    estimate_dbm: NDArray[np.float64],
    truth_dbm: FloatArray,
    common: NDArray[np.bool_],
    fold_of: NDArray[np.int64],
) -> HoldoutScore:
    """Score a method on the measurements that all methods predicted."""
    scores = ErrorSums.of(estimate_dbm, truth_dbm, common).scores()
    by_fold = [
        ErrorSums.of(estimate_dbm, truth_dbm, common & (fold_of == fold)).scores().rmse
        for fold in np.unique(fold_of)
    ]
    return HoldoutScore(
        method=method,
        points=scores.pixels,
        missing=int(np.isnan(estimate_dbm).sum()),
        rmse_db=scores.rmse,
        mae_db=scores.mae,
        bias_db=scores.bias,
        worst_fold_rmse_db=max((r for r in by_fold if not math.isnan(r)), default=math.nan),
    )
