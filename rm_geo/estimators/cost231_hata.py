"""COST-231 Hata with its level fitted to the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.distance_law import MOBILE_HEIGHT_M, DistanceLaw, estimate_by_distance
from rm_geo.propagation.hata import Environment, hata_path_loss_db


@dataclass(frozen=True)
class Cost231HataEstimator:
    """Median path loss by distance; the samples set the level, the formula the slope.

    Parameters
    ----------
    environment : {"large-city", "urban", "suburban", "open"}
        Kind of surroundings; "urban" is a small or medium city.

    Notes
    -----
    Okumura-Hata below 1500 MHz. The formula was fitted from 1 to 20 km, 30 to 200 m antenna
    height and up to 2 GHz; a drive test's tiles are nearer, so this is a baseline that
    planners know, not a good map. The level is the median difference to the samples:
    EIRP, losses and the formula's own error are in it.
    """

    environment: Environment = "urban"

    name = "cost231-hata"
    maps_buildings = False

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return {"method": self.name, "environment": self.environment}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a sample are NaN."""

        def loss_db(distance_m: Float64Array) -> Float64Array:
            return hata_path_loss_db(
                distance_m,
                frequency_mhz=batch.frequency_mhz,
                base_height_m=batch.transmitter_height_m,
                mobile_height_m=MOBILE_HEIGHT_M,
                environment=self.environment,
            )

        def fit(distance_m: Float64Array, rsrp_dbm: Float64Array) -> DistanceLaw:
            level_dbm = float(np.median(rsrp_dbm + loss_db(distance_m)))
            return lambda at_m: level_dbm - loss_db(at_m)

        return Estimate(estimate_by_distance(batch, fit))
