"""What the empirical models share: levels by distance from the transmitter, fitted per tile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from rm_geo._types import Float64Array, FloatArray
from rm_geo.estimators.base import TileBatch
from rm_geo.estimators.tilewise import TileSamples, evaluate_field, samples_of
from rm_geo.sites.localization import locate

DistanceLaw: TypeAlias = Callable[[Float64Array], Float64Array]
"""Gives RSRP in dBm at distances in metres, both of shape (n,)."""

MOBILE_HEIGHT_M = 1.5
"""Height of the receiver: on foot or in a car."""


def estimate_by_distance(
    batch: TileBatch, fit: Callable[[Float64Array, Float64Array], DistanceLaw]
) -> FloatArray:
    """Fit a law to each tile's samples and evaluate it at all its pixels.

    Parameters
    ----------
    batch : TileBatch
        Where a transmitter is not known, its position is estimated from the samples of the
        tile.
    fit : callable
        Takes the distances in metres and RSRP in dBm of at least one sample to a law.

    Returns
    -------
    ndarray of float32, shape (B, H, W)
        RSRP in dBm; NaN in tiles without a sample.
    """
    rsrp_dbm = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
    for index, tile_dbm in enumerate(batch.rsrp_dbm):
        samples = samples_of(tile_dbm, batch.spacing_m)
        if not len(samples):
            continue
        transmitter_m = batch.transmitter_rc[index].astype(np.float64) * batch.spacing_m
        if not np.isfinite(transmitter_m).all():
            transmitter_m = locate_from_samples(samples, batch.transmitter_height_m)
        law = fit(_distance_m(samples.position_m, transmitter_m), samples.rsrp_dbm)

        def field(
            position_m: Float64Array,
            law: DistanceLaw = law,
            transmitter_m: Float64Array = transmitter_m,
        ) -> Float64Array:
            return law(_distance_m(position_m, transmitter_m))

        evaluate_field(field, rsrp_dbm[index], batch.spacing_m)
    return rsrp_dbm


def locate_from_samples(samples: TileSamples, height_m: float) -> Float64Array:
    """Estimate the transmitter's position, shape (2,), in metres like the samples'.

    Where the samples do not tell to within their own extent (too few, or too near each
    other), the middle of the strongest twentieth of them stands for it.
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
