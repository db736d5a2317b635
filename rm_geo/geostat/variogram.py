"""Robust fit of a covariance to the empirical variogram."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.distance import pdist

from rm_geo.geostat.covariance import NestedExponentialCovariance

MIN_PAIRS: Final = 30
"""Fewest pairs of a lag class (Journel and Huijbregts)."""

_PRACTICAL: Final = 3.0
"""Practical range (95 % of the sill) over range (1 - 1/e of it)."""


def semivariance(
    covariance: NestedExponentialCovariance, lag: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Semivariance of a covariance model, nugget included.

    Parameters
    ----------
    covariance : NestedExponentialCovariance
        The model.
    lag : ndarray of float64
        Distances above 0, in the unit of the model's range.

    Returns
    -------
    ndarray of float64
        Of the shape of the distances.

    Examples
    --------
    >>> model = NestedExponentialCovariance.single(sill=8.0, range=10.0, nugget=2.0)
    >>> semivariance(model, np.array([1e-9, 1e6])).round(3).tolist()
    [2.0, 10.0]
    """
    structured = covariance.at_lags(lag, np.zeros_like(lag))
    return np.asarray(covariance.nugget + covariance.sill - structured)


def robust_semivariance(
    position_m: NDArray[np.float64],
    value_db: NDArray[np.float64],
    *,
    lags: int = 20,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the semivariance with Cressie and Hawkins' estimator.

    The fourth power of the mean square root is far less sensitive to outliers than the mean of
    squares (Cressie and Hawkins 1980, eq. 9).

    Parameters
    ----------
    position_m : ndarray of float64, shape (n, 2)
        Positions in metres.
    value_db : ndarray of float64, shape (n,)
        Values in dB or dBm.
    lags : int
        Classes of distance, up to half of the largest distance. The shortest classes are the
        narrowest, because they decide the kriging weights.

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
    semivariance_db2 = mean_root**4 / bias / 2.0
    return lag_m[filled], semivariance_db2[filled], pairs[filled]


def fit_variogram(
    position_m: NDArray[np.float64],
    value_db: NDArray[np.float64],
    *,
    max_samples: int = 1500,
    seed: int = 0,
) -> NestedExponentialCovariance:
    """Fit a covariance of one structure robustly to the empirical variogram.

    Parameters
    ----------
    position_m : ndarray of float64, shape (n, 2), n >= 2
        Positions in metres, not all the same.
    value_db : ndarray of float64, shape (n,)
        Values in dB or dBm.
    max_samples : int
        Largest sample; more values are replaced by a random subset: the pairs grow with the
        square of their number.
    seed : int
        Seed of that subset.

    Returns
    -------
    NestedExponentialCovariance
        Fitted with a soft L1 loss, lags weighted by the root of their pairs over their
        semivariance (Cressie 1985). Constant values give a sill of 0.
    """
    if len(value_db) > max_samples:
        subset = np.random.default_rng(seed).choice(len(value_db), max_samples, replace=False)
        position_m, value_db = position_m[subset], value_db[subset]
    lag_m, empirical_db2, pairs = robust_semivariance(position_m, value_db)
    sill = float(empirical_db2.max())
    longest_m = float(lag_m.max())
    single = NestedExponentialCovariance.single
    if sill <= 0.0 or longest_m <= 0.0:
        return single(0.0, max(longest_m, 1.0) / _PRACTICAL)
    if len(lag_m) < 3:  # too few to tell a nugget from a range
        return single(sill, longest_m / _PRACTICAL)

    # The fit works with the practical range: its starting point and bounds are lags, and an
    # ill-conditioned fit turns other roundings into other ranges.
    def residuals(log_parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        nugget, partial_sill, practical_m = np.exp(log_parameters)
        decay = np.exp(-_PRACTICAL * lag_m / practical_m)
        modelled_db2 = nugget + partial_sill * (1.0 - decay)
        relative = (empirical_db2 - modelled_db2) / modelled_db2
        return np.asarray(relative * np.sqrt(pairs / pairs.max()))

    start = np.log([max(float(empirical_db2[0]) / 2.0, 1e-3 * sill), sill, longest_m])
    lower = np.log([1e-6 * sill, 1e-3 * sill, float(lag_m.min()) / 10.0])
    upper = np.log([2.0 * sill, 10.0 * sill, 20.0 * longest_m])
    fit = least_squares(
        residuals, np.clip(start, lower + 1e-9, upper - 1e-9), bounds=(lower, upper), loss="soft_l1"
    )
    nugget, partial_sill, practical_m = (float(value) for value in np.exp(fit.x))
    return single(partial_sill, practical_m / _PRACTICAL, nugget)
