"""COST-231 Hata with its level fitted to the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.estimators.distance_law import MOBILE_HEIGHT_M, DistanceLaw, DistanceLawEstimator
from rm_geo.estimators.tilewise import TileSamples
from rm_geo.io.provenance import describe_method
from rm_geo.propagation.hata import Environment, hata_path_loss_db


@dataclass(frozen=True)
class Cost231HataEstimator(DistanceLawEstimator):
    """Median path loss by distance; the samples set the level, the formula the slope.

    Parameters
    ----------
    environment : {"large-city", "urban", "suburban", "open"}
        Kind of surroundings; "urban" is a small or medium city.

    Notes
    -----
    Median path loss of COST 231 final report, section 4.4.1 (COST-Hata), and of M. Hata, "Empirical
    formula for propagation loss in land mobile radio services", IEEE Trans. Vehicular Technology 29
    (1980), below 1500 MHz. The formula was fitted from 1 to 20 km, 30 to 200 m antenna height and
    up to 2 GHz; a drive test's tiles are nearer, so this is a baseline that planners know, not a
    good map. The level is the median difference to the samples: EIRP, losses and the error of the
    formula are in it.

    Examples
    --------
    >>> Cost231HataEstimator("suburban").provenance["environment"]
    'suburban'
    """

    environment: Environment = "urban"

    name = "cost231-hata"

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name, environment=self.environment)

    def fit_law(self, distance_m: Float64Array, samples: TileSamples) -> DistanceLaw:
        """Fit the level to samples at distances in metres, shape (n,).

        Parameters
        ----------
        distance_m : ndarray of float64, shape (n,)
            Ground distances of the samples from the transmitter in metres.
        samples : TileSamples
            The samples, at least one.

        Returns
        -------
        callable
            Gives RSRP in dBm at distances in metres.
        """

        def loss_db(distance_m: Float64Array) -> Float64Array:
            return hata_path_loss_db(
                distance_m,
                frequency_mhz=samples.frequency_mhz,
                base_height_m=samples.transmitter_height_m,
                mobile_height_m=MOBILE_HEIGHT_M,
                environment=self.environment,
            )

        level_dbm = float(np.median(samples.rsrp_dbm + loss_db(distance_m)))
        return lambda at_m: level_dbm - loss_db(at_m)
