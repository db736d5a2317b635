"""Outlines as rings of corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""(N, 2) corners (x, y), open. The building is to the left of each edge, x read as right and
y as up: the signed area of an outer ring is positive, that of a court negative."""


def signed_area(ring: Ring) -> float:
    """Shoelace area of an open ring; its sign tells the direction."""
    x, y = ring[:, 0], ring[:, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def oriented(ring: Ring, *, court: bool) -> Ring:
    """Return the ring in the direction that keeps the building to its left."""
    return ring[::-1].copy() if (signed_area(ring) < 0) != court else ring
