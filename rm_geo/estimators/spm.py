"""The standard propagation model, K1 and K2 fitted to the samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.estimators.distance_law import MOBILE_HEIGHT_M, DistanceLaw, DistanceLawEstimator
from rm_geo.estimators.tilewise import TileSamples
from rm_geo.io.provenance import describe_method
from rm_geo.propagation.spm import SpmConstants, fit_spm, spm_predict


@dataclass(frozen=True)
class SpmEstimator(DistanceLawEstimator):
    """Level and slope by distance, tuned to the samples as planners tune it.

    Parameters
    ----------
    constants : SpmConstants
        K3 to K7, and the K2 that is kept where the samples lie at much the same distance,
        or where their slope would make levels rise with distance.

    Notes
    -----
    Standard propagation model of planning tools, on flat ground without profile or land use: loss =
    K1 + K2 log d + K3 log h + K5 log d log h + K6 h_m. K1 and K2 are fitted to the samples, so that
    the model is a line over the logarithm of the distance.

    Examples
    --------
    >>> SpmEstimator().provenance["method"]
    'spm'
    """

    constants: SpmConstants = field(default_factory=SpmConstants)

    name = "spm"

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name, constants=repr(self.constants))

    def fit_law(self, distance_m: Float64Array, samples: TileSamples) -> DistanceLaw:
        """Fit K1 and K2 to samples at distances in metres, shape (n,).

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
        base_height_m = samples.transmitter_height_m
        loss_of_samples_db = -samples.rsrp_dbm

        def loss_db(distance_m: Float64Array, constants: SpmConstants) -> Float64Array:
            return spm_predict(
                distance_m,
                constants,
                base_height_m=base_height_m,
                mobile_height_m=MOBILE_HEIGHT_M,
            )

        fitted = fit_spm(
            distance_m,
            loss_of_samples_db,
            base_height_m=base_height_m,
            mobile_height_m=MOBILE_HEIGHT_M,
            start=self.constants,
        )
        if fitted.k2 + fitted.k5 * np.log10(base_height_m) <= 0.0:
            without_k1 = replace(self.constants, k1=0.0)
            k1 = float(np.mean(loss_of_samples_db - loss_db(distance_m, without_k1)))
            fitted = replace(self.constants, k1=k1)
        return lambda at_m: -loss_db(at_m, fitted)
