"""Blending of overlapping tiles into one raster, row by row in the order of the tiles.

The weight of a tile is 1 in its interior and decreases linearly across each overlap with a
neighbour. The weights of all tiles sum to 1 at every pixel. At the outer edge of the raster the
weight stays 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.grid import Grid, Tile


class Band(NamedTuple):
    """Final rows of a mosaic.

    Attributes
    ----------
    row : int
        First row in the grid.
    rows : int
        Number of rows.
    values : ndarray of float32, shape (C, rows, W), or None
        NaN where no tile has a value; None if no tile has a value in any of these rows.
    """

    row: int
    rows: int
    values: FloatArray | None


class Mosaic:
    """Accumulates tiles in a band of rows and returns rows as soon as they are final.

    Parameters
    ----------
    grid : Grid
        Grid of the raster.
    tiles : sequence of Tile
        All tiles of the grid, as ``grid.tiles(size, overlap)`` returns them. Tiles may be left
        out of the calls of :meth:`push`: their pixels get the values of the neighbours.
    channels : int
        Number of rasters that are blended together; each may have its own gaps.
    first_row : int
        First row that is not final yet. The rows above were returned by an earlier run. Tiles
        that cover rows above and below it must be pushed again.

    Raises
    ------
    ValueError
        If there are no tiles.

    Notes
    -----
    The accumulators are two float32 bands of ``channels x size x W``, independent of the height.
    The returned bands are at most two more, because rows between distant tiles have no array. A
    tile of 256 x 256 pixels takes about 0.2 ms per channel.

    Examples
    --------
    >>> grid = Grid.create(0, 0, (4, 6), 1.0, 32633)
    >>> tiles = grid.tiles(4, 2)
    >>> mosaic = Mosaic(grid, tiles)
    >>> mosaic.push(tiles[0], np.ones((1, 4, 4), np.float32))
    []
    >>> [(band.row, band.rows) for band in mosaic.push(tiles[1], np.ones((1, 4, 4), np.float32))]
    [(0, 4)]
    """

    def __init__(
        self, grid: Grid, tiles: Sequence[Tile], channels: int = 1, first_row: int = 0
    ) -> None:
        if not tiles:
            raise ValueError("a mosaic needs at least one tile")
        self._shape = grid.shape
        self._size = tiles[0].size
        self._row_weights = axis_weights([tile.row for tile in tiles], self._size)
        self._col_weights = axis_weights([tile.col for tile in tiles], self._size)
        self._last_col = max(self._col_weights)
        starts = sorted(self._row_weights)
        self._next_start = dict(zip(starts, [*starts[1:], self._shape[0]], strict=True))
        depth = min(self._size, self._shape[0])
        self._sum = np.zeros((channels, depth, self._shape[1]), np.float32)
        self._weight = np.zeros_like(self._sum)
        self._first_row = first_row  # grid row of the accumulator's first row
        self._last_key: tuple[int, int] | None = None

    def push(self, tile: Tile, values: NDArray[np.floating]) -> list[Band]:
        """Add a tile, and return the rows that no later tile can change.

        Parameters
        ----------
        tile : Tile
            One of the tiles of the mosaic. Tiles are pushed row by row, west to east.
        values : ndarray of float, shape (C, size, size)
            Values of the tile; NaN and infinity have weight 0.

        Returns
        -------
        list of Band
            From north to south; empty if no row became final.

        Raises
        ------
        ValueError
            If the tile is not one of the mosaic or out of order, or the shape does not fit.
        """
        key = (tile.row, tile.col)
        known = tile.row in self._row_weights and tile.col in self._col_weights
        if not known or tile.size != self._size:
            raise ValueError(f"{tile} is not a tile of this mosaic")
        if self._last_key is not None and key <= self._last_key:
            raise ValueError(f"{tile} comes after the tile at {self._last_key}")
        if values.shape != (self._sum.shape[0], self._size, self._size):
            raise ValueError(f"tile values have shape {values.shape}")
        self._last_key = key
        bands = self._release(tile.row)
        self._add(tile, values)
        if tile.col == self._last_col:
            bands += self._release(self._next_start[tile.row])
        return bands

    def finish(self) -> list[Band]:
        """Return the remaining rows; call it once, after the last tile.

        Returns
        -------
        list of Band
            From north to south.
        """
        return self._release(self._shape[0])

    def _add(self, tile: Tile, values: NDArray[np.floating]) -> None:
        """Add the weighted values of a tile to the accumulators."""
        (rows, cols), (inner_rows, inner_cols) = tile.clip(self._shape)
        final = min(max(self._first_row - rows.start, 0), rows.stop - rows.start)
        rows = slice(rows.start + final, rows.stop)
        inner_rows = slice(inner_rows.start + final, inner_rows.stop)
        weight = (
            self._row_weights[tile.row][inner_rows, None]
            * self._col_weights[tile.col][None, inner_cols]
        )
        band = slice(rows.start - self._first_row, rows.stop - self._first_row)
        for channel, layer in enumerate(values[:, inner_rows, inner_cols]):
            finite = np.isfinite(layer)
            if finite.all():
                self._sum[channel, band, cols] += weight * layer
                self._weight[channel, band, cols] += weight
            else:
                held = weight * finite
                self._sum[channel, band, cols] += held * np.where(finite, layer, 0.0)
                self._weight[channel, band, cols] += held

    def _release(self, end_row: int) -> list[Band]:
        """Return the rows above ``end_row``, and move the remaining rows up."""
        if self._first_row >= end_row:
            return []
        depth = self._sum.shape[1]
        count = min(end_row - self._first_row, depth)
        bands = [Band(self._first_row, count, self._values(count))]
        for accumulator in (self._sum, self._weight):
            accumulator[:, : depth - count] = accumulator[:, count:]
            accumulator[:, depth - count :] = 0.0
        self._first_row += count
        if self._first_row < end_row:  # no tile covers these rows
            bands.append(Band(self._first_row, end_row - self._first_row, None))
            self._first_row = end_row
        return bands

    def _values(self, count: int) -> FloatArray | None:
        """Divide the first rows by their weights; None if all weights are 0."""
        weight = self._weight[:, :count]
        held = weight > 0.0
        if not held.any():
            return None
        values = np.full_like(weight, np.nan)
        np.divide(self._sum[:, :count], weight, out=values, where=held)
        return values


def blend(grid: Grid, tiles: Sequence[Tile], values: Iterable[NDArray[np.floating]]) -> FloatArray:
    """Blend tiles that fit in memory into one raster.

    Parameters
    ----------
    grid : Grid
        Grid of the raster.
    tiles : sequence of Tile
        All tiles of the grid, as ``grid.tiles(size, overlap)`` returns them.
    values : iterable of ndarray of float, shape (size, size) each
        Values of each tile, in the same order.

    Returns
    -------
    ndarray of float32, shape (H, W)
        NaN where no tile has a value.

    Examples
    --------
    >>> grid = Grid.create(0, 0, (4, 6), 1.0, 32633)
    >>> tiles = grid.tiles(4, 2)
    >>> blend(grid, tiles, [np.zeros((4, 4)), np.ones((4, 4))])[0].tolist()
    [0.0, 0.0, 0.25, 0.75, 1.0, 1.0]
    """
    mosaic = Mosaic(grid, tiles)
    result = np.full(grid.shape, np.nan, np.float32)

    def finished() -> Iterator[Band]:
        for tile, layer in zip(tiles, values, strict=True):
            yield from mosaic.push(tile, layer[None])
        yield from mosaic.finish()

    for band in finished():
        if band.values is not None:
            result[band.row : band.row + band.rows] = band.values[0]
    return result


def axis_weights(starts: Iterable[int], size: int) -> dict[int, FloatArray]:
    """Compute the blending weights along one axis.

    Parameters
    ----------
    starts : iterable of int
        First pixel of each tile; duplicates are allowed.
    size : int
        Side of a tile in pixels.

    Returns
    -------
    dict of int to ndarray of float32, shape (size,)
        Weights by first pixel. They are positive, and sum to 1 at each pixel that a tile covers.

    Examples
    --------
    >>> [weights.tolist() for weights in axis_weights([0, 2], 4).values()]
    [[1.0, 1.0, 0.75, 0.25], [0.25, 0.75, 1.0, 1.0]]
    """
    ordered = sorted(set(starts))
    ramps = {start: np.ones(size) for start in ordered}
    for left, right in pairwise(ordered):
        overlap = left + size - right
        if overlap > 0:
            rise = (np.arange(overlap) + 0.5) / overlap
            ramps[right][:overlap] *= rise
            ramps[left][size - overlap :] *= rise[::-1]
    total = np.zeros(ordered[-1] + size - ordered[0])
    for start, ramp in ramps.items():
        total[start - ordered[0] : start - ordered[0] + size] += ramp
    return {
        start: (ramp / total[start - ordered[0] : start - ordered[0] + size]).astype(np.float32)
        for start, ramp in ramps.items()
    }
