"""An estimator followed by regression kriging, as in the pipeline, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate, Estimator, TileBatch
from rm_geo.geostat.regression_kriging import regression_krige

SUFFIX = "+assimilate"
"""After a method's name: its map with the residuals at the measurements kriged back in."""


@dataclass(frozen=True)
class CorrectedEstimator:
    """Another estimator's map, tile by tile made into a better one; what such have in common.

    Parameters
    ----------
    inner : Estimator
        Whose map; its building map stays as it is.
    """

    inner: Estimator

    @property
    def maps_buildings(self) -> bool:
        """Whether the inner method does."""
        return self.inner.maps_buildings

    @property
    def provenance(self) -> dict[str, str]:
        """Tags of the inner method."""
        return {**self.inner.provenance, "assimilated": "true"}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch, and correct each tile."""
        estimate = self.inner.estimate(batch)
        maps = [
            self.corrected(batch, index, level_dbm)
            for index, level_dbm in enumerate(estimate.rsrp_dbm)
        ]
        # The inner method's deviations do not hold for the corrected map.
        return replace(estimate, rsrp_dbm=np.stack(maps).astype(np.float32), std_db=None)

    def corrected(self, batch: TileBatch, index: int, level_dbm: FloatArray) -> FloatArray:
        """Give the better map of one tile, shape (H, W)."""
        raise NotImplementedError


class AssimilatedEstimator(CorrectedEstimator):
    """Another estimator's map, brought back to the measurements of its tile."""

    @property
    def name(self) -> str:
        """Name of the inner method, with :data:`SUFFIX`."""
        return self.inner.name + SUFFIX

    def corrected(self, batch: TileBatch, index: int, level_dbm: FloatArray) -> FloatArray:
        """Assimilate the measurements of one tile."""
        return regression_krige(level_dbm, batch.rsrp_dbm[index]).rsrp_dbm
