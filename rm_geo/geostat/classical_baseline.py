"""The classical map that a network's estimates are stacked with, a band of rows at a time.

It is the street ensemble unless a twentieth of all pixels is measured. Else the measurements, or
their residuals from a path-loss trend, are averaged over blocks of 4 x 4 pixels and interpolated
between these by inverse distance weighting. Where measurements are few, half of the interpolation
is kriging: the two methods err in different places, and their mean errs less than either. The
residuals at the measured pixels are kriged back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo.geostat.idw import BlockIdw
from rm_geo.geostat.kriging import FEW_VALUES
from rm_geo.geostat.multiscale_kriging import KrigedField, fit_field
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.geostat.regression_kriging import (
    RegressionKrigingOptions,
    ResidualField,
    apply_correction,
    fit_residuals,
)
from rm_geo.geostat.street_map import StreetMap, street_map_helps
from rm_geo.raster.bands import RowBand
from rm_geo.raster.blocks import block_sums
from rm_geo.raster.points import PointsWriter
from rm_geo.raster.resample import block_field_rows
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

BLOCK_PX: Final = 4
"""Pixels along a block; finer blocks gain nothing and cost sixteen times as much."""


@dataclass(frozen=True)
class SmoothMap:
    """Inverse distance weighting between blocks, bilinear between their centres.

    Attributes
    ----------
    idw : BlockIdw
        Interpolation between blocks of 4 x 4 pixels.
    shape : tuple of int
        Rows and columns of the raster, in pixels.
    mean_dbm : float
        Mean measurement.
    kriged : KrigedField, optional
        Residuals from that mean, kriged, where measurements are few.
    trend : DistanceTrend, optional
        Path-loss trend whose residuals are interpolated, where the transmitter is known.
    """

    idw: BlockIdw
    shape: tuple[int, int]
    mean_dbm: float = 0.0
    kriged: KrigedField | None = None
    trend: DistanceTrend | None = None

    @classmethod
    def fit(cls, sparse: SparseRaster, trend: DistanceTrend | None = None) -> SmoothMap:
        """Average the measurements, or their residuals from a trend, over blocks.

        Parameters
        ----------
        sparse : SparseRaster
            Measurements.
        trend : DistanceTrend, optional
            Trend that is subtracted first.
        """
        shape = sparse.grid.shape
        means = PointsWriter()
        for band in sparse.bands():  # bands begin at whole blocks
            sums = block_sums(band.row, band.col, _residuals(band, trend), BLOCK_PX)
            means.append(sums.row + band.rows.start // BLOCK_PX, sums.col, sums.mean)
        idw = BlockIdw(means.finish())
        if not 0 < len(sparse) <= FEW_VALUES:
            return cls(idw, shape, trend=trend)
        residuals = _residuals(sparse.band(slice(0, shape[0])), trend)
        mean_dbm = float(residuals.mean(dtype=np.float64))
        centred = (residuals - np.float32(mean_dbm)).astype(np.float32)
        kriged = fit_field(sparse.points_with(centred), shape)
        return cls(idw, shape, mean_dbm, kriged, trend)

    def on_rows(self, rows: slice, wanted: BoolArray) -> FloatArray:
        """Interpolate on some rows.

        Parameters
        ----------
        rows : slice
            Rows of the raster.
        wanted : ndarray of bool, shape (rows, W)
            Pixels that are needed; the others may have any value.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            RSRP in dBm.
        """

        def at_pixels(row_col: Float64Array) -> FloatArray:
            row, col = (row_col / BLOCK_PX).astype(np.int64).T
            return self.idw.at(row, col)

        smooth = block_field_rows(at_pixels, rows, wanted, self.shape[0], BLOCK_PX)
        if self.kriged is not None:
            kriged_dbm = np.float32(self.mean_dbm) + self.kriged.on_rows(rows)
            smooth = np.asarray(0.5 * (smooth + kriged_dbm), dtype=np.float32)
        return smooth if self.trend is None else smooth + self.trend.on_rows(rows, self.shape[1])


@dataclass(frozen=True)
class ClassicalBaseline:
    """The smooth map, and the residuals of the measurements from it.

    Attributes
    ----------
    smooth : StreetMap or SmoothMap
        Street ensemble or, where a twentieth of the pixels is measured, interpolation.
    residuals : ResidualField
        Kriged residuals of the measurements.
    """

    smooth: StreetMap | SmoothMap
    residuals: ResidualField

    def on_rows(self, rows: slice, observed_dbm: FloatArray, wanted: BoolArray) -> FloatArray:
        """Evaluate the baseline on some rows.

        Parameters
        ----------
        rows : slice
            Rows of the raster.
        observed_dbm : ndarray of float32, shape (rows, W)
            Measurements; NaN where there is none.
        wanted : ndarray of bool, shape (rows, W)
            Pixels that are needed; the others may be NaN.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            RSRP in dBm.
        """
        smooth_dbm = self.smooth.on_rows(rows, wanted)
        return apply_correction(smooth_dbm, observed_dbm, self.residuals.on_rows(rows))


def fit_classical_baseline(
    sparse: SparseRaster,
    parameters: RegressionKrigingOptions,
    facts: SiteInfo,
    check: Callable[[], None] = lambda: None,
) -> ClassicalBaseline:
    """Interpolate the measurements of a cell.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    parameters : RegressionKrigingOptions
        Noise of the measurements, and limits of their residuals.
    facts : SiteInfo
        Position and height of the transmitter.
    check : callable
        Called again and again; may raise to stop the work.

    Returns
    -------
    ClassicalBaseline

    Raises
    ------
    OutputError
        If the disk for temporary files is full.
    """
    street = StreetMap.fit(sparse, facts, BLOCK_PX)
    smooth: StreetMap | SmoothMap
    if street is None:
        smooth = SmoothMap.fit(sparse, DistanceTrend.fit(sparse, facts))
    else:
        check()
        smooth = street.computed_near(sparse, check)

    def residuals_db(band: RowBand) -> FloatArray:
        check()
        observed = band.to_dense(np.ones(len(band), dtype=np.bool_), False)
        return band.value - band.from_dense(smooth.on_rows(band.rows, observed))

    residuals = sparse.points_with(sparse.map_bands(residuals_db))
    return ClassicalBaseline(smooth, fit_residuals(residuals, sparse.grid.shape, parameters))


def baseline_name(sparse: SparseRaster, facts: SiteInfo) -> str:
    """Name what the baseline of some measurements is, for tags.

    Parameters
    ----------
    sparse : SparseRaster
        Measurements.
    facts : SiteInfo
        Path gains, where they were computed.

    Returns
    -------
    str
        Names of the methods.

    Examples
    --------
    >>> from rm_geo.grid import Grid
    >>> grid = Grid.create(0, 0, (5, 5), 1.0, 32633)
    >>> baseline_name(SparseRaster.from_levels(grid, np.eye(5)), SiteInfo())
    'mean of idw and kriging'
    """
    if street_map_helps(sparse):
        return "street ensemble" + (" with path gains" if facts.path_gains is not None else "")
    return "mean of idw and kriging" if 0 < len(sparse) <= FEW_VALUES else "idw"


def _residuals(band: RowBand, trend: DistanceTrend | None) -> FloatArray:
    """Measurements of a band, relative to the trend if there is one."""
    if trend is None:
        return band.value
    return band.value - trend.at(band.row + band.rows.start + 0.5, band.col + 0.5)
