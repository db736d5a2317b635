"""Local mean of dense measurements: the structure of single pixels below coarser blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from rm_geo._types import FloatArray
from rm_geo._util.row_blocks import extend_rows
from rm_geo.raster.points import Points

_SIGMA_PX: Final = 1.2
_TRUNCATE: Final = 2.5
_RADIUS_PX: Final = 3  # of the Gaussian above: int(2.5 * 1.2 + 0.5)


@dataclass(frozen=True)
class FineStructure:
    """A Gaussian-weighted mean of scattered values, shrunk towards 0.

    Attributes
    ----------
    points : Points
        Values, row by row.
    shape : tuple of int
        Rows and columns of the raster.
    shrink : float
        Factor, 0..1.
    prior : float
        Weight of the value 0.
    """

    points: Points
    shape: tuple[int, int]
    shrink: float
    prior: float

    def on_rows(self, rows: slice) -> FloatArray:
        """Evaluate the mean on some rows, shape (rows, W)."""
        total, weight = _smoothed(self.points, self.shape, rows)
        mean = np.float32(self.shrink) * total / (weight + np.float32(self.prior))
        return np.asarray(mean, dtype=np.float32)


def fit_fine_structure(points: Points, shape: tuple[int, int]) -> tuple[FineStructure, FloatArray]:
    """Fit the factor that predicts each point best from the others.

    Parameters
    ----------
    points : Points
        Values whose expectation is 0, row by row.
    shape : tuple of int
        Rows and columns of the raster.

    Returns
    -------
    structure : FineStructure
        The local mean.
    at_points : ndarray of float32, shape (N,)
        Its values at the points.
    """
    centre = np.zeros((9, 9), np.float32)
    centre[4, 4] = 1.0
    own = float(_gaussian(centre)[4, 4])
    # The value 0 has the weight of a point two pixels away.
    prior = 0.25 * own
    total = np.empty_like(points.value)
    weight = np.empty_like(points.value)
    for band in points.bands(shape):
        band_total, band_weight = _smoothed(points, shape, band.rows)
        total[band.index] = band.from_dense(band_total)
        weight[band.index] = band.from_dense(band_weight)
    others = (total - own * points.value) / (weight - own + prior)
    power = float(np.vdot(others, others))
    shrink = float(np.vdot(others, points.value)) / power if power > 0.0 else 0.0
    shrink = float(np.clip(shrink, 0.0, 1.0))
    at_points = np.float32(shrink) * total / (weight + np.float32(prior))
    return FineStructure(points, shape, shrink, prior), np.asarray(at_points, dtype=np.float32)


def _smoothed(points: Points, shape: tuple[int, int], rows: slice) -> tuple[FloatArray, FloatArray]:
    """Weighted sum of the values around each pixel of some rows, and the sum of the weights."""
    around = extend_rows(rows, _RADIUS_PX, shape[0])
    band = points.band(around, shape[1])
    values = band.to_dense(band.value, 0.0)
    known = band.to_dense(np.ones(len(band), dtype=np.float32), 0.0)
    chosen = slice(rows.start - around.start, rows.stop - around.start)
    return _gaussian(values)[chosen], _gaussian(known)[chosen]


def _gaussian(values: FloatArray) -> FloatArray:
    """Smooth a raster."""
    return np.asarray(ndimage.gaussian_filter(values, _SIGMA_PX, truncate=_TRUNCATE))
