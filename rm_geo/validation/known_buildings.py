"""Methods that are given known buildings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rm_geo.estimators.base import Estimate, Estimator, TileBatch
from rm_geo.units import GAIN_FLOOR_DB

WITH_BUILDINGS: Final = "+buildings"
"""Suffix of a method's name: it is given the known buildings; its building scores are void."""


@dataclass(frozen=True)
class KnownBuildingsEstimator:
    """Gives another method the outdoor samples only, and sets known buildings in its map.

    Attributes
    ----------
    base : Estimator
        Makes the outdoor map.
    """

    base: Estimator

    maps_buildings = False

    @property
    def name(self) -> str:
        """The other method's."""
        return self.base.name

    @property
    def provenance(self) -> dict[str, str]:
        """The other method's tags, and that buildings were known."""
        return {**self.base.provenance, "buildings": "known"}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of path gains; buildings are at the bottom of the noise-floor scale."""
        if batch.buildings is None:
            return self.base.estimate(batch)
        outdoors = np.where(batch.buildings, np.float32(np.nan), batch.rsrp_dbm)
        estimate = self.base.estimate(replace(batch, rsrp_dbm=outdoors, buildings=None))
        level = np.where(batch.buildings, np.float32(GAIN_FLOOR_DB), estimate.rsrp_dbm)
        return Estimate(np.asarray(level, dtype=np.float32), zero_in_buildings=True)
