"""Reach of the measurements: pixels within a distance of a measured pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from rm_geo._types import BoolArray, FloatArray, IntArray
from rm_geo._util.row_blocks import extend_rows
from rm_geo.raster.resample import resample_rows
from rm_geo.raster.sparse import SparseRaster

_COARSE_SIDE: Final = 2048
"""Largest number of blocks along a side of a field of distances; bounds the memory."""

_FAR_PX: Final = 1 << 30
"""Distance of a measured row that does not exist."""

_BAND_ROWS: Final = 64
"""Rows that are marked at a time; bounds the memory."""


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
    reach_px = _in_pixels(reach_m, spacing_m)
    if reach_px >= float(np.hypot(*observed.shape)):
        return np.ones_like(observed)
    far = np.full(observed.shape[1], _FAR_PX)
    return _marked(observed, -far, far, reach_px)


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
    reach_px = _in_pixels(reach_m, sparse.grid.spacing_m)
    around = extend_rows(rows, int(min(reach_px, height)), height)
    measured = sparse.in_rows(around)
    if measured.start == measured.stop:
        return np.zeros((rows.stop - rows.start, width), dtype=np.bool_)
    if reach_px >= float(np.hypot(height, width)):
        return np.ones((rows.stop - rows.start, width), dtype=np.bool_)
    above, below = np.full(width, -_FAR_PX), np.full(width, _FAR_PX)
    before = sparse.in_rows(slice(around.start, rows.start))
    np.maximum.at(above, sparse.col[before], sparse.row[before] - rows.start)
    after = sparse.in_rows(slice(rows.stop, around.stop))
    np.minimum.at(below, sparse.col[after], sparse.row[after] - rows.start)
    return _marked(sparse.dense_observed(rows), above, below, reach_px)


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
    reach_px = _in_pixels(reach_m, sparse.grid.spacing_m)
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
        row, col = ndimage.distance_transform_edt(
            empty, return_distances=False, return_indices=True
        )
        # In place of scipy's double precision; the squares of a coarse field are exact.
        row -= np.arange(row.shape[0], dtype=row.dtype)[:, None]
        col -= np.arange(row.shape[1], dtype=row.dtype)
        distance_px = np.sqrt((row * row + col * col).astype(np.float32))
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


def _marked(observed: BoolArray, above: IntArray, below: IntArray, reach_px: float) -> BoolArray:
    """Mark the pixels of some rows in reach.

    Parameters
    ----------
    observed : ndarray of bool, shape (rows, W)
        Measured pixels of these rows.
    above, below : ndarray of int, shape (W,)
        Nearest measured row of each column before and after these rows, counted from the first of
        them; far away where there is none.
    reach_px : float
        Reach in pixels.
    """
    row = np.arange(len(observed), dtype=np.int32)[:, None]
    nearest = np.where(observed, row, above.astype(np.int32))
    np.maximum.accumulate(nearest, axis=0, out=nearest)
    column_px = row - nearest
    nearest = np.where(observed, row, below.astype(np.int32))[::-1]
    np.minimum.accumulate(nearest, axis=0, out=nearest)
    np.minimum(column_px, nearest[::-1] - row, out=column_px)
    # In each row, a measured pixel marks an interval of columns around its own; of each column
    # the nearest one has the widest. Begun and ended intervals are counted along the row.
    width = observed.shape[1]
    half_px = np.sqrt(np.maximum(reach_px**2 - np.arange(int(reach_px) + 1.0) ** 2, 0.0))
    half_px = np.minimum(half_px, width).astype(np.int64)
    inside = np.empty_like(observed)
    for start in range(0, len(observed), _BAND_ROWS):
        band = column_px[start : start + _BAND_ROWS]
        if band.max(initial=0) < half_px.size:  # every pixel is in reach within its column
            inside[start : start + _BAND_ROWS] = True
            continue
        line, col = np.nonzero(band < half_px.size)
        half = half_px[band[line, col]]
        line *= width + 1
        cells = len(band) * (width + 1)
        change = np.bincount(line + np.maximum(col - half, 0), minlength=cells)
        change -= np.bincount(line + np.minimum(col + half + 1, width), minlength=cells)
        counted = change.reshape(len(band), width + 1).cumsum(axis=1)
        inside[start : start + _BAND_ROWS] = counted[:, :width] > 0
    return inside


def _in_pixels(reach_m: float, spacing_m: float) -> float:
    """Reach in pixels; pixels at exactly the reach are in it where the division rounds down."""
    return reach_m / spacing_m * (1.0 + 1e-9)
