"""Convolution of rasters by the fast Fourier transform, with periodic boundaries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from rm_geo._types import FloatArray


def padded_shape(shape: tuple[int, ...], reach: float) -> tuple[int, int]:
    """Compute a shape for transforms in which pixels within a distance do not wrap around.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of a raster.
    reach : float
        Radius of the kernel in pixels.

    Returns
    -------
    tuple of int
        Rows and columns, with padding and of lengths that transform fast.

    Examples
    --------
    >>> padded_shape((10, 10), 2)
    (12, 12)
    """
    rows, cols = (
        int(fft.next_fast_len(length + min(length, int(np.ceil(reach))), real=True))
        for length in shape
    )
    return rows, cols


def periodic_lags(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Distances along rows and columns from the first pixel, with periodic boundaries.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of float32, shape (H, 1)
        Lags along the rows, in pixels.
    ndarray of float32, shape (1, W)
        Lags along the columns, in pixels.

    Examples
    --------
    >>> [lag.ravel().tolist() for lag in periodic_lags((2, 4))]
    [[0.0, 1.0], [0.0, 1.0, 2.0, 1.0]]
    """
    row, col = (offset.astype(np.float32) for offset in _offsets(shape))
    return row[:, None], col[None, :]


def periodic_distance(shape: tuple[int, int]) -> FloatArray:
    """Distance of each pixel from the first one, with periodic boundaries.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Distance in pixels.

    Examples
    --------
    >>> periodic_distance((1, 4)).tolist()
    [[0.0, 1.0, 2.0, 1.0]]
    """
    return np.asarray(np.hypot(*periodic_lags(shape)), dtype=np.float32)


def autocorrelation(values: FloatArray, padded: tuple[int, int]) -> FloatArray:
    """Sum over all pixels of the product of the values at each offset.

    Parameters
    ----------
    values : ndarray of float32, shape (H, W)
        Values; zero where unknown.
    padded : tuple of int
        Shape of the transform, as of :func:`padded_shape`.

    Returns
    -------
    ndarray of float32, shape (rows, cols) of ``padded``
        The sum for each offset, with periodic boundaries.

    Examples
    --------
    >>> autocorrelation(np.float32([[1, 2]]), (1, 4)).round().tolist()
    [[5.0, 2.0, 0.0, 2.0]]
    """
    power = np.square(np.abs(fft.rfft2(values, s=padded)))
    return np.asarray(fft.irfft2(power, s=padded), dtype=np.float32)


def kernel_spectrum(
    even: NDArray[np.generic], dtype: type[np.floating] = np.float32
) -> NDArray[np.floating]:
    """Fourier transform of a kernel that is symmetric about its first pixel.

    Parameters
    ----------
    even : ndarray, shape (H, W)
        The kernel, for periodic boundaries.
    dtype : type
        Precision of the transform.

    Returns
    -------
    ndarray, shape (H, W // 2 + 1)
        The transform, which is real.

    Examples
    --------
    >>> kernel_spectrum(np.array([[1.0, 0.0, 0.0, 0.0]])).tolist()
    [[1.0, 1.0, 1.0]]
    """
    return np.asarray(fft.rfft2(even.astype(dtype)).real, dtype=dtype)


def convolve(
    values: NDArray[np.floating], spectrum: NDArray[np.floating], padded: tuple[int, int]
) -> NDArray[np.floating]:
    """Convolve a raster with a kernel given by its transform, in the precision of both.

    Parameters
    ----------
    values : ndarray, shape (H, W)
        Values; zero where unknown.
    spectrum : ndarray
        Transform of the kernel, as of :func:`kernel_spectrum`.
    padded : tuple of int
        Shape of the transform, as of :func:`padded_shape`.

    Returns
    -------
    ndarray, shape (H, W)

    Examples
    --------
    >>> kernel = kernel_spectrum((periodic_distance((1, 4)) <= 1.0).astype(np.float32))
    >>> convolve(np.float32([[1, 0, 0]]), kernel, (1, 4)).round().tolist()
    [[1.0, 1.0, 0.0]]
    """
    rows, cols = values.shape
    product = fft.rfft2(values, s=padded) * spectrum
    return np.ascontiguousarray(fft.irfft2(product, s=padded)[:rows, :cols])


def _offsets(shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lags along rows and columns from the first pixel, with periodic boundaries."""
    row, col = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    return row, col
