"""Base of the empirical models: RSRP as a law of the distance from the transmitter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.sites.localization import locate

DistanceLaw: TypeAlias = Callable[[Float64Array], Float64Array]
"""Gives RSRP in dBm at distances in metres, both of shape (n,)."""

MOBILE_HEIGHT_M = 1.5
"""Height of the receiver: on foot or in a car."""


class DistanceLawEstimator(FieldEstimator):
    """An empirical model: a law over the distance from the transmitter, fitted to the samples.

    Where the transmitter is not known, its position is estimated from the samples.
    """

    interpolates = False

    @abstractmethod
    def fit_law(self, distance_m: Float64Array, samples: TileSamples) -> DistanceLaw:
        """Fit the law.

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

    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples.

        Parameters
        ----------
        samples : TileSamples
            At least one.

        Returns
        -------
        callable
            Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
        """
        transmitter_m = samples.transmitter_m
        if not np.isfinite(transmitter_m).all():
            transmitter_m = locate_from_samples(samples, samples.transmitter_height_m)
        law = self.fit_law(_distance_m(samples.position_m, transmitter_m), samples)

        def field(position_m: Float64Array) -> Float64Array:
            return law(_distance_m(position_m, transmitter_m))

        return field


def locate_from_samples(samples: TileSamples, height_m: float) -> Float64Array:
    """Estimate the transmitter's position from levels.

    Where the samples do not determine it to within their own extent (too few, or too near each
    other), the mean position of the strongest twentieth of them is taken.

    Parameters
    ----------
    samples : TileSamples
        At least one.
    height_m : float
        Height of the antenna over ground.

    Returns
    -------
    ndarray of float64, shape (2,)
        Row and column direction in metres, as the samples' positions.
    """
    rows_m, cols_m = samples.position_m.T
    found = locate(cols_m, rows_m, samples.rsrp_dbm, height_m=max(height_m, 1.0))
    extent_m = float(np.hypot(np.ptp(rows_m), np.ptp(cols_m)))
    if found is None or found.uncertainty_m > extent_m / 2.0:
        strongest = samples.rsrp_dbm >= np.quantile(samples.rsrp_dbm, 0.95)
        return np.asarray(samples.position_m[strongest].mean(axis=0))
    return np.array([found.y, found.x])


def _distance_m(position_m: Float64Array, transmitter_m: Float64Array) -> Float64Array:
    """Give ground distances, shape (n,)."""
    return np.asarray(np.linalg.norm(position_m - transmitter_m, axis=-1), dtype=np.float64)
