"""Simple kriging of scattered values onto a whole raster, from coarse to fine blocks.

Direct kriging solves one dense system for all data, and needs a row of weights per pixel.
Here the data are averaged over blocks. Between blocks the covariance is a convolution, which the
fast Fourier transform applies, and the system is solved by conjugate residuals. A single level
would be badly conditioned: coarse blocks are kriged first, and each finer level kriges the
residuals of the coarser ones, with a covariance fitted to these. A level without spatial
correlation adds nothing, which keeps noise out of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo._util.fft import (
    autocorrelation,
    convolve,
    kernel_spectrum,
    padded_shape,
    periodic_distance,
    periodic_lags,
)
from rm_geo._util.scipy_modules import nnls
from rm_geo.geostat.covariance import NestedExponentialCovariance, fit_reml, shrink_mean
from rm_geo.geostat.kriging import FEW_VALUES, solve_exactly
from rm_geo.geostat.local_mean import FineStructure, fit_fine_structure
from rm_geo.raster.blocks import Blocks, block_means
from rm_geo.raster.points import Points
from rm_geo.raster.resample import resample_at, resample_blocks, resample_rows

_TOP_BLOCKS: Final = 8192
"""Most blocks of the coarsest level, whose correlation may span the raster."""

_FINE_PIXELS: Final = 1 << 17
"""Rasters of no more pixels are solved down to single pixels."""

_MAX_BLOCKS: Final = 1 << 20
"""Most blocks of any level; limits the memory to some 60 MB beside the raster."""

_LOCAL_RANGE: Final = 4.0
"""Longest range, in blocks, of a level below the coarsest."""

_FINE_DENSITY: Final = 0.03
"""Smallest share of measured pixels for which single pixels are smoothed."""

_MIN_CORRELATED: Final = 1e-3
_TOLERANCE: Final = 0.03
_ITERATIONS: Final = 15
_TOP_ITERATIONS: Final = 60


@dataclass(frozen=True)
class KrigedField:
    """Kriged values of a whole raster, evaluated a band of rows at a time.

    Attributes
    ----------
    values : ndarray of float32, shape (h, w)
        Field at the centres of the finest blocks.
    block_px : int
        Pixels along a block.
    shape : tuple of int
        Rows and columns of the raster.
    points : Points
        Values that were kriged.
    limits : tuple of float
        Smallest and largest value of the field.
    at_points : ndarray of float32, shape (N,)
        Field at the points.
    fine : FineStructure, optional
        Local mean of neighbouring pixels, added to the blocks.
    """

    values: FloatArray
    block_px: int
    shape: tuple[int, int]
    points: Points
    limits: tuple[float, float]
    at_points: FloatArray
    fine: FineStructure | None = None

    def on_rows(self, rows: slice) -> FloatArray:
        """Evaluate the field on some rows, shape (rows, W)."""
        field = resample_rows(self.values, self.block_px, rows, self.shape[1])
        if self.fine is not None:
            field = field + self.fine.on_rows(rows)
        return np.clip(field, *self.limits)


def krige_points(points: Points, shape: tuple[int, int]) -> FloatArray:
    """Krige scattered values onto all pixels of a raster.

    Parameters
    ----------
    points : Points
        Values whose expectation is 0, such as residuals, row by row.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Spatially correlated part of the values; 0 far from all of them.

    Examples
    --------
    >>> points = Points(np.array([0]), np.array([1]), np.array([4.0], dtype=np.float32))
    >>> krige_points(points, (1, 3)).tolist()
    [[4.0, 4.0, 4.0]]
    """
    return fit_field(points, shape).on_rows(slice(0, shape[0]))


def fit_field(points: Points, shape: tuple[int, int]) -> KrigedField:
    """Krige scattered values; the result is evaluated in bands of rows.

    Parameters
    ----------
    points : Points
        Values whose expectation is 0, such as residuals, row by row.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    KrigedField

    Raises
    ------
    ValueError
        If the points do not come row by row.
    """
    if np.any(np.diff(points.row) < 0):
        raise ValueError("the points must come row by row")
    if points.value.size == 0 or not points.value.any():
        zero = np.zeros((1, 1), np.float32)
        return KrigedField(zero, max(shape), shape, points, (0.0, 0.0), np.zeros_like(points.value))
    block_px, finest_px = _levels(points, shape)
    top = True
    field = np.zeros((0, 0), np.float32)
    left = points
    while True:
        blocks = block_means(left, shape, block_px)
        residuals = _krige_blocks(blocks, whole=top, centred=block_px == 1)
        field = residuals if top else field + residuals
        if block_px == finest_px:
            break
        field = resample_blocks(field, block_px, block_px // 2, shape)
        block_px, top = block_px // 2, False
        left = points.map_values(np.subtract, _at_points(field, points, block_px))
    low, high = min(float(points.value.min()), 0.0), max(float(points.value.max()), 0.0)
    at_points = _at_points(field, points, block_px)
    fine = None
    # Where measurements are dense, neighbouring pixels share more than the blocks resolve.
    if points.value.size >= _FINE_DENSITY * shape[0] * shape[1]:
        fine, shared = fit_fine_structure(points._replace(value=points.value - at_points), shape)
        at_points = at_points + shared
    clipped = points._replace(value=at_points).map_values(lambda value: np.clip(value, low, high))
    return KrigedField(field, block_px, shape, points, (low, high), clipped.value, fine)


def _at_points(field: FloatArray, points: Points, block_px: int) -> FloatArray:
    """Interpolate between the centres of blocks at the points."""
    return points.map_points(lambda block: resample_at(field, block, block_px))


def fit_covariance(blocks: Blocks, *, whole: bool) -> NestedExponentialCovariance:
    """Fit a covariance to all pairs of occupied blocks.

    Parameters
    ----------
    blocks : Blocks
        Means over blocks; their expectation is 0.
    whole : bool
        Whether the range may span the raster, or a few blocks only.

    Returns
    -------
    NestedExponentialCovariance
        In blocks. Fitted by non-negative least squares to the empirical covariance by distance,
        so that it is valid for all data. All sills are 0 where nothing is correlated.
    """
    occupied = blocks.occupied
    longest = max(blocks.mean.shape)
    max_lag = 0.6 * longest + 1.0 if whole else min(0.7 * longest + 1.0, 12.0)
    distance, covariance, pairs = _empirical_covariance(blocks, max_lag)
    power = float(np.mean(np.square(blocks.mean[occupied], dtype=np.float64)))
    top_range = 3.0 * longest if whole else _LOCAL_RANGE
    ranges = 2.0 ** np.arange(-0.5, np.log2(top_range) + 0.01, 0.5)
    # One standard error less (that of values without correlation), so that chance products
    # of few pairs are not taken for structure.
    covariance = covariance - power / np.sqrt(np.maximum(pairs, 1.0))
    # As in Cressie's weights, the relative error of the variogram is minimised: short
    # distances decide between nugget and structure.
    variogram = np.maximum(power - covariance, 0.02 * power)
    weight = np.sqrt(np.minimum(pairs, 20_000.0) / 20_000.0 * power / variogram)
    # The last equation: all structures and the nugget add up to the variance.
    sum_weight = 3.0 * float(weight.max(initial=0.1))
    design = np.zeros((distance.size + 1, ranges.size + 1))
    design[:-1, :-1] = np.exp(-distance[:, None] / ranges) * weight[:, None]
    design[-1] = sum_weight
    solution, _ = nnls(design, np.append(covariance * weight, power * sum_weight))
    sills = tuple(float(sill) for sill in solution[:-1])
    return NestedExponentialCovariance(
        sills, tuple(float(length) for length in ranges), float(solution[-1])
    )


def within_block(covariance: NestedExponentialCovariance) -> float:
    """Variance of the structures between a block's centre and a position in the block.

    Parameters
    ----------
    covariance : NestedExponentialCovariance
        In blocks.
    """
    at_centre, beside = covariance.at_lags(np.array([0.0, 1.0]), np.zeros(2))
    return 0.5 * float(at_centre - beside)


def _levels(points: Points, shape: tuple[int, int]) -> tuple[int, int]:
    """Block sizes of the coarsest and the finest level in pixels, powers of two."""
    pixels = shape[0] * shape[1]
    density = points.value.size / pixels
    # Where measurements are sparse, blocks of 4 pixels are much finer than their spacing.
    finest = 1 if pixels <= _FINE_PIXELS else 2 if density >= 0.03 else 4
    while pixels > finest**2 * _MAX_BLOCKS:
        finest *= 2
    if points.value.size <= FEW_VALUES:
        return finest, finest
    coarsest = finest
    while pixels > coarsest**2 * _TOP_BLOCKS:
        coarsest *= 2
    return coarsest, finest


def _empirical_covariance(
    blocks: Blocks, max_lag: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean distance, mean product and number of pairs, by classes of distance in blocks."""
    padded = padded_shape(blocks.mean.shape, max_lag)
    occupied = blocks.occupied.astype(np.float32)
    products = autocorrelation(blocks.mean, padded)
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


def _krige_blocks(blocks: Blocks, *, whole: bool, centred: bool) -> FloatArray:
    """Krige block means onto the centres of all blocks; ``centred`` if the values lie there."""
    occupied = blocks.occupied
    if whole and np.count_nonzero(occupied) <= FEW_VALUES:
        return _krige_exactly(blocks)
    covariance = fit_covariance(blocks, whole=whole)
    power = float(np.mean(np.square(blocks.mean[occupied], dtype=np.float64)))
    if covariance.sill <= _MIN_CORRELATED * power:
        return np.zeros_like(blocks.mean)
    within = 0.0 if centred else within_block(covariance)
    nugget = max(covariance.nugget, _MIN_CORRELATED * power)
    noise = _noise_variance(blocks, nugget, within, by_count=whole)
    shape = blocks.mean.shape
    padded = padded_shape(shape, max(covariance.practical_range, 3.0))
    # Wrapped around the padding, a long covariance is not exactly positive definite.
    spectrum = np.maximum(kernel_spectrum(covariance.at_lags(*periodic_lags(padded))), 0.0)
    return convolve(_solve_iteratively(blocks, noise, spectrum, padded), spectrum, padded)


def _noise_variance(blocks: Blocks, nugget: float, within: float, *, by_count: bool) -> FloatArray:
    """Variance of each block's mean around the field at its centre; 1 in empty blocks."""
    number = np.maximum(blocks.count, 1.0)
    typical = 1.0 / float(np.mean(1.0 / blocks.count[blocks.occupied]))
    relative = typical / number if by_count else np.clip(typical / number, 0.5, 2.0)
    variance = nugget * relative + within / number
    return np.where(blocks.occupied, variance, 1.0).astype(np.float32)


def _krige_exactly(blocks: Blocks) -> FloatArray:
    """Krige few occupied blocks onto all, around a mean that is shrunk towards 0."""
    where = np.nonzero(blocks.count)
    position = np.column_stack(where).astype(np.float64)
    value = blocks.mean[where].astype(np.float64)
    covariance = fit_reml(position, value)
    if covariance is None:
        mean = shrink_mean(float(value.mean()), float(value.var()) / value.size)
        return np.full_like(blocks.mean, mean)
    count = blocks.count[where].astype(np.float64)
    mean, solved = solve_exactly(position, value, covariance, count)
    weights = np.zeros_like(blocks.mean)
    weights[where] = solved
    padded = padded_shape(blocks.mean.shape, covariance.practical_range)
    spectrum = np.maximum(kernel_spectrum(covariance.at_lags(*periodic_lags(padded))), 0.0)
    field: FloatArray = np.float32(mean) + convolve(weights, spectrum, padded)
    return field


def _solve_iteratively(
    blocks: Blocks, noise: FloatArray, spectrum: FloatArray, padded: tuple[int, int]
) -> FloatArray:
    """Kriging weights of the occupied blocks by conjugate residuals.

    The iteration stops early: the rest is small, and the next level kriges it. The residual
    never grows on the way, as it would with conjugate gradients.
    """
    occupied = blocks.occupied.astype(np.float32)

    def applied(weights: FloatArray) -> FloatArray:
        return (convolve(weights, spectrum, padded) + noise * weights) * occupied

    weights = np.zeros_like(blocks.mean)
    residual = blocks.mean.copy()
    direction = residual.copy()
    image = applied(residual)
    moved = image.copy()
    product = float(np.vdot(residual, image))
    target = _TOLERANCE * float(np.linalg.norm(residual))
    for _ in range(_TOP_ITERATIONS if blocks.mean.size <= _TOP_BLOCKS else _ITERATIONS):
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
