"""Inverse distance weighting of scattered values (Shepard 1968)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from rm_geo._types import BoolArray, Float64Array, FloatArray
from rm_geo._util.threads import available_threads
from rm_geo.raster.points import Points

_NEIGHBORS: Final = 8

_HALO_BLOCKS: Final = 128
"""Rows around the requested ones that are searched first; few neighbours lie beyond."""

_PARALLEL_POSITIONS: Final = 10_000
"""Number of positions above which threads pay off."""

_HALF_BLOCK: Final = 0.5
"""Smallest distance that counts, in blocks: a mean stands for its whole block."""


def idw_mean(
    tree: spatial.KDTree,
    value: NDArray[np.floating[Any]],
    position: NDArray[Any],
    *,
    neighbors: int,
    power: float = 2.0,
    min_distance: float = 0.0,
    workers: int = 1,
) -> tuple[Float64Array, Float64Array]:
    """Average the nearest values, weighted by a negative power of their distance.

    Parameters
    ----------
    tree : scipy.spatial.KDTree
        Positions of the N values.
    value : ndarray, shape (N,)
        Values.
    position : ndarray, shape (M, 2)
        Positions of the estimates.
    neighbors : int
        Values that each estimate averages; fewer where there are fewer.
    power : float
        Exponent of the distance.
    min_distance : float
        Smaller distances count as this one. With 0, an estimate at a value equals it.
    workers : int
        Threads of the search; -1 for all cores.

    Returns
    -------
    mean : ndarray of float64, shape (M,)
        Estimates, within the range of the values.
    furthest : ndarray of float64, shape (M,)
        Distance of the furthest value that each estimate uses.

    Examples
    --------
    >>> tree = spatial.KDTree([[0.0, 0.0], [0.0, 3.0]])
    >>> idw_mean(tree, np.array([0.0, 10.0]), np.array([[0.0, 1.0]]), neighbors=2)[0].tolist()
    [2.0]
    """
    ranks = np.arange(1, min(neighbors, value.size) + 1)
    distance, index = tree.query(position, k=ranks, workers=workers)
    if min_distance > 0.0:
        weight = 1.0 / np.maximum(distance, min_distance) ** power
    else:
        # Relative to the nearest, so that no power of a distance over- or underflows.
        nearest = distance[:, :1]
        exact = nearest == 0.0
        ratio = np.where(exact, distance == 0.0, 0.0)
        np.divide(nearest, distance, out=ratio, where=~exact)
        weight = ratio**power
    mean = (weight * value[index]).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(mean), np.asarray(distance[:, -1])


class BlockIdw:
    """Inverse distance weighting between the centres of blocks of pixels.

    Parameters
    ----------
    blocks : Points
        Rows and columns of the blocks that hold values, row by row, and their means.

    Notes
    -----
    Neighbours are searched in the rows around the requested ones first, and further away only
    where some may lie there: the memory is that of a band, the result that of a full search.
    """

    def __init__(self, blocks: Points) -> None:
        self._blocks = blocks

    def at(self, row: NDArray[np.integer[Any]], col: NDArray[np.integer[Any]]) -> FloatArray:
        """Estimate at blocks.

        Parameters
        ----------
        row, col : ndarray of int, shape (M,)
            Rows and columns of the blocks.

        Returns
        -------
        ndarray of float32, shape (M,)
            All NaN where no block holds a value.
        """
        estimate = np.full(row.size, np.nan, dtype=np.float32)
        count = self._blocks.value.size
        if row.size == 0 or count == 0:
            return estimate
        position = np.column_stack([row, col])
        top, bottom = int(row.min()), int(row.max())
        halo, left = _HALO_BLOCKS, np.arange(row.size)
        while left.size:
            window = slice(top - halo, bottom + halo + 1)
            near = self._blocks.band(window)
            # A block outside of the window is at least this far away.
            margin = halo + 1 + np.minimum(row[left] - top, bottom - row[left])
            if len(near) == count or len(near) >= _NEIGHBORS:
                mean, furthest = idw_mean(
                    spatial.KDTree(np.column_stack([near.row + window.start, near.col])),
                    near.value,
                    position[left],
                    neighbors=_NEIGHBORS,
                    min_distance=_HALF_BLOCK,
                    workers=available_threads() if left.size > _PARALLEL_POSITIONS else 1,
                )
                done: BoolArray = (furthest < margin) | (len(near) == count)
                estimate[left[done]] = mean[done]
                left = left[~done]
            halo *= 4
        return estimate
