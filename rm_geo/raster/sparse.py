"""A raster that stores its measured pixels only; dense parts are made on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, FloatArray, PixelArray, Scalar
from rm_geo._util.disk_columns import copy_rows, map_blocks
from rm_geo.errors import TooSmallError
from rm_geo.grid import Grid, Tile
from rm_geo.raster.bands import RowBand
from rm_geo.raster.points import Points


@dataclass(frozen=True)
class SparseRaster:
    """RSRP of the measured pixels of a grid.

    Attributes
    ----------
    grid : Grid
        Geometry.
    pixel : ndarray of int64, shape (N,)
        Numbers of the measured pixels, ``row * columns + column``, ascending.
    level_dbm : ndarray of float32, shape (N,)
        RSRP of each pixel in dBm.
    count : ndarray of int32, shape (N,)
        Measurements in each pixel.
    std_db : ndarray of float32, shape (N,)
        Sample standard deviation of the measurements in dB; NaN where there is only one.

    Notes
    -----
    A measured pixel takes 28 bytes, whatever the size of the grid. The arrays lie on disk where
    they are long (:mod:`rm_geo._util.disk_columns`): read them by :meth:`bands`. ``dense_*``
    methods are for small grids, or some rows of a large one.

    Examples
    --------
    >>> grid = Grid.create(0, 0, (2, 3), 1.0, 32633)
    >>> level_dbm = np.array([[np.nan, -80.0, np.nan], [-90.0, np.nan, np.nan]])
    >>> sparse = SparseRaster.from_levels(grid, level_dbm)
    >>> [(band.row.tolist(), band.col.tolist(), band.value.tolist()) for band in sparse.bands()]
    [([0, 1], [1, 0], [-80.0, -90.0])]
    """

    grid: Grid
    pixel: PixelArray
    level_dbm: FloatArray
    count: NDArray[np.int32]
    std_db: FloatArray

    @classmethod
    def from_dense(
        cls, grid: Grid, rsrp_dbm: FloatArray, count: NDArray[np.int32], std_db: FloatArray
    ) -> SparseRaster:
        """Keep the pixels of dense arrays, shape (H, W) each, in which ``count`` is not 0.

        Parameters
        ----------
        grid : Grid
            Geometry.
        rsrp_dbm : ndarray of float32, shape (H, W)
            RSRP in dBm.
        count : ndarray of int32, shape (H, W)
            Measurements in each pixel.
        std_db : ndarray of float32, shape (H, W)
            Sample standard deviation in dB; NaN where there is one measurement.

        Returns
        -------
        SparseRaster
            The measured pixels.
        """
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
        """Keep the finite pixels of a dense array, shape (H, W), as one measurement each.

        Parameters
        ----------
        grid : Grid
            Geometry.
        rsrp_dbm : ndarray, shape (H, W)
            RSRP in dBm; NaN where nothing was measured.

        Returns
        -------
        SparseRaster
            The finite pixels.
        """
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
        return map_blocks(lambda pixel: pixel // width, self.pixel, dtype=np.int32)

    @cached_property
    def col(self) -> NDArray[np.int32]:
        """Column of each measured pixel."""
        width = self.grid.shape[1]
        return map_blocks(lambda pixel: pixel % width, self.pixel, dtype=np.int32)

    @property
    def coverage(self) -> float:
        """Share of the pixels that were measured, 0..1."""
        rows, cols = self.grid.shape
        return len(self) / max(rows * cols, 1)

    @property
    def points(self) -> Points:
        """RSRP at the measured pixels."""
        return self.points_with(self.level_dbm)

    def points_with(self, value: FloatArray) -> Points:
        """Give other values at the measured pixels, shape (N,).

        Parameters
        ----------
        value : ndarray of float32, shape (N,)
            One value for each measured pixel.

        Returns
        -------
        Points
            The values at the pixels.
        """
        return Points(self.row, self.col, value)

    def band(self, rows: slice) -> RowBand:
        """Read the RSRP of the measured pixels of some rows into memory.

        Parameters
        ----------
        rows : slice
            Rows of the grid.

        Returns
        -------
        RowBand
            The measured pixels of the rows.
        """
        return self.points.band(rows, self.grid.shape[1])

    def bands(self) -> Iterator[RowBand]:
        """Read all measured pixels, a band of rows at a time.

        Returns
        -------
        iterator of RowBand
            Bands from north to south, empty ones included. The pages of arrays on disk are dropped
            as soon as a band is read.
        """
        return self.points.bands(self.grid.shape)

    def map_bands(self, function: Callable[[RowBand], NDArray[Any]]) -> FloatArray:
        """Compute a value for each measured pixel, a band of rows at a time.

        Parameters
        ----------
        function : callable
            Computes the values of a band, shape (n,).

        Returns
        -------
        ndarray of float32, shape (N,)
            The values, on disk where they are many.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        return self.points.map_bands(self.grid.shape, function)

    def require_pixels(self, least: int, name: str) -> None:
        """Refuse a raster with too few measured pixels.

        Parameters
        ----------
        least : int
            Smallest number of measured pixels.
        name : str
            What was measured, at the beginning of the message.

        Raises
        ------
        TooSmallError
            If fewer pixels are measured.

        Examples
        --------
        >>> grid = Grid.create(0, 0, (1, 2), 1.0, 32633)
        >>> SparseRaster.from_levels(grid, np.array([[-80.0, np.nan]])).require_pixels(1, "Cell 7")
        """
        if (measured := len(self)) < least:
            raise TooSmallError(
                f"{name} was measured in {measured} pixel{'' if measured == 1 else 's'} only; at "
                f"least {least} are needed.",
                hint="Collect more measurements, or leave the cell out.",
            )

    def dense_rsrp_dbm(self, rows: slice | None = None) -> FloatArray:
        """RSRP in dBm of all or some rows, shape (rows, W); NaN where nothing was measured.

        Parameters
        ----------
        rows : slice, optional
            Rows of the grid; all if not given.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            RSRP in dBm; NaN where nothing was measured.
        """
        return self.to_dense(self.level_dbm, rows, np.nan)

    def dense_count(self, rows: slice | None = None) -> NDArray[np.int32]:
        """Measurements in each pixel of all or some rows, shape (rows, W).

        Parameters
        ----------
        rows : slice, optional
            Rows of the grid; all if not given.

        Returns
        -------
        ndarray of int32, shape (rows, W)
            Number of measurements.
        """
        return self.to_dense(self.count, rows, 0)

    def dense_std_db(self, rows: slice | None = None) -> FloatArray:
        """Give the standard deviation in dB of all or some rows, shape (rows, W); or NaN.

        Parameters
        ----------
        rows : slice, optional
            Rows of the grid; all if not given.

        Returns
        -------
        ndarray of float32, shape (rows, W)
            Sample standard deviation in dB; NaN where there are fewer than two measurements.
        """
        return self.to_dense(self.std_db, rows, np.nan)

    def dense_observed(self, rows: slice | None = None) -> BoolArray:
        """Whether each pixel of all or some rows was measured, shape (rows, W).

        Parameters
        ----------
        rows : slice, optional
            Rows of the grid; all if not given.

        Returns
        -------
        ndarray of bool, shape (rows, W)
            True where there is a measurement.
        """
        return self.to_dense(np.broadcast_to(np.True_, len(self)), rows, False)

    def to_dense(
        self, values: NDArray[Scalar], rows: slice | None, empty: object
    ) -> NDArray[Scalar]:
        """Place values of the measured pixels into an array.

        Parameters
        ----------
        values : ndarray, shape (N,)
            One value for each measured pixel.
        rows : slice or None
            Rows of the result; None for all.
        empty : object
            Value of the other pixels.

        Returns
        -------
        ndarray, shape (rows, W)
            The values, of the type of ``values``.
        """
        height, width = self.grid.shape
        chosen = slice(0, height) if rows is None else rows
        index = self.in_rows(chosen)
        dense = np.full((chosen.stop - chosen.start) * width, empty, dtype=values.dtype)
        place = copy_rows(self.pixel, index) - chosen.start * width
        dense[place] = copy_rows(values, index)
        return dense.reshape(-1, width)

    def select(self, kept: NDArray[np.bool_]) -> SparseRaster:
        """Keep some of the measured pixels, by a mask of shape (N,).

        Parameters
        ----------
        kept : ndarray of bool, shape (N,)
            True for the pixels to keep.

        Returns
        -------
        SparseRaster
            The kept pixels, on the same grid.
        """
        return replace(
            self,
            pixel=self.pixel[kept],
            level_dbm=self.level_dbm[kept],
            count=self.count[kept],
            std_db=self.std_db[kept],
        )

    def in_rows(self, rows: slice) -> slice:
        """Give the measured pixels of some rows, as a slice of the arrays.

        Rows outside the grid are empty.

        Parameters
        ----------
        rows : slice
            Rows, which may lie outside the grid.

        Returns
        -------
        slice
            Range of indices into ``pixel`` and the other arrays.
        """
        width = self.grid.shape[1]
        first, last = np.searchsorted(self.pixel, [rows.start * width, rows.stop * width])
        return slice(int(first), int(last))

    def in_window(self, rows: slice, cols: slice) -> NDArray[np.intp]:
        """Give the measured pixels of a window, as indices into the arrays, shape (n,).

        Parameters
        ----------
        rows, cols : slice
            Rows and columns, which may lie outside the grid; nothing is measured there.

        Returns
        -------
        ndarray of int, shape (n,)
            Indices into ``pixel`` and the other arrays, ascending.
        """
        height, width = self.grid.shape
        west, east = min(max(cols.start, 0), width), max(min(cols.stop, width), 0)
        begins = np.arange(max(rows.start, 0), min(rows.stop, height)) * width
        first = np.searchsorted(self.pixel, begins + west)
        length = np.searchsorted(self.pixel, begins + max(east, west)) - first
        ends = np.cumsum(length)
        skipped = np.repeat(first - ends + length, length)
        return np.asarray(skipped + np.arange(skipped.size), dtype=np.intp)

    def tile(self, tile: Tile) -> FloatArray:
        """Give the RSRP of a tile in dBm, shape (size, size); NaN where nothing was measured.

        Parameters
        ----------
        tile : Tile
            A tile of the grid.

        Returns
        -------
        ndarray of float32, shape (size, size)
            RSRP in dBm; NaN where nothing was measured.
        """
        index = self.in_window(tile.rows, tile.cols)
        values = np.full((tile.size, tile.size), np.nan, dtype=np.float32)
        values[self.row[index] - tile.row, self.col[index] - tile.col] = self.level_dbm[index]
        return values

    def crop(self, rows: slice, cols: slice) -> SparseRaster:
        """Cut out a window, which may lie outside the grid; nothing is measured there.

        Parameters
        ----------
        rows, cols : slice
            Rows and columns, which may lie outside the grid.

        Returns
        -------
        SparseRaster
            The measured pixels of the window, on its grid.
        """
        index = self.in_window(rows, cols)
        width = cols.stop - cols.start
        row, col = (axis[index].astype(np.int64) for axis in (self.row, self.col))
        return SparseRaster(
            self.grid.window(rows, cols),
            (row - rows.start) * width + col - cols.start,
            self.level_dbm[index],
            self.count[index],
            self.std_db[index],
        )

    def measured_tiles(self, size: int, overlap: int) -> tuple[list[Tile], list[Tile]]:
        """Cut the grid into tiles, and select those that hold a measurement.

        Parameters
        ----------
        size, overlap : int
            Side of a tile and overlap of neighbours in pixels, as in :meth:`Grid.tiles`.

        Returns
        -------
        measured : list of Tile
            Tiles with a measurement, row by row.
        all_tiles : list of Tile
            All tiles of the grid, row by row.
        """
        all_tiles = self.grid.tiles(size, overlap)
        counts = self.tile_counts(all_tiles)
        return [tile for tile, count in zip(all_tiles, counts, strict=True) if count], all_tiles

    def tile_counts(self, tiles: Sequence[Tile]) -> NDArray[np.intp]:
        """Count the measured pixels of each tile, shape (len(tiles),).

        Parameters
        ----------
        tiles : sequence of Tile
            Tiles, row by row as :meth:`Grid.tiles` gives them.

        Returns
        -------
        ndarray of int, shape (len(tiles),)
            Number of measured pixels in each tile.
        """
        counts = np.zeros(len(tiles), dtype=np.intp)
        last: slice | None = None
        cols: NDArray[Any] = np.empty(0, dtype=np.int32)
        for index, tile in enumerate(tiles):
            if tile.rows != last:  # tiles come row by row: each row's columns are sorted once
                last = tile.rows
                cols = np.sort(self.col[self.in_rows(last)])
            first, end = np.searchsorted(cols, [tile.cols.start, tile.cols.stop])
            counts[index] = end - first
        return counts
