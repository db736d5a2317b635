"""Direction of a street grid, from the places of a drive.

Streets of a grid cross at right angles, so that directions count modulo a quarter turn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import Float64Array

_NEIGHBORS: Final = 12
_NEAREST_M: Final = 7.0
_FURTHEST_M: Final = 40.0
"""Pairs of places at such distances lie along one street: nearer ones have the directions of the
bins, further ones go around corners."""

_CHUNK: Final = 1 << 16
"""Places whose pairs are held in memory together."""


def street_angle(position_m: Float64Array) -> float:
    """Estimate the direction of the streets.

    Parameters
    ----------
    position_m : ndarray of float64, shape (N, 2)
        Centres of the visited bins, some 5 m apart.

    Returns
    -------
    float
        In radians, -pi / 4 to pi / 4, from the first axis towards the second; 0 where no places
        are near each other.

    Examples
    --------
    >>> street = 5.0 * np.arange(20.0)[:, None] * [np.cos(0.3), np.sin(0.3)]
    >>> round(street_angle(street), 6)
    0.3
    """
    if len(position_m) < 2:
        return 0.0
    ranks = np.arange(2, min(_NEIGHBORS, len(position_m)) + 1)
    tree, total = KDTree(position_m), 0j
    for start in range(0, len(position_m), _CHUNK):
        place = position_m[start : start + _CHUNK]
        _, near = tree.query(place, k=ranks)
        first, second = np.moveaxis(position_m[near] - place[:, None], -1, 0)
        length_m = np.hypot(first, second)
        along = (length_m > _NEAREST_M) & (length_m < _FURTHEST_M)
        direction = (first[along] + 1j * second[along]) / length_m[along]
        total += (direction**4).sum()
    return float(np.angle(total) / 4.0)
