"""Bands of rows: the pieces in which rasters are worked on that do not fit in memory."""

from __future__ import annotations

from typing import Final

BLOCK_ROWS: Final = 256
"""Bands are multiples of so many rows, which are the blocks of the files."""

_BAND_PIXELS: Final = 1 << 21
_MOST_ROWS: Final = 4 * BLOCK_ROWS


def row_bands(shape: tuple[int, int]) -> list[slice]:
    """Cut a raster into bands of rows of some two million pixels.

    They depend on the width alone, so that the memory does not grow with the height and
    the same raster is always cut in the same places.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Examples
    --------
    >>> row_bands((600, 10_000))
    [slice(0, 256, None), slice(256, 512, None), slice(512, 600, None)]
    """
    wanted = _BAND_PIXELS // max(shape[1], 1) // BLOCK_ROWS * BLOCK_ROWS
    height = min(max(wanted, BLOCK_ROWS), _MOST_ROWS)
    return [slice(row, min(row + height, shape[0])) for row in range(0, shape[0], height)]


def widened(rows: slice, by: int, length: int) -> slice:
    """Extend rows at both ends, as far as there are any."""
    return slice(max(rows.start - by, 0), min(rows.stop + by, length))
