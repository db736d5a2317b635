"""Simple kriging of scattered values onto a whole raster at once, from coarse to fine cells.

Exact kriging solves one dense system for all data, and needs a row of weights per pixel.
Here the data are averaged into cells; on cells the covariance is a convolution, which the
fast Fourier transform applies; the system is solved by conjugate residuals. One level alone
would be badly conditioned, so that coarse cells go first and each finer level kriges what
the coarser ones left over, with a covariance fitted to just that. A level that finds no
spatial correlation adds nothing, which is what keeps noise out of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from rm_geo._types import FloatArray
from rm_geo._util.disk_columns import computed, iter_blocks
from rm_geo._util.fft import (
    autocorrelation,
    convolved,
    kernel_spectrum,
    padded_shape,
    periodic_distance,
)
from rm_geo.geostat.covariance import fit_reml, shrink_mean
from rm_geo.geostat.kriging import FEW_VALUES, solve_exactly
from rm_geo.geostat.local_mean import FineStructure, fit_fine_structure
from rm_geo.raster.points import Points
from rm_geo.raster.resample import resample_at, resample_cells, resample_rows

__all__ = [
    "Cells",
    "Covariance",
    "KrigedField",
    "Points",
    "bin_points",
    "fit_covariance",
    "fit_field",
    "krige_points",
    "resample_cells",
]


_TOP_CELLS: Final = 8192
"""Largest number of cells of the coarsest level, whose correlation spans the raster."""

_FINE_CELLS: Final = 1 << 17
"""Rasters of no more pixels are solved down to single pixels."""

_MAX_CELLS: Final = 1 << 20
"""Largest number of cells of any level; bounds the memory to some 60 MB beside the raster."""

_LOCAL_RANGE: Final = 4.0
"""Longest correlation, in cells, that a level below the coarsest may add."""

_FINE_DENSITY: Final = 0.03
"""Share of measured pixels from which on single pixels are looked at."""

_MIN_CORRELATED: Final = 1e-3
_TOLERANCE: Final = 0.03
_ITERATIONS: Final = 15
_TOP_ITERATIONS: Final = 60


class Covariance(NamedTuple):
    """A sum of exponential covariances, and a nugget.

    Attributes
    ----------
    sills : ndarray of float64, shape (K,)
        Variances of the parts.
    ranges : ndarray of float64, shape (K,)
        Distances at which each part has fallen to 1/e, in cells.
    nugget : float
        Variance without spatial correlation.
    """

    sills: NDArray[np.float64]
    ranges: NDArray[np.float64]
    nugget: float

    def __call__(self, distance: NDArray[Any]) -> NDArray[Any]:
        """Covariance at distances in cells, without the nugget; same shape and type."""
        total = np.zeros_like(distance)
        for sill, length in zip(self.sills, self.ranges, strict=True):
            if sill > 0.0:
                total += distance.dtype.type(sill) * np.exp(distance / -distance.dtype.type(length))
        return total

    @property
    def within_cell(self) -> float:
        """Variance of the structure between a cell's centre and a place in the cell."""
        return 0.5 * float(-np.diff(self(np.array([0.0, 1.0])))[0])

    @property
    def reach(self) -> float:
        """Distance in cells beyond which less than a twentieth is left."""
        used = self.ranges[self.sills > 0.0]
        return 3.0 * float(used.max()) if used.size else 0.0


class Cells(NamedTuple):
    """Means of values over square cells.

    Attributes
    ----------
    mean : ndarray of float32, shape (h, w)
        0 where a cell is empty.
    number : ndarray of float32, shape (h, w)
        How many values.
    """

    mean: FloatArray
    number: FloatArray

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Where there is a value, shape (h, w)."""
        return np.asarray(self.number > 0.0)


@dataclass(frozen=True)
class KrigedField:
    """Kriged values of a whole raster, evaluated a band of rows at a time.

    Attributes
    ----------
    cells : ndarray of float32, shape (h, w)
        Values at the centres of the finest cells.
    side : int
        Pixels along a cell.
    shape : tuple of int
        Rows and columns of the raster.
    points : Points
        What was kriged.
    limits : tuple of float
        Smallest and largest value that the field takes.
    at_points : ndarray of float32, shape (N,)
        The field at the points.
    fine : FineStructure, optional
        What neighbouring pixels share beyond the cells.
    """

    cells: FloatArray
    side: int
    shape: tuple[int, int]
    points: Points
    limits: tuple[float, float]
    at_points: FloatArray
    fine: FineStructure | None = None

    def on_rows(self, rows: slice) -> FloatArray:
        """Give the field on some rows, shape (rows, W)."""
        field = resample_rows(self.cells, self.side, rows, self.shape[1])
        if self.fine is not None:
            field = field + self.fine.on_rows(rows)
        return np.clip(field, *self.limits)


def krige_points(points: Points, shape: tuple[int, int]) -> FloatArray:
    """Spread scattered values over a raster by their own spatial correlation.

    Parameters
    ----------
    points : Points
        Values whose expectation is 0, such as residuals, row by row.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The part of the values that is spatially correlated; 0 far from all of them.
    """
    return fit_field(points, shape).on_rows(slice(0, shape[0]))


def fit_field(points: Points, shape: tuple[int, int]) -> KrigedField:
    """Krige scattered values, to be evaluated in bands of rows.

    Parameters
    ----------
    points : Points
        Values whose expectation is 0, such as residuals, row by row.
    shape : tuple of int
        Rows and columns of the raster.

    Raises
    ------
    ValueError
        If the points do not come row by row.
    """
    if np.any(np.diff(points.row) < 0):
        raise ValueError("the points must come row by row")
    if points.value.size == 0 or not points.value.any():
        cell = np.zeros((1, 1), np.float32)
        return KrigedField(cell, max(shape), shape, points, (0.0, 0.0), np.zeros_like(points.value))
    side, finest = _levels(points, shape)
    top = True
    field = np.zeros((0, 0), np.float32)
    left = points
    while True:
        cells = bin_points(left, shape, side)
        correction = _krige_cells(cells, whole=top, centred=side == 1)
        field = correction if top else field + correction
        if side == finest:
            break
        field = resample_cells(field, side, side // 2, shape)
        side, top = side // 2, False
        said = _at_points(field, points, side)
        left = points._replace(value=computed(np.subtract, points.value, said, dtype=np.float32))
    low, high = min(float(points.value.min()), 0.0), max(float(points.value.max()), 0.0)
    at_points = _at_points(field, points, side)
    fine = None
    # Where measurements are that dense, neighbouring pixels share more than the cells tell.
    if points.value.size >= _FINE_DENSITY * shape[0] * shape[1]:
        fine, shared = fit_fine_structure(points._replace(value=points.value - at_points), shape)
        at_points = at_points + shared
    clipped = computed(lambda value: np.clip(value, low, high), at_points, dtype=np.float32)
    return KrigedField(field, side, shape, points, (low, high), clipped, fine)


def _at_points(field: FloatArray, points: Points, side: int) -> FloatArray:
    """Interpolate cells at the points."""
    return computed(
        lambda row, col, value: resample_at(field, Points(row, col, value), side),
        *points,
        dtype=np.float32,
    )


def bin_points(points: Points, shape: tuple[int, int], side: int) -> Cells:
    """Average points over square cells of a number of pixels."""
    rows, cols = (-(-length // side) for length in shape)
    count = np.zeros(rows * cols, dtype=np.int64)
    total = np.zeros(rows * cols)
    for row, col, value in iter_blocks(*points):
        index = (row // side) * cols + col // side
        np.add.at(count, index, 1)
        # In the order of the points, so that the sums do not depend on the blocks.
        np.add.at(total, index, value.astype(np.float64))
    mean = (total / np.maximum(count, 1)).astype(np.float32).reshape(rows, cols)
    return Cells(mean, count.astype(np.float32).reshape(rows, cols))


def fit_covariance(cells: Cells, *, whole: bool) -> Covariance:
    """Fit a covariance to all pairs of occupied cells.

    Parameters
    ----------
    cells : Cells
        Means over cells; expectation 0.
    whole : bool
        Whether correlation may span the raster, or a few cells only.

    Returns
    -------
    Covariance
        Non-negative least squares on the empirical covariance by distance, so that it is
        valid whatever the data. All sills are 0 where nothing correlates.
    """
    occupied = cells.occupied
    longest = max(cells.mean.shape)
    max_lag = 0.6 * longest + 1.0 if whole else min(0.7 * longest + 1.0, 12.0)
    distance, covariance, pairs = _empirical_covariance(cells, max_lag)
    power = float(np.mean(np.square(cells.mean[occupied], dtype=np.float64)))
    top_range = 3.0 * longest if whole else _LOCAL_RANGE
    ranges = 2.0 ** np.arange(-0.5, np.log2(top_range) + 0.01, 0.5)
    # One standard error less (that of values without correlation), so that chance products
    # of few pairs do not pass for structure.
    covariance = covariance - power / np.sqrt(np.maximum(pairs, 1.0))
    # As in Cressie's weights, what counts is the relative error of the variogram: the short
    # distances decide between nugget and structure.
    variogram = np.maximum(power - covariance, 0.02 * power)
    weight = np.sqrt(np.minimum(pairs, 20_000.0) / 20_000.0 * power / variogram)
    # The last equation says that all parts and the nugget together make the variance.
    sum_weight = 3.0 * float(weight.max(initial=0.1))
    design = np.zeros((distance.size + 1, ranges.size + 1))
    design[:-1, :-1] = np.exp(-distance[:, None] / ranges) * weight[:, None]
    design[-1] = sum_weight
    solution, _ = optimize.nnls(design, np.append(covariance * weight, power * sum_weight))
    return Covariance(solution[:-1], ranges, float(solution[-1]))


def _levels(points: Points, shape: tuple[int, int]) -> tuple[int, int]:
    """Cell sides of the coarsest and the finest level, powers of two."""
    pixels = shape[0] * shape[1]
    density = points.value.size / pixels
    # Where measurements are rare, cells of 4 pixels are still much finer than their spacing.
    finest = 1 if pixels <= _FINE_CELLS else 2 if density >= 0.03 else 4
    while pixels > finest**2 * _MAX_CELLS:
        finest *= 2
    if points.value.size <= FEW_VALUES:
        return finest, finest
    coarsest = finest
    while pixels > coarsest**2 * _TOP_CELLS:
        coarsest *= 2
    return coarsest, finest


def _empirical_covariance(
    cells: Cells, max_lag: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean distance, mean product and number of pairs, by classes of distance in cells."""
    padded = padded_shape(cells.mean.shape, max_lag)
    occupied = cells.occupied.astype(np.float32)
    products = autocorrelation(cells.mean, padded)
    pairs = autocorrelation(occupied, padded)
    distance = periodic_distance(padded)
    chosen = (distance > 0.0) & (distance <= max_lag)
    edges = np.concatenate(
        [[0.5, 1.2, 1.6, 2.1, 2.5, 3.2, 4.2, 5.2], 2 ** np.arange(2.75, 16, 0.5)]
    )
    kind = np.digitize(distance[chosen], edges)
    number = np.bincount(kind, pairs[chosen])
    product = np.bincount(kind, products[chosen])
    summed = np.bincount(kind, pairs[chosen] * distance[chosen])
    enough = number > min(20.0, 0.5 * float(number.max(initial=0.0)))
    number, product, summed = number[enough], product[enough], summed[enough]
    return summed / number, product / number, number.astype(np.float64)


def _krige_cells(cells: Cells, *, whole: bool, centred: bool) -> FloatArray:
    """Krige cell means onto the centres of all cells; ``centred`` if the values lie there."""
    occupied = cells.occupied
    if whole and np.count_nonzero(occupied) <= FEW_VALUES:
        return _krige_exactly(cells)
    covariance = fit_covariance(cells, whole=whole)
    power = float(np.mean(np.square(cells.mean[occupied], dtype=np.float64)))
    if covariance.sills.sum() <= _MIN_CORRELATED * power:
        return np.zeros_like(cells.mean)
    within = 0.0 if centred else covariance.within_cell
    nugget = max(covariance.nugget, _MIN_CORRELATED * power)
    noise = _noise_variance(cells, nugget, within, by_count=whole)
    shape = cells.mean.shape
    padded = padded_shape(shape, max(covariance.reach, 3.0))
    # Wrapped around the padding, a long correlation is not exactly a covariance any more.
    spectrum = np.maximum(kernel_spectrum(covariance(periodic_distance(padded))), 0.0)
    return convolved(_solve_iteratively(cells, noise, spectrum, padded), spectrum, padded)


def _noise_variance(cells: Cells, nugget: float, within: float, *, by_count: bool) -> FloatArray:
    """Variance of each cell's mean around the field at its centre; 1 in empty cells."""
    number = np.maximum(cells.number, 1.0)
    typical = 1.0 / float(np.mean(1.0 / cells.number[cells.occupied]))
    relative = typical / number if by_count else np.clip(typical / number, 0.5, 2.0)
    variance = nugget * relative + within / number
    return np.where(cells.occupied, variance, 1.0).astype(np.float32)


def _krige_exactly(cells: Cells) -> FloatArray:
    """Krige the few occupied cells onto all, around a mean as far as there is evidence of one."""
    where = np.nonzero(cells.number)
    place = np.column_stack(where).astype(np.float64)
    value = cells.mean[where].astype(np.float64)
    covariance = fit_reml(place, value)
    if covariance is None:
        mean = shrink_mean(float(value.mean()), float(value.var()) / value.size)
        return np.full_like(cells.mean, mean)
    mean, solved = solve_exactly(place, value, covariance, cells.number[where].astype(np.float64))
    weights = np.zeros_like(cells.mean)
    weights[where] = solved
    padded = padded_shape(cells.mean.shape, 3.0 * covariance.range)
    spectrum = np.maximum(kernel_spectrum(covariance(periodic_distance(padded))), 0.0)
    field: FloatArray = np.float32(mean) + convolved(weights, spectrum, padded)
    return field


def _solve_iteratively(
    cells: Cells, noise: FloatArray, spectrum: FloatArray, padded: tuple[int, int]
) -> FloatArray:
    """Kriging weights of the occupied cells by conjugate residuals.

    It stops early: what is not resolved then is small, and the next level takes it up. The
    residual never grows on the way, as it would with conjugate gradients.
    """
    occupied = cells.occupied.astype(np.float32)

    def applied(weights: FloatArray) -> FloatArray:
        return (convolved(weights, spectrum, padded) + noise * weights) * occupied

    weights = np.zeros_like(cells.mean)
    residual = cells.mean.copy()
    direction = residual.copy()
    image = applied(residual)
    moved = image.copy()
    product = float(np.vdot(residual, image))
    target = _TOLERANCE * float(np.linalg.norm(residual))
    for _ in range(_TOP_ITERATIONS if cells.mean.size <= _TOP_CELLS else _ITERATIONS):
        step = np.float32(product / float(np.vdot(moved, moved)))
        weights += step * direction
        residual -= step * moved
        if float(np.linalg.norm(residual)) <= target:
            break
        image = applied(residual)
        previous, product = product, float(np.vdot(residual, image))
        if product <= 0.0:  # rounding; the weights so far are as good as they get
            break
        growth = np.float32(product / previous)
        direction = residual + growth * direction
        moved = image + growth * moved
    return weights
