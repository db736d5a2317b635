"""Path loss over the distance to the transmitter, fitted to the measurements.

Along a drive, the residuals from the trend are interpolated with a third less error than the
levels. Where samples lie everywhere, the trend makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.units import ALIKE, NEAREST_PX, RIDGE, SLOPE_DB

if TYPE_CHECKING:  # trainings run where numpy and PyTorch are all there is
    from rm_geo.raster.sparse import SparseRaster
    from rm_geo.sites.facts import SiteInfo


_RECEIVER_M: Final = 1.5
BLOCK_SIZE: Final = 1 << 20
"""Measured pixels that are read at a time; bounds the memory of a fit."""


@dataclass(frozen=True)
class DistanceTrend:
    """A level that falls with the logarithm of the distance, relative to the mean measurement.

    Attributes
    ----------
    site_rc : tuple of float
        Row and column of the transmitter in pixels; 0.5 is the centre of the first pixel.
    rise_px : float
        Height of the antenna over the receivers, in pixels.
    slope_db : float
        Change over a decade of distance.
    mean_decades : float
        Mean logarithm of the measured pixels' distances.
    """

    site_rc: tuple[float, float]
    rise_px: float
    slope_db: float = SLOPE_DB
    mean_decades: float = 0.0

    @classmethod
    def fit(cls, sparse: SparseRaster, facts: SiteInfo) -> DistanceTrend | None:
        """Fit the slope by ridge regression towards the slope along a street.

        The ridge matters where the distances hardly vary, as on a drive around the transmitter.

        Parameters
        ----------
        sparse : SparseRaster
            Measurements.
        facts : SiteInfo
            Position and height of the transmitter.

        Returns
        -------
        DistanceTrend or None
            None where the position is not known well enough, or nothing was measured.
        """
        if (at := facts.located_xy) is None or len(sparse) == 0:
            return None
        site_row, site_col = sparse.grid.to_pixel(*at)
        rise_m = max(facts.transmitter_height_m - _RECEIVER_M, 0.0)
        flat = cls((float(site_row), float(site_col)), rise_m / sparse.grid.spacing_m)
        number, sums = len(sparse), np.zeros(4)
        for row, col, level_dbm in sparse.points.blocks(BLOCK_SIZE):
            decades = flat._decades(row + 0.5, col + 0.5)
            level_db = level_dbm.astype(np.float64)
            sums += [decades.sum(), level_db.sum(), decades @ decades, decades @ level_db]
        mean_decades, mean_db = sums[:2] / number
        spread = (sums[2] - number * mean_decades**2) / ALIKE
        agreement = (sums[3] - number * mean_decades * mean_db) / ALIKE
        slope_db = (agreement + RIDGE * SLOPE_DB) / (spread + RIDGE)
        return cls(flat.site_rc, flat.rise_px, float(slope_db), float(mean_decades))

    def at(self, row: NDArray[Any], col: NDArray[Any]) -> FloatArray:
        """Evaluate the trend at rows and columns.

        Parameters
        ----------
        row, col : ndarray
            Rows and columns in pixels, of shapes that broadcast; 0.5 is the centre of the first
            pixel.

        Returns
        -------
        ndarray of float32
            In dB, of the broadcast shape.
        """
        return np.asarray(
            self.slope_db * (self._decades(row, col) - self.mean_decades), dtype=np.float32
        )

    def on_rows(self, rows: slice, width: int) -> FloatArray:
        """Evaluate the trend on the pixels of some rows.

        Parameters
        ----------
        rows : slice
            Rows.
        width : int
            Columns, W.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            The trend in dB.
        """
        row = np.arange(rows.start, rows.stop)[:, None] + 0.5
        return self.at(row, np.arange(width)[None, :] + 0.5)

    def _decades(self, row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
        """Logarithms of the distances in pixels."""
        squared = (row - self.site_rc[0]) ** 2 + (col - self.site_rc[1]) ** 2 + self.rise_px**2
        return np.asarray(0.5 * np.log10(np.maximum(squared, NEAREST_PX**2)))
