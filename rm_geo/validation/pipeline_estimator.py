"""Steps of ``rm-geo predict`` on single tiles: correction, classical baseline and method weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import BoolArray, FloatArray
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.geostat.classical_baseline import fit_classical_baseline
from rm_geo.geostat.noise import measurement_noise_db
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions, regression_krige
from rm_geo.geostat.street_map import street_map_helps
from rm_geo.grid import Grid
from rm_geo.inference.methods import OpenMethod
from rm_geo.pipeline.method_weight import WeighedCell, combine_rows, estimate_method_weight
from rm_geo.raster.reach import MeasuredDistance
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo
from rm_geo.validation.corrected_estimator import CorrectedEstimator

PIPELINE_PREFIX: Final = "pipeline:"
"""Prefix of a method's name: its map after all steps of ``rm-geo predict``."""

CLASSICAL_BASELINE: Final = "classical-baseline"
"""Name of the classical baseline as a method."""

_ANY_CRS: Final = 32631
_BATCH: Final = 4


class PipelineEstimator(CorrectedEstimator):
    """The map of an inner estimator after all steps of ``rm-geo predict``.

    Each square tile is mapped as a separate cell: the method weight is estimated by
    cross-validation, and the map is corrected by the measurements and combined with the IDW
    baseline.

    Parameters
    ----------
    inner : Estimator
        The inner estimator.
    """

    @property
    def name(self) -> str:
        """Name of the inner estimator, after :data:`PIPELINE_PREFIX`."""
        return PIPELINE_PREFIX + self.inner.name

    def corrected(self, batch: TileBatch, index: int, level_dbm: FloatArray) -> FloatArray:
        """Correct one tile and combine it with the baseline; unchanged without measurements."""
        sparse, facts = _cell(batch, index)
        if len(sparse) == 0:
            return level_dbm
        method = OpenMethod(self.inner, "cpu", _BATCH, is_network=True)
        tiles = sparse.grid.tiles(level_dbm.shape[0], 0)
        if street_map_helps(sparse):
            facts = facts.with_path_gains(sparse.grid, sparse.row, sparse.col)
        cell = WeighedCell(sparse, tiles, facts)
        method_weight = estimate_method_weight([cell], method, np.inf)
        parameters = RegressionKrigingOptions(noise_db=measurement_noise_db(sparse))
        observed_dbm = sparse.dense_rsrp_dbm()
        corrected = regression_krige(level_dbm, observed_dbm, parameters=parameters).rsrp_dbm
        if method_weight.alone:
            return corrected
        distance_px = MeasuredDistance.fit(sparse).on_rows(slice(0, sparse.grid.shape[0]))
        baseline_dbm = _baseline_dbm(sparse, facts, parameters)
        return combine_rows(corrected, baseline_dbm, method_weight, distance_px)


class ClassicalBaselineEstimator:
    """The classical baseline, without a network."""

    name = CLASSICAL_BASELINE
    maps_buildings = False
    provenance: dict[str, str] = {}  # noqa: RUF012 - no parameters

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement are NaN."""
        maps = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        for index in range(len(batch)):
            sparse, facts = _cell(batch, index)
            if len(sparse):
                parameters = RegressionKrigingOptions(noise_db=measurement_noise_db(sparse))
                maps[index] = _baseline_dbm(sparse, facts, parameters)
        return Estimate(maps)


@dataclass(frozen=True)
class _TileBuildings:
    """Known buildings of a cell that is a single tile."""

    buildings: BoolArray

    def mask(self, grid: Grid) -> BoolArray:
        """Return the buildings on the grid of the tile."""
        if grid.shape != self.buildings.shape:
            raise ValueError(f"buildings of {self.buildings.shape} asked for on {grid.shape}")
        return self.buildings


def _cell(batch: TileBatch, index: int) -> tuple[SparseRaster, SiteInfo]:
    """Convert one tile of a batch to a separate cell: measured pixels and site information."""
    rsrp_dbm = batch.rsrp_dbm[index]
    shape = (int(rsrp_dbm.shape[0]), int(rsrp_dbm.shape[1]))
    grid = Grid.create(500_000.0, 5_000_000.0, shape, batch.spacing_m, _ANY_CRS)
    row, col = (float(value) for value in batch.transmitter_rc[index])
    x, y = (float(value) for value in grid.to_world(row, col))
    facts = SiteInfo(
        transmitter_xy=(x, y) if np.isfinite([x, y]).all() else None,
        intercept_dbm=float(batch.intercept_dbm[index]),
        frequency_mhz=batch.frequency_mhz,
        transmitter_height_m=batch.transmitter_height_m,
        buildings=None if batch.buildings is None else _TileBuildings(batch.buildings[index]),
    )
    return SparseRaster.from_levels(grid, rsrp_dbm), facts


def _baseline_dbm(
    sparse: SparseRaster, facts: SiteInfo, parameters: RegressionKrigingOptions
) -> FloatArray:
    """Map a tile by the classical baseline, shape (H, W)."""
    baseline = fit_classical_baseline(sparse, parameters, facts)
    shape = sparse.grid.shape
    everywhere = np.ones(shape, dtype=np.bool_)
    return baseline.on_rows(slice(0, shape[0]), sparse.dense_rsrp_dbm(), everywhere)
