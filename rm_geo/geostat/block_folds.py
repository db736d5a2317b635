"""Folds for cross-validation that leaves out whole square blocks of positions.

Neighbouring measurements along a route are nearly copies of each other, so that folds of single
measurements flatter every interpolation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo.raster.sparse import SparseRaster

MAX_SHUFFLED: Final = 1 << 22
"""Largest number of blocks of a raster that are shuffled with the empty ones among them."""

_LARGEST_KEY: Final = 2.0**52
_DENSE_KEYS: Final = 64
"""Blocks in the box around the positions, for each position, up to which a table is faster than
sorting."""


def block_numbers(
    row: NDArray[Any], col: NDArray[Any], block: float, origin: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.int64]:
    """Give each position the number of its square block.

    Only occupied blocks count; they are numbered by row, then by column.

    Parameters
    ----------
    row, col : ndarray, shape (N,)
        Positions along both axes, in one unit.
    block : float
        Side of a block, in that unit.
    origin : tuple of float
        Shift of the blocks along both axes, in blocks.

    Returns
    -------
    ndarray of int64, shape (N,)
        Number of each position's block, from 0 without gaps.

    Examples
    --------
    >>> block_numbers(np.array([0.5, 7.0, 1.5]), np.array([0.0, 0.0, 1.0]), 2.0).tolist()
    [0, 1, 0]
    """
    down = np.floor(row / block + origin[0])
    along = np.floor(col / block + origin[1])
    if down.size == 0:
        return np.empty(0, dtype=np.int64)
    # One number for each pair: rows of two numbers are sorted ten times as slowly.
    width = float(np.ptp(along)) + 1.0
    if not (float(np.ptp(down)) + 1.0) * width < _LARGEST_KEY:
        _, numbers = np.unique(np.column_stack([down, along]), axis=0, return_inverse=True)
        return np.asarray(numbers, dtype=np.int64).reshape(-1)
    key = ((down - down.min()) * width + (along - along.min())).astype(np.int64)
    if key.max() < _DENSE_KEYS * key.size:
        occupied = np.zeros(int(key.max()) + 1, dtype=np.bool_)
        occupied[key] = True
        return np.asarray((np.cumsum(occupied, dtype=np.int64) - 1)[key])
    return np.asarray(np.unique(key, return_inverse=True)[1], dtype=np.int64).reshape(-1)


def shuffled_folds(
    row: NDArray[Any],
    col: NDArray[Any],
    shape: tuple[int, int],
    block_px: int,
    folds: int,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Assign the pixels of a raster to folds, by blocks in random order.

    The folds have equally many blocks, empty ones included unless there are too many.

    Parameters
    ----------
    row, col : ndarray of int, shape (N,)
        Pixels.
    shape : tuple of int
        Rows and columns of the raster.
    block_px : int
        Pixels along a block.
    folds : int
        Number of folds.
    seed : int
        Seed of the order.

    Returns
    -------
    ndarray of int64, shape (N,)
        Fold of each pixel, 0..folds - 1.
    """
    rows, cols = (-(-length // block_px) for length in shape)
    block = (row // block_px).astype(np.int64) * cols + col // block_px
    number = rows * cols
    if number > MAX_SHUFFLED:
        blocks, block = np.unique(block, return_inverse=True)
        number = blocks.size
    order = np.random.default_rng(seed).permutation(np.arange(number) % folds)
    return np.asarray(order[block])


def leave_block_out(
    sparse: SparseRaster,
    typical_px: float,
    folds: int,
    *,
    limits_px: tuple[int, int],
    seed: int = 0,
) -> Iterator[SparseRaster]:
    """Give the measurements without each fold of blocks.

    Every second fold has blocks of twice the typical distance: half of a map's pixels are nearer
    to a measurement than the typical one.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    typical_px : float
        Typical distance of the map's pixels from the nearest measurement, in pixels; see
        :func:`rm_geo.raster.reach.typical_distance_px`.
    folds : int
        Number of folds.
    limits_px : tuple of int
        Smallest and largest block.
    seed : int
        Seed of the order of the blocks.

    Yields
    ------
    SparseRaster
        Measurements of the other folds.
    """
    for fold in range(folds):
        block_px = int(np.clip(typical_px * (2.0 if fold % 2 else 1.0), *limits_px))
        number = shuffled_folds(sparse.row, sparse.col, sparse.grid.shape, block_px, folds, seed)
        yield sparse.select(number != fold)
