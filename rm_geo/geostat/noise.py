"""How noisy measurements are, judged by measurements right beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.median import median
from rm_geo._util.row_blocks import row_bands
from rm_geo.raster.sparse import SparseRaster

_PAIRS: Final = 30
"""Fewer neighbours than this say nothing."""


def measurement_noise_db(sparse: SparseRaster) -> float:
    """Estimate the standard deviation of the error of one measured pixel.

    The field itself hardly changes over one pixel, so what neighbours differ by is their
    noise, fast fading and quantisation included. The median of the differences is used:
    shadow boundaries and outliers do not count.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.

    Returns
    -------
    float
        In dB; 0 where fewer than 30 pairs of neighbours were measured.

    Examples
    --------
    >>> from rm_geo.grid import Grid
    >>> grid = Grid.create(0, 0, (100, 100), 1.0, 32633)
    >>> level_dbm = -90 + 2 * np.random.default_rng(0).standard_normal((100, 100))
    >>> round(measurement_noise_db(SparseRaster.from_levels(grid, level_dbm)))
    2
    """
    if sum(differences.size for differences in _differences_db(sparse)) < _PAIRS:
        return 0.0
    return 1.4826 * median(lambda: _differences_db(sparse)) / math.sqrt(2.0)


def _differences_db(sparse: SparseRaster) -> Iterator[NDArray[np.float64]]:
    """Give what neighbours differ by, band by band: the columns may lie on disk."""
    height, width = sparse.grid.shape
    for rows in row_bands(sparse.grid.shape):
        own = sparse.in_rows(rows)
        number = own.stop - own.start
        if number == 0:
            continue
        around = sparse.in_rows(slice(rows.start, min(rows.stop + 1, height)))
        pixel, level_dbm = sparse.pixel[around], sparse.level_dbm[around]
        beside = (np.diff(pixel[:number]) == 1) & (pixel[1:number] % width > 0)
        wanted = pixel[:number] + width
        below = np.minimum(np.searchsorted(pixel, wanted), pixel.size - 1)
        has_below = pixel[below] == wanted
        down_db = level_dbm[below[has_below]] - level_dbm[:number][has_below]
        along_db = np.diff(level_dbm[:number])[beside]
        yield np.abs(np.concatenate([along_db, down_db])).astype(np.float64)
        sparse.release()
