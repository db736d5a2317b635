"""Probabilistic principal components of a matrix with missing entries.

Source: Tipping and Bishop, "Probabilistic principal component analysis", Journal of the Royal
Statistical Society B 61 (1999), section 3.2 (EM), with the sums over the known entries of each
row, as in Ilin and Raiko, "Practical approaches to principal component analysis in the presence
of missing values", Journal of Machine Learning Research 11 (2010), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array

_STEPS: Final = 30
_FIRST_NOISE_DB2: Final = 20.0
_LEAST_NOISE_DB2: Final = 0.25


@dataclass(frozen=True)
class FactorModel:
    """Columns of a matrix as sums of a few common factors and noise.

    Attributes
    ----------
    mean : ndarray of float64, shape (C,)
        Mean of each column.
    loadings : ndarray of float64, shape (C, K)
        Share of each of the K factors in each column.
    noise : float
        Variance that the factors leave.
    """

    mean: Float64Array
    loadings: Float64Array
    noise: float

    @classmethod
    def fit(cls, values: NDArray[Any], factors: int) -> FactorModel:
        """Fit by expectation maximisation.

        Parameters
        ----------
        values : ndarray, shape (N, C)
            Rows with NaN where an entry is missing; each column has a known entry.
        factors : int
            Number of factors, K.

        Returns
        -------
        FactorModel

        Examples
        --------
        >>> common = np.random.default_rng(0).normal(size=(200, 1))
        >>> model = FactorModel.fit(common * [1.0, -1.0, 2.0] + [5.0, 0.0, 0.0], 1)
        >>> model.predict(np.array([[np.nan, -2.0, 4.0]]), 0).round().tolist()
        [7.0]
        """
        known = np.isfinite(values).astype(np.float64)
        mean = (np.where(known > 0, values, 0.0)).sum(axis=0) / known.sum(axis=0)
        loadings = np.random.default_rng(0).normal(size=(values.shape[1], factors))
        noise = _FIRST_NOISE_DB2
        centred = np.where(known > 0, values - mean, 0.0)
        identity = np.eye(factors)
        for _ in range(_STEPS):
            spread, score = _posterior(centred, known, loadings, noise)
            moments = (spread + score[:, :, None] * score[:, None, :]).reshape(len(score), -1)
            squares = (known.T @ moments).reshape(-1, factors, factors)
            loadings = np.linalg.solve(squares + identity, (centred.T @ score)[:, :, None])[..., 0]
            rest = known * (centred - score @ loadings.T)
            pairs = (loadings[:, :, None] * loadings[:, None, :]).reshape(len(loadings), -1)
            doubt = float(((known @ pairs) * spread.reshape(len(score), -1)).sum())
            noise = max((float((rest**2).sum()) + doubt) / known.sum(), _LEAST_NOISE_DB2)
            shift = rest.sum(axis=0) / known.sum(axis=0)
            mean = mean + shift
            centred = known * (centred - shift)
        return cls(mean, loadings, noise)

    def predict(self, values: NDArray[Any], column: int) -> Float64Array:
        """Predict one column of each row from the other columns.

        Parameters
        ----------
        values : ndarray, shape (N, C)
            Rows; NaN where an entry is missing.
        column : int
            The column, whose own entries are not used.

        Returns
        -------
        ndarray of float64, shape (N,)
            The column's mean where no other column is known.
        """
        known = np.isfinite(values).astype(np.float64)
        known[:, column] = 0.0
        centred = np.where(known > 0, values - self.mean, 0.0)
        _, score = _posterior(centred, known, self.loadings, self.noise)
        return np.asarray(self.mean[column] + score @ self.loadings[column])


def _posterior(
    centred: Float64Array, known: Float64Array, loadings: Float64Array, noise: float
) -> tuple[Float64Array, Float64Array]:
    """Covariance (N, K, K) and mean (N, K) of the factors of each row."""
    factors = loadings.shape[1]
    pairs = (loadings[:, :, None] * loadings[:, None, :]).reshape(len(loadings), -1)
    precision = (known @ pairs).reshape(-1, factors, factors) / noise + np.eye(factors)
    spread = np.linalg.inv(precision)
    score = (spread @ (centred @ loadings)[:, :, None])[..., 0] / noise
    return np.asarray(spread, dtype=np.float64), np.asarray(score, dtype=np.float64)
