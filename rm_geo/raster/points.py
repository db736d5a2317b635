"""Scattered values on a raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rm_geo._types import FloatArray, IntArray
from rm_geo._util.disk_columns import DiskColumn, copy_rows, iter_blocks, map_blocks
from rm_geo.raster.bands import RowBand, iter_bands, map_bands


class Points(NamedTuple):
    """Scattered values on a raster, row by row; shape (N,) each.

    The arrays may lie on disk (:mod:`rm_geo._util.disk_columns`): read them by bands or blocks.

    Attributes
    ----------
    row, col : ndarray of int
        Pixels; the rows ascend.
    value : ndarray of float32
        Values, whose expectation is 0 for residuals.

    Examples
    --------
    >>> points = Points(np.array([0, 2]), np.array([1, 0]), np.array([5.0, 7.0], np.float32))
    >>> band = points.band(slice(2, 4), width=3)
    >>> band.row.tolist(), band.value.tolist()
    ([0], [7.0])
    """

    row: IntArray
    col: IntArray
    value: FloatArray

    def in_rows(self, rows: slice) -> slice:
        """Give the points of some rows, as a slice of the arrays."""
        first, last = np.searchsorted(self.row, [rows.start, rows.stop])
        return slice(int(first), int(last))

    def band(self, rows: slice, width: int = 0) -> RowBand:
        """Read the points of some rows into memory.

        Parameters
        ----------
        rows : slice
            Rows of the raster.
        width : int
            Columns of the raster; needed for dense arrays of the band.

        Returns
        -------
        RowBand
            The points of the rows.
        """
        index = self.in_rows(rows)
        row, col = copy_rows(self.row, index), copy_rows(self.col, index)
        value = copy_rows(self.value, index)
        return RowBand(rows, index, width, row - rows.start, col, value)

    def bands(self, shape: tuple[int, int]) -> Iterator[RowBand]:
        """Read all points, a band of rows at a time.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the raster.

        Yields
        ------
        RowBand
            From north to south, empty bands included.
        """
        return iter_bands(shape, lambda rows: self.band(rows, shape[1]))

    def blocks(self, size: int | None = None) -> Iterator[Points]:
        """Read all points in blocks of one length, whatever their rows.

        Parameters
        ----------
        size : int, optional
            Points in a block.

        Yields
        ------
        Points
            Views of consecutive points.
        """
        for row, col, value in iter_blocks(*self, rows=size):
            yield Points(row, col, value)

    def map_values(
        self,
        function: Callable[..., NDArray[Any]],
        *columns: NDArray[Any],
        dtype: DTypeLike = np.float32,
    ) -> Points:
        """Compute new values at the same pixels.

        Parameters
        ----------
        function : callable
            Computes values from a block of the values, and of each of the columns.
        *columns : ndarray, shape (N,)
            Further columns.
        dtype : dtype
            Type of the new values.

        Returns
        -------
        Points
            The new values.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        return self._replace(value=map_blocks(function, self.value, *columns, dtype=dtype))

    def map_points(
        self, function: Callable[[Points], NDArray[Any]], dtype: DTypeLike = np.float32
    ) -> NDArray[Any]:
        """Compute a value for each point, block by block, whatever the rows of a block.

        Parameters
        ----------
        function : callable
            Computes the values of a block of points, shape (n,).
        dtype : dtype
            Type of the result.

        Returns
        -------
        ndarray, shape (N,)

        Raises
        ------
        OutputError
            If the disk is full.
        """
        return map_blocks(lambda *columns: function(Points(*columns)), *self, dtype=dtype)

    def map_bands(
        self,
        shape: tuple[int, int],
        function: Callable[[RowBand], NDArray[Any]],
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Compute a value for each point, a band of rows at a time.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the raster.
        function : callable
            Computes the values of a band, shape (n,).
        dtype : dtype
            Type of the result.

        Returns
        -------
        ndarray, shape (N,)

        Raises
        ------
        OutputError
            If the disk is full.
        """
        return map_bands(self.bands(shape), function, int(self.value.size), dtype)

    def known(self) -> Points:
        """Leave out the points whose value is not finite."""
        known = np.isfinite(self.value)
        if known.all():
            return self
        return Points(self.row[known], self.col[known], self.value[known])


class PointsWriter:
    """Collects scattered values row by row, in memory or on disk."""

    def __init__(self) -> None:
        self._row: DiskColumn[np.int32] = DiskColumn(np.int32)
        self._col: DiskColumn[np.int32] = DiskColumn(np.int32)
        self._value: DiskColumn[np.float32] = DiskColumn(np.float32)

    def append(self, row: IntArray, col: IntArray, value: NDArray[np.floating[Any]]) -> None:
        """Add points below those that are there; shape (n,) each.

        Parameters
        ----------
        row, col : ndarray of int, shape (n,)
            Pixels.
        value : ndarray of float, shape (n,)
            Values.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        self._row.append(row)
        self._col.append(col)
        self._value.append(value)

    def finish(self) -> Points:
        """Give all points, and begin anew."""
        return Points(self._row.finish(), self._col.finish(), self._value.finish())
