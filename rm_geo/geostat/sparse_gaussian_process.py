"""Gaussian process regression on positions and covariates, with inducing points.

Source: Snelson and Ghahramani, "Sparse Gaussian processes using pseudo-inputs", NIPS 2006
(FITC), with a random subset of the data as inducing points. With as many inducing points as
values it is the exact process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist

from rm_geo._types import Float64Array

INDUCING: Final = 200
"""Inducing points; 150 were as exact as all of some 300 values on two drive tests."""

_POSITION: Final = ((0.1, 40.0), (0.15, 150.0))
"""Share of the variance and range in metres of the fields over the positions."""

_NONLINEAR: Final = (0.5, 2.0)
"""Share of the variance, and length in standard deviations, of the covariates' field."""

_LINEAR: Final = 0.5
_MEAN: Final = 1.0
"""Shares of the variance: linear in the covariates, and the unknown mean."""

_JITTER: Final = 1e-4
_LEAST_VARIANCE_DB2: Final = 9.0


@dataclass(frozen=True)
class CovariateProcess:
    """Gaussian processes of positions and covariates that were fitted to values.

    Attributes
    ----------
    mean_db : ndarray of float64, shape (V,)
        Means of the V kinds of values.
    position_m, covariates : ndarray of float64, shapes (K, 2) and (K, O)
        The inducing points.
    weights : ndarray of float64, shape (K, V)
        The estimate is the mean plus the covariances with the inducing points times these.
    """

    mean_db: Float64Array
    position_m: Float64Array
    covariates: Float64Array
    weights: Float64Array

    @classmethod
    def fit(
        cls,
        position_m: Float64Array,
        covariates: Float64Array,
        value_db: Float64Array,
        count: Float64Array,
        *,
        inducing: int = INDUCING,
    ) -> CovariateProcess:
        """Fit to values.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Positions in metres.
        covariates : ndarray of float64, shape (N, O)
            Standardised covariates, such as the levels of other cells there.
        value_db : ndarray of float64, shape (N, V)
            Values of V kinds, each of which has a process of its own. What does not depend on
            them is computed once.
        count : ndarray of float64, shape (N,)
            Readings that each value is the mean of; the noise falls with their number.
        inducing : int
            Most inducing points.

        Returns
        -------
        CovariateProcess

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> position, other = rng.uniform(0, 900, (80, 2)), rng.normal(size=(80, 1))
        >>> process = CovariateProcess.fit(position, other, -90 + 5 * other, np.ones(80))
        >>> bool(abs(process.at(position, other) + 90 - 5 * other).mean() < 1.0)
        True
        """
        mean_db = value_db.mean(axis=0)
        chosen = np.random.default_rng(0).permutation(len(value_db))[:inducing]
        basis = _correlation(position_m, covariates, position_m[chosen], covariates[chosen])
        own = basis[chosen] + _JITTER * np.eye(chosen.size)
        factor = linalg.cholesky(own, lower=True)
        projected = linalg.solve_triangular(factor, basis.T, lower=True)
        total = _MEAN + sum(share for share, _ in _POSITION) + _NONLINEAR[0]
        total = total + _LINEAR * (covariates**2).mean(axis=1)
        unexplained = np.maximum(total - (projected**2).sum(axis=0), 0.0)
        solved = np.empty((chosen.size, value_db.shape[1]))
        for kind, value in enumerate((value_db - mean_db).T):
            variance = max(float(value.var()), _LEAST_VARIANCE_DB2)
            noise = 0.06 + 4.0 / (variance * np.minimum(count, 8.0))
            weighted = projected / (noise + unexplained)
            inner = np.eye(chosen.size) + weighted @ projected.T
            solved[:, kind] = linalg.solve(inner, weighted @ value, assume_a="pos")
        weights = linalg.solve_triangular(factor, solved, lower=True, trans="T")
        return cls(mean_db, position_m[chosen], covariates[chosen], weights)

    def at(self, position_m: Float64Array, covariates: Float64Array) -> Float64Array:
        """Estimate at positions where the covariates are known.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Positions in metres.
        covariates : ndarray of float64, shape (M, O)
            Covariates there.

        Returns
        -------
        ndarray of float64, shape (M, V)
        """
        basis = _correlation(position_m, covariates, self.position_m, self.covariates)
        return np.asarray(self.mean_db + basis @ self.weights)


def _correlation(
    position_m: Float64Array,
    covariates: Float64Array,
    others_m: Float64Array,
    other_covariates: Float64Array,
) -> Float64Array:
    """Covariance between two sets of points, relative to the variance of the values."""
    number = max(covariates.shape[1], 1)
    distance_m = cdist(position_m, others_m)
    apart = cdist(covariates, other_covariates, "sqeuclidean") / number
    share, length = _NONLINEAR
    total = _MEAN + share * np.exp(apart / (-2.0 * length**2))
    for share, range_m in _POSITION:
        total += share * np.exp(distance_m / -range_m)
    return np.asarray(total + _LINEAR * (covariates @ other_covariates.T) / number)
