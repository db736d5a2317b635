"""Convolutions on a torus equal those by all pairs, as long as nothing wraps around."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from rm_geo._util.fft import (
    autocorrelation,
    convolve,
    kernel_spectrum,
    padded_shape,
    periodic_distance,
)

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 2**32 - 1)


@given(shapes, seeds)
@settings(max_examples=30, deadline=None)
def test_kernel_larger_than_the_raster_does_not_wrap_around(shape, seed):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    padded = padded_shape(shape, float(max(shape)))
    spectrum = kernel_spectrum(np.exp(-periodic_distance(padded) / 3.0))
    row, col = (np.arange(1 - n, n) for n in shape)
    kernel = np.exp(-np.hypot(row[:, None], col) / 3.0)
    exactly = signal.convolve2d(values, kernel, mode="full")
    rows, cols = (slice(n - 1, 2 * n - 1) for n in shape)
    np.testing.assert_allclose(convolve(values, spectrum, padded), exactly[rows, cols], atol=1e-4)


@given(shapes, seeds)
@settings(max_examples=30, deadline=None)
def test_autocorrelation_sums_the_products_at_each_offset(shape, seed):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    found = autocorrelation(values, padded_shape(shape, float(max(shape))))
    for row, col in {(0, 0), (shape[0] - 1, 0), (shape[0] // 2, shape[1] // 2)}:
        pairs = values[row:, col:] * values[: shape[0] - row, : shape[1] - col]
        np.testing.assert_allclose(found[row, col], pairs.sum(), atol=1e-3)


@given(shapes)
def test_periodic_distance_is_the_shortest_distance(shape):
    distance = periodic_distance(shape)
    assert distance[0, 0] == 0.0
    assert distance.max() <= np.hypot(shape[0] // 2, shape[1] // 2) + 1e-6
    np.testing.assert_array_equal(distance[1:], distance[1:][::-1])
    np.testing.assert_array_equal(distance[:, 1:], distance[:, 1:][:, ::-1])
