"""Map pass of a cell: blended rows are turned into the map, band by band."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.memory import trim_malloc
from rm_geo.geostat.classical_baseline import ClassicalBaseline, fit_classical_baseline
from rm_geo.geostat.map_deviation import MapDeviation
from rm_geo.geostat.regression_kriging import (
    RegressionKrigingOptions,
    ResidualField,
    apply_correction,
    fit_residuals,
)
from rm_geo.pipeline.method_weight import MethodWeight, combine_rows
from rm_geo.pipeline.tile_pass import BlendedCell
from rm_geo.products.rows import CellRows
from rm_geo.raster.bands import RowBand
from rm_geo.raster.fill import fill_gaps
from rm_geo.raster.reach import MeasuredDistance, reach_rows
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_LARGEST_HALO_PX: Final = 256
_WORKERS: Final = 2


@dataclass(frozen=True)
class MapOptions:
    """Options of the map pass.

    Attributes
    ----------
    reach_m : float
        Reach in metres: pixels further from every measurement are nodata.
    kriging : RegressionKrigingOptions or None
        Noise of the measurements and limit of their residuals; None for no correction.
    method_weight : MethodWeight
        Weights of the method and of the classical baseline; used only with a correction.
    uncertainty : bool
        Whether to output the standard deviation.
    facts : SiteInfo
        Position and height of the transmitter, for the classical baseline.
    largest_std_db : float
        Limit of the method's own standard deviation: the spread of the levels themselves.
    deviation : MapDeviation, optional
        Standard deviation of the map, in place of the method's own.
    """

    reach_m: float
    kriging: RegressionKrigingOptions | None
    method_weight: MethodWeight
    uncertainty: bool = False
    facts: SiteInfo = field(default_factory=SiteInfo)
    largest_std_db: float = np.inf
    deviation: MapDeviation | None = None


@dataclass(frozen=True)
class _MapPass:
    """Inputs and fitted models of the map pass."""

    sparse: SparseRaster
    blended: BlendedCell
    options: MapOptions
    residuals: ResidualField | None
    classical_baseline: ClassicalBaseline | None
    distance: MeasuredDistance | None

    def on_band(self, band: RowBand) -> CellRows:
        """Compute one band: fill gaps, correct, combine with the baseline, cut at the reach."""
        rows = band.rows
        in_reach = reach_rows(self.sparse, rows, self.options.reach_m)
        measured_dbm = band.to_dense(band.value, np.nan)
        rsrp_dbm = np.full(in_reach.shape, np.nan, dtype=np.float32)
        if in_reach.any():
            rsrp_dbm = filled_rows(self.sparse, self.blended, rows, in_reach, self.options.reach_m)
            if self.residuals is not None:
                rsrp_dbm = apply_correction(rsrp_dbm, measured_dbm, self.residuals.on_rows(rows))
            if self.classical_baseline is not None:
                baseline_dbm = self.classical_baseline.on_rows(rows, measured_dbm, in_reach)
                distance_px = None if self.distance is None else self.distance.on_rows(rows)
                rsrp_dbm = combine_rows(
                    rsrp_dbm, baseline_dbm, self.options.method_weight, distance_px
                )
        probability = self.blended.building_rows(rows)
        if probability is not None:
            probability = _cut(np.clip(probability, 0.0, 1.0), in_reach)
        return CellRows(
            rows,
            measured_dbm,
            _cut(rsrp_dbm, in_reach),
            probability,
            self._std_rows(rows, in_reach) if self.options.uncertainty else None,
        )

    def _std_rows(self, rows: slice, in_reach: BoolArray) -> FloatArray | None:
        """Compute the standard deviation of some rows; None if there is none."""
        if self.options.deviation is not None:
            return _cut(self.options.deviation.on_rows(rows, in_reach), in_reach)
        own_db = self.blended.std_rows(rows)
        if own_db is None:
            return None
        largest_db = np.float32(self.options.largest_std_db)
        # The map is extrapolated into pixels of no tile, of which nothing more is known.
        return _cut(np.fmin(own_db, largest_db), in_reach)


def map_rows(
    sparse: SparseRaster,
    blended: BlendedCell,
    options: MapOptions,
    check: Callable[[], None] = lambda: None,
    baseline: Future[ClassicalBaseline] | None = None,
) -> Iterator[CellRows]:
    """Turn the blended rows of a cell into the map, band by band from north to south.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.
    blended : BlendedCell
        Estimates of the method.
    options : MapOptions
        Correction, baseline and reach.
    check : callable
        Called between bands; may raise to cancel the pass.
    baseline : Future of ClassicalBaseline, optional
        The classical baseline, where it is being fitted already.

    Yields
    ------
    CellRows
        Rows of one band; together all rows of the grid. Threads compute the following bands
        meanwhile.

    Raises
    ------
    OutputError
        If the disk for temporary files is full.
    """
    residuals, classical_baseline, distance = None, None, None
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="rm_geo-map") as pool:
        if options.kriging is not None:
            combined = not options.method_weight.alone
            if combined and options.method_weight.limit_px is not None:
                distance = pool.submit(MeasuredDistance.fit, sparse)
            residuals = _fit_residuals(sparse, blended, options.kriging, options.reach_m)
            check()
            if combined:
                classical_baseline = (
                    fit_classical_baseline(sparse, options.kriging, options.facts)
                    if baseline is None
                    else baseline.result()
                )
        trim_malloc()
        map_pass = _MapPass(
            sparse,
            blended,
            options,
            residuals,
            classical_baseline,
            None if distance is None else distance.result(),
        )
        waiting: deque[Future[CellRows]] = deque()
        for band in sparse.bands():
            check()
            waiting.append(pool.submit(map_pass.on_band, band))
            if len(waiting) > _WORKERS:
                yield waiting.popleft().result()
                trim_malloc()
        while waiting:
            yield waiting.popleft().result()


def filled_rows(
    sparse: SparseRaster, blended: BlendedCell, rows: slice, wanted: BoolArray, reach_m: float
) -> FloatArray:
    """Extrapolate the blended RSRP into requested pixels that no tile covers.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    blended : BlendedCell
        Estimates of the method.
    rows : slice
        Rows of the result.
    wanted : ndarray of bool, shape (rows, W)
        Requested pixels.
    reach_m : float
        Reach of the measurements in metres.

    Returns
    -------
    ndarray of float32, shape (rows, W)
        RSRP in dBm.
    """
    # A pixel in reach of a measurement is in reach of that measurement's tile.
    halo = int(min(reach_m / sparse.grid.spacing_m, _LARGEST_HALO_PX - 1)) + 1
    return fill_gaps(blended.rsrp_rows, rows, wanted, sparse.grid.shape[0], halo)


def _fit_residuals(
    sparse: SparseRaster, blended: BlendedCell, options: RegressionKrigingOptions, reach_m: float
) -> ResidualField:
    """Fit ordinary kriging to the residuals: measurement minus estimate, in dB."""

    def predicted_dbm(band: RowBand) -> FloatArray:
        at_measured_dbm = blended.at_measured_dbm[band.index]
        if not np.isnan(at_measured_dbm).any():
            return at_measured_dbm
        observed = band.to_dense(np.ones(len(band), dtype=np.bool_), False)
        return band.from_dense(filled_rows(sparse, blended, band.rows, observed, reach_m))

    residual_db = sparse.map_bands(lambda band: band.value - predicted_dbm(band))
    residuals = sparse.points_with(residual_db).known()
    return fit_residuals(residuals, sparse.grid.shape, options)


def _cut(values: FloatArray, in_reach: BoolArray) -> FloatArray:
    """Set values out of reach to NaN."""
    return np.asarray(np.where(in_reach, values, np.float32(np.nan)))
