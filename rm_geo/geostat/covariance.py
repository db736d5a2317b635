"""Covariance models, and their fit by restricted maximum likelihood (REML).

The empirical covariance of values around their own mean is biased: it falls below zero at
long distances however far the values correlate, so that a model fitted to it has too short a
range. REML removes the unknown mean first (Patterson and Thompson, "Recovery of inter-block
information when block sizes are unequal", Biometrika 58, 1971). It costs a Cholesky
decomposition for each candidate, which is affordable for a few hundred values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import cdist

from rm_geo._types import Float64Array

_NUGGET_RATIOS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates for the nugget, relative to the sill."""

_MAX_VALUES: Final = 400
"""Largest sample; more values are replaced by a random subset: the cost is cubic."""

_MIN_GAIN: Final = 3.0
"""Log-likelihood that a correlation must gain over none; it adds two chosen parameters."""


@dataclass(frozen=True)
class NestedExponentialCovariance:
    """A sum of exponential covariances, ``sum of sill * exp(-h / range)``, and a nugget.

    The only covariance model of the package, with the only convention of range: the distance
    at which the correlation has fallen to 1/e. The *practical* range (95 % of the sill), which
    variograms of PyKrige and GSLIB state, is three times as long.

    A structure with a cross range is anisotropic: ``sill * exp(-|u| / range - |w| / cross_range)``
    along two perpendicular axes, u and w, that are turned by an angle. This is the separable
    exponential of levels along streets: a long range along a street, a short one across it.

    Callers pass positions (:meth:`between`) or lags along the two axes (:meth:`at_lags`), not
    distances, so that a model whose range depends on the direction needs no other caller.

    Parameters
    ----------
    sills : sequence of float, shape (K,)
        Variances of the structures.
    ranges : sequence of float, shape (K,)
        Range of each structure, in the unit of the positions.
    nugget : float
        Variance without spatial correlation.
    cross_ranges : sequence of float or None, shape (K,), optional
        Range of each structure across the axis u; None for an isotropic structure. Not given,
        all structures are isotropic.
    angle : float
        Direction of the axis u in radians, from the first axis of the positions towards the
        second.

    Raises
    ------
    ValueError
        If the sills, ranges and cross ranges are not equally many.

    Examples
    --------
    >>> covariance = NestedExponentialCovariance.single(sill=4.0, range=10.0, nugget=1.0)
    >>> covariance.at_lags(np.array([0.0, 6.0]), np.array([0.0, 8.0])).round(3).tolist()
    [4.0, 1.472]

    A street along the second axis:

    >>> street = NestedExponentialCovariance((4.0,), (100.0,), 0.0, (10.0,), np.pi / 2)
    >>> street.at_lags(np.array([0.0, 10.0]), np.array([10.0, 0.0])).round(3).tolist()
    [3.619, 1.472]
    """

    sills: tuple[float, ...]
    ranges: tuple[float, ...]
    nugget: float = 0.0
    cross_ranges: tuple[float | None, ...] = ()
    angle: float = 0.0

    def __post_init__(self) -> None:
        if len(self.ranges) != len(self.sills):
            raise ValueError(f"{len(self.sills)} sills, but {len(self.ranges)} ranges")
        if self.cross_ranges and len(self.cross_ranges) != len(self.sills):
            raise ValueError(f"{len(self.sills)} sills, but {len(self.cross_ranges)} cross ranges")

    @classmethod
    def single(cls, sill: float, range: float, nugget: float = 0.0) -> NestedExponentialCovariance:
        """Make a model of one structure.

        Parameters
        ----------
        sill : float
            Variance of the structure.
        range : float
            Distance at which the covariance is 1/e of the sill.
        nugget : float
            Variance of the noise.

        Returns
        -------
        NestedExponentialCovariance
            The model.
        """
        return cls((sill,), (range,), nugget)

    @property
    def sill(self) -> float:
        """Variance of all structures together, without the nugget."""
        return float(np.sum(self.sills))

    @property
    def is_isotropic(self) -> bool:
        """Whether no structure has a cross range."""
        return all(cross is None for cross in self.cross_ranges)

    @property
    def longest_range(self) -> float:
        """Longest range of a structure that has a sill, in any direction; 0 without one."""
        return max(
            (max(r, cross or 0.0) for s, r, cross in self._structures() if s > 0.0), default=0.0
        )

    @property
    def practical_range(self) -> float:
        """Distance at which less than a twentieth of the longest structure is left."""
        return 3.0 * self.longest_range

    def scaled(self, factor: float) -> NestedExponentialCovariance:
        """Multiply all variances by a factor.

        Parameters
        ----------
        factor : float
            Not negative.

        Examples
        --------
        >>> NestedExponentialCovariance.single(0.5, 60.0, 0.25).scaled(4.0)
        NestedExponentialCovariance(sills=(2.0,), ranges=(60.0,), nugget=1.0, cross_ranges=(), \
angle=0.0)
        """
        sills = tuple(factor * sill for sill in self.sills)
        return replace(self, sills=sills, nugget=factor * self.nugget)

    def turned(self, angle: float) -> NestedExponentialCovariance:
        """Set the direction of the axis u, in radians."""
        return replace(self, angle=angle)

    def between(self, first: Float64Array, second: Float64Array) -> Float64Array:
        """Covariance between two sets of positions, without the nugget.

        Parameters
        ----------
        first, second : ndarray of float64, shapes (N, 2) and (M, 2)
            Positions.

        Returns
        -------
        ndarray of float64, shape (N, M)
        """
        if self.is_isotropic:
            return self._at_distance(cdist(first, second))
        return self.at_lags(*(np.subtract.outer(first[:, k], second[:, k]) for k in range(2)))

    def at_lags(self, du: NDArray[Any], dw: NDArray[Any]) -> NDArray[Any]:
        """Covariance at lags along the two axes, without the nugget.

        Parameters
        ----------
        du, dw : ndarray of floating
            Differences of the positions along each axis, of shapes that broadcast.

        Returns
        -------
        ndarray
            Of the broadcast shape and the type of the lags.
        """
        total = self._at_distance(np.sqrt(du * du + dw * dw))
        if self.is_isotropic:
            return total
        kind = total.dtype.type
        cos, sin = kind(np.cos(self.angle)), kind(np.sin(self.angle))
        along, across = np.abs(cos * du + sin * dw), np.abs(cos * dw - sin * du)
        for sill, length, cross in self._structures():
            if sill > 0.0 and cross is not None:
                total += kind(sill) * np.exp(along / -kind(length) + across / -kind(cross))
        return total

    def _structures(self) -> Iterator[tuple[float, float, float | None]]:
        """Sill, range and cross range of each structure."""
        cross_ranges = self.cross_ranges or (None,) * len(self.sills)
        return zip(self.sills, self.ranges, cross_ranges, strict=True)

    def _at_distance(self, distance: NDArray[Any]) -> NDArray[Any]:
        """Covariance of the isotropic structures at distances; the same shape and type."""
        total = np.zeros_like(distance)
        kind = distance.dtype.type
        for sill, length, cross in self._structures():
            if sill > 0.0 and cross is None:
                total += kind(sill) * np.exp(distance / -kind(length))
        return total


class _Candidate(NamedTuple):
    """Log-likelihood of a covariance up to its scale, and the most likely scale."""

    log_likelihood: float
    variance: float


def fit_reml(position: Float64Array, value: Float64Array) -> NestedExponentialCovariance | None:
    """Fit a covariance of one structure by restricted maximum likelihood.

    Parameters
    ----------
    position : ndarray of float64, shape (N, 2)
        Distinct positions, in any unit.
    value : ndarray of float64, shape (N,)
        Values of unknown mean.

    Returns
    -------
    NestedExponentialCovariance or None
        The most likely of candidates whose ranges double from the shortest distances to four
        times the longest; None where no correlation is as likely, or with fewer than four
        values.

    Examples
    --------
    >>> line = np.column_stack([np.arange(50.0), np.zeros(50)])
    >>> fit_reml(line, np.cumsum(np.random.default_rng(0).normal(size=50))).longest_range
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
    identity = np.eye(len(value))
    best, found = _evaluate(identity, value).log_likelihood + _MIN_GAIN, None
    for length in ranges:
        correlation = NestedExponentialCovariance.single(1.0, float(length)).between(
            position, position
        )
        for ratio in _NUGGET_RATIOS:
            candidate = _evaluate(correlation + ratio * identity, value)
            if candidate.log_likelihood > best:
                best = candidate.log_likelihood
                variance = candidate.variance
                found = NestedExponentialCovariance.single(
                    variance, float(length), ratio * variance
                )
    return found


def shrink_mean(mean: float, variance: float) -> float:
    """Shrink an estimated mean towards 0 by its uncertainty.

    Where a mean of 0 is expected, as of residuals, ordinary kriging would extrapolate a chance
    mean of the data over the whole area. The factor is that of James and Stein, positive part.

    Parameters
    ----------
    mean : float
        Estimate.
    variance : float
        Variance of the estimate.

    Returns
    -------
    float
        The shrunk mean.

    Examples
    --------
    >>> shrink_mean(7.0, 0.0), shrink_mean(0.5, 1.0)
    (7.0, 0.0)
    """
    square = mean**2
    return mean * (1.0 - variance / square) if square > variance else 0.0


def _evaluate(relative: Float64Array, value: Float64Array) -> _Candidate:
    """Restricted log-likelihood of a covariance matrix up to its scale."""
    factor = linalg.cho_factor(relative, lower=True, check_finite=False)
    ones = np.ones_like(value)
    weighted = linalg.cho_solve(factor, np.column_stack([value, ones]), check_finite=False)
    precision = float(ones @ weighted[:, 1])
    mean = float(ones @ weighted[:, 0]) / precision
    freedom = len(value) - 1
    variance = max(float((value - mean) @ weighted[:, 0]), 1e-12) / freedom
    log_determinant = 2.0 * float(np.log(np.diag(factor[0])).sum()) + float(np.log(precision))
    likelihood = -0.5 * (freedom * float(np.log(variance)) + log_determinant)
    return _Candidate(likelihood, variance)
