"""Hold-out of a log of several cells, judged at the held-out places only.

A cell is hidden in blocks of the area, or in whole drives, and estimated there from the rest. With
``hold_out="target"`` the other cells are known at these places: the phone was there and did not
report this one. With ``hold_out="all"`` no cell is known there: the place
was not driven.

Source of the protocol: D. R. Roberts et al., "Cross-validation strategies for data with temporal,
spatial, hierarchical, or phylogenetic structure", Ecography 40 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import BoolArray, Float64Array, FloatArray, IndexArray
from rm_geo.errors import TooSmallError, UsageError
from rm_geo.estimators.base import PointEstimator
from rm_geo.estimators.registry import get_method, method_info
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.coregionalization import JointCalibration, calibrate_joint, estimate_jointly
from rm_geo.geostat.joint_correction import JointCorrection
from rm_geo.geostat.street_ensemble import StreetEnsemble
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.visits import Visits
from rm_geo.products.radio_map import open_radio_map
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.log_bins import BIN_M, LogBins
from rm_geo.raster.sparse import SparseRaster
from rm_geo.validation.repeated_passes import NoiseFloor, noise_floor

HoldOut: TypeAlias = Literal["target", "all"]
By: TypeAlias = Literal["blocks", "log", "day"]
Support: TypeAlias = Literal["pixel", "5m", "20m"]

DISTANCES_M: Final = (5.0, 15.0, 30.0, 60.0, 100.0, 200.0)
"""Bounds of the classes of distance to the nearest reading that was not held out."""

WITHIN_DB: Final = 6.0
NORMAL_90: Final = 1.645
_LEAST_BINS: Final = 20
_PAUSE: Final = np.timedelta64(120, "s")
"""A longer pause begins a new drive."""

_RESAMPLES: Final = 500


@dataclass(frozen=True)
class Case:
    """One cell with some of its places held out.

    Attributes
    ----------
    bins : LogBins
        The log without what is held out.
    cell : str
        Name of the cell.
    position_m : ndarray of float64, shape (N, 2)
        Held-out places.
    calibration : callable
        Gives the calibration of joint estimates without what is held out; computed once.
    """

    bins: LogBins
    cell: str
    position_m: Float64Array
    calibration: Callable[[], JointCalibration]

    @property
    def readings(self) -> IndexArray:
        """Bins with a reading of the cell that is not held out."""
        return np.flatnonzero(self.bins.reported[:, self.bins.cells.index(self.cell)])

    def level_dbm(self, at: IndexArray) -> Float64Array:
        """Levels of the cell in bins."""
        column = self.bins.cells.index(self.cell)
        return np.asarray(self.bins.level_dbm[at, column], dtype=np.float64)


@dataclass(frozen=True)
class Prediction:
    """Estimates at the held-out places of a case.

    Attributes
    ----------
    level_dbm : ndarray of float64, shape (N,)
        NaN where a method gives none.
    std_db : ndarray of float64, shape (N,), or None
        Standard deviations; None from methods that do not estimate them.
    """

    level_dbm: Float64Array
    std_db: Float64Array | None = None


Predict: TypeAlias = Callable[[Case], Prediction]


@dataclass(frozen=True)
class LogScore:
    """Errors of one method in one cell, or in all cells together.

    Attributes
    ----------
    method, cell : str
        Names; the cell ``all`` pools all cells, each place counting once.
    block_m : float
        Side of the held-out blocks in metres; 0 for whole drives.
    points : int
        Places that are judged: those that every method estimated.
    missing : int
        Held-out places without an estimate of this method.
    rmse_db, mae_db, bias_db : float
        The bias is estimate minus truth.
    correlation : float
        Of estimates and truth.
    within_6_db : float
        Share of errors of at most 6 dB.
    interval_90 : float
        Share of truths within 1.645 standard deviations; NaN without deviations.
    best_other : str
        The other method with the smallest error; empty if there is none.
    difference_db : float
        RMSE minus that of the best other method.
    p_value : float
        Probability of a difference of the other sign, by a bootstrap over blocks.
    rmse_by_distance_db : dict of str to float
        RMSE by distance to the nearest reading of the cell that was not held out.
    """

    method: str
    cell: str
    block_m: float
    points: int
    missing: int
    rmse_db: float
    mae_db: float
    bias_db: float
    correlation: float
    within_6_db: float
    interval_90: float
    best_other: str = ""
    difference_db: float = float("nan")
    p_value: float = float("nan")
    rmse_by_distance_db: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogValidation:
    """Result of :func:`validate_log`.

    Attributes
    ----------
    scores : tuple of LogScore
        By size of the blocks, cell (``all`` first) and method.
    floor : NoiseFloor
        Spread of repeated passes: no map can be better.
    left_out : dict of str to str
        Cells that were not judged, and why.
    """

    scores: tuple[LogScore, ...]
    floor: NoiseFloor
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class _Errors:
    """Held-out places of one cell, with the estimates of all methods."""

    truth_dbm: Float64Array
    level_dbm: Mapping[str, Float64Array]
    std_db: Mapping[str, Float64Array]
    distance_m: Float64Array
    block: IndexArray


def validate_log(
    measurements: Measurements,
    methods: Sequence[str] = ("knn", "idw", "street-ensemble", "joint"),
    *,
    block_m: Sequence[float] = (50.0, 200.0),
    hold_out: HoldOut = "target",
    by: By = "blocks",
    support: Support = "5m",
    cells: Sequence[str] = (),
    top: int | None = 6,
    folds: int = 5,
    seed: int = 0,
    evidence: Callable[[str, str], bool] | None = None,
    progress: Progress | None = None,
) -> LogValidation:
    """Judge methods on held-out blocks or drives of a log of several cells.

    Parameters
    ----------
    measurements : Measurements
        The log.
    methods : sequence of str
        Classical methods of :func:`rm_geo.list_methods`; ``joint`` (the joint estimate of all
        cells), ``single`` (the street ensemble of the cell alone), ``default`` (``single``
        corrected by the joint estimates at visited places, as in :func:`rm_geo.predict`, without
        a network), or the path of a GeoTIFF of RSRP.
    block_m : sequence of float
        Sides of the blocks in metres; each is a table of its own.
    hold_out : {"target", "all"}
        Whether the other cells are known at the held-out places.
    by : {"blocks", "log", "day"}
        Blocks of the area, drives between pauses of two minutes, or days.
    support : {"pixel", "5m", "20m"}
        What is compared: means of pixels of 1 m (of power), of bins of 5 m, or of blocks of 20 m.
    cells : sequence of str
        Cells that are judged, by the names of their files.
    top : int, optional
        Judge this number of cells, those with the most readings, if no cells are given.
    folds : int
        Parts, each of which is held out once.
    seed : int
        Seed of the order of the blocks and of the bootstrap.
    evidence : callable, optional
        Whether the second cell may be used for the first, by their names.
    progress : Progress, optional
        Counts the parts, and may cancel the work.

    Returns
    -------
    LogValidation

    Raises
    ------
    UsageError
        If there is no such method or cell, or an option has no meaning.
    TooSmallError
        If no cell has enough places.

    Examples
    --------
    >>> from pyproj import CRS
    >>> x = np.repeat(np.arange(0.0, 1200.0, 5.0), 3)
    >>> level = -90 + 6 * np.sin(x / 40) + np.tile([0.0, -5.0, -9.0], 240)
    >>> drive = Measurements(x, np.zeros(720), level.astype(np.float32),
    ...                      np.tile(["1", "2", "3"], 240), CRS.from_epsg(32633))
    >>> result = validate_log(drive, ["knn", "joint"], block_m=[50], top=1)
    >>> knn, joint = (score for score in result.scores if score.cell == "all")
    >>> joint.rmse_db < knn.rmse_db
    True
    """
    listener = SilentProgress() if progress is None else progress
    if folds < 2 or any(size <= 0 for size in block_m) or not block_m:
        raise UsageError("A hold-out needs at least 2 folds and blocks above 0 m.")
    if by != "blocks" and measurements.time is None:
        raise UsageError(
            f"A hold-out by {by} needs times, and the measurements have none.", parameter="by"
        )
    predictors = {name: predictor(name, evidence) for name in dict.fromkeys(methods)}
    if not predictors:
        raise UsageError("Name at least one method.", parameter="methods")
    grouped, _ = measurements.grouped()
    judged, left_out = _judged_cells(LogBins.of(grouped), cells, top)
    if not judged:
        raise TooSmallError(
            f"No cell has readings in {_LEAST_BINS} bins of {BIN_M:g} m.",
            hint="Collect more measurements.",
        )
    scores: list[LogScore] = []
    sizes = list(block_m) if by == "blocks" else [0.0]
    listener.start(len(sizes) * folds * len(judged), "parts", "hold-out")
    for size in sizes:
        errors = _hold_out(
            grouped, predictors, judged, _Split(hold_out, by, size, folds, seed), support, listener
        )
        scores += _scores(errors, list(predictors), size, seed)
    listener.finish()
    return LogValidation(tuple(scores), noise_floor(grouped), left_out)


def predictor(name: str, evidence: Callable[[str, str], bool] | None = None) -> Predict:
    """Make the function of a method's name.

    Parameters
    ----------
    name : str
        As for :func:`validate_log`.
    evidence : callable, optional
        As for :func:`validate_log`.

    Returns
    -------
    callable
        Takes a :class:`Case`, and gives a :class:`Prediction`.

    Raises
    ------
    UsageError
        If there is no such method, or it cannot be evaluated at points.
    InputError
        If a file cannot be read.
    """
    if name == "joint":
        return lambda case: _joint(case, evidence)
    if name == "single":
        return lambda case: Prediction(_ensemble(case).at(case.position_m))
    if name == "default":
        return lambda case: _default(case, evidence)
    if Path(name).suffix.lower() in {".tif", ".tiff", ".vrt"}:
        radio_map = open_radio_map(name)
        return lambda case: Prediction(
            np.asarray(radio_map.sample(*case.position_m.T), dtype=np.float64)
        )
    if method_info(name).is_network:
        raise UsageError(
            f"{name!r} is a network, which gives whole tiles and no single places.",
            hint="Use 'rm-geo evaluate drive-test' with pipeline:NAME.",
            parameter="methods",
        )
    estimator = get_method(name)
    assert isinstance(estimator, PointEstimator)
    return lambda case: _classical(case, estimator)


def _ensemble(case: Case) -> StreetEnsemble:
    """Fit the street ensemble to the readings of a case."""
    at = case.readings
    count = case.bins.count[at, case.bins.cells.index(case.cell)].astype(np.float64)
    return StreetEnsemble.fit(
        case.bins.position_m[at], case.level_dbm(at), 8.0 / np.minimum(count, 8.0)
    )


def _estimates(
    case: Case, evidence: Callable[[str, str], bool] | None
) -> tuple[FloatArray, FloatArray]:
    """Joint estimates and deviations of the cell at all visited bins."""
    matrix = None
    if evidence is not None:
        names = case.bins.cells
        matrix = np.array([[evidence(first, second) for second in names] for first in names])
    found = estimate_jointly(
        case.bins, [case.cell], calibration=case.calibration(), evidence=matrix
    )
    return found.level_dbm[:, 0], found.std_db[:, 0]


def _joint(case: Case, evidence: Callable[[str, str], bool] | None) -> Prediction:
    """Joint estimate at the bin of each place; the cell alone where there is none."""
    level_dbm, std_db = _estimates(case, evidence)
    nearest = _nearest(case.bins.position_m, case.position_m)
    at = np.where(nearest >= 0, level_dbm[nearest], np.nan).astype(np.float64)
    std = np.where(nearest >= 0, std_db[nearest], np.nan).astype(np.float64)
    if np.isnan(at).any():
        alone = np.isnan(at)
        at[alone] = _ensemble(case).at(case.position_m[alone])
    return Prediction(at, std)


def _nearest(visited_m: Float64Array, position_m: Float64Array) -> IndexArray:
    """Find the visited bin of each place; -1 if it was not visited."""
    distance, index = KDTree(visited_m).query(position_m)
    return np.asarray(np.where(distance <= BIN_M, index, -1), dtype=np.int64)


def _default(case: Case, evidence: Callable[[str, str], bool] | None) -> Prediction:
    """Correct the ensemble by the joint estimates at visited places without a reading."""
    ensemble = _ensemble(case)
    at = ensemble.at(case.position_m)
    level_dbm, std_db = _estimates(case, evidence)
    readings = case.readings
    unread = np.setdiff1d(np.flatnonzero(np.isfinite(level_dbm)), readings)
    if not unread.size:
        return Prediction(at)
    visited_m = case.bins.position_m
    correction = JointCorrection.fit(
        visited_m[unread],
        level_dbm[unread] - ensemble.at(visited_m[unread]),
        std_db[unread].astype(np.float64),
        visited_m[readings],
        (1, 1),
        1.0,
    )
    return Prediction(at if correction is None else at + correction.at(case.position_m))


def _classical(case: Case, estimator: PointEstimator) -> Prediction:
    """Evaluate a method at the held-out places, on pixels of 1 m."""
    at = case.readings
    places = np.concatenate([case.bins.position_m[at], case.position_m])
    low = np.floor(places.min(axis=0)) - 1.0
    size = np.ceil(places.max(axis=0) - low).astype(int) + 2
    grid = Grid.create(low[0], low[1] + size[1], (int(size[1]), int(size[0])), 1.0, 32633)
    row, col = (np.floor(axis).astype(np.int64) for axis in grid.to_pixel(*places[: at.size].T))
    pixel, first = np.unique(row * grid.shape[1] + col, return_index=True)
    level = case.level_dbm(at)[first].astype(np.float32)
    sparse = SparseRaster(
        grid, pixel, level, np.ones(pixel.size, np.int32), np.full(pixel.size, np.nan, np.float32)
    )
    rows, cols = grid.to_pixel(*case.position_m.T)
    return Prediction(np.asarray(estimator.estimate_at(sparse, rows, cols), dtype=np.float64))


@dataclass(frozen=True)
class _Split:
    """How a log is held out."""

    hold_out: HoldOut
    by: By
    block_m: float
    folds: int
    seed: int

    def groups(self, log: Measurements) -> IndexArray:
        """Group of each row: its block, drive or day."""
        if self.by == "blocks":
            return np.asarray(block_numbers(log.y, log.x, self.block_m), dtype=np.int64)
        assert log.time is not None
        if self.by == "day":
            _, day = np.unique(log.time.astype("datetime64[D]"), return_inverse=True)
            return np.asarray(day, dtype=np.int64).reshape(-1)
        order = np.argsort(log.time, kind="stable")
        begins = np.concatenate([[0], np.diff(log.time[order]) > _PAUSE]).astype(np.int64)
        group = np.empty(len(log), dtype=np.int64)
        group[order] = np.cumsum(begins)
        return group

    def fold_of(self, groups: IndexArray) -> IndexArray:
        """Fold of each row: the groups in random order."""
        order = np.random.default_rng(self.seed).permutation(int(groups.max()) + 1)
        return np.asarray(order[groups] % self.folds, dtype=np.int64)


def _hold_out(
    log: Measurements,
    predictors: Mapping[str, Predict],
    judged: Sequence[str],
    split: _Split,
    support: Support,
    progress: Progress,
) -> dict[str, _Errors]:
    """Estimate the judged cells where they are held out."""
    groups = split.groups(log)
    folds = split.fold_of(groups)
    _, parts = log.grouped()
    visits = log.visits()
    collected: dict[str, list[_Errors]] = {cell: [] for cell in judged}
    judged_rows = np.zeros(len(log), dtype=np.bool_)
    for cell in judged:
        judged_rows[parts[cell].rows] = True
    for fold in range(split.folds):
        held = folds == fold
        known = visits if split.hold_out == "target" else None
        calibration = _once(_without(log, held & judged_rows, known, held))
        for cell in judged:
            progress.check()
            own = np.zeros(len(log), dtype=np.bool_)
            own[parts[cell].rows] = True
            rows = np.flatnonzero(own & held)
            progress.advance()
            if not rows.size:
                continue
            hidden = own & held if split.hold_out == "target" else held
            kept = _without(log, hidden, known, held)()
            if cell not in kept.cells or kept.reported[:, kept.cells.index(cell)].sum() < 5:
                continue
            position, truth, block = _truth(log, rows, groups, support)
            judgement = _judge(Case(kept, cell, position, calibration), truth, block, predictors)
            if support == "20m":
                judgement = _averaged(judgement, position)
            collected[cell].append(judgement)
    return {cell: _joined(found) for cell, found in collected.items() if found}


def _without(
    log: Measurements, hidden: BoolArray, visits: Visits | None, held: BoolArray
) -> Callable[[], LogBins]:
    """Bin a log without some rows; their places stay visited if ``visits`` are given."""

    def bins() -> LogBins:
        kept = log.select(~hidden if visits is not None else ~held)
        return LogBins.of(kept if visits is None else replace(kept, places=visits))

    return bins


def _once(make: Callable[[], LogBins]) -> Callable[[], JointCalibration]:
    """Calibrate when it is first asked for, and once."""
    found: list[JointCalibration] = []

    def calibration() -> JointCalibration:
        if not found:
            found.append(calibrate_joint(make()))
        return found[0]

    return calibration


def _truth(
    log: Measurements, rows: IndexArray, groups: IndexArray, support: Support
) -> tuple[Float64Array, Float64Array, IndexArray]:
    """Positions, mean levels and blocks of the held-out places of a cell."""
    side = 1.0 if support == "pixel" else BIN_M
    x, y, level = log.x[rows], log.y[rows], log.rsrp_dbm[rows].astype(np.float64)
    number = block_numbers(y, x, side)
    count = np.bincount(number)
    position = np.column_stack([np.bincount(number, axis) / count for axis in (x, y)])
    if support == "pixel":  # the local mean of power
        truth = 10.0 * np.log10(np.bincount(number, 10.0 ** (level / 10.0)) / count)
    else:
        truth = np.bincount(number, level) / count
    block = np.zeros(count.size, dtype=np.int64)
    block[number] = groups[rows]
    return position, truth, block


def _judge(
    case: Case, truth: Float64Array, block: IndexArray, predictors: Mapping[str, Predict]
) -> _Errors:
    """Run all methods on a case."""
    level: dict[str, Float64Array] = {}
    std: dict[str, Float64Array] = {}
    for name, predict in predictors.items():
        prediction = predict(case)
        level[name] = prediction.level_dbm
        if prediction.std_db is not None:
            std[name] = prediction.std_db
    distance, _ = KDTree(case.bins.position_m[case.readings]).query(case.position_m)
    return _Errors(truth, level, std, np.asarray(distance), block)


def _averaged(found: _Errors, position_m: Float64Array) -> _Errors:
    """Average truth and estimates over blocks of 20 m; single deviations do not apply to means."""
    number = block_numbers(position_m[:, 1], position_m[:, 0], 20.0)
    count = np.bincount(number)

    def mean(values: Float64Array) -> Float64Array:
        return np.asarray(np.bincount(number, values) / count)

    block = np.zeros(count.size, dtype=np.int64)
    block[number] = found.block
    return _Errors(
        mean(found.truth_dbm),
        {name: mean(level) for name, level in found.level_dbm.items()},
        {},
        mean(found.distance_m),
        block,
    )


def _joined(found: Sequence[_Errors]) -> _Errors:
    """Join the held-out places of several parts."""
    names = found[0].level_dbm
    return _Errors(
        np.concatenate([part.truth_dbm for part in found]),
        {name: np.concatenate([part.level_dbm[name] for part in found]) for name in names},
        {
            name: np.concatenate(
                [part.std_db.get(name, np.full(part.truth_dbm.size, np.nan)) for part in found]
            )
            for name in names
            if any(name in part.std_db for part in found)
        },
        np.concatenate([part.distance_m for part in found]),
        np.concatenate([part.block for part in found]),
    )


def _scores(
    errors: Mapping[str, _Errors], methods: Sequence[str], block_m: float, seed: int
) -> Iterator[LogScore]:
    """Score all methods: all cells together, then cell by cell."""
    if not errors:
        return
    numbered = [
        replace(found, block=found.block + 10_000_000 * number)
        for number, found in enumerate(errors.values())
    ]
    for cell, found in {"all": _joined(numbered), **errors}.items():
        common: BoolArray = np.asarray(
            np.isfinite(np.stack(list(found.level_dbm.values()))).all(axis=0)
        )
        squares = {name: (found.level_dbm[name] - found.truth_dbm)[common] ** 2 for name in methods}
        for name in methods:
            yield _score(found, name, cell, block_m, common, squares, seed)


def _score(
    found: _Errors,
    name: str,
    cell: str,
    block_m: float,
    common: BoolArray,
    squares: Mapping[str, Float64Array],
    seed: int,
) -> LogScore:
    """Score one method on the places that all methods estimated."""
    missing = int(np.isnan(found.level_dbm[name]).sum())
    if not common.any():
        nan = float("nan")
        return LogScore(name, cell, block_m, 0, missing, nan, nan, nan, nan, nan, nan)
    truth, level = found.truth_dbm[common], found.level_dbm[name][common]
    error = level - truth
    interval = float("nan")
    if name in found.std_db:
        std = found.std_db[name][common]
        known = np.isfinite(std)
        if known.any():
            interval = float(np.mean(np.abs(error[known]) <= NORMAL_90 * std[known]))
    spread = float(np.std(level)) * float(np.std(truth))
    correlation = float("nan") if spread == 0.0 else float(np.corrcoef(level, truth)[0, 1])
    others = [other for other in squares if other != name]
    best = min(others, key=lambda other: float(squares[other].mean()), default="")
    difference, p_value = float("nan"), float("nan")
    if best:
        difference, p_value = _compared(squares[name], squares[best], found.block[common], seed)
    return LogScore(
        name,
        cell,
        block_m,
        int(error.size),
        missing,
        float(np.sqrt(np.mean(error**2))),
        float(np.mean(np.abs(error))),
        float(error.mean()),
        correlation,
        float(np.mean(np.abs(error) <= WITHIN_DB)),
        interval,
        best,
        difference,
        p_value,
        _by_distance(error, found.distance_m[common]),
    )


def _compared(
    own: Float64Array, other: Float64Array, block: IndexArray, seed: int
) -> tuple[float, float]:
    """Difference of two RMSE, and the probability of the other sign by resampling blocks."""
    _, number = np.unique(block, return_inverse=True)
    number = number.reshape(-1)
    sums = np.stack([np.bincount(number, own), np.bincount(number, other), np.bincount(number)])
    difference = float(np.sqrt(own.mean()) - np.sqrt(other.mean()))
    drawn = np.random.default_rng(seed).integers(sums.shape[1], size=(_RESAMPLES, sums.shape[1]))
    first, second, count = sums[:, drawn].sum(axis=2)
    resampled = np.sqrt(first / count) - np.sqrt(second / count)
    against = np.mean(resampled >= 0.0) if difference < 0.0 else np.mean(resampled <= 0.0)
    return difference, float(against)


def _by_distance(error: Float64Array, distance_m: Float64Array) -> dict[str, float]:
    """RMSE in classes of distance."""
    classes = np.digitize(distance_m, DISTANCES_M)
    bounds = [0.0, *DISTANCES_M]
    found = {}
    for number, low in enumerate(bounds):
        inside = error[classes == number]
        if inside.size:
            high = f"-{bounds[number + 1]:g}" if number + 1 < len(bounds) else "+"
            found[f"{low:g}{high} m"] = float(np.sqrt(np.mean(inside**2)))
    return found


def _judged_cells(
    bins: LogBins, cells: Sequence[str], top: int | None
) -> tuple[list[str], dict[str, str]]:
    """Choose the cells that are judged; the others, and why they are not."""
    if missing := [cell for cell in cells if cell not in bins.cells]:
        raise UsageError(
            f"There is no cell {missing[0]!r} in the measurements.",
            hint=f"Cells: {', '.join(bins.cells[:20])}.",
            parameter="cells",
        )
    reported = dict(zip(bins.cells, bins.reported.sum(axis=0).tolist(), strict=True))
    readings = dict(zip(bins.cells, bins.count.sum(axis=0).tolist(), strict=True))
    wanted = list(cells) or sorted(bins.cells, key=lambda cell: -readings[cell])
    enough = [cell for cell in wanted if reported[cell] >= _LEAST_BINS]
    judged = enough if cells else enough[:top]
    left_out = {
        cell: f"readings in {reported[cell]} bins only"
        for cell in wanted
        if reported[cell] < _LEAST_BINS
    }
    return judged, left_out
