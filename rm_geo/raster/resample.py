"""Bilinear interpolation from coarse blocks to finer ones: whole rasters, bands, or points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from rm_geo._types import BoolArray, Float64Array, FloatArray, IntArray
from rm_geo.raster.points import Points


def resample_blocks(
    field: FloatArray, block_px: int, to_block_px: int, shape: tuple[int, int]
) -> FloatArray:
    """Interpolate bilinearly from the centres of coarse blocks to those of finer ones.

    Parameters
    ----------
    field : ndarray of float32, shape (ceil(H / block_px), ceil(W / block_px))
        Values of the coarse blocks.
    block_px, to_block_px : int
        Side of a coarse and of a finer block in pixels; the second divides the first.
    shape : tuple of int
        Rows and columns of the raster in pixels, H and W.

    Returns
    -------
    ndarray of float32, shape (ceil(H / to_block_px), ceil(W / to_block_px))
        Values of the finer blocks.

    Examples
    --------
    >>> resample_blocks(np.array([[0.0, 4.0]], dtype=np.float32), 4, 1, (4, 8))[0, 1:7].tolist()
    [0.0, 0.5, 1.5, 2.5, 3.5, 4.0]
    """
    rows, cols = (-(-length // to_block_px) for length in shape)
    return resample_rows(field, block_px // to_block_px, slice(0, rows), cols)


def resample_rows(
    field: FloatArray,
    factor: int,
    rows: slice,
    cols: int,
    first: int = 0,
    length: int | None = None,
) -> FloatArray:
    """Interpolate some rows bilinearly from the centres of coarser blocks.

    Parameters
    ----------
    field : ndarray of float32, shape (h, w)
        Values of the blocks, or of a band of them that holds :func:`coarse_rows`.
    factor : int
        Side of a block in rows and columns of the result.
    rows : slice
        Rows of the result.
    cols : int
        Columns of the result.
    first, length : int
        First row of the band, and total number of block rows (default: 0 and h, a whole field).

    Returns
    -------
    ndarray of float32, shape (rows, cols)
    """
    if factor == 1:
        return field[rows.start - first : rows.stop - first, :cols]
    low, high, share = _between(np.arange(cols), factor, field.shape[1])
    top, bottom, down = _between(np.arange(rows.start, rows.stop), factor, length or field.shape[0])
    band = field[top[0] - first : bottom[-1] + 1 - first]
    wide = band[:, low] + share * (band[:, high] - band[:, low])
    upper, lower = wide[top - top[0]], wide[bottom - top[0]]
    return np.asarray(upper + down[:, None] * (lower - upper), dtype=np.float32)


def coarse_rows(rows: slice, factor: int, length: int) -> slice:
    """Return the block rows that :func:`resample_rows` needs.

    Parameters
    ----------
    rows : slice
        Rows of the result.
    factor : int
        Side of a block in rows of the result.
    length : int
        Total number of block rows.

    Returns
    -------
    slice
        Block rows.

    Examples
    --------
    >>> coarse_rows(slice(4, 8), 4, 10)
    slice(0, 3, None)
    """
    top, bottom, _ = _between(np.array([rows.start, rows.stop - 1]), factor, length)
    return slice(int(top[0]), int(bottom[-1]) + 1)


def coarse_blocks_of(wanted: BoolArray, rows: slice, factor: int, blocks: slice) -> BoolArray:
    """Mark the blocks that :func:`resample_rows` needs for some pixels.

    Parameters
    ----------
    wanted : ndarray of bool, shape (rows, W)
        Pixels of the result.
    rows : slice
        Their rows.
    factor : int
        Rows and columns along a block.
    blocks : slice
        Rows of blocks, as :func:`coarse_rows` gives them.

    Returns
    -------
    ndarray of bool, shape (blocks, ceil(W / factor))
        The blocks of wanted pixels, and their neighbours.

    Examples
    --------
    >>> wanted = np.zeros((2, 9), dtype=bool)
    >>> wanted[1, 8] = True
    >>> coarse_blocks_of(wanted, slice(2, 4), 3, slice(0, 2)).astype(int).tolist()
    [[0, 1, 1], [0, 1, 1]]
    """
    above = rows.start - rows.start // factor * factor
    below, right = -(above + len(wanted)) % factor, -wanted.shape[1] % factor
    padded = np.pad(wanted, ((above, below), (0, right)))
    number = len(padded) // factor
    across = np.asarray(padded.reshape(number, factor, -1).any(axis=1))  # rows first: faster
    own = np.asarray(across.reshape(number, -1, factor).any(axis=2), dtype=np.bool_)
    needed = np.zeros((blocks.stop - blocks.start + 2, own.shape[1]), dtype=np.bool_)
    first = rows.start // factor - blocks.start + 1
    needed[first : first + len(own)] = own
    grown: BoolArray = np.asarray(ndimage.binary_dilation(needed, np.ones((3, 3))))
    return grown[1:-1]


def block_field_rows(
    at_pixels: Callable[[Float64Array], Float64Array | FloatArray],
    rows: slice,
    wanted: BoolArray,
    height: int,
    block_px: int,
) -> FloatArray:
    """Evaluate a smooth field at the centres of blocks, and interpolate it to pixels.

    Parameters
    ----------
    at_pixels : callable
        Gives the values at fractional rows and columns, shape (N, 2), as an array of shape (N,).
    rows : slice
        Rows of the result.
    wanted : ndarray of bool, shape (rows, W)
        Pixels that are needed; the others may be zero.
    height : int
        Total number of rows of the raster.
    block_px : int
        Side of a block in pixels.

    Returns
    -------
    ndarray of float32, shape (rows, W)

    Examples
    --------
    >>> wanted = np.ones((2, 6), dtype=bool)
    >>> block_field_rows(lambda at: at[:, 1], slice(0, 2), wanted, 2, 2)[0].tolist()
    [1.0, 1.5, 2.5, 3.5, 4.5, 5.0]
    """
    (field,) = block_fields_rows(
        lambda row_col: (at_pixels(row_col),), rows, wanted, height, block_px
    )
    return field


def block_fields_rows(
    at_pixels: Callable[[Float64Array], Sequence[Float64Array | FloatArray]],
    rows: slice,
    wanted: BoolArray,
    height: int,
    block_px: int,
) -> tuple[FloatArray, ...]:
    """Evaluate several fields that are computed together, as :func:`block_field_rows` does one.

    Parameters
    ----------
    at_pixels : callable
        Gives arrays of shape (N,) at fractional rows and columns, shape (N, 2).
    rows : slice
        Rows of the result.
    wanted : ndarray of bool, shape (rows, W)
        Pixels that are needed; the others may be zero.
    height : int
        Total number of rows of the raster.
    block_px : int
        Side of a block in pixels.

    Returns
    -------
    tuple of ndarray of float32, shape (rows, W)
        One array for each field.
    """
    width = wanted.shape[1]
    blocks = coarse_rows(rows, block_px, -(-height // block_px))
    row, col = blocks_of(wanted, rows, height, block_px)
    centres = np.column_stack([row, col]).astype(np.float64) * block_px

    def interpolated(values: Float64Array | FloatArray) -> FloatArray:
        field = np.zeros((blocks.stop - blocks.start, -(-width // block_px)), dtype=np.float32)
        field[row - blocks.start, col] = values
        return resample_rows(field, block_px, rows, width, blocks.start, -(-height // block_px))

    return tuple(interpolated(values) for values in at_pixels(centres + 0.5 * block_px))


def blocks_of(
    wanted: BoolArray, rows: slice, height: int, block_px: int
) -> tuple[IntArray, IntArray]:
    """Find the blocks that :func:`block_field_rows` evaluates for some pixels.

    Parameters
    ----------
    wanted : ndarray of bool, shape (rows, W)
        Pixels that are needed.
    rows : slice
        Their rows.
    height : int
        Total number of rows of the raster.
    block_px : int
        Side of a block in pixels.

    Returns
    -------
    row, col : ndarray of int, shape (N,)
        Rows and columns of the blocks, counted in blocks, row by row.

    Examples
    --------
    >>> wanted = np.zeros((4, 9), dtype=bool)
    >>> wanted[1, 8] = True
    >>> np.column_stack(blocks_of(wanted, slice(0, 4), 4, 3)).tolist()
    [[0, 1], [0, 2], [1, 1], [1, 2]]
    """
    blocks = coarse_rows(rows, block_px, -(-height // block_px))
    row, col = np.nonzero(coarse_blocks_of(wanted, rows, block_px, blocks))
    return row + blocks.start, col


def resample_at(field: FloatArray, points: Points, block_px: int) -> FloatArray:
    """Interpolate bilinearly from the centres of coarse blocks to those of the points' pixels.

    The result equals that of :func:`resample_blocks` at these pixels, to the last bit.

    Parameters
    ----------
    field : ndarray of float32, shape (h, w)
        Values of the blocks.
    points : Points
        Pixels; their values are not used.
    block_px : int
        Side of a block in pixels.

    Returns
    -------
    ndarray of float32, shape (N,)
    """
    top, bottom, down = _between(points.row, block_px, field.shape[0])
    west, east, right = _between(points.col, block_px, field.shape[1])
    upper = field[top, west] + right * (field[top, east] - field[top, west])
    lower = field[bottom, west] + right * (field[bottom, east] - field[bottom, west])
    return np.asarray(upper + down * (lower - upper), dtype=np.float32)


def _between(index: IntArray, factor: int, length: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the coarse neighbours of fine pixels along an axis, and the weight of the second."""
    position = np.clip((index + 0.5) / factor - 0.5, 0.0, length - 1.0)
    low = position.astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (position - low).astype(np.float32)
