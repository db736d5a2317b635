"""The layers of a preview, reduced to the size of a picture while the rows go by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.grid import Grid

_LONGEST_SIDE_PX: Final = 600  # of a panel's raster; a panel has fewer pixels


@dataclass(frozen=True)
class Picture:
    """What a preview shows.

    Attributes
    ----------
    grid : Grid
        Of the full rasters.
    factor : int
        Pixels along a side that became one.
    points : ndarray of float32, shape (ceil(H / factor), ceil(W / factor))
        Measured RSRP in dBm.
    radio_map : ndarray of float32
        RSRP in dBm; same shape.
    buildings : ndarray of float32 or None
        Probability of a building; same shape.
    measured : int
        Measured pixels of the full raster.
    """

    grid: Grid
    factor: int
    points: FloatArray
    radio_map: FloatArray
    buildings: FloatArray | None
    measured: int


class PictureBuilder:
    """Gathers the layers of a picture from rows of any number.

    Parameters
    ----------
    grid : Grid
        Of the full rasters.
    buildings : bool
        Whether there is a building map.
    """

    def __init__(self, grid: Grid, *, buildings: bool) -> None:
        self._grid = grid
        self._factor = max(1, math.ceil(max(grid.shape) / _LONGEST_SIDE_PX))
        self._layers = [
            _LayerSums(grid.shape, self._factor, keep_points=index == 0)
            for index in range(3 if buildings else 2)
        ]
        self._measured = 0

    def add_rows(self, row: int, layers: Sequence[NDArray[np.floating]]) -> None:
        """Add the next rows of all layers: points, radio map, and buildings if there are any."""
        for sums, values in zip(self._layers, layers, strict=True):
            sums.add_rows(row, values)
        self._measured += int(np.isfinite(layers[0]).sum())

    def picture(self) -> Picture:
        """Give the picture, after the last row."""
        points, radio_map, *rest = (sums.mean() for sums in self._layers)
        buildings = rest[0] if rest else None
        return Picture(self._grid, self._factor, points, radio_map, buildings, self._measured)


def downsample(raster: NDArray[np.floating], factor: int, *, keep_points: bool) -> FloatArray:
    """Reduce a raster by a whole factor.

    Parameters
    ----------
    raster : ndarray, shape (H, W)
        NaN where unknown.
    factor : int
        Pixels along a side that become one.
    keep_points : bool
        Whether one known pixel makes the whole block known (sparse points), or a block is
        known where at least half of it is.

    Returns
    -------
    ndarray of float32, shape (ceil(H / factor), ceil(W / factor))
        Means of the known pixels.
    """
    sums = _LayerSums((raster.shape[0], raster.shape[1]), factor, keep_points=keep_points)
    sums.add_rows(0, raster)
    return sums.mean()


class _LayerSums:
    """Sums of one layer over square blocks; the last ones are smaller."""

    def __init__(self, shape: tuple[int, int], factor: int, *, keep_points: bool) -> None:
        self._shape, self._factor, self._keep_points = shape, factor, keep_points
        rows, cols = (-(-length // factor) for length in shape)
        self._total = np.zeros((rows, cols), np.float32)
        self._number = np.zeros((rows, cols), np.float32)
        self._open = np.zeros((2, shape[1]), np.float32)  # of the block row that is not full

    def add_rows(self, row: int, values: NDArray[np.floating]) -> None:
        """Add rows; how many come at once does not change a bit."""
        known = np.isfinite(values)
        layers = (np.where(known, values, 0.0).astype(np.float32), known.astype(np.float32))
        first = 0
        while first < len(values):
            block, inside = divmod(row + first, self._factor)
            last = min(first + self._factor - inside, len(values))
            for index, layer in enumerate(layers):
                # Rows are added one after the other, wherever the block was interrupted.
                part = np.concatenate([self._open[index][None], layer[first:last]])
                self._open[index] = np.add.reduce(part, axis=0)
            if (row + last) % self._factor == 0 or row + last == self._shape[0]:
                self._total[block], self._number[block] = self._columns()
                self._open[:] = 0.0
            first = last

    def mean(self) -> FloatArray:
        """Give the means of the known pixels, after the last row."""
        area = np.outer(*(_block_lengths(length, self._factor) for length in self._shape))
        enough = self._number > 0 if self._keep_points else self._number >= 0.5 * area
        mean = self._total / np.maximum(self._number, 1)
        return np.where(enough, mean, np.nan).astype(np.float32)

    def _columns(self) -> FloatArray:
        """Sum the open block row over the columns of each block, shape (2, cols)."""
        sums = np.zeros((2, self._total.shape[1]), np.float32)
        for offset in range(min(self._factor, self._shape[1])):
            part = self._open[:, offset :: self._factor]
            sums[:, : part.shape[1]] += part
        return sums


def _block_lengths(length: int, factor: int) -> NDArray[np.intp]:
    """Pixels of each block along an axis."""
    return np.diff(np.append(np.arange(0, length, factor), length))
