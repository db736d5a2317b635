"""Localization of a transmitter from measured levels.

A log-distance path-loss law with robust noise is fitted at each candidate position. The likelihoods
of the positions give a posterior, with its mean and spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array
from rm_geo._util import disk_columns
from rm_geo._util.disk_columns import drop_pages, iter_blocks

MIN_POSITIONS: Final = 8
"""Minimum number of distinct positions for an estimate."""

_MOST_BINS: Final = 1 << 20
_BLOCK_M: Final = 10.0
_MAX_BLOCKS: Final = 400
_SHADOWING_M: Final = 75.0
"""Correlation length of shadowing in metres. With it the spread covers the error in simulations."""

_STUDENT_DOF: Final = 4.0
_EXPONENT_PRIOR: Final = (3.2, 0.7)  # urban path-loss exponents, TR 38.901 LOS to NLOS
_IRLS_STEPS: Final = 4
_GRID_SIDE: Final = 41
_LEVELS: Final = 2
_NEGLIGIBLE: Final = 9.0  # candidates this far below the best log-posterior are dropped
_SMALLEST_PAD_M: Final = 500.0
_MIN_STD_DB: Final = 1.0
_CACHED: Final = 64


@dataclass(frozen=True)
class Location:
    """Estimated position of a transmitter.

    Attributes
    ----------
    x, y : float
        Mean of the posterior, in metres in the CRS of the measurements.
    uncertainty_m : float
        Root mean square distance of the posterior from its mean, in metres.
    """

    x: float
    y: float
    uncertainty_m: float


def decluster(
    x: Float64Array, y: Float64Array, level_dbm: NDArray[np.floating[Any]], block_m: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Replace the points of each square block by their mean position and median level.

    This removes the weight of places that were measured many times, such as by a waiting car.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Positions in metres.
    level_dbm : ndarray of float, shape (N,)
        Levels in dBm.
    block_m : float
        Side of a block in metres.

    Returns
    -------
    x, y, level_dbm : ndarray of float64, shape (M,)
        Mean position and median level of each block with points, ordered by row and column.

    Examples
    --------
    >>> x, y = np.array([1.0, 3.0, 14.0]), np.zeros(3)
    >>> [axis.tolist() for axis in decluster(x, y, np.array([-80.0, -90.0, -70.0]), 10.0)]
    [[2.0, 14.0], [0.0, 0.0], [-85.0, -70.0]]
    """
    bands = _bands(x, y, level_dbm, block_m)
    xs, ys, levels = zip(*(_decluster_band(*band, block_m) for band in bands), strict=True)
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(levels)


def _bands(
    x: Float64Array, y: Float64Array, level_dbm: NDArray[np.floating[Any]], block_m: float
) -> Iterator[tuple[Float64Array, Float64Array, NDArray[np.floating[Any]]]]:
    """Read the points of each band of block rows into memory, from south to north.

    All points are one band if they fit in memory. Else a band has at most about
    ``IN_MEMORY_ROWS`` points, or is a single block row.
    """
    if y.size <= disk_columns.IN_MEMORY_ROWS:
        yield x, y, level_dbm
        return
    first = min(float(np.floor(block / block_m).min()) for (block,) in iter_blocks(y))
    last = max(float(np.floor(block / block_m).max()) for (block,) in iter_blocks(y))
    # Points are counted in bins of whole block rows, so that stray points do not need memory.
    rows_each = max(1.0, np.ceil((last - first + 1.0) / _MOST_BINS))

    def bins(block: Float64Array) -> NDArray[np.int64]:
        return np.asarray((np.floor(block / block_m) - first) // rows_each).astype(np.int64)

    counts = np.zeros(int((last - first) // rows_each) + 1, dtype=np.int64)
    for (block,) in iter_blocks(y):
        counts += np.bincount(bins(block), minlength=counts.size)
    band = (np.cumsum(counts) - counts) // max(disk_columns.IN_MEMORY_ROWS // 2, 1)
    for number in np.unique(band[counts > 0]):
        begin, found = 0, []
        for (block,) in iter_blocks(y):
            found.append(begin + np.flatnonzero(band[bins(block)] == number))
            begin += block.size
        index = np.concatenate(found)
        yield x[index], y[index], level_dbm[index]
        for column in (x, y, level_dbm):
            drop_pages(column)


def _decluster_band(
    x: Float64Array, y: Float64Array, level_dbm: NDArray[np.floating[Any]], block_m: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Replace the points of each block of a band; blocks are ordered by row and column."""
    column, row = np.floor(x / block_m), np.floor(y / block_m)
    order = np.lexsort((level_dbm, column, row))
    column, row = column[order], row[order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(column) != 0) | (np.diff(row) != 0)]))
    del column, row
    sizes = np.diff(np.append(starts, order.size))
    levels = level_dbm[order].astype(np.float64)
    median = 0.5 * (levels[starts + (sizes - 1) // 2] + levels[starts + sizes // 2])
    return (
        np.add.reduceat(x[order], starts) / sizes,
        np.add.reduceat(y[order], starts) / sizes,
        np.asarray(median),
    )


def locate(
    x: Float64Array, y: Float64Array, rsrp_dbm: NDArray[np.floating[Any]], *, height_m: float = 15.0
) -> Location | None:
    """Estimate the position of the transmitter of measurements.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Positions in metres.
    rsrp_dbm : ndarray of float32 or float64, shape (N,)
        Levels in dBm.
    height_m : float
        Height of the antenna above the receivers in metres, which bounds the level near it.

    Returns
    -------
    Location or None
        None for fewer than 8 distinct 10 m blocks. If the levels do not determine the position,
        the uncertainty is as large as the search area.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.uniform(0, 400, 300), rng.uniform(0, 400, 300)
    >>> found = locate(x, y, -60 - 35 * np.log10(np.hypot(x - 150, y - 250) + 15))
    >>> abs(found.x - 150) < 30 and abs(found.y - 250) < 30
    True
    """
    if x.size == 0:
        return None
    xs, ys, levels = decluster(x, y, rsrp_dbm, _BLOCK_M)
    if xs.size < MIN_POSITIONS:
        return None
    if xs.size > _MAX_BLOCKS:
        # Every k-th block by level keeps the strongest level and the range.
        by_level = np.argsort(-levels, kind="stable")
        chosen = by_level[np.linspace(0, xs.size - 1, _MAX_BLOCKS).astype(np.int64)]
        xs, ys, levels = xs[chosen], ys[chosen], levels[chosen]
    independent = decluster(xs, ys, levels, _SHADOWING_M)[0].size
    pad = max(_SMALLEST_PAD_M, float(np.hypot(np.ptp(xs), np.ptp(ys))))
    west, east = float(xs.min()) - pad, float(xs.max()) + pad
    south, north = float(ys.min()) - pad, float(ys.max()) + pad
    for level in range(_LEVELS):
        grid_x, grid_y = (
            axis.ravel()
            for axis in np.meshgrid(
                np.linspace(west, east, _GRID_SIDE), np.linspace(south, north, _GRID_SIDE)
            )
        )
        log_posterior = np.concatenate(
            [
                _log_likelihood(grid_x[part], grid_y[part], xs, ys, levels, height_m, independent)
                for part in _parts(grid_x.size)
            ]
        )
        log_posterior -= log_posterior.max()
        if level + 1 < _LEVELS:
            likely = log_posterior > -_NEGLIGIBLE
            step_x, step_y = (east - west) / (_GRID_SIDE - 1), (north - south) / (_GRID_SIDE - 1)
            west, east = (
                max(west, float(grid_x[likely].min()) - step_x),
                min(east, float(grid_x[likely].max()) + step_x),
            )
            south, north = (
                max(south, float(grid_y[likely].min()) - step_y),
                min(north, float(grid_y[likely].max()) + step_y),
            )
    weight = np.exp(log_posterior)
    weight /= weight.sum()
    mean_x, mean_y = float(weight @ grid_x), float(weight @ grid_y)
    spread = float(np.sqrt(weight @ ((grid_x - mean_x) ** 2 + (grid_y - mean_y) ** 2)))
    return Location(mean_x, mean_y, spread)


def _parts(count: int) -> list[slice]:
    """Split the candidates into parts whose temporary arrays fit in the processor's cache."""
    return [slice(start, start + _CACHED) for start in range(0, count, _CACHED)]


def _log_likelihood(
    grid_x: Float64Array,
    grid_y: Float64Array,
    x: Float64Array,
    y: Float64Array,
    level_dbm: Float64Array,
    height_m: float,
    independent: int,
) -> Float64Array:
    """Return the profile log-likelihood of candidate positions, shape (C,).

    Level = a - 10 n log10(d) + Student-t noise; a, n and the scale are fitted at each
    candidate by iteratively reweighted least squares, n with a prior. The mean likelihood of a
    measurement is multiplied by the number of independent measurements.
    """
    squared = (grid_x[:, None] - x) ** 2 + (grid_y[:, None] - y) ** 2 + height_m**2
    loss = 5.0 * np.log10(squared)  # 10 log10(d), shape (C, N)
    count = level_dbm.size
    prior_mean, prior_std = _EXPONENT_PRIOR
    weight = np.ones_like(loss)
    variance = np.full((grid_x.size, 1), float(np.var(level_dbm)) + _MIN_STD_DB**2)
    exponent = np.full((grid_x.size, 1), prior_mean)
    for _ in range(_IRLS_STEPS):
        total = weight.sum(axis=1, keepdims=True)
        mean_loss = (weight * loss).sum(axis=1, keepdims=True) / total
        mean_level = (weight * level_dbm).sum(axis=1, keepdims=True) / total
        centred_loss, centred_level = loss - mean_loss, level_dbm - mean_level
        # The prior weighs as one pseudo-measurement of the exponent.
        ridge = variance / prior_std**2
        exponent = (
            ridge * prior_mean - (weight * centred_loss * centred_level).sum(axis=1, keepdims=True)
        ) / (ridge + (weight * centred_loss**2).sum(axis=1, keepdims=True))
        residual_squared = (centred_level + exponent * centred_loss) ** 2
        variance = (weight * residual_squared).sum(axis=1, keepdims=True) / count
        variance = np.maximum(variance, _MIN_STD_DB**2)
        weight = (_STUDENT_DOF + 1.0) / (_STUDENT_DOF + residual_squared / variance)
    density = 0.5 * (_STUDENT_DOF + 1.0) * np.log1p(residual_squared / (_STUDENT_DOF * variance))
    per_measurement = -0.5 * np.log(variance[:, 0]) - density.mean(axis=1)
    prior = -0.5 * ((exponent[:, 0] - prior_mean) / prior_std) ** 2
    return np.asarray(independent * per_measurement + prior)
