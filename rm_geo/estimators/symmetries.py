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
    """Check the number of orientations.

    Parameters
    ----------
    count : int
        Number of orientations.

    Returns
    -------
    int
        The number.

    Raises
    ------
    UsageError
        If it is none of :data:`COUNTS`.

    Examples
    --------
    >>> require_count(4)
    4
    """
    if type(count) is not int or count not in COUNTS:  # 8.0 and true are no counts
        raise UsageError(f"symmetries must be 1, 2, 4 or 8, not {count!r}.")
    return count


def orientations(count: int) -> list[tuple[int, bool]]:
    """List the first symmetries of the square.

    Parameters
    ----------
    count : {1, 2, 4, 8}
        How many.

    Returns
    -------
    list of tuple of int and bool
        Quarter turns, and whether the image is mirrored before.

    Examples
    --------
    >>> orientations(2)
    [(0, False), (2, False)]
    """
    if count == 2:
        return [(0, False), (2, False)]
    return [(turns, mirror) for mirror in (False, True) for turns in range(4)][:count]


def turn(image: NDArray[_Scalar], turns: int, mirror: bool) -> NDArray[_Scalar]:
    """Mirror (..., H, W) left to right if asked, then turn by quarter turns.

    Parameters
    ----------
    image : Tensor, shape (..., H, W)
        The image.
    turns : int
        Quarter turns, counter-clockwise.
    mirror : bool
        Whether the image is mirrored left to right before.

    Returns
    -------
    Tensor, shape (..., H, W) or (..., W, H)

    Examples
    --------
    >>> turn(np.array([[1, 2], [3, 4]]), 1, mirror=False)
    array([[2, 4],
           [1, 3]])
    """
    return np.rot90(image[..., ::-1] if mirror else image, turns, (-2, -1))


def turn_back(image: NDArray[_Scalar], turns: int, mirror: bool) -> NDArray[_Scalar]:
    """Undo :func:`turn`.

    Parameters
    ----------
    image : Tensor, shape (..., H, W)
        An image that was turned.
    turns : int
        Quarter turns, counter-clockwise.
    mirror : bool
        Whether the image is mirrored left to right before.

    Returns
    -------
    Tensor, shape (..., H, W) or (..., W, H)
    """
    turned = np.rot90(image, -turns, (-2, -1))
    return turned[..., ::-1] if mirror else turned


def turned_position(
    position_rc: NDArray[np.float32], size: int, turns: int, mirror: bool
) -> NDArray[np.float32]:
    """Give positions in square tiles after :func:`turn`; NaN stays NaN.

    Parameters
    ----------
    position_rc : ndarray of float32, shape (B, 2)
        Rows and columns.
    size : int
        Side of the tiles in pixels.
    turns : int
        Quarter turns, counter-clockwise.
    mirror : bool
        Whether the image is mirrored left to right before.

    Returns
    -------
    ndarray of float32, shape (B, 2)

    Examples
    --------
    >>> turned_position(np.array([[0.5, 3.5]], dtype=np.float32), 4, 1, False).tolist()
    [[0.5, 0.5]]
    """
    row, col = position_rc[:, 0], position_rc[:, 1]
    if mirror:
        col = size - col
    for _ in range(turns % 4):
        row, col = size - col, row
    return np.stack([row, col], axis=1)


def reversed_axes(turns: int, mirror: bool) -> tuple[bool, bool]:
    """Tell whether rows and columns of a turned image run backwards in the original.

    Parameters
    ----------
    turns : int
        Quarter turns, counter-clockwise.
    mirror : bool
        Whether the image is mirrored left to right before.

    Returns
    -------
    rows, cols : bool

    Examples
    --------
    >>> reversed_axes(2, False)
    (True, True)
    """
    row, col = 1, 1  # a step down and to the right in the turned image, turned back
    for _ in range(turns % 4):
        row, col = col, -row
    return row < 0, (-col if mirror else col) < 0
