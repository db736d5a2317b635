"""The square's symmetries: networks run in several orientations, and their maps averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

COUNTS: Final = (1, 2, 4, 8)
"""How many orientations can be averaged."""


def require_count(count: int) -> int:
    """Give the number of orientations back.

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


def turn(image: Tensor, turns: int, mirror: bool) -> Tensor:
    """Mirror (..., H, W) left to right if asked, then turn by quarter turns."""
    return (image.flip(-1) if mirror else image).rot90(turns, (-2, -1))


def turn_back(image: Tensor, turns: int, mirror: bool) -> Tensor:
    """Undo :func:`turn`."""
    turned = image.rot90(-turns, (-2, -1))
    return turned.flip(-1) if mirror else turned


def turned_position(
    position_rc: NDArray[np.float32], size: int, turns: int, mirror: bool
) -> NDArray[np.float32]:
    """Say where positions (B, 2) in square tiles come to lie; NaN stays NaN."""
    row, col = position_rc[:, 0], position_rc[:, 1]
    if mirror:
        col = size - col
    for _ in range(turns % 4):
        row, col = size - col, row
    return np.stack([row, col], axis=1)


def reversed_axes(turns: int, mirror: bool) -> tuple[bool, bool]:
    """Tell whether rows and columns of a turned image run backwards in the original."""
    row, col = 1, 1  # a step down and to the right in the turned image, turned back
    for _ in range(turns % 4):
        row, col = col, -row
    return row < 0, (-col if mirror else col) < 0
