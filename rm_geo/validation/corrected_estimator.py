"""Estimators whose maps are corrected by the measurements of each tile, as in the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate, Estimator, TileBatch
from rm_geo.geostat.regression_kriging import regression_krige

SUFFIX = "+assimilate"
"""Suffix of a method's name: its map corrected by regression kriging."""


@dataclass(frozen=True)
class CorrectedEstimator:
    """Base class: the map of an inner estimator, corrected tile by tile.

    Parameters
    ----------
    inner : Estimator
        The inner estimator. Its building map is not changed.
    """

    inner: Estimator

    @property
    def maps_buildings(self) -> bool:
        """Whether the inner estimator maps buildings."""
        return self.inner.maps_buildings

    @property
    def provenance(self) -> dict[str, str]:
        """Provenance tags of the inner estimator, and ``assimilated``."""
        return {**self.inner.provenance, "assimilated": "true"}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch and correct each tile; the standard deviation is dropped."""
        estimate = self.inner.estimate(batch)
        maps = [
            self.corrected(batch, index, level_dbm)
            for index, level_dbm in enumerate(estimate.rsrp_dbm)
        ]
        # The standard deviation of the inner estimator is not that of the corrected map.
        return replace(estimate, rsrp_dbm=np.stack(maps).astype(np.float32), std_db=None)

    def corrected(self, batch: TileBatch, index: int, level_dbm: FloatArray) -> FloatArray:
        """Correct the map of one tile.

        Parameters
        ----------
        batch : TileBatch
            The batch with the measurements.
        index : int
            Index of the tile in the batch.
        level_dbm : ndarray of float32, shape (H, W)
            Map of the inner estimator in dBm.

        Returns
        -------
        ndarray of float32, shape (H, W)
            Corrected map in dBm.
        """
        raise NotImplementedError


class AssimilatedEstimator(CorrectedEstimator):
    """The map of an inner estimator, corrected by regression kriging in each tile.

    Parameters
    ----------
    inner : Estimator
        The inner estimator.
    """

    @property
    def name(self) -> str:
        """Name of the inner estimator, with :data:`SUFFIX`."""
        return self.inner.name + SUFFIX

    def corrected(self, batch: TileBatch, index: int, level_dbm: FloatArray) -> FloatArray:
        """Krige the residuals of one tile, and add them to its map."""
        return regression_krige(level_dbm, batch.rsrp_dbm[index]).rsrp_dbm
