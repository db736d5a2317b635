"""Hold-out of logs of several cells, judged at the held-out places only.

A cell is hidden in blocks of the area, or in whole drives, and estimated there from the rest. With
``hold_out="target"`` the other cells are known at these places: the phone was there and did not
report this one. With ``hold_out="all"`` no cell is known there: the place
was not driven.

Source of the protocol: D. R. Roberts et al., "Cross-validation strategies for data with temporal,
spatial, hierarchical, or phylogenetic structure", Ecography 40 (2017).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from scipy.spatial import KDTree

from rm_geo._types import BoolArray, Float64Array, IndexArray
from rm_geo.errors import TooSmallError, UsageError
from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.coregionalization import JointCalibration, calibrate_joint
from rm_geo.geostat.reporting import ReportedProbability
from rm_geo.io.provenance import describe_inputs
from rm_geo.measurements.model import CellPart, Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell_plan import plan_cell
from rm_geo.pipeline.log_weight import MAX_PLANNED, LogWeight
from rm_geo.pipeline.plan import Logs, read_logs, requested_cells
from rm_geo.products.summary import listed
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.log_bins import BIN_M, LogBins
from rm_geo.validation.coverage_calibration import CoverageShare, coverage_shares
from rm_geo.validation.log_methods import (
    REPORTED,
    Case,
    Evidence,
    Predict,
    evidence_matrix,
    predictor,
    require_used,
)
from rm_geo.validation.metrics import area_under_curve
from rm_geo.validation.repeated_passes import NoiseFloor, noise_floor

HoldOut: TypeAlias = Literal["target", "all"]
By: TypeAlias = Literal["blocks", "log", "day"]
Support: TypeAlias = Literal["pixel", "5m", "20m"]

DISTANCES_M: Final = (5.0, 15.0, 30.0, 60.0, 100.0, 200.0)
"""Bounds of the classes of distance to the nearest reading that was not held out."""

WITHIN_DB: Final = 6.0
NORMAL_90: Final = 1.645
_STD_SUPPORT_M: Final[Mapping[Support, float]] = MappingProxyType(
    {"pixel": 0.0, "5m": 5.0, "20m": 20.0}
)
_LEAST_BINS: Final = 20
_PAUSE: Final = np.timedelta64(120, "s")
"""A longer pause begins a new drive."""

_RESAMPLES: Final = 500


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
    auc, brier : float
        Of the method ``reported`` alone: area under the ROC curve, and mean square error of the
        probability, at all held-out visited places.
    coverage : tuple of CoverageShare
        Calibration of the probability of coverage, of methods with deviations; empty without
        thresholds.

    Examples
    --------
    >>> score = LogScore("knn", "all", 50.0, points=2000, missing=0, rmse_db=5.5, bias_db=0.1)
    >>> f"{score.method}: {score.rmse_db} dB at {score.points} places"
    'knn: 5.5 dB at 2000 places'
    """

    method: str
    cell: str
    block_m: float
    points: int
    missing: int
    rmse_db: float = float("nan")
    mae_db: float = float("nan")
    bias_db: float = float("nan")
    correlation: float = float("nan")
    within_6_db: float = float("nan")
    interval_90: float = float("nan")
    best_other: str = ""
    difference_db: float = float("nan")
    p_value: float = float("nan")
    rmse_by_distance_db: Mapping[str, float] = field(default_factory=dict)
    auc: float = float("nan")
    brier: float = float("nan")
    coverage: tuple[CoverageShare, ...] = ()


@dataclass(frozen=True)
class HeldOutPlaces:
    """Places that were held out, with what was measured and estimated there.

    Attributes
    ----------
    block_m : float
        Side of the held-out blocks in metres; 0 for whole drives.
    cell : ndarray of object, shape (n,)
        Cell of each place.
    position_m : ndarray of float64, shape (n, 2)
        Easting and northing in metres.
    measured_dbm : ndarray of float64, shape (n,)
        Mean of the measurements.
    estimate_dbm : dict of str to ndarray of float64, shape (n,)
        By method; NaN where it gives no estimate.
    distance_m : ndarray of float64, shape (n,)
        Distance to the nearest reading of the cell that was not held out.
    crs : CRS
        CRS of the positions.
    """

    block_m: float
    cell: NDArray[np.object_]
    position_m: Float64Array
    measured_dbm: Float64Array
    estimate_dbm: Mapping[str, Float64Array]
    distance_m: Float64Array
    crs: CRS


@dataclass(frozen=True)
class LogValidation:
    """Result of :func:`validate`.

    Attributes
    ----------
    scores : tuple of LogScore
        By size of the blocks, cell (``all`` first) and method.
    floor : NoiseFloor
        Spread of repeated passes: no map can be better.
    left_out : dict of str to str
        Cells that were not judged, and why.
    settings : mapping of str to object
        How the scores were measured: the arguments of :func:`validate`.
    sources : tuple of Path
        Files of the measurements; empty if they came from memory.
    places : tuple of HeldOutPlaces
        The held-out places, for each size of the blocks.
    provenance : mapping of str to str
        Name, size and checksum of each, as they were read.

    Examples
    --------
    >>> scores = [LogScore(name, "all", 50.0, points=2000, missing=0, rmse_db=rmse_db)
    ...           for name, rmse_db in (("knn", 5.5), ("joint", 4.2))]
    >>> result = LogValidation(tuple(scores), NoiseFloor(1.5, 2.1, 300), {"9": "3 places"})
    >>> min(result.scores, key=lambda score: score.rmse_db).method
    'joint'
    """

    scores: tuple[LogScore, ...]
    floor: NoiseFloor
    left_out: Mapping[str, str]
    settings: Mapping[str, object] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    places: tuple[HeldOutPlaces, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Errors:
    """Held-out places of one cell, with the estimates of all methods."""

    position_m: Float64Array
    truth_dbm: Float64Array
    level_dbm: Mapping[str, Float64Array]
    std_db: Mapping[str, Float64Array]
    distance_m: Float64Array
    block: IndexArray


def validate(
    measurements: Logs,
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
    thresholds_dbm: Sequence[float] = (),
    evidence: Evidence | None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
) -> LogValidation:
    """Judge methods on held-out blocks or drives of measurements.

    Parameters
    ----------
    measurements : path-like, Measurements, or sequence of these
        A file, measurements in memory, or several logs of one area, which are joined.
    methods : sequence of str
        Methods of :func:`rm_geo.list_methods` (networks without the correction by the
        measurements); ``pipeline:NAME``, the map of :func:`rm_geo.predict` by a method;
        ``single``, that of the default method; ``joint``, the joint estimate of all cells at
        visited places; ``default``, ``single`` corrected by ``joint``; ``reported``, the
        probability of being reported; a GeoTIFF of RSRP, or a folder of ``<cell>_rsrp.tif``.
    block_m : sequence of float
        Sides of the blocks in metres; each is a table of its own.
    hold_out : {"target", "all"}
        Whether the other cells are known at the held-out places.
    by : {"blocks", "log", "day"}
        Blocks of the area, drives between pauses of two minutes, or days.
    support : {"pixel", "5m", "20m"}
        What is compared: means of pixels of 1 m (of power), of bins of 5 m, or of blocks of 20 m.
    cells : sequence of str
        Cells that are judged, named as in the measurements or as in file names.
    top : int, optional
        Judge this number of cells, those with the most readings, if no cells are given.
    folds : int
        Parts, each of which is held out once.
    seed : int
        Seed of the order of the blocks and of the bootstrap.
    thresholds_dbm : sequence of float
        Levels at which a place is covered: the probability of coverage is compared with the share
        of the held-out places that are, over all of these levels.
    evidence : callable, optional
        Whether the second cell may be used for the first, by their names.
    options : PredictOptions, optional
        Options of reading a file, and of the maps in ``single``, ``default``,
        ``pipeline:NAME`` and networks: ``model``, ``buildings`` (for
        ``pipeline:NAME+buildings``), ``sites``, ``resolution_m``, ``reach_m`` and so on.
    progress : Progress, optional
        Receives the report of the reader, says which cells and blocks are left out, counts the
        parts, and may cancel the work.

    Returns
    -------
    LogValidation
        Errors by size of the blocks, cell and method, and the noise floor.

    Raises
    ------
    UsageError
        If there is no such method or cell, or an option has no meaning.
    InputError, CrsError
        If a file cannot be used, or the logs cannot be joined.
    TooSmallError
        If no cell has enough places.

    Examples
    --------
    >>> from pyproj import CRS
    >>> x = np.repeat(np.arange(0.0, 1200.0, 5.0), 3)
    >>> level = -90 + 6 * np.sin(x / 40) + np.tile([0.0, -5.0, -9.0], 240)
    >>> drive = Measurements(x, np.zeros(720), level.astype(np.float32),
    ...                      np.tile(["1", "2", "3"], 240), CRS.from_epsg(32633))
    >>> result = validate(drive, ["knn", "joint"], block_m=[50], top=1)
    >>> knn, joint = (score for score in result.scores if score.cell == "all")
    >>> joint.rmse_db < knn.rmse_db
    True
    """
    listener = SilentProgress() if progress is None else progress
    if folds < 2 or any(size <= 0 for size in block_m) or not block_m:
        raise UsageError("A hold-out needs at least 2 folds and blocks above 0 m.")
    names = tuple(dict.fromkeys(methods))
    if not names or isinstance(methods, str):
        raise UsageError("Name at least one method, in a list.", parameter="methods")
    chosen = PredictOptions() if options is None else options
    require_used(chosen, names)
    thresholds = tuple(float(level) for level in thresholds_dbm)
    if not all(np.isfinite(thresholds)):
        raise UsageError("Thresholds must be levels in dBm.", parameter="thresholds_dbm")
    log, _ = read_logs(measurements, chosen, listener)
    provenance = describe_inputs(log.inputs)
    if by != "blocks" and log.time is None:
        raise UsageError(
            f"A hold-out by {by} needs times, and the measurements have none.", parameter="by"
        )
    grouped, cell_parts = log.grouped()
    asked = requested_cells(cell_parts, cells) if cells else None
    judged, left_out = _judged_cells(LogBins.of(grouped), asked, top)
    mapped = chosen.replace(std_support_m=_STD_SUPPORT_M[support])
    predictors = {
        name: predictor(name, judged, evidence=evidence, options=mapped)
        for name in names
        if name != REPORTED
    }
    if not judged:
        raise TooSmallError(
            f"No cell has readings in {_LEAST_BINS} bins of {BIN_M:g} m.",
            hint="Collect more measurements.",
        )
    scores: list[LogScore] = []
    places: list[HeldOutPlaces] = []
    sizes = list(dict.fromkeys(block_m)) if by == "blocks" else [0.0]
    listener.start(len(sizes) * folds * len(judged), "parts", "hold-out")
    for size in sizes:
        try:
            parts = _Folds(grouped, judged, _Split(hold_out, by, size, folds, seed))
        except TooSmallError as error:
            if len(sizes) == 1:
                raise
            listener.log(f"Left out: {error.message}")
            listener.advance(folds * len(judged))
            continue
        errors = _hold_out(parts, grouped, predictors, judged, support, evidence, mapped, listener)
        scores += _scores(errors, list(predictors), size, seed, thresholds)
        places += _places(errors, size, grouped.crs)
        if REPORTED in names:
            scores += _reported_scores(parts, judged, size)
    listener.finish()
    if not scores:
        raise TooSmallError(
            "No cell has enough measurements outside of what is held out.",
            hint="Take smaller blocks or more folds.",
            parameter="block_m",
        )
    for cell in set(judged) - {score.cell for score in scores}:
        left_out[cell] = "too few readings outside of the held-out blocks"
    for line in _left_out_lines(left_out):
        listener.log(line)
    settings = {
        "block_m": [float(size) for size in sizes] if by == "blocks" else [],
        "hold_out": hold_out,
        "by": by,
        "support": support,
        "folds": folds,
        "seed": seed,
        "thresholds_dbm": list(thresholds),
    }
    floor = noise_floor(grouped)
    return LogValidation(
        tuple(scores), floor, left_out, settings, log.sources, tuple(places), provenance
    )


@dataclass(frozen=True)
class _Split:
    """How a log is held out."""

    hold_out: HoldOut
    by: By
    block_m: float
    folds: int
    seed: int

    def groups(self, log: Measurements) -> IndexArray:
        """Group of each row: its drive or day."""
        assert log.time is not None
        if self.by == "day":
            _, day = np.unique(log.time.astype("datetime64[D]"), return_inverse=True)
            return np.asarray(day, dtype=np.int64).reshape(-1)
        order = np.argsort(log.time, kind="stable")
        begins = np.concatenate([[0], np.diff(log.time[order]) > _PAUSE]).astype(np.int64)
        group = np.empty(len(log), dtype=np.int64)
        group[order] = np.cumsum(begins)
        return group

    def blocks(self, x: Float64Array, y: Float64Array) -> IndexArray:
        """Give each position the number of its block; a bin lies in one block."""
        down, along = (np.floor(axis / BIN_M) * BIN_M + BIN_M / 2.0 for axis in (y, x))
        return np.asarray(block_numbers(down, along, self.block_m), dtype=np.int64)

    def fold_of(self, groups: IndexArray) -> IndexArray:
        """Fold of each row: the groups in random order."""
        number = int(groups.max()) + 1
        if number < 2:
            what = f"one block of {self.block_m:g} m" if self.by == "blocks" else f"one {self.by}"
            raise TooSmallError(
                f"All measurements are in {what}: there is nothing to hold out.",
                hint="Take smaller blocks.",
                parameter="block_m" if self.by == "blocks" else "by",
            )
        order = np.random.default_rng(self.seed).permutation(number)
        return np.asarray(order[groups] % min(self.folds, number), dtype=np.int64)


class _Folds:
    """The folds of a log: what is held out, and what is left.

    Parameters
    ----------
    log : Measurements
        Sorted by cell.
    judged : sequence of str
        Cells that are judged.
    split : _Split
        How the log is held out.
    """

    def __init__(self, log: Measurements, judged: Sequence[str], split: _Split) -> None:
        self._log, self._judged, self._split = log, judged, split
        _, self._parts = log.grouped()
        self._bins = LogBins.of(log)
        number = len(log)
        if split.by == "blocks":  # those of the rows and of all visited bins
            x, y = self._bins.position_m.T
            groups = split.blocks(np.concatenate([log.x, x]), np.concatenate([log.y, y]))
        else:
            groups = split.groups(log)
        fold_of = split.fold_of(groups)
        self.groups, self._fold_of = groups[:number], fold_of[:number]
        self._bin_fold = fold_of[number:] if split.by == "blocks" else None

    def __len__(self) -> int:
        return int(self._fold_of.max()) + 1

    def held_rows(self, fold: int, cell: str) -> IndexArray:
        """Rows of a cell that a fold holds out."""
        rows = self._parts[cell].rows
        return np.asarray(np.flatnonzero(self._fold_of[rows] == fold) + rows.start)

    def kept_rows(self, fold: int, cell: str) -> Measurements:
        """Measurements of a cell that a fold leaves."""
        rows = self._parts[cell].rows
        return self._log.select(np.flatnonzero(self._fold_of[rows] != fold) + rows.start)

    def kept(self, fold: int, cells: Sequence[str]) -> LogBins:
        """Bin the log without what is held out of some cells, or of all."""
        if self._split.hold_out == "all":
            return self.known(fold)
        if self._bin_fold is not None:
            columns = np.isin(self._bins.cells, cells)
            return self._bins.hidden((self._bin_fold == fold)[:, None] & columns)
        hidden = np.zeros(len(self._log), dtype=np.bool_)
        for cell in cells:
            hidden[self.held_rows(fold, cell)] = True
        visits = self._log.visits()
        return LogBins.of(replace(self._log.select(~hidden), places=visits))

    def known(self, fold: int) -> LogBins:
        """Bin the log without the places that a fold holds out."""
        if self._bin_fold is not None:
            return _selected(self._bins, self._bin_fold != fold)
        return LogBins.of(replace(self._log.select(self._fold_of != fold), places=None))

    def held_out(self, fold: int) -> LogBins:
        """Bin what a fold holds out: the truth of the probability of being reported."""
        if self._bin_fold is not None:
            return _selected(self._bins, self._bin_fold == fold)
        return LogBins.of(replace(self._log.select(self._fold_of == fold), places=None))

    def calibration(self, fold: int, evidence: Evidence | None) -> Callable[[], JointCalibration]:
        """Calibrate joint estimates when it is first asked for, and once."""
        found: list[JointCalibration] = []

        def calibration() -> JointCalibration:
            if not found:
                bins = self.kept(fold, self._judged)
                found.append(calibrate_joint(bins, evidence=evidence_matrix(bins, evidence)))
            return found[0]

        return calibration

    def log_weight(self, fold: int, options: PredictOptions) -> Callable[[], LogWeight]:
        """Prepare the weight of a network that the cells of a fold share."""

        @lru_cache(maxsize=1)
        def log_weight() -> LogWeight:
            plans = []
            for cell in itertools.islice(self._parts, MAX_PLANNED):
                kept = self.kept_rows(fold, cell)
                if len(kept):
                    part = CellPart(slice(0, len(kept)), self._parts[cell].original)
                    plans.append(plan_cell(cell, kept, part, options))
            return LogWeight(plans)

        return log_weight


def _selected(bins: LogBins, mask: BoolArray) -> LogBins:
    """Select bins."""
    return replace(
        bins,
        position_m=bins.position_m[mask],
        level_dbm=bins.level_dbm[mask],
        count=bins.count[mask],
        visits=bins.visits[mask],
    )


def _hold_out(
    folds: _Folds,
    log: Measurements,
    predictors: Mapping[str, Predict],
    judged: Sequence[str],
    support: Support,
    evidence: Evidence | None,
    options: PredictOptions,
    progress: Progress,
) -> dict[str, _Errors]:
    """Estimate the judged cells where they are held out."""
    collected: dict[str, list[_Errors]] = {cell: [] for cell in judged}
    for fold in range(len(folds)):
        calibration = folds.calibration(fold, evidence)
        log_weight = folds.log_weight(fold, options)
        for cell in judged:
            progress.check()
            progress.advance()
            held = folds.held_rows(fold, cell)
            if not held.size or not predictors:
                continue
            kept = folds.kept(fold, [cell])
            if cell not in kept.cells or kept.reported[:, kept.cells.index(cell)].sum() < 5:
                continue
            position, truth, block = _truth(log, held, folds.groups, support)
            case = Case(
                kept,
                cell,
                position,
                calibration,
                partial(folds.kept_rows, fold, cell),
                log_weight,
                support == "pixel",
            )
            judgement = _judge(case, truth, block, predictors, _STD_SUPPORT_M[support])
            if support == "20m":
                judgement = _averaged(judgement, position)
            collected[cell].append(judgement)
    return {cell: _joined(found) for cell, found in collected.items() if found}


def _reported_scores(folds: _Folds, judged: Sequence[str], block_m: float) -> Iterator[LogScore]:
    """Score the probability of being reported at visited places that are held out."""
    found: dict[str, list[Float64Array]] = {cell: [] for cell in judged}
    for fold in range(len(folds)):
        known, held = folds.known(fold), folds.held_out(fold)
        for cell in judged:
            if cell not in known.cells or not len(held):
                continue
            probability = ReportedProbability.of_cell(known, cell).at(held.position_m)
            column = held.cells.index(cell) if cell in held.cells else None
            reported = np.zeros(len(held)) if column is None else held.reported[:, column]
            found[cell].append(np.stack([probability, reported.astype(np.float64)]))
    joined = {cell: np.concatenate(parts, axis=1) for cell, parts in found.items() if parts}
    if not joined:
        return
    for cell, pairs in {"all": np.concatenate([*joined.values()], axis=1), **joined}.items():
        probability, reported = pairs
        yield LogScore(
            REPORTED,
            cell,
            block_m,
            int(reported.size),
            0,
            auc=area_under_curve(probability, reported > 0.5),
            brier=float(np.mean((probability - reported) ** 2)),
        )


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
    case: Case,
    truth: Float64Array,
    block: IndexArray,
    predictors: Mapping[str, Predict],
    support_m: float,
) -> _Errors:
    """Run all methods on a case; deviations of another support do not apply."""
    level: dict[str, Float64Array] = {}
    std: dict[str, Float64Array] = {}
    for name, predict in predictors.items():
        prediction = predict(case)
        level[name] = prediction.level_dbm
        if prediction.std_db is not None and prediction.std_support_m == support_m:
            std[name] = prediction.std_db
    distance, _ = KDTree(case.bins.position_m[case.readings]).query(case.position_m)
    return _Errors(case.position_m, truth, level, std, np.asarray(distance), block)


def _averaged(found: _Errors, position_m: Float64Array) -> _Errors:
    """Average truth and estimates over blocks of 20 m, and deviations, which are those of means."""
    number = block_numbers(position_m[:, 1], position_m[:, 0], 20.0)
    count = np.bincount(number)

    def mean(values: Float64Array) -> Float64Array:
        return np.asarray(np.bincount(number, values) / count)

    block = np.zeros(count.size, dtype=np.int64)
    block[number] = found.block
    return _Errors(
        np.column_stack([mean(axis) for axis in position_m.T]),
        mean(found.truth_dbm),
        {name: mean(level) for name, level in found.level_dbm.items()},
        {name: mean(std) for name, std in found.std_db.items()},
        mean(found.distance_m),
        block,
    )


def _joined(found: Sequence[_Errors]) -> _Errors:
    """Join the held-out places of several parts."""
    names = found[0].level_dbm
    return _Errors(
        np.concatenate([part.position_m for part in found]),
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


def _places(errors: Mapping[str, _Errors], block_m: float, crs: CRS) -> list[HeldOutPlaces]:
    """Join the held-out places of all cells; none if no method estimated any."""
    if not errors:
        return []
    found = _joined(list(errors.values()))
    sizes = [part.truth_dbm.size for part in errors.values()]
    cell = np.repeat(np.array(list(errors), dtype=object), sizes)
    return [
        HeldOutPlaces(
            block_m,
            cell,
            found.position_m,
            found.truth_dbm,
            found.level_dbm,
            found.distance_m,
            crs,
        )
    ]


def _scores(
    errors: Mapping[str, _Errors],
    methods: Sequence[str],
    block_m: float,
    seed: int,
    thresholds_dbm: Sequence[float],
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
            score = _score(found, name, cell, block_m, common, squares, seed)
            if thresholds_dbm and name in found.std_db:
                level, std = found.level_dbm[name][common], found.std_db[name][common]
                shares = coverage_shares(level, std, found.truth_dbm[common], thresholds_dbm)
                score = replace(score, coverage=shares)
            yield score


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
    bins: LogBins, cells: Sequence[str] | None, top: int | None
) -> tuple[list[str], dict[str, str]]:
    """Choose the cells that are judged; the others, and why they are not."""
    reported = dict(zip(bins.cells, bins.reported.sum(axis=0).tolist(), strict=True))
    readings = dict(zip(bins.cells, bins.count.sum(axis=0).tolist(), strict=True))
    wanted = list(cells or ()) or sorted(bins.cells, key=lambda cell: -readings[cell])
    enough = [cell for cell in wanted if reported[cell] >= _LEAST_BINS]
    judged = enough if cells else enough[:top]
    reason = f"readings in fewer than {_LEAST_BINS} bins of {BIN_M:g} m"
    return judged, {cell: reason for cell in wanted if reported[cell] < _LEAST_BINS}


def _left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """Say which cells are left out, a line for each reason."""
    lines = []
    for reason in dict.fromkeys(left_out.values()):
        names = [cell for cell, own in left_out.items() if own == reason]
        count = "1 cell is" if len(names) == 1 else f"{len(names)} cells are"
        lines.append(f"{count} left out, {reason}: {listed(names)}.")
    return lines
