"""Symmetries of the square, to average the results of a network over orientations."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from rm_geo.errors import UsageError

_Scalar = TypeVar("_Scalar", bound=np.generic)

COUNTS: Final = (1, 2, 4, 8)
"""Possible numbers of orientations."""


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
        If it is not in :data:`COUNTS`.

    Examples
    --------
    >>> require_count(4)
    4
    """
    if type(count) is not int or count not in COUNTS:  # 8.0 and True are not accepted
        raise UsageError(f"symmetries must be 1, 2, 4 or 8, not {count!r}.")
    return count


def orientations(count: int) -> list[tuple[int, bool]]:
    """List the first symmetries of the square.

    Parameters
    ----------
    count : {1, 2, 4, 8}
        Number of orientations.

    Returns
    -------
    list of tuple of int and bool
        Number of quarter turns, and whether the image is mirrored before.

    Examples
    --------
    >>> orientations(2)
    [(0, False), (2, False)]
    """
    if count == 2:
        return [(0, False), (2, False)]
    return [(turns, mirror) for mirror in (False, True) for turns in range(4)][:count]


def turn(image: NDArray[_Scalar], turns: int, mirror: bool) -> NDArray[_Scalar]:
    """Mirror an image left to right if ``mirror``, then rotate it by quarter turns.

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
        Rotated image.
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
    """Return the positions in square tiles after :func:`turn`; NaN stays NaN.

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
        Rows and columns in the rotated tiles.

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
    """Return whether the rows and columns of a rotated image are reversed in the original.

    Parameters
    ----------
    turns : int
        Quarter turns, counter-clockwise.
    mirror : bool
        Whether the image is mirrored left to right before.

    Returns
    -------
    rows, cols : bool
        Whether they are reversed.

    Examples
    --------
    >>> reversed_axes(2, False)
    (True, True)
    """
    row, col = 1, 1  # a step down and right in the rotated image, rotated back
    for _ in range(turns % 4):
        row, col = col, -row
    return row < 0, (-col if mirror else col) < 0
