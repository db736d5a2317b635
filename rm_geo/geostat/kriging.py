"""Kriging of a few scattered values by solving their dense system."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist

from rm_geo._types import Float64Array
from rm_geo.geostat.covariance import ExponentialCovariance, shrink_mean

FEW_VALUES: Final = 1000
"""Up to so many, a dense system costs less than finding a way around it."""


class ExactWeights(NamedTuple):
    """The solution of a kriging system.

    Attributes
    ----------
    mean : float
        What is expected far from all values.
    weights : ndarray of float64, shape (N,)
        The estimate at a place is the mean, plus the sum of the covariances between the
        place and the values times these.
    """

    mean: float
    weights: Float64Array


def solve_exactly(
    place: Float64Array,
    value: Float64Array,
    covariance: ExponentialCovariance,
    number: Float64Array | None = None,
) -> ExactWeights:
    """Solve for values of which a mean of 0 is expected, and another as far as it shows.

    Parameters
    ----------
    place : ndarray of float64, shape (N, 2)
        Distinct positions, in the unit of the covariance's range.
    value : ndarray of float64, shape (N,)
        Values, such as residuals.
    covariance : ExponentialCovariance
        Theirs.
    number : ndarray of float64, shape (N,), optional
        How many measurements each value is the mean of; more of them are less noisy.
    """
    matrix = covariance(cdist(place, place))
    share = 1.0 if number is None else float(number.mean()) / number
    matrix[np.diag_indices(value.size)] += covariance.nugget * share
    right = np.column_stack([value, np.ones_like(value)])
    solved = linalg.solve(matrix, right, assume_a="pos", overwrite_a=True, overwrite_b=True)
    precision = float(solved[:, 1].sum())
    mean = shrink_mean(float(solved[:, 0].sum()) / precision, 1.0 / precision)
    return ExactWeights(mean, solved[:, 0] - mean * solved[:, 1])


def krige_at(
    place: Float64Array,
    value: Float64Array,
    target: Float64Array,
    covariance: ExponentialCovariance,
) -> Float64Array:
    """Krige values onto M other places, shape (M,).

    Parameters
    ----------
    place, value, covariance
        As for :func:`solve_exactly`.
    target : ndarray of float64, shape (M, 2)
        Where.

    Examples
    --------
    >>> law = ExponentialCovariance(sill=4.0, range=10.0, nugget=0.0)
    >>> place = np.array([[0.0, 0.0], [0.0, 5.0]])
    >>> krige_at(place, np.array([2.0, -2.0]), place, law).round(6).tolist()
    [2.0, -2.0]
    """
    mean, weights = solve_exactly(place, value, covariance)
    return np.asarray(mean + covariance(cdist(target, place)) @ weights)
