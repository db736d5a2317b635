"""Means over square blocks of pixels: of scattered values, and of dense arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo._types import BoolArray, Float64Array, FloatArray, IntArray, Scalar
from rm_geo.raster.points import Points

_PIXELS_PER_NUMBER: Final = 4


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


def needed_blocks(
    wanted: BoolArray, rows: slice, blocks: slice, width: int, block_px: int
) -> BoolArray:
    """Find the blocks that wanted pixels are interpolated from, and their neighbours.

    Parameters
    ----------
    wanted : ndarray of bool, shape (rows, W)
        Pixels of some rows of a raster.
    rows : slice
        Those rows.
    blocks : slice
        Rows of blocks, as :func:`rm_geo.raster.resample.coarse_rows` gives them.
    width : int
        Blocks along a row.
    block_px : int
        Pixels along a block, a multiple of 4.

    Returns
    -------
    ndarray of bool, shape (block rows, width)

    Examples
    --------
    >>> wanted = np.zeros((4, 16), dtype=bool)
    >>> wanted[0, 0] = True
    >>> needed_blocks(wanted, slice(0, 4), slice(0, 1), 4, 4).tolist()
    [[True, True, False, False]]
    """
    above = rows.start % block_px
    below, right = -(above + wanted.shape[0]) % block_px, -wanted.shape[1] % block_px
    # Four truth values in a row are one number: a tenth of the time of a list of the wanted ones.
    fours = np.pad(wanted, ((above, below), (0, right))).view(np.uint32) != 0
    parts = block_px // _PIXELS_PER_NUMBER
    own = fours.reshape(-1, block_px, width * parts).any(1).reshape(-1, width, parts).any(2)
    needed = np.zeros((blocks.stop - blocks.start, width), dtype=np.bool_)
    first = rows.start // block_px - blocks.start
    needed[first : first + len(own)] = own
    return np.asarray(ndimage.binary_dilation(needed, np.ones((3, 3))))
