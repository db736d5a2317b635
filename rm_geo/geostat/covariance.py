"""The covariance under which a few scattered values are most likely.

The empirical covariance of values around their own mean is biased: it falls below zero at
long distances however far they correlate, so that a covariance fitted to it forgets too soon.
The restricted likelihood (Patterson and Thompson, "Recovery of inter-block information when
block sizes are unequal", Biometrika 58, 1971) takes the unknown mean out first. It costs a
Cholesky decomposition for each candidate, which a few hundred values can afford.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import cdist

from rm_geo._types import Float64Array

_NUGGET_SHARES: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for the nugget, as shares of the sill."""

_MAX_VALUES: Final = 400
"""A random subset of this size stands for more values: the cost grows with the cube."""

_WORTHWHILE: Final = 3.0
"""Log-likelihood that two more parameters, chosen among many, must gain over no correlation."""


class ExponentialCovariance(NamedTuple):
    """An exponential covariance ``sill * exp(-h / range)`` with a nugget.

    Attributes
    ----------
    sill, nugget : float
        Variances of the part that correlates and of the part that does not.
    range : float
        Distance at which the correlation has fallen to 1/e.
    """

    sill: float
    range: float
    nugget: float

    def __call__(self, distance: NDArray[np.floating]) -> NDArray[np.floating]:
        """Covariance at distances, without the nugget; same shape."""
        return np.asarray(self.sill * np.exp(-distance / self.range))


def fit_reml(position: Float64Array, value: Float64Array) -> ExponentialCovariance | None:
    """Fit an exponential covariance by restricted maximum likelihood.

    Parameters
    ----------
    position : ndarray of float64, shape (N, 2)
        Distinct positions, in any unit.
    value : ndarray of float64, shape (N,)
        Values of unknown mean.

    Returns
    -------
    ExponentialCovariance or None
        The likeliest of candidates whose ranges double from the shortest distances to four
        times the longest; None where no correlation is as likely, or with fewer than four
        values.

    Examples
    --------
    >>> line = np.column_stack([np.arange(50.0), np.zeros(50)])
    >>> fit_reml(line, np.cumsum(np.random.default_rng(0).normal(size=50))).range
    16.0
    """
    if len(value) > _MAX_VALUES:
        chosen = np.random.default_rng(0).choice(len(value), _MAX_VALUES, replace=False)
        position, value = position[chosen], value[chosen]
    if len(value) < 4 or float(np.ptp(value)) == 0.0:
        return None
    distance = cdist(position, position)
    longest = float(distance.max())
    nearest = np.min(distance + np.diag(np.full(len(value), longest)), axis=1)
    shortest = max(float(np.median(nearest)), 1e-3 * longest)
    ranges = shortest * 2.0 ** np.arange(0.0, np.log2(4.0 * longest / shortest) + 1.0)
    unrelated, _ = _log_likelihood(np.eye(len(value)), value)
    best, found = unrelated + _WORTHWHILE, None
    for length in ranges:
        correlation = np.exp(distance / -length)
        for share in _NUGGET_SHARES:
            log_likelihood, variance = _log_likelihood(
                correlation + share * np.eye(len(value)), value
            )
            if log_likelihood > best:
                best = log_likelihood
                found = ExponentialCovariance(variance, float(length), share * variance)
    return found


def shrink_mean(mean: float, variance: float) -> float:
    """Shrink an estimated mean to 0 by how uncertain it is.

    Where a mean of 0 is expected, as of residuals, ordinary kriging would carry a chance
    mean of the data into all the area. The factor is James and Stein's, positive part.

    Parameters
    ----------
    mean : float
        Estimate.
    variance : float
        Of the estimate.

    Examples
    --------
    >>> shrink_mean(7.0, 0.0), shrink_mean(0.5, 1.0)
    (7.0, 0.0)
    """
    square = mean**2
    return mean * (1.0 - variance / square) if square > variance else 0.0


def _log_likelihood(relative: Float64Array, value: Float64Array) -> tuple[float, float]:
    """Restricted log-likelihood of a covariance up to its scale, and the likeliest scale."""
    factor = linalg.cho_factor(relative, lower=True, check_finite=False)
    ones = np.ones_like(value)
    weighted = linalg.cho_solve(factor, np.column_stack([value, ones]), check_finite=False)
    precision = float(ones @ weighted[:, 1])
    mean = float(ones @ weighted[:, 0]) / precision
    freedom = len(value) - 1
    variance = max(float((value - mean) @ weighted[:, 0]), 1e-12) / freedom
    log_determinant = 2.0 * float(np.log(np.diag(factor[0])).sum()) + float(np.log(precision))
    return -0.5 * (freedom * float(np.log(variance)) + log_determinant), variance
