"""How noisy measurements are, judged by measurements right beside each other."""

from __future__ import annotations

from typing import Final

import numpy as np

from rm_geo.sparse import SparseRaster

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
    >>> grid = Grid.create(0, 0, (100, 100), 1.0, 32633)
    >>> level_dbm = -90 + 2 * np.random.default_rng(0).standard_normal((100, 100))
    >>> round(measurement_noise_db(SparseRaster.from_levels(grid, level_dbm)))
    2
    """
    level, pixel, width = sparse.level_dbm, sparse.pixel, sparse.grid.shape[1]
    beside = (np.diff(pixel) == 1) & (sparse.col[1:] > 0)
    below = np.minimum(np.searchsorted(pixel, pixel + width), max(pixel.size - 1, 0))
    has_below = pixel[below] == pixel + width
    differences = np.concatenate(
        [np.diff(level)[beside], level[below[has_below]] - level[has_below]]
    )
    if differences.size < _PAIRS:
        return 0.0
    return float(1.4826 * np.median(np.abs(differences)) / np.sqrt(2.0))
