"""Probability that a cell is reported at all in a square, by the number of its samples.

Measurements of many users are published as squares: the number of samples, and how many of them
report each cell. A weak cell is reported in a square of ten thousand samples and not in one of ten.
The samples of a square are not independent, so that the probability is not that of as many draws:
a logistic regression of being reported on the kriged share of the samples, the kriged indicator and
the number of samples, all logarithmic, is fitted to blocks of squares that are held out of the
kriging.

On two sets of squares in Chicago, with blocks of 50 and 200 m held out, the AUC was 0.96 and 0.91
to 0.93; that of the kriged share alone was 0.88 and 0.82.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import Float64Array
from rm_geo.geostat.intervals import held_out_folds
from rm_geo.geostat.reporting import ReportedProbability

_LEAST_SHARE: Final = 1e-4
_LEAST_ODDS: Final = 0.01
"""Added before logarithms are taken."""


@dataclass(frozen=True)
class ReportedInSquares:
    """Probability that cells are reported in squares of samples.

    Attributes
    ----------
    position_m : ndarray of float64, shape (N, 2)
        Centres of the known squares in metres.
    share : ndarray of float64, shape (N, C)
        Share of the samples of each square that report each cell, 0..1.
    coefficients : ndarray of float64, shape (4,)
        Of the log odds: constant, log share, log odds of the indicator, log samples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> squares = 50.0 * np.argwhere(np.ones((12, 12)))
    >>> samples = rng.integers(1, 1000, 144)
    >>> true = 0.1 * np.exp(-squares[:, :1] / 100.0)
    >>> share = rng.binomial(samples[:, None], true) / samples[:, None]
    >>> found = ReportedInSquares.fit(squares, share, samples)
    >>> few, many = found.at(np.array([[300.0, 300.0]] * 2), np.array([5, 5000]))[:, 0]
    >>> bool(few < 0.5 < many)
    True
    """

    position_m: Float64Array
    share: Float64Array
    coefficients: Float64Array

    @classmethod
    def fit(
        cls,
        position_m: Float64Array,
        share: Float64Array,
        samples: np.ndarray,
        block_m: float = 200.0,
    ) -> ReportedInSquares:
        """Fit the regression to squares in blocks that are held out of the kriging.

        Parameters
        ----------
        position_m : ndarray of float64, shape (N, 2)
            Centres of the squares in metres.
        share : ndarray of float64, shape (N, C)
            Share of the samples that report each cell, 0..1.
        samples : ndarray of float or int, shape (N,)
            Number of samples of each square, at least 1.
        block_m : float
            Side of the blocks: about the distance from the known squares at which the probability
            is needed.

        Returns
        -------
        ReportedInSquares

        Raises
        ------
        ValueError
            If all squares are in one block, or all cells are reported everywhere, or nowhere.
        """
        known = np.asarray(share, dtype=np.float64)
        counted = np.asarray(samples, dtype=np.float64)
        features, reported = [], []
        for kept, held in held_out_folds(position_m, blocks_m=(block_m,)):
            found = _features(position_m[kept], known[kept], position_m[held], counted[held])
            features.append(found.reshape(-1, found.shape[-1]))
            reported.append((known[held] > 0.0).ravel())
        if not features or np.unique(np.concatenate(reported)).size < 2:
            raise ValueError("needs squares in several blocks, with and without a report")
        from sklearn.linear_model import LogisticRegression  # takes half a second to import

        model = LogisticRegression().fit(np.concatenate(features), np.concatenate(reported))
        return cls(position_m, known, np.concatenate([model.intercept_, model.coef_[0]]))

    def at(self, position_m: Float64Array, samples: np.ndarray) -> Float64Array:
        """Estimate in squares.

        Parameters
        ----------
        position_m : ndarray of float64, shape (M, 2)
            Centres in metres.
        samples : ndarray of float or int, shape (M,)
            Number of samples of each square.

        Returns
        -------
        ndarray of float64, shape (M, C)
            Probability that each cell is reported by at least one sample, 0..1.
        """
        counted = np.asarray(samples, dtype=np.float64)
        features = _features(self.position_m, self.share, position_m, counted)
        odds = self.coefficients[0] + features @ self.coefficients[1:]
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


def _features(
    known_m: Float64Array, share: Float64Array, position_m: Float64Array, samples: Float64Array
) -> Float64Array:
    """Log share, log odds of the indicator and log samples of each square and cell, (M, C, 3)."""
    columns = []
    for of_cell in share.T:
        kriged = ReportedProbability.fit(known_m, of_cell).at(position_m)
        some = ReportedProbability.fit(known_m, of_cell > 0.0).at(position_m)
        odds = (some + _LEAST_ODDS) / (1.0 - some + _LEAST_ODDS)
        columns.append([np.log(kriged + _LEAST_SHARE), np.log(odds), np.log(samples)])
    return np.ascontiguousarray(np.moveaxis(np.asarray(columns), 2, 0), dtype=np.float64)
