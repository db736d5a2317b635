"""Means over square blocks of pixels: of scattered values, and of dense arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, Float64Array, FloatArray, IntArray, Scalar
from rm_geo.raster.points import Points


@dataclass(frozen=True)
class Blocks:
    """Means of values over all blocks of a raster.

    Attributes
    ----------
    mean : ndarray of float32, shape (h, w)
        Mean of each block; 0 where a block is empty.
    count : ndarray of float32, shape (h, w)
        Values in each block.
    """

    mean: FloatArray
    count: FloatArray

    @property
    def occupied(self) -> BoolArray:
        """Whether each block holds a value, shape (h, w)."""
        return np.asarray(self.count > 0.0)


@dataclass(frozen=True)
class BlockSums:
    """Sums of values over the occupied blocks of a raster, row by row.

    Attributes
    ----------
    row, col : ndarray of int64, shape (n,)
        Rows and columns of the blocks.
    count : ndarray of int64, shape (n,)
        Values in each block.
    total : ndarray of float64, shape (n,)
        Sum of the values of each block.
    block : ndarray of int64, shape (N,)
        Block of each value, as an index into the other arrays.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    count: NDArray[np.int64]
    total: Float64Array
    block: NDArray[np.int64]

    @property
    def mean(self) -> Float64Array:
        """Mean of each block, shape (n,)."""
        return self.total / np.maximum(self.count, 1)


def block_sums(row: IntArray, col: IntArray, value: FloatArray, block_px: int) -> BlockSums:
    """Sum scattered values over the blocks that hold any.

    Parameters
    ----------
    row, col : ndarray of int, shape (N,)
        Pixels.
    value : ndarray, shape (N,)
        Values; added in their order, in double precision.
    block_px : int
        Pixels along a block.

    Returns
    -------
    BlockSums
        Sums and numbers of the values, in the order of the blocks by row and column.

    Examples
    --------
    >>> sums = block_sums(np.array([0, 1, 9]), np.array([2, 3, 0]), np.array([1.0, 3.0, 5.0]), 4)
    >>> sums.row.tolist(), sums.col.tolist(), sums.mean.tolist()
    ([0, 2], [0, 0], [2.0, 5.0])
    """
    width = int(col.max(initial=0)) // block_px + 1
    number = (row // block_px).astype(np.int64) * width + col // block_px
    numbers, block = np.unique(number, return_inverse=True)
    count, total = np.zeros(numbers.size, dtype=np.int64), np.zeros(numbers.size)
    _add(block, value, count, total)
    return BlockSums(numbers // width, numbers % width, count, total, block)


def block_means(points: Points, shape: tuple[int, int], block_px: int) -> Blocks:
    """Average scattered values over all blocks of a raster.

    Parameters
    ----------
    points : Points
        Values.
    shape : tuple of int
        Rows and columns of the raster, H and W.
    block_px : int
        Pixels along a block.

    Returns
    -------
    Blocks
        Of shape (ceil(H / block_px), ceil(W / block_px)).
    """
    rows, cols = (-(-length // block_px) for length in shape)
    count, total = np.zeros(rows * cols, dtype=np.int64), np.zeros(rows * cols)
    for row, col, value in points.blocks():
        _add((row // block_px) * cols + col // block_px, value, count, total)
    mean = (total / np.maximum(count, 1)).astype(np.float32).reshape(rows, cols)
    return Blocks(mean, count.astype(np.float32).reshape(rows, cols))


def dense_block_means(values: NDArray[np.floating], block_px: int) -> FloatArray:
    """Average the finite values of an array over whole blocks.

    Parameters
    ----------
    values : ndarray, shape (H, W)
        Values; NaN where unknown.
    block_px : int
        Pixels along a block.

    Returns
    -------
    ndarray of float32, shape (H // block_px, W // block_px)
        NaN where a block has no finite value.

    Examples
    --------
    >>> dense_block_means(np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0]]), 2).tolist()
    [[2.0]]
    """
    blocks = split_blocks(values, block_px)
    known = np.isfinite(blocks)
    count = known.sum((1, 3))
    total = np.where(known, blocks, 0.0).sum((1, 3))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean, dtype=np.float32)


def split_blocks(values: NDArray[Scalar], block_px: int) -> NDArray[Scalar]:
    """Split the two axes of an array into blocks.

    Parameters
    ----------
    values : ndarray, shape (H, W)
        Values; rows and columns that fill no whole block are left out.
    block_px : int
        Pixels along a block.

    Returns
    -------
    ndarray, shape (H // block_px, block_px, W // block_px, block_px)
    """
    rows, cols = (length // block_px for length in values.shape)
    inner = values[: rows * block_px, : cols * block_px]
    return inner.reshape(rows, block_px, cols, block_px)


def _add(block: IntArray, value: FloatArray, count: NDArray[np.int64], total: Float64Array) -> None:
    """Add values to the sums of their blocks, in their order whatever they are cut into."""
    np.add.at(count, block, 1)
    np.add.at(total, block, value.astype(np.float64))
