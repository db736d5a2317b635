"""A smooth map of a whole cell by inverse distances, evaluated a band of rows at a time.

On cells of a few pixels, brought back to the measurements afterwards: what is believed where
a trained network is not. Where measurements are few, half of it is kriging: the two err in
different places, and their mean errs less than either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from rm_geo._types import BoolArray, FloatArray
from rm_geo._util.disk_columns import DiskColumn, empty_column, release
from rm_geo._util.row_blocks import row_bands
from rm_geo.geostat.kriging import FEW_VALUES
from rm_geo.geostat.multiscale_kriging import KrigedField, fit_field
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.geostat.regression_kriging import (
    Correction,
    RegressionKrigingOptions,
    fit_correction,
    honour,
)
from rm_geo.raster.points import Points
from rm_geo.raster.resample import coarse_rows, resample_rows
from rm_geo.raster.sparse import SparseRaster

BLOCK_PX: Final = 4
"""Pixels along a cell: interpolation costs little there."""

_NEIGHBOURS: Final = 8

_HALO_CELLS: Final = 128
"""Rows of cells around a band that are searched first; few neighbours lie beyond."""

_PARALLEL_PLACES: Final = 10_000
"""From so many places on, threads cost less than they save."""


class InverseDistances:
    """Mean of the nearest known cells by the inverse square of their distance.

    Parameters
    ----------
    places : ndarray of int, shape (N, 2)
        Rows and columns of the known cells, row by row.
    level_dbm : ndarray of float32, shape (N,)
        Their levels.
    """

    def __init__(self, places: NDArray[np.integer[Any]], level_dbm: FloatArray) -> None:
        self._places, self._level_dbm = places, level_dbm

    def at(self, places: NDArray[np.integer[Any]]) -> FloatArray:
        """Give the level at rows and columns, shape (M, 2); all NaN where no cell is known.

        Neighbours are looked for in the rows around, and further away only where they may
        lie there: the memory is that of a band, and the result that of a search of all.
        """
        level_dbm = np.full(len(places), np.nan, dtype=np.float32)
        if len(places) == 0 or self._level_dbm.size == 0:
            return level_dbm
        top, bottom = int(places[:, 0].min()), int(places[:, 0].max())
        halo, left = _HALO_CELLS, np.arange(len(places))
        while left.size:
            window = self._rows(top - halo, bottom + halo)
            # A cell outside of the window is at least so far away.
            row = places[left, 0]
            room = halo + 1 + np.minimum(row - top, bottom - row)
            everything = window.stop - window.start == self._level_dbm.size
            if everything or window.stop - window.start >= _NEIGHBOURS:
                mean_dbm, furthest = self._mean(window, places[left])
                done = (furthest < room) | everything
                level_dbm[left[done]] = mean_dbm[done]
                left = left[~done]
            halo *= 4
        return level_dbm

    def release(self) -> None:
        """Take cells that lie on disk out of memory, until they are looked at again."""
        release(self._places)
        release(self._level_dbm)

    def _rows(self, first: int, last: int) -> slice:
        """Give the known cells of some rows, both ends included."""
        begin, end = np.searchsorted(self._places[:, 0], [first, last + 1])
        return slice(int(begin), int(end))

    def _mean(self, window: slice, places: NDArray[Any]) -> tuple[FloatArray, NDArray[np.float64]]:
        """Mean of the nearest cells of a window, and the distance of the furthest of them."""
        known_dbm = self._level_dbm[window]
        ranks = np.arange(1, min(_NEIGHBOURS, known_dbm.size) + 1)
        workers = -1 if len(places) > _PARALLEL_PLACES else 1
        tree = spatial.KDTree(self._places[window])
        distance, index = tree.query(places, k=ranks, workers=workers)
        weight = 1.0 / np.maximum(distance, 0.5) ** 2
        mean_dbm = (weight * known_dbm[index]).sum(1) / weight.sum(1)
        return mean_dbm.astype(np.float32), np.asarray(distance[:, -1])


@dataclass(frozen=True)
class SmoothMap:
    """Inverse distances between cells, bilinear between their centres.

    Attributes
    ----------
    distances : InverseDistances
        On cells of 4 x 4 pixels.
    shape : tuple of int
        Rows and columns of the raster, in pixels.
    mean_dbm : float
        Mean measurement.
    kriged : KrigedField, optional
        Departure from that mean, kriged, where measurements are few.
    trend : DistanceTrend, optional
        What the others are departures from, where the transmitter is known.
    """

    distances: InverseDistances
    shape: tuple[int, int]
    mean_dbm: float = 0.0
    kriged: KrigedField | None = None
    trend: DistanceTrend | None = None

    @classmethod
    def of(cls, sparse: SparseRaster, trend: DistanceTrend | None = None) -> SmoothMap:
        """Average what was measured, or its departures from a trend, over cells."""
        shape = sparse.grid.shape
        # Band by band, since bands begin at whole cells: sorting takes memory.
        places: DiskColumn[np.int32] = DiskColumn(np.int32)
        means_dbm: DiskColumn[np.float32] = DiskColumn(np.float32)
        for rows in row_bands(shape):
            band_places, band_means_dbm = _cell_means(sparse, sparse.in_rows(rows), trend)
            places.append(band_places.ravel())
            means_dbm.append(band_means_dbm)
            sparse.release()
        distances = InverseDistances(places.finish().reshape(-1, 2), means_dbm.finish())
        if not 0 < sparse.level_dbm.size <= FEW_VALUES:
            return cls(distances, shape, trend=trend)
        level_dbm = _departures(sparse, slice(0, len(sparse)), trend)
        middle_dbm = float(level_dbm.mean(dtype=np.float64))
        departures = (level_dbm - np.float32(middle_dbm)).astype(np.float32)
        kriged = fit_field(Points(sparse.row, sparse.col, departures), shape)
        return cls(distances, shape, middle_dbm, kriged, trend)

    def on_rows(self, rows: slice, wanted: BoolArray) -> FloatArray:
        """Give the level in dBm on some rows, shape (rows, W), where it is wanted.

        Elsewhere it is NaN, or what came along.
        """
        height, width = (-(-length // BLOCK_PX) for length in self.shape)
        cells = coarse_rows(rows, BLOCK_PX, height)
        level_dbm = np.full((cells.stop - cells.start, width), np.nan, dtype=np.float32)
        row, col = np.nonzero(_needed(wanted, rows, cells, width))
        level_dbm[row, col] = self.distances.at(np.column_stack([row + cells.start, col]))
        smooth = resample_rows(level_dbm, BLOCK_PX, rows, self.shape[1], cells.start, height)
        if self.kriged is not None:
            kriged_dbm = np.float32(self.mean_dbm) + self.kriged.on_rows(rows)
            smooth = np.asarray(0.5 * (smooth + kriged_dbm), dtype=np.float32)
        return smooth if self.trend is None else smooth + self.trend.on_rows(rows, self.shape[1])


def _departures(sparse: SparseRaster, inside: slice, trend: DistanceTrend | None) -> FloatArray:
    """Levels of some measured pixels, relative to the trend if there is one."""
    level_dbm = sparse.level_dbm[inside]
    if trend is None:
        return level_dbm
    return level_dbm - trend.at(sparse.row[inside] + 0.5, sparse.col[inside] + 0.5)


def _cell_means(
    sparse: SparseRaster, inside: slice, trend: DistanceTrend | None
) -> tuple[NDArray[np.int32], FloatArray]:
    """Rows and columns of the cells that hold some measured pixels, (N, 2), and their means."""
    width = -(-sparse.grid.shape[1] // BLOCK_PX)
    row, col = (axis[inside] // BLOCK_PX for axis in (sparse.row, sparse.col))
    cells, place = np.unique(row.astype(np.int64) * width + col, return_inverse=True)
    total = np.bincount(place, _departures(sparse, inside, trend), minlength=cells.size)
    mean_dbm = total / np.maximum(np.bincount(place, minlength=cells.size), 1)
    places = np.column_stack([cells // width, cells % width])
    return places.astype(np.int32), mean_dbm.astype(np.float32)


@dataclass(frozen=True)
class IdwBaseline:
    """The smooth map, and the measurements that it is brought back to."""

    smooth: SmoothMap
    correction: Correction

    def release(self) -> None:
        """Take what lies on disk out of memory, until it is looked at again."""
        self.smooth.distances.release()
        self.correction.release()

    def on_rows(self, rows: slice, observed_dbm: FloatArray, wanted: BoolArray) -> FloatArray:
        """Give the level in dBm on some rows, shape (rows, W), where it is wanted."""
        smooth_dbm = self.smooth.on_rows(rows, wanted)
        return honour(smooth_dbm, observed_dbm, self.correction.on_rows(rows))


def fit_idw_baseline(
    sparse: SparseRaster,
    parameters: RegressionKrigingOptions,
    trend: DistanceTrend | None = None,
) -> IdwBaseline:
    """Interpolate what was measured.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.
    parameters : RegressionKrigingOptions
        How far measurements are believed.
    trend : DistanceTrend, optional
        Fall of the level with the distance, whose departures are interpolated.
    """
    smooth = SmoothMap.of(sparse, trend)
    residual_db = empty_column(len(sparse), np.float32)  # every pixel lies in a band
    for rows in row_bands(sparse.grid.shape):
        inside = sparse.in_rows(rows)
        if inside.stop > inside.start:
            level_dbm = smooth.on_rows(rows, sparse.observed_rows(rows))
            where = (sparse.row[inside] - rows.start, sparse.col[inside])
            residual_db[inside] = sparse.level_dbm[inside] - level_dbm[where]
            release(residual_db)
            sparse.release()
    residuals = Points(sparse.row, sparse.col, residual_db)
    return IdwBaseline(smooth, fit_correction(residuals, sparse.grid.shape, parameters))


def _needed(wanted: BoolArray, rows: slice, cells: slice, width: int) -> BoolArray:
    """Cells that wanted pixels of some rows draw from, and those around them."""
    above = rows.start % BLOCK_PX
    below, right = -(above + wanted.shape[0]) % BLOCK_PX, -wanted.shape[1] % BLOCK_PX
    # Four truth values in a row are one number: a tenth of the time of listing the wanted ones.
    fours = np.pad(wanted, ((above, below), (0, right))).view(np.uint32)
    own = (fours.reshape(-1, BLOCK_PX, width) != 0).any(1)
    needed = np.zeros((cells.stop - cells.start, width), dtype=np.bool_)
    first = rows.start // BLOCK_PX - cells.start
    needed[first : first + len(own)] = own
    return np.asarray(ndimage.binary_dilation(needed, np.ones((3, 3))))
