"""Convolutions of rasters by the fast Fourier transform, which wraps them around a torus."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

FloatArray: TypeAlias = NDArray[np.float32]


def padded_shape(shape: tuple[int, ...], reach: float) -> tuple[int, int]:
    """Shape for transforms in which nothing wraps around within a reach."""
    rows, cols = (
        int(fft.next_fast_len(length + min(length, int(np.ceil(reach))), real=True))
        for length in shape
    )
    return rows, cols


def torus_distance(shape: tuple[int, int]) -> FloatArray:
    """Distance of each cell from the first one on a torus, in cells."""
    row, col = (np.minimum(np.arange(n), n - np.arange(n)).astype(np.float32) for n in shape)
    return np.asarray(np.hypot(row[:, None], col[None, :]), dtype=np.float32)


def autocorrelation(values: FloatArray, padded: tuple[int, int]) -> FloatArray:
    """Sum over all cells of the product of the values at each offset."""
    power = np.square(np.abs(fft.rfft2(values, s=padded)))
    return np.asarray(fft.irfft2(power, s=padded), dtype=np.float32)


def real_transform(even: NDArray[np.floating]) -> FloatArray:
    """Fourier transform of a kernel that is symmetric about its first cell."""
    return np.asarray(fft.rfft2(even.astype(np.float32)).real, dtype=np.float32)


def convolved(values: FloatArray, spectrum: FloatArray, padded: tuple[int, int]) -> FloatArray:
    """Convolve cells with a kernel given by its transform."""
    rows, cols = values.shape
    product = fft.rfft2(values, s=padded) * spectrum
    return np.ascontiguousarray(fft.irfft2(product, s=padded)[:rows, :cols])
