"""The second pass over a cell: blended rows become the map, a band at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.disk_columns import computed
from rm_geo._util.memory import trim_malloc
from rm_geo._util.row_blocks import row_bands
from rm_geo.geostat.idw import IdwBaseline, fit_idw_baseline
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.geostat.regression_kriging import (
    Correction,
    RegressionKrigingOptions,
    fit_correction,
    honour,
)
from rm_geo.pipeline.method_weight import MethodWeight, combine_rows
from rm_geo.pipeline.tile_pass import BlendedCell
from rm_geo.products.rows import CellRows
from rm_geo.raster.fill import fill_gaps
from rm_geo.raster.points import Points
from rm_geo.raster.reach import reach_rows
from rm_geo.raster.sparse import SparseRaster

_LARGEST_HALO_PX: Final = 256
_WORKERS: Final = 2


@dataclass(frozen=True)
class FinishingOptions:
    """How blended rows become the map.

    Attributes
    ----------
    reach_m : float
        Pixels further from any measurement are nodata.
    parameters : RegressionKrigingOptions or None
        How far measurements are believed; None leaves them out.
    trust : MethodWeight
        Shares of the method and of inverse distances; only with assimilation.
    uncertainty : bool
        Whether the standard deviation is wanted.
    trend : DistanceTrend, optional
        Fall of the level with the distance, where the transmitter is known.
    """

    reach_m: float
    parameters: RegressionKrigingOptions | None
    trust: MethodWeight
    uncertainty: bool = False
    trend: DistanceTrend | None = None


@dataclass(frozen=True)
class _Finisher:
    """All that turns blended rows into the map."""

    sparse: SparseRaster
    blended: BlendedCell
    options: FinishingOptions
    correction: Correction | None
    partner: IdwBaseline | None

    def on_rows(self, rows: slice) -> CellRows:
        """Fill what tiles left open, honour the measurements, and cut at the reach."""
        in_reach = reach_rows(self.sparse, rows, self.options.reach_m)
        measured_dbm = self.sparse.level_rows(rows)
        rsrp_dbm = np.full(in_reach.shape, np.nan, dtype=np.float32)
        if in_reach.any():
            rsrp_dbm = filled_rows(self.sparse, self.blended, rows, in_reach, self.options.reach_m)
            if self.correction is not None:
                rsrp_dbm = honour(rsrp_dbm, measured_dbm, self.correction.on_rows(rows))
            if self.partner is not None:
                partner_dbm = self.partner.on_rows(rows, measured_dbm, in_reach)
                rsrp_dbm = combine_rows(rsrp_dbm, partner_dbm, self.options.trust)
        probability = self.blended.building_rows(rows)
        if probability is not None:
            probability = _cut(np.clip(probability, 0.0, 1.0), in_reach)
        std_db = self.blended.std_rows(rows) if self.options.uncertainty else None
        return CellRows(
            rows,
            measured_dbm,
            _cut(rsrp_dbm, in_reach),
            probability,
            None if std_db is None else _cut(std_db, in_reach),
        )

    def release(self) -> None:
        """Take measured pixels that lie on disk out of memory: the next rows have others."""
        self.sparse.release()
        for part in (self.correction, self.partner):
            if part is not None:
                part.release()


def finished_rows(
    sparse: SparseRaster,
    blended: BlendedCell,
    options: FinishingOptions,
    check: Callable[[], None] = lambda: None,
) -> Iterator[CellRows]:
    """Finish a cell, band by band from north to south.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.
    blended : BlendedCell
        The method's estimates.
    options : FinishingOptions
        How.
    check : callable
        Asked between bands whether the work is to stop; raises if so.

    Yields
    ------
    CellRows
        All rows of the grid. The next bands are computed meanwhile.
    """
    correction, partner = None, None
    if options.parameters is not None:
        correction = _correction(sparse, blended, options.parameters, options.reach_m)
        check()
        if not options.trust.alone:
            partner = fit_idw_baseline(sparse, options.parameters, options.trend)
    trim_malloc()
    finisher = _Finisher(sparse, blended, options, correction, partner)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="rm_geo-finish") as pool:
        waiting: deque[Future[CellRows]] = deque()
        for rows in row_bands(sparse.grid.shape):
            check()
            waiting.append(pool.submit(finisher.on_rows, rows))
            if len(waiting) > _WORKERS:
                yield waiting.popleft().result()
                finisher.release()
                trim_malloc()
        while waiting:
            yield waiting.popleft().result()


def filled_rows(
    sparse: SparseRaster, blended: BlendedCell, rows: slice, wanted: BoolArray, reach_m: float
) -> FloatArray:
    """Blended RSRP on some rows, continued into wanted pixels that no tile speaks of."""
    # What is in reach of a measurement is in reach of that measurement's tile.
    halo = int(min(reach_m / sparse.grid.spacing_m, _LARGEST_HALO_PX - 1)) + 1
    return fill_gaps(blended.rsrp_rows, rows, wanted, sparse.grid.shape[0], halo)


def _correction(
    sparse: SparseRaster, blended: BlendedCell, parameters: RegressionKrigingOptions, reach_m: float
) -> Correction:
    """Krige what was measured beyond the estimates."""
    predicted_dbm = _filled_at_measured(sparse, blended, reach_m)
    residual_db = computed(np.subtract, sparse.level_dbm, predicted_dbm, dtype=np.float32)
    residuals = _known(Points(sparse.row, sparse.col, residual_db))
    return fit_correction(residuals, sparse.grid.shape, parameters)


def _filled_at_measured(sparse: SparseRaster, blended: BlendedCell, reach_m: float) -> FloatArray:
    """Prediction at each measured pixel, also where the method left out its tile."""
    predicted_dbm = blended.at_measured_dbm
    silent = np.isnan(predicted_dbm)
    if not silent.any():
        return predicted_dbm
    filled_dbm: FloatArray = computed(np.positive, predicted_dbm, dtype=np.float32)
    for rows in row_bands(sparse.grid.shape):
        inside = sparse.in_rows(rows)
        if silent[inside].any():
            wanted = sparse.observed_rows(rows)
            level_dbm = filled_rows(sparse, blended, rows, wanted, reach_m)
            where = (sparse.row[inside] - rows.start, sparse.col[inside])
            filled_dbm[inside] = level_dbm[where]
    return filled_dbm


def _known(points: Points) -> Points:
    """Leave out points without a value; mostly there are none, and nothing is copied."""
    known = np.isfinite(points.value)
    if known.all():
        return points
    return Points(points.row[known], points.col[known], points.value[known])


def _cut(values: FloatArray, in_reach: BoolArray) -> FloatArray:
    """Keep what is in reach."""
    return np.asarray(np.where(in_reach, values, np.float32(np.nan)))
