"""Pixels in reach of a measurement about which no tile says anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import ndimage

from rm_geo._types import BoolArray, FloatArray, IntArray
from rm_geo._util.row_blocks import extend_rows

WINDOW_COLS: Final = 2048
"""Columns in which gaps are looked for at a time; bounds the memory of wide rasters."""


def fill_gaps(
    read: Callable[[slice], FloatArray],
    rows: slice,
    wanted: BoolArray,
    height: int,
    halo: int,
) -> FloatArray:
    """Continue a map outwards into wanted pixels that it does not reach.

    A tile can be in reach of a measurement and hold none: no method says anything about it.
    Its pixels in reach continue the nearest pixel that is known, so that a map does not end
    at a tile's edge.

    Parameters
    ----------
    read : callable
        Gives rows of the map, shape (rows, W), NaN where unknown.
    rows : slice
        Rows that are asked for.
    wanted : ndarray of bool, shape (rows, W)
        Pixels that must have a value, if any pixel of the map has one.
    height : int
        Rows of the map.
    halo : int
        Pixels around to look in first. Where the nearest known pixel may be further away,
        it is looked for further away.

    Returns
    -------
    ndarray of float32, shape (rows, W)
    """
    values = read(rows)
    gaps = wanted & ~np.isfinite(values)
    if not gaps.any():
        return values
    filled: FloatArray = values.copy()
    width = values.shape[1]
    while True:
        around = extend_rows(rows, halo, height)
        known = read(around)
        for first in range(0, width, WINDOW_COLS):
            cols = slice(first, min(first + WINDOW_COLS, width))
            if gaps[:, cols].any():
                _fill_window(filled, gaps, known, (rows, around), cols, halo, height)
        if not gaps.any() or halo >= max(height, width):
            return filled
        halo *= 2


def _fill_window(
    filled: FloatArray,
    gaps: BoolArray,
    known: FloatArray,
    bands: tuple[slice, slice],
    cols: slice,
    halo: int,
    height: int,
) -> None:
    """Fill the gaps of some columns whose nearest known pixel is no further than the halo."""
    rows, around = bands
    beside = extend_rows(cols, halo, known.shape[1])
    window = known[:, beside]
    unknown = ~np.isfinite(window)
    if unknown.all():
        return
    row, col = np.nonzero(gaps[:, cols])
    col = col + cols.start
    place = (row + rows.start - around.start, col - beside.start)
    from_row, from_col = (index[place] for index in _nearest_known(unknown))
    apart = np.hypot(from_row - place[0], from_col - place[1])
    sure = (apart <= halo) | (halo >= max(height, known.shape[1]))  # all of it was seen
    filled[row[sure], col[sure]] = window[from_row[sure], from_col[sure]]
    gaps[row[sure], col[sure]] = False


def fill_nearest(values: FloatArray) -> FloatArray:
    """Give each pixel without a value that of the nearest pixel with one.

    Parameters
    ----------
    values : ndarray of float32, shape (H, W)
        Values; NaN or infinite where unknown. At least one must be finite.

    Returns
    -------
    ndarray of float32, shape (H, W)
        The input itself where nothing is unknown.

    Examples
    --------
    >>> fill_nearest(np.array([[1.0, np.nan, np.nan, 5.0]])).tolist()
    [[1.0, 1.0, 5.0, 5.0]]
    """
    unknown = ~np.isfinite(values)
    if not unknown.any():
        return values
    row, col = _nearest_known(unknown)
    return np.asarray(values[row, col])


def _nearest_known(unknown: BoolArray) -> tuple[IntArray, IntArray]:
    """Row and column of the nearest known pixel of each pixel, shape (H, W) each."""
    row, col = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return row, col
