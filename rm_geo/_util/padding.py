"""Windows of images that extend beyond the image, padded with the pixels at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import Scalar


def pad_window(
    image: NDArray[Scalar], corner: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[Scalar]:
    """Cut a window from an image; repeat the edge pixels outside of the image.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        At least one pixel.
    corner : (int, int)
        First row and column of the window; may lie outside of the image.
    shape : tuple of int
        Rows and columns of the window.

    Returns
    -------
    ndarray, shape (rows, cols)
        The window.

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
