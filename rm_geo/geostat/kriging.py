"""Kriging of few scattered values by the direct solution of their dense system."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy import linalg

from rm_geo._types import Float64Array
from rm_geo.geostat.covariance import NestedExponentialCovariance, shrink_mean

FEW_VALUES: Final = 1000
"""Largest number of values whose dense system is solved directly."""


class ExactWeights(NamedTuple):
    """The solution of a kriging system.

    Attributes
    ----------
    mean : float
        Estimate far from all values.
    weights : ndarray of float64, shape (N,)
        The estimate at a position is the mean, plus the sum of the covariances between the
        position and the values, times these weights.
    """

    mean: float
    weights: Float64Array


def solve_exactly(
    position: Float64Array,
    value: Float64Array,
    covariance: NestedExponentialCovariance,
    count: Float64Array | None = None,
) -> ExactWeights:
    """Solve a kriging system; the mean is estimated, and shrunk towards 0.

    Parameters
    ----------
    position : ndarray of float64, shape (N, 2)
        Distinct positions, in the unit of the covariance's range.
    value : ndarray of float64, shape (N,)
        Values, such as residuals.
    covariance : NestedExponentialCovariance
        Covariance of the values.
    count : ndarray of float64, shape (N,), optional
        Measurements that each value is the mean of; the nugget falls with their number.

    Returns
    -------
    ExactWeights
    """
    matrix = covariance.between(position, position)
    ratio = 1.0 if count is None else float(count.mean()) / count
    matrix[np.diag_indices(value.size)] += covariance.nugget * ratio
    right = np.column_stack([value, np.ones_like(value)])
    solved = linalg.solve(matrix, right, assume_a="pos", overwrite_a=True, overwrite_b=True)
    precision = float(solved[:, 1].sum())
    mean = shrink_mean(float(solved[:, 0].sum()) / precision, 1.0 / precision)
    return ExactWeights(mean, solved[:, 0] - mean * solved[:, 1])


def krige_at(
    position: Float64Array,
    value: Float64Array,
    target: Float64Array,
    covariance: NestedExponentialCovariance,
) -> Float64Array:
    """Krige values at other positions.

    Parameters
    ----------
    position : ndarray of float64, shape (N, 2)
        See :func:`solve_exactly`.
    value : ndarray of float64, shape (N,)
        See :func:`solve_exactly`.
    target : ndarray of float64, shape (M, 2)
        Positions of the estimates.
    covariance : NestedExponentialCovariance
        See :func:`solve_exactly`.

    Returns
    -------
    ndarray of float64, shape (M,)
        The estimates.

    Examples
    --------
    >>> model = NestedExponentialCovariance.single(sill=4.0, range=10.0)
    >>> position = np.array([[0.0, 0.0], [0.0, 5.0]])
    >>> krige_at(position, np.array([2.0, -2.0]), position, model).round(6).tolist()
    [2.0, -2.0]
    """
    mean, weights = solve_exactly(position, value, covariance)
    return np.asarray(mean + covariance.between(target, position) @ weights)
