"""Images in frames of another size or place, their outermost pixels going on beyond the edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Scalar


def pad_window(
    image: NDArray[Scalar], corner: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[Scalar]:
    """Look at an image through a frame.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        At least one pixel.
    corner : (int, int)
        Row and column of the image at which the frame begins; may lie outside.
    shape : tuple of int
        Rows and columns of the frame.

    Returns
    -------
    ndarray, shape (rows, cols)
        Beyond an edge of the image the pixels at that edge.

    Examples
    --------
    >>> pad_window(np.array([[1, 2], [3, 4]]), (0, -1), (2, 4)).tolist()
    [[1, 1, 2, 2], [3, 3, 4, 4]]
    """
    rows, cols = (
        np.clip(np.arange(first, first + length), 0, last - 1)
        for first, length, last in zip(corner, shape, image.shape, strict=True)
    )
    return image[np.ix_(rows, cols)]
