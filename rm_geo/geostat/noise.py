"""Noise of the measurements, estimated from neighbouring pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.median import median
from rm_geo.raster.sparse import SparseRaster

_PAIRS: Final = 30
"""Fewest pairs of neighbours of an estimate."""


def measurement_noise_db(sparse: SparseRaster) -> float:
    """Estimate the standard deviation of the error of one measured pixel.

    The field hardly changes over one pixel, so that differences between neighbours are noise,
    fast fading and quantisation included. The median of the differences is robust against
    shadow boundaries and outliers.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.

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
    """Give the differences between neighbours, band by band."""
    height, width = sparse.grid.shape
    for rows in (band.rows for band in sparse.bands() if len(band)):
        # The first row of the next band holds the lower neighbours of the last row.
        around = sparse.band(slice(rows.start, min(rows.stop + 1, height)))
        pixel = around.row.astype(np.int64) * width + around.col
        number = int(np.searchsorted(around.row, rows.stop - rows.start))
        beside = (np.diff(pixel[:number]) == 1) & (pixel[1:number] % width > 0)
        wanted = pixel[:number] + width
        below = np.minimum(np.searchsorted(pixel, wanted), pixel.size - 1)
        has_below = pixel[below] == wanted
        down_db = around.value[below[has_below]] - around.value[:number][has_below]
        along_db = np.diff(around.value[:number])[beside]
        yield np.abs(np.concatenate([along_db, down_db])).astype(np.float64)
