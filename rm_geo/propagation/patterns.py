"""Compiled twin of the sector pattern; see SectorPattern."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, fastmath=True, nogil=True)
def pattern_db(pattern: NDArray[np.float64], azimuth: float, elevation: float) -> float:
    """Gain of a sector antenna (dBi) towards a direction in radians; 0 for an empty pattern."""
    if pattern.shape[0] == 0:
        return 0.0
    turn = math.degrees(azimuth) - pattern[0]
    turn -= 360.0 * math.floor((turn + 180.0) / 360.0)
    rise = math.degrees(elevation) + pattern[1]
    across = min(12.0 * (turn / pattern[2]) ** 2, pattern[4])
    upright = min(12.0 * (rise / pattern[3]) ** 2, pattern[4])
    return float(pattern[5] - min(across + upright, pattern[4]))
