"""Kriging at positions, each from the values around it that correlate most with it.

A dense system of all values costs the cube of their number. The nearest few dozen screen the
others: here each position has a small system of its own. Under an anisotropic covariance the
values that count are not the nearest ones but those along the street, so that they are chosen
by their covariance among more candidates.

The systems of a chunk of positions are solved together by numpy, which is as fast as loops
compiled by numba and needs no compiler.

In single precision all systems of a chunk are eliminated at once, one unknown after another: each
step is one operation on long rows. It takes half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import Float64Array, FloatArray, IndexArray
from rm_geo._util.threads import available_threads, single_threaded_algebra
from rm_geo.geostat.covariance import NestedExponentialCovariance

_CHUNK: Final = 256
"""Positions that are solved together: the matrices of 40 neighbours take 3 MB. Chunks of 64 take
a third longer."""

_THREADED: Final = 512
"""Fewer positions are not worth threads."""

_RIDGE: Final = 1e-9
"""Added to the diagonal relative to the sill: equal positions without noise stay solvable."""

_RANK_BITS: Final = 12
_KEY_STEPS: Final = float(1 << 40)


class KrigingWeights(NamedTuple):
    """Weights of ordinary kriging at positions, for any values at the same places.

    Attributes
    ----------
    used : ndarray of int, shape (M, n)
        Values that each position uses.
    weight : ndarray of float64, shape (M, n)
        Their weights, which sum to one.
    """

    used: IndexArray
    weight: Float64Array


class KrigedValues(NamedTuple):
    """Kriged values at positions.

    Attributes
    ----------
    mean : ndarray of float64, shape (M,)
        Estimates.
    variance : ndarray of float64, shape (M,)
        Variance of the field around the estimates, without the noise of a further value.
    """

    mean: Float64Array
    variance: Float64Array


class _Nearest(NamedTuple):
    """Values nearest to positions, in the order of their distances, both (m, n)."""

    distance: Float64Array
    found: IndexArray


@dataclass(frozen=True)
class LocalKriging:
    """Scattered values that are kriged at any positions.

    Parameters
    ----------
    position : ndarray of float64, shape (N, 2)
        Positions, N >= 1; equal ones are allowed.
    value : ndarray of float64, shape (N,)
        Values.
    covariance : NestedExponentialCovariance
        Covariance of the values, in the unit of the positions.
    noise_variance : ndarray of float64, shape (N,), optional
        Variance of the error of each value; the covariance's nugget if not given.
    known_mean : float, optional
        Mean of the field (simple kriging). If not given, each estimate estimates it from its
        neighbours (ordinary kriging).
    neighbors : int
        Values that each estimate uses; fewer where there are fewer.
    candidates : int
        Nearest values among which those are chosen, under an anisotropic covariance; at most
        4096.
    single_precision : bool
        Whether the systems are solved in float32. Where each value has a noise of 1 % of the sill
        or more, estimates differ by less than 1e-4 of the standard deviation of the values.

    Raises
    ------
    ValueError
        If there is no value, or the candidates are too many.

    Notes
    -----
    An estimate depends neither on the other positions that are asked for nor on the number of
    threads. The memory is some MB per thread, beside the search tree.

    Examples
    --------
    >>> covariance = NestedExponentialCovariance.single(sill=4.0, range=10.0)
    >>> field = LocalKriging(np.array([[0.0, 0.0], [0.0, 8.0]]), np.array([1.0, 3.0]), covariance)
    >>> field.at(np.array([[0.0, 0.0], [0.0, 4.0]])).mean.round(6).tolist()
    [1.0, 2.0]
    """

    position: Float64Array
    value: Float64Array
    covariance: NestedExponentialCovariance
    noise_variance: Float64Array | None = None
    known_mean: float | None = None
    neighbors: int = 40
    candidates: int = 200
    single_precision: bool = False

    def __post_init__(self) -> None:
        if self.value.size == 0:
            raise ValueError("kriging needs at least one value")
        if self.candidates > 1 << _RANK_BITS:
            raise ValueError(f"at most {1 << _RANK_BITS} candidates, not {self.candidates}")

    def at(self, target: Float64Array) -> KrigedValues:
        """Krige at positions.

        Parameters
        ----------
        target : ndarray of float64, shape (M, 2)
            Positions.

        Returns
        -------
        KrigedValues
        """
        (kriged,) = krige_together((self,), target)
        return kriged

    def weights_at(self, target: Float64Array) -> KrigingWeights:
        """Compute the weights of ordinary kriging; they do not depend on the values.

        Parameters
        ----------
        target : ndarray of float64, shape (M, 2)
            Positions.

        Returns
        -------
        KrigingWeights

        Examples
        --------
        >>> covariance = NestedExponentialCovariance.single(sill=4.0, range=10.0)
        >>> place, value = np.array([[0.0, 0.0], [0.0, 8.0]]), np.array([1.0, 3.0])
        >>> found = LocalKriging(place, value, covariance).weights_at(np.array([[0.0, 2.0]]))
        >>> found.weight.sum().round(6).item()
        1.0
        """
        number = min(self.neighbors, self.value.size)
        index = np.empty((len(target), number), dtype=np.intp)
        weight = np.empty((len(target), number))

        def solve(chunk: IndexArray) -> None:
            part = target[chunk]
            index[chunk], own, ones, _ = self._solutions(part, self._nearest(part, self._searched))
            missing = 1.0 - own.sum(axis=1, keepdims=True)
            weight[chunk] = own + ones * (missing / ones.sum(axis=1, keepdims=True))

        self._in_chunks(target, solve)
        return KrigingWeights(index, weight)

    @cached_property
    def tree(self) -> KDTree:
        """Search tree of the positions."""
        return KDTree(self.position)

    def _in_chunks(self, target: Float64Array, solve: Callable[[IndexArray], None]) -> None:
        """Call a function for each chunk of positions, in threads if there are many."""
        with single_threaded_algebra():
            if len(target) < _THREADED:
                for chunk in _chunks(target):
                    solve(chunk)
            else:
                _ = self.tree  # built once, before the threads ask for it
                with ThreadPoolExecutor(available_threads()) as pool:
                    for _ in pool.map(solve, _chunks(target)):
                        pass

    @cached_property
    def _noise(self) -> Float64Array:
        noise = self.covariance.nugget if self.noise_variance is None else self.noise_variance
        least = _RIDGE * self.covariance.sill + 1e-12
        return np.broadcast_to(np.asarray(noise, dtype=np.float64) + least, self.value.shape)

    def _solve(self, target: Float64Array, nearest: _Nearest) -> KrigedValues:
        """Krige at the positions of one chunk."""
        if self.single_precision:
            return self._solve_single(target, nearest)
        index, weight, ones, towards = self._solutions(target, nearest)
        value = self.value[index]
        variance = self.covariance.sill - (weight * towards).sum(axis=1)
        if self.known_mean is not None:
            mean = self.known_mean + (weight * (value - self.known_mean)).sum(axis=1)
        else:
            precision = ones.sum(axis=1)
            local_mean = (ones * value).sum(axis=1) / precision
            missing = 1.0 - weight.sum(axis=1)
            mean = local_mean * missing + (weight * value).sum(axis=1)
            variance += missing**2 / precision
        return KrigedValues(mean, np.maximum(variance, 0.0))

    def _solve_single(self, target: Float64Array, nearest: _Nearest) -> KrigedValues:
        """Krige at the positions of one chunk in float32; the last axis is that of positions."""
        index, towards, apart = self._neighbors_of(target, nearest)
        number = index.shape[1]
        first, second = np.triu_indices(number, 1)  # each pair once
        x, y = (np.ascontiguousarray(axis.T, dtype=np.float32) for axis in np.moveaxis(apart, 2, 0))
        pairs = self.covariance.at_lags(x[first] - x[second], y[first] - y[second])
        value = self.value[index]
        known = value.mean(axis=1) if self.known_mean is None else self.known_mean
        matrix = np.empty((number, number + 3, len(target)), dtype=np.float32)
        matrix[first, second] = pairs
        matrix[second, first] = pairs
        matrix[np.diag_indices(number)] = (self.covariance.sill + self._noise[index]).T
        matrix[:, number] = towards.T
        matrix[:, number + 1] = 1.0
        matrix[:, number + 2] = value.T - known
        (explained, towards_ones, towards_value), (_, precision, ones_value), _ = _eliminated(
            matrix
        ).astype(np.float64)
        variance = self.covariance.sill - explained
        mean = known + towards_value
        if self.known_mean is None:
            missing = 1.0 - towards_ones
            mean += missing * ones_value / precision
            variance += missing**2 / precision
        return KrigedValues(mean, np.maximum(variance, 0.0))

    def _solutions(
        self, target: Float64Array, nearest: _Nearest
    ) -> tuple[IndexArray, Float64Array, Float64Array, Float64Array]:
        """Solve the systems of one chunk for the covariances with each position, and for ones."""
        index, towards, _ = self._neighbors_of(target, nearest)
        right = np.stack([towards, np.ones_like(towards)], axis=-1)
        solved = np.asarray(np.linalg.solve(self._systems(index), right), dtype=np.float64)
        return index, solved[..., 0], solved[..., 1], towards

    def _systems(self, index: IndexArray) -> Float64Array:
        """Covariances between the values of each system with their noise, (m, n) to (m, n, n)."""
        used, place = np.unique(index, return_inverse=True)
        if used.size**2 > index.size * index.shape[1] // 2:  # the systems have little in common
            matrix = self._between(index)
            own = np.arange(index.shape[1])
            matrix[:, own, own] = self.covariance.sill + self._noise[index]
            return matrix
        du, dw = (np.subtract.outer(axis, axis) for axis in self.position[used].T)
        pairs = self.covariance.at_lags(du, dw)
        np.fill_diagonal(pairs, self.covariance.sill + self._noise[used])
        place = place.reshape(index.shape)
        return np.take(pairs, place[:, :, None] * used.size + place[:, None, :])

    def _between(self, index: IndexArray) -> Float64Array:
        """Covariances between the values of each system, (m, n) to (m, n, n)."""
        first, second = np.tril_indices(index.shape[1], -1)  # each pair once
        near = self.position[index]
        apart = near[:, first] - near[:, second]
        pairs = self.covariance.at_lags(apart[..., 0], apart[..., 1])
        matrix = np.empty((*index.shape, index.shape[1]))
        matrix[:, first, second] = pairs
        matrix[:, second, first] = pairs
        return matrix

    @property
    def _searched(self) -> int:
        """Number of nearest values among which those of a system are chosen."""
        most = self.neighbors
        if not self.covariance.is_isotropic:
            most = max(most, self.candidates)
        return min(most, self.value.size)

    def _nearest(self, target: Float64Array, number: int) -> _Nearest:
        """Search the nearest values of each position."""
        ranks = np.arange(1, number + 1)  # a list keeps the axis of one rank
        return _Nearest(*self.tree.query(target, k=ranks))

    def _neighbors_of(
        self, target: Float64Array, nearest: _Nearest
    ) -> tuple[IndexArray, Float64Array, Float64Array]:
        """Find the values that each position uses.

        Also their covariances with it, (m, n), and where they lie from it, (m, n, 2).
        """
        number, searched = min(self.neighbors, self.value.size), self._searched
        index = nearest.found[:, :searched]
        if searched < nearest.found.shape[1]:
            # Of equally near values a search for fewer may find others.
            tied = nearest.distance[:, searched - 1] == nearest.distance[:, searched]
            index = index.copy()  # other fields read it too
            index[tied] = self._nearest(target[tied], searched).found
        apart = self.position[index] - target[:, None]
        towards = self.covariance.at_lags(apart[..., 0], apart[..., 1])
        if index.shape[1] > number:
            # Unique integers, so that equal covariances fall alike on every kind of CPU.
            steps = np.rint(towards * (-_KEY_STEPS / max(self.covariance.sill, 1e-12)))
            keys = (steps.astype(np.int64) << _RANK_BITS) + np.arange(index.shape[1])
            chosen = np.partition(keys, number - 1, axis=1)[:, :number]
            chosen = np.sort(chosen, axis=1) & ((1 << _RANK_BITS) - 1)
            index = np.take_along_axis(index, chosen, axis=1)
            towards = np.take_along_axis(towards, chosen, axis=1)
            apart = np.take_along_axis(apart, chosen[..., None], axis=1)
        return index, towards, apart


def krige_together(
    fields: Sequence[LocalKriging], target: Float64Array
) -> tuple[KrigedValues, ...]:
    """Krige several fields of values at the same places; their neighbours are searched once.

    Parameters
    ----------
    fields : sequence of LocalKriging
        Fields of equal ``position``; at least one.
    target : ndarray of float64, shape (M, 2)
        Positions.

    Returns
    -------
    tuple of KrigedValues
        What :meth:`LocalKriging.at` of each field gives.

    Examples
    --------
    >>> place, value = np.array([[0.0, 0.0], [0.0, 8.0]]), np.array([1.0, 3.0])
    >>> near, far = (
    ...     LocalKriging(place, value, NestedExponentialCovariance.single(4.0, length))
    ...     for length in (1.0, 100.0)
    ... )
    >>> [field.mean.round(1).tolist() for field in krige_together((near, far), place + 1.0)]
    [[1.8, 2.2], [1.3, 2.9]]
    """
    kriged = tuple(KrigedValues(np.empty(len(target)), np.empty(len(target))) for _ in fields)
    first, most = fields[0], max(field._searched for field in fields)

    def solve(chunk: IndexArray) -> None:
        part = target[chunk]
        nearest = first._nearest(part, most)
        for field, values in zip(fields, kriged, strict=True):
            values.mean[chunk], values.variance[chunk] = field._solve(part, nearest)

    first._in_chunks(target, solve)
    return kriged


def _eliminated(matrix: FloatArray) -> FloatArray:
    """Eliminate the unknowns of symmetric systems with several right sides, all at once.

    Parameters
    ----------
    matrix : ndarray of float32, shape (n, n + r, m)
        Matrices K and right sides R of m systems; overwritten.

    Returns
    -------
    ndarray of float32, shape (r, r, m)
        The products of R with the inverse of K and R.
    """
    number = len(matrix)
    sides = matrix.shape[1] - number
    products = np.zeros((sides, sides, matrix.shape[2]), dtype=matrix.dtype)
    scratch = np.empty_like(matrix)
    for step in range(number):
        row, rest = matrix[step, step + 1 :], number - step - 1
        share = row / matrix[step, step]
        change = scratch[:rest, : len(row)]
        np.multiply(share[:rest, None], row, out=change)
        matrix[step + 1 :, step + 1 :] -= change
        products += share[rest:, None] * row[rest:]
    return products


def _chunks(target: Float64Array) -> Iterator[IndexArray]:
    """Cut positions into chunks of neighbours; gives the indices of each chunk."""
    number = len(target)
    near = KDTree(target, leafsize=_CHUNK).indices if number > _CHUNK else np.arange(number)
    return (near[start : start + _CHUNK] for start in range(0, number, _CHUNK))
