"""Reach of the measurements: pixels within a distance of a measured pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.fft import convolve, kernel_spectrum, padded_shape, periodic_disk
from rm_geo._util.row_blocks import extend_rows
from rm_geo.raster.blocks import split_blocks
from rm_geo.raster.resample import resample_rows
from rm_geo.raster.sparse import SparseRaster

_BLOCKS_PER_REACH: Final = 16
"""Coarse blocks along the reach. They decide all pixels except a narrow rim."""

_COARSE_SIDE: Final = 2048
"""Largest number of blocks along a side of a field of distances; bounds the memory."""

_WINDOW_PX: Final = 1024
"""Minimum side of the windows in which pixels of the rim are decided; bounds the memory."""

_FLOAT32_REACH_PX: Final = 200
"""Largest reach for float32 transforms: their neighbour counts are exact to 0.1."""


def within_reach(observed: BoolArray, reach_m: float, spacing_m: float) -> BoolArray:
    """Mark the pixels in reach of a measured pixel.

    Parameters
    ----------
    observed : ndarray of bool, shape (H, W)
        Measured pixels.
    reach_m : float
        Maximum distance between pixel centres in metres. Infinity marks all pixels if at least
        one is measured.
    spacing_m : float
        Side of a pixel in metres.

    Returns
    -------
    ndarray of bool, shape (H, W)
        Pixels in reach, by exact Euclidean distance.

    Raises
    ------
    ValueError
        If the reach is negative or NaN, or the spacing is not positive.

    Notes
    -----
    A distance transform of coarse blocks decides most pixels. A convolution with the disk of the
    reach decides those near the rim, window by window.

    Examples
    --------
    >>> within_reach(np.array([[True, False, False]]), reach_m=1.0, spacing_m=1.0).tolist()
    [[True, True, False]]
    """
    if not reach_m >= 0.0:
        raise ValueError(f"reach_m must not be negative, not {reach_m}")
    if not spacing_m > 0.0:
        raise ValueError(f"spacing_m must be positive, not {spacing_m}")
    if not observed.any():
        return np.zeros_like(observed)
    # The tolerance keeps pixels at exactly the reach when the division rounds down.
    reach_px = reach_m / spacing_m * (1.0 + 1e-9)
    if reach_px >= float(np.hypot(*observed.shape)):
        return np.ones_like(observed)
    inside, rim = _decide_by_blocks(observed, reach_px)
    for rows, cols in _windows(observed.shape, max(_WINDOW_PX, 4 * int(reach_px))):
        if rim[rows, cols].any():
            inside[rows, cols] |= _dilated(observed, rows, cols, reach_px)
    return inside


def reach_rows(sparse: SparseRaster, rows: slice, reach_m: float) -> BoolArray:
    """Mark the pixels of some rows in reach of a measured pixel.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.
    rows : slice
        Rows of the grid.
    reach_m : float
        Reach in metres, as for :func:`within_reach`.

    Returns
    -------
    ndarray of bool, shape (rows, W)
        These rows of the result of :func:`within_reach`.
    """
    height, width = sparse.grid.shape
    reach_px = reach_m / sparse.grid.spacing_m
    around = (
        slice(0, height) if reach_px >= height else extend_rows(rows, int(reach_px) + 1, height)
    )
    measured = sparse.in_rows(around)
    if measured.start == measured.stop:
        return np.zeros((rows.stop - rows.start, width), dtype=np.bool_)
    if reach_px >= float(np.hypot(height, width)):
        return np.ones((rows.stop - rows.start, width), dtype=np.bool_)
    inside = within_reach(sparse.dense_observed(around), reach_m, sparse.grid.spacing_m)
    return inside[rows.start - around.start : rows.stop - around.start]


def reach_samples(sparse: SparseRaster, step: int, reach_m: float) -> BoolArray:
    """Mark the pixels in reach on a coarse sample: every ``step``-th pixel along both axes.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.
    step : int
        Distance of sampled pixels in rows and columns; the first is pixel (0, 0).
    reach_m : float
        Reach in metres, as for :func:`within_reach`.

    Returns
    -------
    ndarray of bool, shape (ceil(H / step), ceil(W / step))
        Elements ``[::step, ::step]`` of the result of :func:`within_reach`.
    """
    height, width = sparse.grid.shape
    rows = np.arange(0, height, step)
    marked = np.zeros((rows.size, -(-width // step)), dtype=np.bool_)
    reach_px = reach_m / sparse.grid.spacing_m * (1.0 + 1e-9)
    if reach_px >= float(np.hypot(height, width)):
        marked[:] = len(sparse) > 0
        return marked
    for index, row in enumerate(rows):
        near = sparse.in_rows(extend_rows(slice(row, row + 1), int(reach_px), height))
        # Each measured pixel marks an interval of columns: count interval starts and ends.
        offset = sparse.row[near].astype(np.float64) - row
        half = np.sqrt(np.maximum(reach_px**2 - offset**2, 0.0)).astype(np.int64)
        col = sparse.col[near]
        begun = np.bincount(np.maximum(col - half, 0), minlength=width + 1)
        ended = np.bincount(np.minimum(col + half + 1, width), minlength=width + 1)
        marked[index] = (np.cumsum(begun - ended) > 0)[:width:step]
    return marked


@dataclass(frozen=True)
class MeasuredDistance:
    """Distance of pixels from the nearest measurement, on coarse blocks of a large raster.

    Attributes
    ----------
    coarse_px : ndarray of float32, shape (ceil(H / step), ceil(W / step))
        Distance of each block from the nearest block with a measurement, in pixels.
    step : int
        Side of a block in pixels; 1 for rasters of up to 2,048 pixels along a side.
    width : int
        Columns of the raster, W.

    Examples
    --------
    >>> from rm_geo.grid import Grid
    >>> grid = Grid.create(0.0, 0.0, (1, 4), 1.0, 32631)
    >>> sparse = SparseRaster.from_levels(grid, np.float32([[-90.0, np.nan, np.nan, np.nan]]))
    >>> MeasuredDistance.fit(sparse).on_rows(slice(0, 1)).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """

    coarse_px: FloatArray
    step: int
    width: int

    @classmethod
    def fit(cls, sparse: SparseRaster) -> MeasuredDistance:
        """Compute the distances of all blocks.

        Parameters
        ----------
        sparse : SparseRaster
            At least one measured pixel.
        """
        height, width = sparse.grid.shape
        step = max(1, -(-max(height, width) // _COARSE_SIDE))
        empty = np.ones((-(-height // step), -(-width // step)), dtype=np.bool_)
        empty[sparse.row // step, sparse.col // step] = False
        distance_px = ndimage.distance_transform_edt(empty).astype(np.float32)
        return cls(distance_px * np.float32(step), step, width)

    def on_rows(self, rows: slice) -> FloatArray:
        """Interpolate the distances of the pixels of some rows.

        Parameters
        ----------
        rows : slice
            Rows of the raster.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            Distance in pixels.
        """
        return resample_rows(self.coarse_px, self.step, rows, self.width)


def typical_distance_px(sparse: SparseRaster, reach_m: float) -> float:
    """Return the median distance of a map's pixels from the nearest measured pixel.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.
    reach_m : float
        Reach of the map in metres; pixels out of reach are not counted.

    Returns
    -------
    float
        Distance in pixels, from a sample of a large raster; 1 if all pixels in reach are
        measured.
    """
    shape = sparse.grid.shape
    step = max(1, max(shape) // 512)
    rows, cols = (-(-length // step) for length in shape)
    coarse = np.zeros((rows, cols), dtype=np.bool_)
    coarse[sparse.row // step, sparse.col // step] = True
    wanted = reach_samples(sparse, step, reach_m)
    on_sample = (sparse.row % step == 0) & (sparse.col % step == 0)
    wanted[sparse.row[on_sample] // step, sparse.col[on_sample] // step] = False
    if not wanted.any():
        return 1.0
    distance_px = ndimage.distance_transform_edt(~coarse) * step
    return float(np.median(distance_px[wanted]))


def _decide_by_blocks(observed: BoolArray, reach_px: float) -> tuple[BoolArray, BoolArray]:
    """Return the pixels that are certainly in reach, and those that coarse blocks cannot decide."""
    block_px = max(1, int(reach_px / _BLOCKS_PER_REACH))
    if block_px == 1:
        return observed.copy(), np.ones_like(observed)
    rows, cols = observed.shape
    padded = np.pad(observed, ((0, -rows % block_px), (0, -cols % block_px)))
    occupied = split_blocks(padded, block_px).any(axis=(1, 3))
    distance_px = ndimage.distance_transform_edt(~occupied) * block_px
    # The distance of two pixels differs from that of their blocks' centres by a diagonal at most.
    diagonal = block_px * np.sqrt(2.0)
    inside = distance_px + diagonal <= reach_px
    rim = ~inside & (distance_px - diagonal <= reach_px)
    return _repeat(inside, block_px, observed.shape), _repeat(rim, block_px, observed.shape)


def _repeat(blocks: BoolArray, block_px: int, shape: tuple[int, ...]) -> BoolArray:
    """Repeat each block's value over its pixels."""
    pixels = blocks.repeat(block_px, axis=0).repeat(block_px, axis=1)
    return np.ascontiguousarray(pixels[: shape[0], : shape[1]])


def _windows(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, slice]]:
    """Yield adjacent square windows that cover a raster."""
    for row in range(0, shape[0], side):
        for col in range(0, shape[1], side):
            yield slice(row, min(row + side, shape[0])), slice(col, min(col + side, shape[1]))


def _dilated(observed: BoolArray, rows: slice, cols: slice, radius_px: float) -> BoolArray:
    """Mark the pixels of a window with a measured pixel inside the disk around them."""
    halo = int(radius_px)
    dtype = np.float32 if halo <= _FLOAT32_REACH_PX else np.float64
    top, left = max(rows.start - halo, 0), max(cols.start - halo, 0)
    part = observed[top : rows.stop + halo, left : cols.stop + halo].astype(dtype)
    padded = padded_shape(part.shape, halo)
    counts = convolve(part, kernel_spectrum(periodic_disk(padded, radius_px), dtype), padded)
    first_row, first_col = rows.start - top, cols.start - left
    inner = counts[
        first_row : first_row + rows.stop - rows.start,
        first_col : first_col + cols.stop - cols.start,
    ]
    return np.asarray(inner > 0.5)
