"""Symmetries of the square: a network runs in several orientations, and the mean is taken."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from rm_geo.errors import UsageError

_Scalar = TypeVar("_Scalar", bound=np.generic)

COUNTS: Final = (1, 2, 4, 8)
"""How many orientations can be averaged."""


def require_count(count: int) -> int:
    """Require a number of orientations that can be averaged, and return it.

    Raises
    ------
    UsageError
        If it is none of :data:`COUNTS`.
    """
    if type(count) is not int or count not in COUNTS:  # 8.0 and true are no counts
        raise UsageError(f"symmetries must be 1, 2, 4 or 8, not {count!r}.")
    return count


def orientations(count: int) -> list[tuple[int, bool]]:
    """Quarter turns and mirrorings: the first ``count`` symmetries of the square."""
    if count == 2:
        return [(0, False), (2, False)]
    return [(turns, mirror) for mirror in (False, True) for turns in range(4)][:count]


def turn(image: NDArray[_Scalar], turns: int, mirror: bool) -> NDArray[_Scalar]:
    """Mirror (..., H, W) left to right if asked, then turn by quarter turns.

    Examples
    --------
    >>> turn(np.array([[1, 2], [3, 4]]), 1, mirror=False)
    array([[2, 4],
           [1, 3]])
    """
    return np.rot90(image[..., ::-1] if mirror else image, turns, (-2, -1))


def turn_back(image: NDArray[_Scalar], turns: int, mirror: bool) -> NDArray[_Scalar]:
    """Undo :func:`turn`."""
    turned = np.rot90(image, -turns, (-2, -1))
    return turned[..., ::-1] if mirror else turned


def turned_position(
    position_rc: NDArray[np.float32], size: int, turns: int, mirror: bool
) -> NDArray[np.float32]:
    """Turn positions (B, 2) with the square tiles that they lie in; NaN stays NaN."""
    row, col = position_rc[:, 0], position_rc[:, 1]
    if mirror:
        col = size - col
    for _ in range(turns % 4):
        row, col = size - col, row
    return np.stack([row, col], axis=1)


def reversed_axes(turns: int, mirror: bool) -> tuple[bool, bool]:
    """Whether rows and columns of a turned image run backwards in the original."""
    row, col = 1, 1  # a step down and to the right in the turned image, turned back
    for _ in range(turns % 4):
        row, col = col, -row
    return row < 0, (-col if mirror else col) < 0
