"""Ranking of the cells at each pixel, which most products start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, FloatArray
from rm_geo.planning.map_set import MapSetBand


@dataclass(frozen=True, eq=False)
class Ranking:
    """The strongest cells at each pixel of a band.

    Attributes
    ----------
    level_dbm : ndarray of float32, shape (ranks, h, w)
        Levels, the strongest first; NaN where there are fewer cells.
    cell : ndarray of int32, shape (ranks, h, w)
        Their positions in ``RadioMapSet.cells``; -1 where there are fewer cells.
    place : ndarray of int32, shape (ranks, h, w)
        Their positions in the arrays of the band; -1 where there are fewer cells.
    counted : ndarray of bool, shape (n, h, w), or None
        Which cells of the band take part at each pixel; None if all do.
    """

    level_dbm: FloatArray
    cell: NDArray[np.int32]
    place: NDArray[np.int32]
    counted: BoolArray | None = None

    @property
    def best_dbm(self) -> FloatArray:
        """Level of the strongest cell, shape (h, w)."""
        best: FloatArray = self.level_dbm[0]
        return best

    @property
    def best_cell(self) -> NDArray[np.int32]:
        """Position of the strongest cell in ``RadioMapSet.cells``, shape (h, w); -1 for none."""
        best: NDArray[np.int32] = self.cell[0]
        return best


def rank_cells(band: MapSetBand, ranks: int = 2, *, min_reported: float = 0.0) -> Ranking:
    """Rank the cells of a band by their levels.

    Parameters
    ----------
    band : MapSetBand
        The levels, and where known the probability that each cell is reported.
    ranks : int
        Number of cells to rank.
    min_reported : float
        A cell whose probability of being reported is below this is left out, if another cell at
        the pixel is not below it. Cells without a probability are never left out.

    Returns
    -------
    Ranking
        Of equal levels the cell that comes first in the set ranks higher.

    Examples
    --------
    >>> level = np.array([[[-80.0]], [[-70.0]], [[np.nan]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 1), np.array([2, 5, 6]), level)
    >>> ranking = rank_cells(band, 3)
    >>> ranking.cell[:, 0, 0].tolist(), ranking.level_dbm[:, 0, 0].tolist()
    ([5, 2, -1], [-70.0, -80.0, nan])
    """
    counted = _counted(band, min_reported)
    shape = (ranks, *band.shape)
    level = np.full(shape, -np.inf, dtype=np.float32)
    place = np.full(shape, -1, dtype=np.int32)
    for position, values in enumerate(band.rsrp_dbm):
        known = values if counted is None else np.where(counted[position], values, np.nan)
        _insert(level, place, known, position)
    cell = np.where(place < 0, -1, band.cells[place]).astype(np.int32)
    level[place < 0] = np.nan
    return Ranking(level, cell, place, counted)


def _insert(
    level: FloatArray,
    place: NDArray[np.int32],
    values: FloatArray,
    position: int,
) -> None:
    """Insert a cell into the ranking where it belongs."""
    ranks = len(level)
    last = values > level[-1]  # NaN is never larger
    if not last.any():
        return
    for rank in range(ranks - 1, -1, -1):
        here = last if rank == ranks - 1 else values > level[rank]
        if rank < ranks - 1:
            np.copyto(level[rank + 1], level[rank], where=here)
            np.copyto(place[rank + 1], place[rank], where=here)
        np.copyto(level[rank], values, where=here)
        place[rank][here] = position


def _counted(band: MapSetBand, min_reported: float) -> BoolArray | None:
    """Which cells take part at each pixel; None if all do."""
    if band.reported is None or min_reported <= 0.0:
        return None
    known = np.isfinite(band.rsrp_dbm)
    rare = known & (band.reported < min_reported)
    if not rare.any():
        return None
    counted: BoolArray = ~(rare & (known & ~rare).any(axis=0))
    return counted


def candidates(
    band: MapSetBand, ranking: Ranking, *, margin_db: float, floor_dbm: float
) -> Iterator[tuple[int, BoolArray]]:
    """Tell where each cell of a band serves nearly as well as the best.

    Parameters
    ----------
    band : MapSetBand
        Levels of the cells.
    ranking : Ranking
        Their ranking.
    margin_db : float
        Largest difference from the best in dB.
    floor_dbm : float
        Lowest level of a cell that counts.

    Yields
    ------
    cell : int
        Position in ``RadioMapSet.cells``.
    near : ndarray of bool, shape (h, w)
        Where it counts.

    Examples
    --------
    >>> level = np.array([[[-80.0, -118.0]], [[-84.0, np.nan]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 2), np.array([3, 7]), level)
    >>> near = candidates(band, rank_cells(band), margin_db=6.0, floor_dbm=-115.0)
    >>> [(cell, where.tolist()) for cell, where in near]
    [(3, [[True, False]]), (7, [[True, False]])]
    """
    lowest = np.maximum(ranking.best_dbm - np.float32(margin_db), np.float32(floor_dbm))
    for place, level in enumerate(band.rsrp_dbm):
        with np.errstate(invalid="ignore"):
            near: BoolArray = level >= lowest
        if ranking.counted is not None:
            near &= ranking.counted[place]
        yield int(band.cells[place]), near
