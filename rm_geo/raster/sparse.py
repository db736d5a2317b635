"""A raster of which only the measured pixels are kept; dense parts are cut out on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray, PixelArray, Scalar
from rm_geo._util.disk_columns import computed, release
from rm_geo.grid import Grid, Tile


@dataclass(frozen=True)
class SparseRaster:
    """RSRP on a grid, known where something was measured.

    It takes some 28 bytes for each measured pixel, whatever the size of the grid; on disk where
    the pixels are many (:mod:`rm_geo._util.disk_columns`).

    Attributes
    ----------
    grid : Grid
        Geometry.
    pixel : ndarray of int64, shape (N,)
        Numbers of the measured pixels, ``row * columns + column``, ascending.
    level_dbm : ndarray of float32, shape (N,)
        RSRP in each.
    readings : ndarray of int32, shape (N,)
        Measurements in each.
    spread_db : ndarray of float32, shape (N,)
        Sample standard deviation of the values in dB; NaN where fewer than two.
    """

    grid: Grid
    pixel: PixelArray
    level_dbm: FloatArray
    readings: NDArray[np.int32]
    spread_db: FloatArray

    @classmethod
    def from_dense(
        cls, grid: Grid, rsrp_dbm: FloatArray, count: NDArray[np.int32], std_db: FloatArray
    ) -> SparseRaster:
        """Keep the pixels of dense arrays, shape (H, W) each, in which ``count`` is not 0."""
        pixel = np.flatnonzero(count)
        return cls(
            grid,
            pixel.astype(np.int64),
            rsrp_dbm.ravel()[pixel],
            count.ravel()[pixel],
            std_db.ravel()[pixel],
        )

    @classmethod
    def from_levels(cls, grid: Grid, rsrp_dbm: NDArray[np.floating]) -> SparseRaster:
        """Keep the finite pixels of a dense array, shape (H, W), as one measurement each."""
        known = np.isfinite(rsrp_dbm)
        level_dbm = rsrp_dbm.astype(np.float32)
        return cls.from_dense(
            grid, level_dbm, known.astype(np.int32), np.full_like(level_dbm, np.nan)
        )

    def __len__(self) -> int:
        return int(self.pixel.size)

    @cached_property
    def row(self) -> NDArray[np.int32]:
        """Row of each measured pixel, ascending."""
        width = self.grid.shape[1]
        return computed(lambda pixel: pixel // width, self.pixel, dtype=np.int32)

    @cached_property
    def col(self) -> NDArray[np.int32]:
        """Column of each measured pixel."""
        width = self.grid.shape[1]
        return computed(lambda pixel: pixel % width, self.pixel, dtype=np.int32)

    @property
    def coverage(self) -> float:
        """Share of the pixels that were measured, 0..1."""
        rows, cols = self.grid.shape
        return len(self) / max(rows * cols, 1)

    @property
    def rsrp_dbm(self) -> FloatArray:
        """All pixels, shape (H, W), NaN where nothing was measured; for small grids."""
        return self.dense_rows(self.level_dbm, self._all_rows, np.nan)

    @property
    def count(self) -> NDArray[np.int32]:
        """Measurements in all pixels, shape (H, W); for small grids."""
        return self.dense_rows(self.readings, self._all_rows, 0)

    @property
    def std_db(self) -> FloatArray:
        """Standard deviation in all pixels, shape (H, W), NaN where unknown; for small grids."""
        return self.dense_rows(self.spread_db, self._all_rows, np.nan)

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Where something was measured, shape (H, W); for small grids."""
        return self.observed_rows(self._all_rows)

    def select(self, kept: NDArray[np.bool_]) -> SparseRaster:
        """Keep some of the measured pixels, by a mask of shape (N,)."""
        return replace(
            self,
            pixel=self.pixel[kept],
            level_dbm=self.level_dbm[kept],
            readings=self.readings[kept],
            spread_db=self.spread_db[kept],
        )

    def release(self) -> None:
        """Take what lies on disk out of memory, until it is looked at again."""
        for column in (self.pixel, self.level_dbm, self.readings, self.spread_db):
            release(column)
        for name in ("row", "col"):
            if name in self.__dict__:  # cached
                release(self.__dict__[name])

    def in_rows(self, rows: slice) -> slice:
        """Give the measured pixels of some rows, as a slice of the arrays."""
        width = self.grid.shape[1]
        first, last = np.searchsorted(self.pixel, [rows.start * width, rows.stop * width])
        return slice(int(first), int(last))

    def in_window(self, rows: slice, cols: slice) -> NDArray[np.intp]:
        """Give the measured pixels of a window inside the grid, as indices into the arrays."""
        begins = np.arange(rows.start, max(rows.stop, rows.start)) * self.grid.shape[1]
        first = np.searchsorted(self.pixel, begins + cols.start)
        length = np.searchsorted(self.pixel, begins + max(cols.stop, cols.start)) - first
        ends = np.cumsum(length)
        skipped = np.repeat(first - ends + length, length)
        return np.asarray(skipped + np.arange(skipped.size), dtype=np.intp)

    def level_rows(self, rows: slice) -> FloatArray:
        """RSRP in dBm of some rows, shape (rows, W), NaN where nothing was measured."""
        return self.dense_rows(self.level_dbm, rows, np.nan)

    def observed_rows(self, rows: slice) -> NDArray[np.bool_]:
        """Whether the pixels of some rows were measured, shape (rows, W)."""
        everywhere = np.broadcast_to(np.True_, len(self))
        return self.dense_rows(everywhere, rows, False)

    def dense_rows(self, values: NDArray[Scalar], rows: slice, empty: object) -> NDArray[Scalar]:
        """Spread values of the measured pixels, shape (N,), over some rows, shape (rows, W)."""
        inside = self.in_rows(rows)
        width = self.grid.shape[1]
        dense = np.full((rows.stop - rows.start) * width, empty, dtype=values.dtype)
        dense[self.pixel[inside] - rows.start * width] = values[inside]
        return dense.reshape(-1, width)

    def tile(self, tile: Tile) -> FloatArray:
        """RSRP of a tile, NaN where it reaches over the edge; shape (size, size)."""
        (rows, cols), _ = tile.clip(self.grid.shape)
        index = self.in_window(rows, cols)
        values = np.full((tile.size, tile.size), np.nan, dtype=np.float32)
        values[self.row[index] - tile.row, self.col[index] - tile.col] = self.level_dbm[index]
        return values

    def crop(self, rows: slice, cols: slice) -> SparseRaster:
        """Cut out a window, which may reach over the edges; nothing is measured there."""
        inside = (
            slice(min(max(s.start, 0), n), max(min(s.stop, n), 0))
            for s, n in zip((rows, cols), self.grid.shape, strict=True)
        )
        index = self.in_window(*inside)
        width = cols.stop - cols.start
        row, col = (axis[index].astype(np.int64) for axis in (self.row, self.col))
        return SparseRaster(
            self.grid.window(rows, cols),
            (row - rows.start) * width + col - cols.start,
            self.level_dbm[index],
            self.readings[index],
            self.spread_db[index],
        )

    def tile_counts(self, tiles: Sequence[Tile]) -> NDArray[np.intp]:
        """Count the measured pixels of each tile, shape (len(tiles),)."""
        counts = np.zeros(len(tiles), dtype=np.intp)
        last: slice | None = None
        cols: NDArray[Any] = np.empty(0, dtype=np.int32)
        for index, tile in enumerate(tiles):
            (tile_rows, tile_cols), _ = tile.clip(self.grid.shape)
            if tile_rows != last:  # tiles come row by row: each row's columns are sorted once
                last = tile_rows
                cols = np.sort(self.col[self.in_rows(tile_rows)])
            first, end = np.searchsorted(cols, [tile_cols.start, tile_cols.stop])
            counts[index] = end - first
        return counts

    @property
    def _all_rows(self) -> slice:
        """All rows of the grid."""
        return slice(0, self.grid.shape[0])
