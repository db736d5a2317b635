"""Detection of cells with measurements in places far apart, which may be several cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Float64Array
from rm_geo._util.disk_columns import iter_blocks
from rm_geo._util.scipy_modules import KDTree

FAR_APART_M: Final = 5000.0
"""Measurements of one cell with a gap of this size may be those of two."""

_BLOCK_M: Final = 500.0
_HALF: Final = 1 << 19  # blocks of 500 m in half of the range: 262,000 km either way
_MASK: Final = (1 << 20) - 1


def cells_far_apart(
    x: Float64Array, y: Float64Array, cell: NDArray[np.int32], names: Sequence[str | None]
) -> list[tuple[str | None, float]]:
    """Find cells whose measurements form groups more than 5 km apart.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Positions in metres.
    cell : ndarray of int32, shape (N,)
        Index of each row's cell in ``names``.
    names : sequence of (str or None)
        The cells.

    Returns
    -------
    list of (name, distance)
        The cells, and the least distance in metres between the largest group and the rest.

    Examples
    --------
    >>> x = np.array([0.0, 10.0, 9000.0])
    >>> cells_far_apart(x, np.zeros(3), np.zeros(3, np.int32), ["101"])
    [('101', 9000.0)]
    """
    keys: set[int] = set()  # cell, column and row of a block in one number, which sorts fast
    for some_x, some_y, codes in iter_blocks(x, y, cell):
        column, row = (np.floor(axis / _BLOCK_M).astype(np.int64) for axis in (some_x, some_y))
        packed = (codes.astype(np.int64) << 40) | ((column + _HALF) << 20) | (row + _HALF)
        keys.update(np.unique(packed).tolist())
    by_cell: dict[int, list[tuple[int, int]]] = {}
    for key in keys:
        place = ((key >> 20) & _MASK) - _HALF, (key & _MASK) - _HALF
        by_cell.setdefault(key >> 40, []).append(place)
    found = []
    for code in sorted(by_cell):
        places = np.array(sorted(by_cell[code]), dtype=np.float64) * _BLOCK_M
        if np.hypot(*np.ptp(places, axis=0)) <= FAR_APART_M:
            continue
        if (gap := _gap(places)) is not None:
            found.append((names[code], gap))
    return found


def _gap(places: Float64Array) -> float | None:
    """Distance in metres between groups that are more than 5 km apart; None for one group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components  # slow, and few logs are that wide

    tree = KDTree(places)
    pairs = tree.query_pairs(FAR_APART_M, output_type="ndarray")
    size = len(places)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    groups, label = connected_components(links, directed=False)
    if groups < 2:
        return None
    largest = label == np.bincount(label).argmax()
    distance, _ = KDTree(places[largest]).query(places[~largest])
    return float(np.min(distance))
