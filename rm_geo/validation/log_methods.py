"""Methods that are judged on a log of several cells, by the names of ``rm-geo validate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from pyproj import Transformer
from scipy.spatial import KDTree

from rm_geo._types import BoolArray, Float64Array, FloatArray, IndexArray
from rm_geo.errors import InputError, TooSmallError, UsageError
from rm_geo.estimators.base import PointEstimator
from rm_geo.estimators.registry import (
    get_method,
    list_methods,
    method_info,
    require_accepts_buildings,
)
from rm_geo.geostat.coregionalization import JointCalibration, estimate_jointly
from rm_geo.geostat.joint_correction import JointCorrection
from rm_geo.geostat.street_ensemble import StreetEnsemble
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.log_weight import LogWeight
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from rm_geo.products.radio_map import RadioMap, open_radio_map
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.log_bins import BIN_M, LogBins
from rm_geo.raster.sparse import SparseRaster
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.pipeline_estimator import PIPELINE_PREFIX

JOINT: Final = "joint"
SINGLE: Final = "single"
DEFAULT: Final = "default"
REPORTED: Final = "reported"

RASTERS: Final = frozenset({".tif", ".tiff", ".vrt"})
"""Endings of files that are contestants."""

Evidence: TypeAlias = Callable[[str, str], bool]
"""Whether the second cell may be used for the first, by their names."""


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
    rows : callable
        Gives the measurements of the cell that are not held out.
    log_weight : callable
        Gives the weight of the network in all maps of the log, without what is held out of any
        cell; estimated once for the cells of a fold.
    on_pixels : bool
        Whether classical methods read pixels of 1 m, and not bins.
    """

    bins: LogBins
    cell: str
    position_m: Float64Array
    calibration: Callable[[], JointCalibration]
    rows: Callable[[], Measurements]
    log_weight: Callable[[], LogWeight]
    on_pixels: bool = False

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
    std_support_m : float
        Side of the squares whose means the deviations are those of; 0 for pixels.
    """

    level_dbm: Float64Array
    std_db: Float64Array | None = None
    std_support_m: float = BIN_M


Predict: TypeAlias = Callable[[Case], Prediction]


def predictor(
    name: str,
    cells: Sequence[str],
    *,
    evidence: Evidence | None = None,
    options: PredictOptions | None = None,
) -> Predict:
    """Make the function of a method's name.

    Parameters
    ----------
    name : str
        ``joint``, ``single``, ``default``, the name of a method, ``pipeline:NAME``,
        ``pipeline:NAME+buildings``, a GeoTIFF of RSRP, or a folder of ``<cell>_rsrp.tif``.
    cells : sequence of str
        Cells that are judged.
    evidence : callable, optional
        Cells that joint estimates may use.
    options : PredictOptions, optional
        Options of the map in ``single``, ``default``, ``pipeline:`` methods and networks: the
        groups ``grid``, ``method`` and ``site``. Methods that are no networks ignore ``model``.

    Returns
    -------
    callable
        Takes a :class:`Case`, and gives a :class:`Prediction`.

    Raises
    ------
    UsageError
        If there is no such method, it does not read the given buildings, or a raster of one cell
        would be judged in several.
    InputError
        If a file cannot be read, or a folder has no map of a cell.
    """
    chosen = PredictOptions() if options is None else options
    if name == JOINT:
        return lambda case: _joint(case, evidence)
    if name == SINGLE:
        return lambda case: _mapped(case, chosen)
    if name == DEFAULT:
        return lambda case: _default(case, chosen, evidence)
    if Path(name).suffix.lower() in RASTERS or Path(name).is_dir():
        return _raster(Path(name), cells)
    if name.startswith(PIPELINE_PREFIX):
        method = name.removeprefix(PIPELINE_PREFIX)
        named = _with_method(chosen, method.removesuffix(WITH_BUILDINGS))
        if not method.endswith(WITH_BUILDINGS):
            named = named.replace(buildings=None, buildings_layer=None)
        elif named.site.buildings is None:
            raise UsageError(f"{name} needs buildings.", parameter="buildings")
        else:
            require_accepts_buildings(named.method.name)
        return lambda case: _mapped(case, named)
    estimator = get_method(name)
    if not isinstance(estimator, PointEstimator):
        alone = _with_method(chosen, name).replace(
            assimilate=False, buildings=None, buildings_layer=None
        )
        return lambda case: _mapped(case, alone)
    return lambda case: _classical(case, estimator)


def _with_method(options: PredictOptions, name: str) -> PredictOptions:
    """Replace the method; a model is that of a network."""
    is_network = method_info(name).is_network
    return options.replace(method=name, model=options.method.model if is_network else None)


def require_used(options: PredictOptions, names: Sequence[str]) -> None:
    """Refuse a model or buildings that no method reads.

    Parameters
    ----------
    options : PredictOptions
        Options of the maps.
    names : sequence of str
        Names of methods, as for :func:`predictor`.

    Raises
    ------
    UsageError
        If an option has no effect.
    """
    of_options = bool({SINGLE, DEFAULT} & set(names))
    methods = {name.removeprefix(PIPELINE_PREFIX).removesuffix(WITH_BUILDINGS) for name in names}
    if of_options:
        methods.add(options.method.name)
    networks = {info.name for info in list_methods() if info.is_network}
    if options.method.model is not None and not methods & networks:
        raise UsageError(
            "None of these methods uses a model.",
            hint="Add single or pipeline:radiocycle.",
            parameter="model",
        )
    if options.site.buildings is not None and not (
        of_options or any(name.endswith(WITH_BUILDINGS) for name in names)
    ):
        raise UsageError(
            "None of these methods reads buildings.",
            hint=f"Add single or pipeline:radiocycle{WITH_BUILDINGS}.",
            parameter="buildings",
        )


def _estimates(case: Case, evidence: Evidence | None) -> tuple[FloatArray, FloatArray]:
    """Joint estimates and deviations of the cell at all visited bins."""
    found = estimate_jointly(
        case.bins,
        [case.cell],
        calibration=case.calibration(),
        evidence=evidence_matrix(case.bins, evidence),
    )
    return found.level_dbm[:, 0], found.std_db[:, 0]


def evidence_matrix(bins: LogBins, evidence: Evidence | None) -> BoolArray | None:
    """Ask for each pair of cells whether the second may be used for the first.

    Parameters
    ----------
    bins : LogBins
        The cells.
    evidence : callable or None
        None allows all pairs.

    Returns
    -------
    ndarray of bool, shape (C, C), or None
        As for :func:`rm_geo.estimate_jointly`.
    """
    if evidence is None:
        return None
    return np.array([[evidence(first, second) for second in bins.cells] for first in bins.cells])


def _joint(case: Case, evidence: Evidence | None) -> Prediction:
    """Joint estimate at the bin of each place; the ensemble of the cell where there is none."""
    level_dbm, std_db = _estimates(case, evidence)
    distance, nearest = KDTree(case.bins.position_m).query(case.position_m)
    visited = distance <= BIN_M
    at = np.where(visited, level_dbm[nearest], np.nan).astype(np.float64)
    std = np.where(visited, std_db[nearest], np.nan).astype(np.float64)
    if (alone := np.isnan(at)).any():
        at[alone] = _ensemble(case).at(case.position_m[alone])
    return Prediction(at, std)


def _ensemble(case: Case) -> StreetEnsemble:
    """Fit the street ensemble to the readings of a case."""
    at = case.readings
    count = case.bins.count[at, case.bins.cells.index(case.cell)].astype(np.float64)
    return StreetEnsemble.fit(
        case.bins.position_m[at], case.level_dbm(at), 8.0 / np.minimum(count, 8.0)
    )


def _map(
    case: Case,
    options: PredictOptions,
    position_m: Float64Array,
    log_weight: LogWeight | None = None,
) -> RadioMap | None:
    """Make the map of the cell, wide enough for some places; None without enough readings."""
    rows = case.rows()
    distance, _ = KDTree(np.column_stack([rows.x, rows.y])).query(position_m)
    # Within the default reach the map is that of the default options.
    reach_m = max(options.grid.reach_m, float(np.ceil(distance.max())) + 2.0)
    chosen = PredictOptions(grid=options.grid, method=options.method, site=options.site).replace(
        reach_m=reach_m,
        target_crs=rows.crs,
        joint=False,
        preview=False,
        uncertainty=True,
        std_support_m=options.output.std_support_m,
    )
    try:
        plan = replace(plan_run(rows, chosen), log_weight=log_weight)
        return predict(plan, None, chosen)[0]
    except TooSmallError:
        return None


def _sampled(radio_map: RadioMap | None, position_m: Float64Array) -> Prediction:
    """Read a map at places."""
    if radio_map is None:
        return Prediction(np.full(len(position_m), np.nan))
    std_db = radio_map.sample(*position_m.T, layer="std_db") if radio_map.has("std_db") else None
    return Prediction(
        np.asarray(radio_map.sample(*position_m.T), dtype=np.float64),
        None if std_db is None else np.asarray(std_db, dtype=np.float64),
    )


def _mapped(case: Case, options: PredictOptions, log_weight: LogWeight | None = None) -> Prediction:
    """Map the cell by all steps of :func:`rm_geo.predict`, and read the held-out places."""
    found = _sampled(_map(case, options, case.position_m, log_weight), case.position_m)
    return replace(found, std_support_m=options.output.std_support_m)


def _default(case: Case, options: PredictOptions, evidence: Evidence | None) -> Prediction:
    """Correct the map of the cell by joint estimates at visited places without a reading."""
    level_dbm, std_db = _estimates(case, evidence)
    log_weight = case.log_weight()
    readings = case.readings
    unread = np.setdiff1d(np.flatnonzero(np.isfinite(level_dbm)), readings)
    if not unread.size or case.calibration().weight_of(case.cell) == 0.0:
        return _mapped(case, options, log_weight)
    visited_m = case.bins.position_m
    needed_m = np.concatenate([case.position_m, visited_m[unread]])
    radio_map = _map(case, options, needed_m, log_weight)
    alone = replace(
        _sampled(radio_map, case.position_m), std_support_m=options.output.std_support_m
    )
    correction = JointCorrection.fit(
        visited_m[unread],
        level_dbm[unread] - _sampled(radio_map, visited_m[unread]).level_dbm,
        std_db[unread].astype(np.float64),
        visited_m[readings],
        1,
        1.0,
    )
    if correction is None:
        return alone
    corrected_dbm = alone.level_dbm + correction.at(case.position_m)
    if alone.std_db is None:
        return Prediction(corrected_dbm)
    corrected_std = correction.std_at(case.position_m, alone.std_db)
    return Prediction(corrected_dbm, corrected_std, alone.std_support_m)


def _raster(path: Path, cells: Sequence[str]) -> Predict:
    """Read a raster of one cell, or the rasters of a folder, whatever made them."""
    if path.is_dir():
        files = {cell: path / f"{cell}_rsrp.tif" for cell in cells}
        if missing := [file.name for file in files.values() if not file.is_file()]:
            raise InputError(
                f"{path} has no {missing[0]}.", hint="Choose the cells with `cells`.", path=path
            )
    elif len(cells) > 1 and path.is_file():
        raise UsageError(
            f"{path} shows one cell, and {len(cells)} are judged.",
            hint="Choose its cell with `cells`, or give a folder of <cell>_rsrp.tif.",
            parameter="methods",
        )
    else:
        files = dict.fromkeys(cells, path)
    maps = {cell: open_radio_map(file) for cell, file in files.items()}

    def sample(case: Case) -> Prediction:
        radio_map = maps[case.cell]
        to_map = Transformer.from_crs(case.rows().crs, radio_map.grid.crs, always_xy=True)
        return _sampled(radio_map, np.column_stack(to_map.transform(*case.position_m.T)))

    return sample


def _classical(case: Case, estimator: PointEstimator) -> Prediction:
    """Evaluate a method at the held-out places."""
    sparse = _pixels(case) if case.on_pixels else _bins(case)
    row, col = sparse.grid.to_pixel(*case.position_m.T)
    if case.on_pixels:  # of the centre, as a map has it
        row, col = np.floor(row) + 0.5, np.floor(col) + 0.5
    return Prediction(np.asarray(estimator.estimate_at(sparse, row, col), dtype=np.float64))


def _pixels(case: Case) -> SparseRaster:
    """Bin the readings of a case on pixels of 1 m."""
    rows = case.rows()
    x, y = (
        np.concatenate(pair)
        for pair in ((rows.x, case.position_m[:, 0]), (rows.y, case.position_m[:, 1]))
    )
    return bin_measurements(rows, Grid.covering(x, y, rows.crs, spacing_m=1.0))


def _bins(case: Case) -> SparseRaster:
    """Put the means of the bins of a case on the pixels of 1 m around their positions."""
    at = case.readings
    places = np.concatenate([case.bins.position_m[at], case.position_m])
    low = np.floor(places.min(axis=0)) - 1.0
    size = np.ceil(places.max(axis=0) - low).astype(int) + 2
    grid = Grid.create(low[0], low[1] + size[1], (int(size[1]), int(size[0])), 1.0, 32633)
    row, col = (np.floor(axis).astype(np.int64) for axis in grid.to_pixel(*places[: at.size].T))
    pixel, first = np.unique(row * grid.shape[1] + col, return_index=True)
    level = case.level_dbm(at)[first].astype(np.float32)
    return SparseRaster(
        grid, pixel, level, np.ones(pixel.size, np.int32), np.full(pixel.size, np.nan, np.float32)
    )
