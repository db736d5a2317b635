"""Convolutions of rasters by the fast Fourier transform, which wraps them around a torus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from rm_geo._types import BoolArray, FloatArray


def padded_shape(shape: tuple[int, ...], reach: float) -> tuple[int, int]:
    """Shape for transforms in which nothing wraps around within a reach."""
    rows, cols = (
        int(fft.next_fast_len(length + min(length, int(np.ceil(reach))), real=True))
        for length in shape
    )
    return rows, cols


def periodic_lags(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Rows and columns from each cell to the first one on a torus, the shorter way round.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the torus.

    Returns
    -------
    ndarray of float32, shape (H, 1)
        Lags along the rows.
    ndarray of float32, shape (1, W)
        Lags along the columns.
    """
    row, col = (offset.astype(np.float32) for offset in _offsets(shape))
    return row[:, None], col[None, :]


def periodic_distance(shape: tuple[int, int]) -> FloatArray:
    """Distance of each cell from the first one on a torus, in cells."""
    return np.asarray(np.hypot(*periodic_lags(shape)), dtype=np.float32)


def periodic_disk(shape: tuple[int, int], radius: float) -> BoolArray:
    """Mark the cells no further than a radius from the first one; exact, by whole squares."""
    row, col = _offsets(shape)
    return np.asarray(row[:, None] ** 2 + col**2 <= radius**2)


def autocorrelation(values: FloatArray, padded: tuple[int, int]) -> FloatArray:
    """Sum over all cells of the product of the values at each offset."""
    power = np.square(np.abs(fft.rfft2(values, s=padded)))
    return np.asarray(fft.irfft2(power, s=padded), dtype=np.float32)


def kernel_spectrum(
    even: NDArray[np.generic], dtype: type[np.floating] = np.float32
) -> NDArray[np.floating]:
    """Fourier transform of a kernel that is symmetric about its first cell."""
    return np.asarray(fft.rfft2(even.astype(dtype)).real, dtype=dtype)


def convolved(
    values: NDArray[np.floating], spectrum: NDArray[np.floating], padded: tuple[int, int]
) -> NDArray[np.floating]:
    """Convolve cells with a kernel given by its transform, in the precision of both."""
    rows, cols = values.shape
    product = fft.rfft2(values, s=padded) * spectrum
    return np.ascontiguousarray(fft.irfft2(product, s=padded)[:rows, :cols])


def _offsets(shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns from each cell to the first one, the shorter way round."""
    row, col = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    return row, col
