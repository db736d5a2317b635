"""Methods that are told where buildings stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rm_geo.estimators.base import Estimate, Estimator, TileBatch
from rm_geo.units import GAIN_FLOOR_DB

TOLD: Final = "+buildings"
"""In a method's name: it is told where buildings stand. Its building scores say nothing then."""


@dataclass(frozen=True)
class KnownBuildingsEstimator:
    """Lets another method see the samples outdoors alone, and paints walls into its map.

    Attributes
    ----------
    base : Estimator
        Makes the map between the walls.
    """

    base: Estimator

    maps_buildings = False

    @property
    def name(self) -> str:
        """The other method's."""
        return self.base.name

    @property
    def provenance(self) -> dict[str, str]:
        """The other method's, and that it was told."""
        return {**self.base.provenance, "walls": "told"}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of path gains; walls are at the bottom of the noise-floor scale."""
        if batch.walls is None:
            return self.base.estimate(batch)
        outdoors = np.where(batch.walls, np.float32(np.nan), batch.rsrp_dbm)
        estimate = self.base.estimate(replace(batch, rsrp_dbm=outdoors, walls=None))
        level = np.where(batch.walls, np.float32(GAIN_FLOOR_DB), estimate.rsrp_dbm)
        return Estimate(np.asarray(level, dtype=np.float32), zero_in_buildings=True)
