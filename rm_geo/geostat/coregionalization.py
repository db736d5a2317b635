"""Joint estimate of the cells of a log: what other cells show at a place tells about this one.

Cells share clutter, street canyons, the car and the body of the user. A drive reports each cell
at some of the places only. At a visited place where a cell was not reported, its level is
estimated from its own readings nearby and from the levels of the other cells there.

The estimate is the mean of five regressions on the other cells' levels. Each other cell is kriged
to all visited bins first, so that every regression has all covariates:

- factor analysis of the matrix of bins and cells, its residuals kriged;
- a Gaussian process of the position and the other cells' levels;
- the same process of the residuals from the cell's distance law;
- extremely randomised trees on the position and the other cells' levels, kriged and as reported;
- such trees on the residuals of a ridge regression.

With the cell hidden in blocks of 50 and 200 m, this mean had 2.6 and 2.9 dB on a scanner drive in
Rayong and 3.6 and 4.1 dB in Bangkok. A linear model of coregionalisation (six factors and an own
field of each cell, all entries in one system) had 2.6 and 2.8 dB, and 3.9 and 4.0 dB; but without
the cells of the same antenna it had 4.6 and 6.0 dB in Bangkok, where the mean of the regressions
had 4.2 and 5.3 dB and the single-cell estimate 4.5 and 5.7 dB. It also costs the cube of the
number of entries.

How far to go from the single-cell estimate to the joint one is decided on held-out blocks of the
log, pooled over its largest cells. The same held-out errors give the deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from rm_geo._types import BoolArray, Float64Array, FloatArray, IndexArray
from rm_geo._util.threads import available_threads, single_threaded_algebra
from rm_geo.errors import UsageError
from rm_geo.geostat.averaged_distance_law import AveragedDistanceLaw
from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.extra_trees import ExtraTrees
from rm_geo.geostat.factor_analysis import FactorModel
from rm_geo.geostat.intervals import held_out_folds
from rm_geo.geostat.local_kriging import LocalKriging
from rm_geo.geostat.sparse_gaussian_process import CovariateProcess
from rm_geo.geostat.street_angle import street_angle
from rm_geo.raster.log_bins import LogBins

_LEVELS: Final = NestedExponentialCovariance((0.45, 0.55), (60.0, 400.0))
"""Covariance of the levels of a cell, relative to their variance."""

_RESIDUALS: Final = NestedExponentialCovariance((0.5, 0.3), (40.0, 150.0))
"""Covariance of what the other cells leave unexplained, relative to its variance."""

_COVARIATE_NEIGHBORS: Final = 16
_RESIDUAL_NEIGHBORS: Final = 32
_LEVEL_NEIGHBORS: Final = 40

_LEAST_VARIANCE_DB2: Final = 9.0
_FACTORS: Final = 6
_TREES: Final = 40
_TREE_FEATURES: Final = 0.5
_TREES_OF_CALIBRATION: Final = 15
"""Weights and deviations change by less than 0.02 and 0.05 dB from 10 trees to 60."""

_NOT_REPORTED_DBM: Final = -150.0
_RIDGE: Final = 0.02

MIN_READINGS: Final = 30
"""Fewest bins in which a cell must be reported for a joint estimate."""

_MIN_COMMON: Final = 80
_MIN_COMMON_SHARE: Final = 0.25
_MAX_OTHERS: Final = 24
"""Another cell is used if it was reported in a quarter of the cell's bins, or in 80; of more
cells, those with the most common bins."""

MAX_TRAINING: Final = 3000
"""Most bins that a regression is fitted to; a random subset of more."""

REACH_M: Final = 300.0
"""Visited bins further than this from every reading of a cell get no estimate."""

_CALIBRATED: Final = 6
_FOLDS: Final = 3
_BLOCKS_M: Final = (50.0, 200.0)
_LARGEST_ERROR_DB: Final = 20.0
_PRIOR: Final = 0.1
_PRIOR_OF_CELL: Final = 0.5
_EDGES_M: Final = (10.0, 30.0, 60.0, 120.0)

_STEP_DB: Final = 1.0 / 64.0
"""Covariates of trees are rounded, so that the last bits of a sum decide no split."""


@dataclass(frozen=True)
class JointCalibration:
    """What held-out blocks of a log say about joint estimates.

    Attributes
    ----------
    weight : dict of str to float
        Weight of the joint estimate, 0..1, in the cells that were calibrated.
    other_weight : float
        Weight in the other cells.
    std_db : tuple of float
        Standard deviation of the estimate by distance to the nearest reading: up to 10, 30, 60,
        120 m, and beyond.
    joint_rmse_db, single_rmse_db : float
        Errors at the held-out bins; NaN if nothing was held out.
    held_out : int
        Number of held-out bins.
    """

    weight: dict[str, float]
    other_weight: float
    std_db: tuple[float, ...]
    joint_rmse_db: float
    single_rmse_db: float
    held_out: int

    def weight_of(self, cell: str) -> float:
        """Weight of the joint estimate in a cell."""
        return self.weight.get(cell, self.other_weight)

    def std_at(self, distance_m: Float64Array) -> Float64Array:
        """Look up the standard deviation in dB at distances from the nearest reading."""
        return np.asarray(self.std_db)[np.digitize(distance_m, _EDGES_M)]


@dataclass(frozen=True)
class JointEstimate:
    """Levels of cells at all visited bins.

    Attributes
    ----------
    cells : tuple of str
        The T cells that were asked for.
    level_dbm, std_db : ndarray of float32, shape (M, T)
        Estimate and its standard deviation; NaN where there is none. Bins in which a cell was
        reported have an estimate, too: it is smoother than the reading.
    others : tuple of int
        Number of other cells that each estimate rests on; 0 if there is no joint estimate.
    calibration : JointCalibration
        Weights and errors at held-out blocks.

    Examples
    --------
    >>> x = np.arange(300.0)
    >>> level = -90 + 6 * np.sin(x / 9)[:, None] + np.array([0.0, -5.0, -9.0])
    >>> level[150:160, 0] = np.nan  # visited, but not reported
    >>> bins = LogBins(np.column_stack([5 * x, 0 * x]), level.astype(np.float32),
    ...                np.isfinite(level).astype(np.int32), np.ones(300, np.int32),
    ...                ("a", "b", "c"))
    >>> joint = estimate_jointly(bins, ["a"])
    >>> joint.cells, joint.level_dbm.shape, joint.others
    (('a',), (300, 1), (2,))
    """

    cells: tuple[str, ...]
    level_dbm: FloatArray
    std_db: FloatArray
    others: tuple[int, ...]
    calibration: JointCalibration


def estimate_jointly(
    bins: LogBins,
    cells: Sequence[str] | None = None,
    *,
    calibration: JointCalibration | None = None,
    evidence: BoolArray | None = None,
    reach_m: float = REACH_M,
    check: Callable[[], None] = lambda: None,
) -> JointEstimate:
    """Estimate cells at all visited bins, each from its own readings and from the other cells.

    Parameters
    ----------
    bins : LogBins
        All cells of a log.
    cells : sequence of str, optional
        Cells to estimate; all if not given.
    calibration : JointCalibration, optional
        Weights and deviations; estimated from the log if not given.
    evidence : ndarray of bool, shape (C, C), optional
        Whether the cell of a column may be used for the cell of a row; all if not given.
    reach_m : float
        Bins further than this from every reading of a cell get no estimate.
    check : callable
        Called before each step, as :func:`count_joint_steps` counts them, also in other threads;
        raises to stop the work.

    Returns
    -------
    JointEstimate
        NaN for cells that are reported in fewer than 30 bins, or share too few bins with two
        other cells.

    Raises
    ------
    UsageError
        If a cell is not in the log.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.arange(400.0)
    >>> shadow = 6 * np.sin(x / 9) + 6 * np.sin(x / 31)
    >>> level = -90 + shadow[:, None] + rng.normal(0, 1, (400, 3))
    >>> level[150:200, 0] = np.nan  # visited, but not reported
    >>> bins = LogBins(np.column_stack([5 * x, 0 * x]), level.astype(np.float32),
    ...                np.isfinite(level).astype(np.int32), np.ones(400, np.int32),
    ...                ("a", "b", "c"))
    >>> joint = estimate_jointly(bins, ["a"])
    >>> error = joint.level_dbm[150:200, 0] - (-90 + shadow[150:200])
    >>> bool(np.sqrt(np.mean(error**2)) < 2.0)
    True
    """
    names = bins.cells if cells is None else tuple(cells)
    if unknown := [name for name in names if name not in bins.cells]:
        raise UsageError(f"There is no cell {unknown[0]!r} in the log.", parameter="cells")
    columns = [bins.cells.index(name) for name in names]
    allowed = np.ones((len(bins.cells),) * 2, dtype=np.bool_) if evidence is None else evidence
    others = {column: _others(bins, column, allowed[column]) for column in columns}
    with single_threaded_algebra():
        used = {int(other) for found in others.values() for other in found}
        if calibration is None:
            candidates = _largest(bins)
            others |= {
                column: _others(bins, column, allowed[column])
                for column in candidates
                if column not in others
            }
            used = {int(other) for found in others.values() for other in found}
        kriged = _krige_cells(bins, sorted(used), reach_m, check)
        if calibration is None:
            calibration = _calibrate(bins, kriged, {c: others[c] for c in candidates}, check)
        found = calibration
        level_dbm = np.full((len(bins), len(columns)), np.nan, dtype=np.float32)
        std_db = np.full_like(level_dbm, np.nan)

        def fill(place: int) -> None:
            check()
            column = columns[place]
            if not others[column].size:
                return
            readings = np.flatnonzero(bins.reported[:, column])
            nearest_m = _distance_m(bins, readings, np.arange(len(bins)))
            at = np.flatnonzero(nearest_m <= reach_m)
            task = _Task(bins, kriged, column, others[column], readings, at)
            weight = found.weight_of(bins.cells[column])
            level_dbm[at, place] = _combined(task, weight)
            std_db[at, place] = found.std_at(nearest_m[at])

        _in_threads(fill, range(len(columns)))
    return JointEstimate(
        names, level_dbm, std_db, tuple(int(others[c].size) for c in columns), calibration
    )


def count_joint_steps(bins: LogBins, cells: Sequence[str]) -> int:
    """Count the steps of :func:`estimate_jointly` without a given calibration.

    Parameters
    ----------
    bins : LogBins
        All cells of a log.
    cells : sequence of str
        Cells to estimate.

    Returns
    -------
    int
        At least as many as are taken: each cell, each held-out part of the largest ones, and each
        estimate.

    Examples
    --------
    >>> level = np.zeros((40, 3), dtype=np.float32)
    >>> bins = LogBins(np.zeros((40, 2)), level, level.astype(np.int32) + 1,
    ...                np.ones(40, np.int32), ("a", "b", "c"))
    >>> count_joint_steps(bins, ["a"])
    4
    """
    return len(bins.cells) + len(_largest(bins)) * len(_BLOCKS_M) * _FOLDS + len(cells)


def calibrate_joint(
    bins: LogBins,
    *,
    evidence: BoolArray | None = None,
    check: Callable[[], None] = lambda: None,
) -> JointCalibration:
    """Judge joint estimates of the largest cells of a log on held-out blocks.

    Parameters
    ----------
    bins, evidence, check
        As for :func:`estimate_jointly`.

    Returns
    -------
    JointCalibration
    """
    allowed = np.ones((len(bins.cells),) * 2, dtype=np.bool_) if evidence is None else evidence
    others = {column: _others(bins, column, allowed[column]) for column in _largest(bins)}
    with single_threaded_algebra():
        used = {int(other) for found in others.values() for other in found}
        kriged = _krige_cells(bins, sorted(used), REACH_M, check)
        return _calibrate(bins, kriged, others, check)


def estimate_alone(
    position_m: Float64Array, level_dbm: Float64Array, at_m: Float64Array
) -> Float64Array:
    """Estimate a cell from its own readings: distance law, and kriged residuals.

    Parameters
    ----------
    position_m : ndarray of float64, shape (N, 2)
        Bins with readings.
    level_dbm : ndarray of float64, shape (N,)
        Their levels.
    at_m : ndarray of float64, shape (M, 2)
        Bins to estimate.

    Returns
    -------
    ndarray of float64, shape (M,)
        Levels in dBm.

    Examples
    --------
    >>> x = np.arange(0.0, 500.0, 5.0)
    >>> street, level = np.column_stack([x, 0 * x]), -80.0 - x / 50.0
    >>> estimate_alone(street, level, np.array([[252.0, 0.0]])).round().tolist()
    [-85.0]
    """
    law = AveragedDistanceLaw.fit(position_m, level_dbm)
    rest = level_dbm - law.at(position_m)
    kriged = _krige(position_m, rest, at_m, _LEVEL_NEIGHBORS, single_precision=True)
    return np.asarray(law.at(at_m) + kriged)


@dataclass(frozen=True)
class _Task:
    """One cell that is estimated at some bins from its readings in other ones."""

    bins: LogBins
    kriged: Float64Array
    column: int
    others: IndexArray
    train: IndexArray
    at: IndexArray
    trees: int = _TREES

    @property
    def level_dbm(self) -> Float64Array:
        """Levels of the cell at the training bins."""
        return np.asarray(self.bins.level_dbm[self.train, self.column], dtype=np.float64)

    def thinned(self) -> IndexArray:
        """Select the training bins that regressions are fitted to, as indices of ``train``."""
        number = self.train.size
        if number <= MAX_TRAINING:
            return np.arange(number)
        return np.sort(np.random.default_rng(0).choice(number, MAX_TRAINING, replace=False))


def _largest(bins: LogBins) -> list[int]:
    """Columns of the cells that are calibrated: those reported in the most bins."""
    reported = bins.reported.sum(axis=0)
    order = np.argsort(-reported, kind="stable")[:_CALIBRATED]
    return [int(column) for column in order if reported[column] >= 2 * MIN_READINGS]


def _others(bins: LogBins, column: int, allowed: BoolArray) -> IndexArray:
    """Choose the cells that help to estimate one cell; empty with fewer than two."""
    own = bins.reported[:, column]
    number = int(own.sum())
    none = np.empty(0, dtype=np.int64)
    if number < MIN_READINGS:
        return none
    common = bins.reported[own].sum(axis=0)
    usable = allowed & (common >= min(_MIN_COMMON, _MIN_COMMON_SHARE * number))
    usable[column] = False
    order = np.argsort(-common, kind="stable")
    chosen = [int(other) for other in order if usable[other]][:_MAX_OTHERS]
    return np.array(sorted(chosen), dtype=np.int64) if len(chosen) >= 2 else none


def _krige_cells(
    bins: LogBins, columns: Sequence[int], reach_m: float, check: Callable[[], None]
) -> Float64Array:
    """Krige cells to all bins in reach of their readings; elsewhere they have their mean."""
    kriged = np.full((len(bins), len(bins.cells)), np.nan)
    for column in columns:
        check()
        readings = np.flatnonzero(bins.reported[:, column])
        level = bins.level_dbm[readings, column].astype(np.float64)
        kriged[:, column] = level.mean()
        near = np.flatnonzero(_distance_m(bins, readings, np.arange(len(bins))) <= reach_m)
        kriged[near, column] = _krige(
            bins.position_m[readings], level, bins.position_m[near], _COVARIATE_NEIGHBORS
        )
    return kriged


def _krige(
    position_m: Float64Array,
    level: Float64Array,
    at_m: Float64Array,
    neighbors: int,
    *,
    single_precision: bool = False,
) -> Float64Array:
    """Krige levels by their typical covariance.

    Single precision changes levels by less than 1e-3 dB. It is not for features of trees, whose
    cuts would change with them.
    """
    variance = max(float(level.var()), _LEAST_VARIANCE_DB2)
    noise = np.full(level.size, 0.06 * variance + 0.5)
    field = LocalKriging(
        position_m,
        level,
        _LEVELS.scaled(variance),
        noise,
        neighbors=neighbors,
        single_precision=single_precision,
    )
    return field.at(at_m).mean


def _combined(task: _Task, weight: float) -> Float64Array:
    """Combine the joint and the single-cell estimate of a task."""
    joint = np.zeros(task.at.size) if weight == 0.0 else weight * _joint(task)
    return joint if weight == 1.0 else joint + (1.0 - weight) * _single(task)


def _single(task: _Task) -> Float64Array:
    """Estimate a cell from its own readings."""
    positions = task.bins.position_m
    return estimate_alone(positions[task.train], task.level_dbm, positions[task.at])


def _joint(task: _Task) -> Float64Array:
    """Estimate a cell from its own readings and the other cells: the mean of five regressions."""
    bins, others = task.bins, task.others
    kept = task.thinned()
    train, level = task.train[kept], task.level_dbm[kept]
    kriged, at_kriged = task.kriged[np.ix_(train, others)], task.kriged[np.ix_(task.at, others)]
    middle, spread = kriged.mean(axis=0), kriged.std(axis=0) + 1e-6
    x, at_x = (kriged - middle) / spread, (at_kriged - middle) / spread
    position_m, at_m = bins.position_m[train], bins.position_m[task.at]
    count = bins.count[train, task.column].astype(np.float64)
    law = AveragedDistanceLaw.fit(position_m, level)
    rest = level - law.at(position_m)
    mean = float(level.mean())
    ridge = x.T @ x + _RIDGE * len(x) * np.eye(others.size)
    slope = np.linalg.solve(ridge, x.T @ (level - mean))
    features, at_features = (_features(task, rows) for rows in (train, task.at))
    total = _factors(task)
    processes = CovariateProcess.fit(position_m, x, np.column_stack([level, rest]), count)
    total += law.at(at_m) + processes.at(at_m, at_x).sum(axis=1)
    total += _trees(features, level, at_features, task.trees)
    rest = level - mean - x @ slope
    total += mean + at_x @ slope + _trees(features, rest, at_features, task.trees)
    return total / 5.0


def _factors(task: _Task) -> Float64Array:
    """Estimate a cell by factor analysis, and krige its residuals."""
    bins = task.bins
    columns = np.concatenate([[task.column], task.others])
    matrix = bins.level_dbm[:, columns].astype(np.float64)
    hidden = np.ones(len(bins), dtype=np.bool_)
    hidden[task.train] = False
    matrix[hidden, 0] = np.nan
    known = np.flatnonzero(np.isfinite(matrix).sum(axis=1) >= 2)
    if known.size > MAX_TRAINING:
        known = np.random.default_rng(0).choice(known, MAX_TRAINING, replace=False)
    model = FactorModel.fit(matrix[known], min(_FACTORS, task.others.size))
    rest = task.level_dbm - model.predict(matrix[task.train], 0)
    variance = max(float(rest.var()), _LEAST_VARIANCE_DB2)
    field = LocalKriging(
        bins.position_m[task.train],
        rest,
        _RESIDUALS.scaled(variance),
        np.full(rest.size, 0.2 * variance),
        neighbors=_RESIDUAL_NEIGHBORS,
        single_precision=True,
    )
    return model.predict(matrix[task.at], 0) + field.at(bins.position_m[task.at]).mean


def _features(task: _Task, rows: IndexArray) -> FloatArray:
    """Gather turned positions, and kriged and reported levels of the other cells, at some bins."""
    angle = street_angle(task.bins.position_m[task.train])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    origin = task.bins.position_m[task.train[0]]
    position = (task.bins.position_m[rows] - origin) @ turn
    reported = task.bins.level_dbm[np.ix_(rows, task.others)].astype(np.float64)
    reported = np.where(np.isfinite(reported), reported, _NOT_REPORTED_DBM)
    table = np.column_stack([position, task.kriged[np.ix_(rows, task.others)], reported])
    return (np.round(table / _STEP_DB) * _STEP_DB).astype(np.float32)


def _trees(features: FloatArray, value: Float64Array, at: FloatArray, number: int) -> Float64Array:
    """Regress values on features by extremely randomised trees."""
    rounded = np.round(value / _STEP_DB) * _STEP_DB  # sums are exact, in any order
    return ExtraTrees.fit(features, rounded, number=number, max_features=_TREE_FEATURES).at(at)


def _calibrate(
    bins: LogBins,
    kriged: Float64Array,
    others: dict[int, IndexArray],
    check: Callable[[], None],
) -> JointCalibration:
    """Estimate cells at held-out blocks, and derive weights and deviations."""
    tasks = [
        _Task(bins, kriged, column, found, train, test, _TREES_OF_CALIBRATION)
        for column, found in others.items()
        if found.size
        for train, test in _held_out(bins, column)
    ]
    errors: list[Float64Array] = [np.empty((2, 0))] * len(tasks)

    def judge(place: int) -> None:
        check()
        task = tasks[place]
        truth = bins.level_dbm[task.at, task.column].astype(np.float64)
        errors[place] = np.stack([_joint(task) - truth, _single(task) - truth])

    _in_threads(judge, range(len(tasks)))
    if not tasks:
        return JointCalibration({}, 0.0, (np.nan,) * (len(_EDGES_M) + 1), np.nan, np.nan, 0)
    column_of = np.concatenate([np.full(task.at.size, task.column) for task in tasks])
    distance_m = np.concatenate([_distance_m(bins, task.train, task.at) for task in tasks])
    joint, single = np.clip(np.concatenate(errors, axis=1), -_LARGEST_ERROR_DB, _LARGEST_ERROR_DB)
    difference = joint - single
    weight = _stacked(single, difference, 1.0, _PRIOR)
    of_cell = {
        bins.cells[int(column)]: _stacked(
            single[column_of == column], difference[column_of == column], weight, _PRIOR_OF_CELL
        )
        for column in np.unique(column_of)
    }
    own_weight = np.array([of_cell[bins.cells[int(column)]] for column in column_of])
    combined = single + own_weight * difference
    return JointCalibration(
        of_cell,
        weight,
        _std_by_distance(combined, distance_m),
        float(np.sqrt(np.mean(combined**2))),
        float(np.sqrt(np.mean(single**2))),
        int(combined.size),
    )


def _held_out(bins: LogBins, column: int) -> list[tuple[IndexArray, IndexArray]]:
    """Folds of whole blocks of a cell's bins: those to train with, and those to judge at."""
    readings = np.flatnonzero(bins.reported[:, column])
    found = []
    position_m = bins.position_m[readings]
    for kept, held in held_out_folds(position_m, blocks_m=_BLOCKS_M, folds=_FOLDS):
        train, test = readings[kept], readings[held]
        if train.size >= MIN_READINGS:
            if test.size > MAX_TRAINING:
                test = np.random.default_rng(0).choice(test, MAX_TRAINING, replace=False)
            found.append((train, test))
    return found


def _stacked(
    single: Float64Array, difference: Float64Array, prior: float, strength: float
) -> float:
    """Weight of the joint estimate by least squares, shrunk towards a prior weight."""
    evidence = float(difference @ difference)
    if evidence == 0.0:
        return prior
    best = -float(difference @ single) / evidence
    return float(np.clip((best + strength * prior) / (1.0 + strength), 0.0, 1.0))


def _std_by_distance(error_db: Float64Array, distance_m: Float64Array) -> tuple[float, ...]:
    """Root mean square of errors in classes of distance, which does not fall with the distance."""
    overall = float(np.mean(error_db**2))
    classes = np.digitize(distance_m, _EDGES_M)
    number = np.bincount(classes, minlength=len(_EDGES_M) + 1)
    squares = np.bincount(classes, error_db**2, minlength=len(_EDGES_M) + 1)
    shrunk = np.sqrt((squares + 10.0 * overall) / (number + 10.0))
    return tuple(float(value) for value in np.maximum.accumulate(shrunk))


def _distance_m(bins: LogBins, readings: IndexArray, at: IndexArray) -> Float64Array:
    """Distances of bins from the nearest of some other bins."""
    distance, _ = KDTree(bins.position_m[readings]).query(bins.position_m[at])
    return np.asarray(distance, dtype=np.float64)


def _in_threads(function: Callable[[int], None], places: Sequence[int] | NDArray[np.intp]) -> None:
    """Call a function for each place, on all cores; the first error is raised."""
    with ThreadPoolExecutor(available_threads()) as pool:
        for _ in pool.map(function, places):
            pass
