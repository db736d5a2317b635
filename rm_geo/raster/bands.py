"""Rows of scattered values, a band at a time, with row numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rm_geo._types import IntArray, Scalar
from rm_geo._util.disk_columns import drop_pages, empty_column
from rm_geo._util.row_blocks import row_bands


@dataclass(frozen=True)
class RowBand:
    """Scattered values in consecutive rows of a raster.

    A band lies in memory: the arrays are copies where the values of the whole raster lie on disk.

    Attributes
    ----------
    rows : slice
        Rows of the raster.
    index : slice
        The band's values among those of the whole raster.
    width : int
        Columns of the raster.
    row : ndarray of int, shape (n,)
        Rows of the values, counted from the first row of the band.
    col : ndarray of int, shape (n,)
        Columns of the values.
    value : ndarray of float32, shape (n,)
        The values, such as RSRP in dBm.
    """

    rows: slice
    index: slice
    width: int
    row: IntArray
    col: IntArray
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.value.size)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the band."""
        return self.rows.stop - self.rows.start, self.width

    def to_dense(self, values: NDArray[Scalar], empty: object) -> NDArray[Scalar]:
        """Place one value for each of the band's points into an array.

        Parameters
        ----------
        values : ndarray, shape (n,)
            Values in the order of the band.
        empty : object
            Value of the other pixels.

        Returns
        -------
        ndarray, shape (rows, W)
        """
        dense = np.full(self.shape, empty, dtype=values.dtype)
        dense[self.row, self.col] = values
        return dense

    def from_dense(self, dense: NDArray[Scalar]) -> NDArray[Scalar]:
        """Read an array at the band's points.

        Parameters
        ----------
        dense : ndarray, shape (rows, W)
            Values of all pixels of the band.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ValueError
            If the array has another shape than the band.
        """
        if dense.shape != self.shape:
            raise ValueError(f"expected an array of shape {self.shape}, got {dense.shape}")
        return dense[self.row, self.col]


def iter_bands(shape: tuple[int, int], band: Callable[[slice], RowBand]) -> Iterator[RowBand]:
    """Give the bands of a raster, from north to south.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the raster; see :func:`rm_geo._util.row_blocks.row_bands`.
    band : callable
        Reads the band of some rows.

    Yields
    ------
    RowBand
        All rows of the raster; bands may be empty.
    """
    for rows in row_bands(shape):
        yield band(rows)


def map_bands(
    bands: Iterator[RowBand],
    function: Callable[[RowBand], NDArray[Any]],
    count: int,
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Compute a value for each point of a raster, band by band.

    Parameters
    ----------
    bands : iterator of RowBand
        All bands of the raster; ``function`` is not called for empty ones.
    function : callable
        Computes the values of a band, shape (n,).
    count : int
        Points of the raster, N.
    dtype : dtype
        Type of the result.

    Returns
    -------
    ndarray, shape (N,)
        In memory, or on disk where they are many.

    Raises
    ------
    OutputError
        If the disk is full.
    """
    result = empty_column(count, dtype)
    for band in bands:
        if len(band):
            result[band.index] = function(band)
            drop_pages(result)
    return result
