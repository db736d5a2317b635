"""Bands of rows, in which rasters larger than memory are processed."""

from __future__ import annotations

from typing import Final

BLOCK_ROWS: Final = 256
"""Bands have a multiple of this number of rows, the block height of the files."""

BAND_PIXELS: Final = 1 << 21
"""Approximate number of pixels of a row band."""
_MOST_ROWS: Final = 2 * BLOCK_ROWS
"""A raster of a square kilometre has bands for two threads."""


def row_bands(shape: tuple[int, int]) -> list[slice]:
    """Split a raster into bands of at most 512 rows and about two million pixels.

    The bands depend on the width only: the memory of a band does not grow with the height, and
    equal rasters have equal bands.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    list of slice
        Rows of each band.

    Examples
    --------
    >>> row_bands((600, 10_000))
    [slice(0, 256, None), slice(256, 512, None), slice(512, 600, None)]
    """
    wanted = BAND_PIXELS // max(shape[1], 1) // BLOCK_ROWS * BLOCK_ROWS
    height = min(max(wanted, BLOCK_ROWS), _MOST_ROWS)
    return [slice(row, min(row + height, shape[0])) for row in range(0, shape[0], height)]


def extend_rows(rows: slice, by: int, length: int) -> slice:
    """Extend a range of rows at both ends, within the raster.

    Parameters
    ----------
    rows : slice
        The rows.
    by : int
        Rows to add at each end.
    length : int
        Rows of the raster.

    Returns
    -------
    slice

    Examples
    --------
    >>> extend_rows(slice(1, 5), 2, 10)
    slice(0, 7, None)
    """
    return slice(max(rows.start - by, 0), min(rows.stop + by, length))
