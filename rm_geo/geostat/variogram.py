"""Robust variograms: how quickly RSRP forgets itself over distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.distance import pdist

MIN_PAIRS: Final = 30
"""Journel and Huijbregts' rule: a lag with fewer pairs says nothing."""


@dataclass(frozen=True)
class Variogram:
    """An exponential variogram, ``nugget + partial_sill * (1 - exp(-3 h / range))``.

    Attributes
    ----------
    nugget_db2 : float
        Semivariance at distance 0+: noise and variation below the sampling distance.
    partial_sill_db2 : float
        What the spatially correlated part adds.
    range_m : float
        Distance at which 95 % of the partial sill is reached.
    """

    nugget_db2: float
    partial_sill_db2: float
    range_m: float

    def __call__(self, lag_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Semivariance in dB^2 at distances in metres."""
        return np.asarray(
            self.nugget_db2 + self.partial_sill_db2 * (1.0 - np.exp(-3.0 * lag_m / self.range_m))
        )


def robust_semivariance(
    position_m: NDArray[np.float64],
    value_db: NDArray[np.float64],
    *,
    lags: int = 20,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the semivariance with Cressie and Hawkins' estimator.

    Its fourth power of mean square roots is moved far less by outliers than the mean of
    squares (Cressie and Hawkins 1980, eq. 9).

    Parameters
    ----------
    position_m : ndarray of float64, shape (n, 2)
        Positions in metres.
    value_db : ndarray of float64, shape (n,)
        Values in dB or dBm.
    lags : int
        Classes of distance, each with about equally many pairs up to half of the
        largest distance: short lags, which rule the weights of kriging, are resolved best.

    Returns
    -------
    lag_m, semivariance_db2, pairs : ndarray of float64, shape (at most lags,)
        Mean distance, semivariance and number of pairs of each class.
    """
    distance_m = pdist(position_m)
    root_difference = np.sqrt(pdist(value_db[:, None], "cityblock"))
    near = distance_m <= max(distance_m.max() / 2.0, distance_m.min())
    distance_m, root_difference = distance_m[near], root_difference[near]
    # Classes grow with the square root of their rank, so that the shortest are the finest.
    edges = np.unique(np.quantile(distance_m, np.linspace(0.0, 1.0, lags + 1) ** 2))
    index = np.clip(np.searchsorted(edges, distance_m, side="right") - 1, 0, max(len(edges) - 2, 0))
    pairs = np.bincount(index).astype(np.float64)
    filled = pairs >= min(MIN_PAIRS, pairs.max())
    safe_pairs = np.maximum(pairs, 1.0)
    lag_m = np.bincount(index, distance_m) / safe_pairs
    mean_root = np.bincount(index, root_difference) / safe_pairs
    bias = 0.457 + 0.494 / safe_pairs + 0.045 / safe_pairs**2
    semivariance = mean_root**4 / bias / 2.0
    return lag_m[filled], semivariance[filled], pairs[filled]


def fit_variogram(
    position_m: NDArray[np.float64],
    value_db: NDArray[np.float64],
    *,
    max_samples: int = 1500,
    seed: int = 0,
) -> Variogram:
    """Fit an exponential variogram robustly.

    Parameters
    ----------
    position_m : ndarray of float64, shape (n, 2), n >= 2
        Positions in metres, not all the same.
    value_db : ndarray of float64, shape (n,)
        Values in dB or dBm.
    max_samples : int
        A random subset of this size stands for more samples: pairs grow with the square.
    seed : int
        Seed of that subset.

    Returns
    -------
    Variogram
        Fitted with a soft L1 loss, lags weighted by the root of their pairs over their
        semivariance (Cressie 1985). Constant values give a sill of 0.
    """
    if len(value_db) > max_samples:
        subset = np.random.default_rng(seed).choice(len(value_db), max_samples, replace=False)
        position_m, value_db = position_m[subset], value_db[subset]
    lag_m, semivariance, pairs = robust_semivariance(position_m, value_db)
    sill = float(semivariance.max())
    longest_m = float(lag_m.max())
    if sill <= 0.0 or longest_m <= 0.0:
        return Variogram(0.0, 0.0, max(longest_m, 1.0))
    if len(lag_m) < 3:  # too few to tell a nugget from a range
        return Variogram(0.0, sill, longest_m)

    def residuals(log_parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        model = Variogram(*np.exp(log_parameters))(lag_m)
        return np.asarray((semivariance - model) / model * np.sqrt(pairs / pairs.max()))

    start = np.log([max(float(semivariance[0]) / 2.0, 1e-3 * sill), sill, longest_m])
    lower = np.log([1e-6 * sill, 1e-3 * sill, float(lag_m.min()) / 10.0])
    upper = np.log([2.0 * sill, 10.0 * sill, 20.0 * longest_m])
    fit = least_squares(
        residuals, np.clip(start, lower + 1e-9, upper - 1e-9), bounds=(lower, upper), loss="soft_l1"
    )
    nugget, partial_sill, range_m = (float(value) for value in np.exp(fit.x))
    return Variogram(nugget, partial_sill, range_m)
