"""Gaps take the value of the nearest known pixel, whatever the bands and windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rm_geo.raster import fill
from rm_geo.raster.fill import fill_gaps


def broken_map(rows, cols, seed, known):
    rng = np.random.default_rng(seed)
    values = rng.normal(-90.0, 10.0, (rows, cols)).astype(np.float32)
    values[rng.random((rows, cols)) > known] = np.nan
    values[rng.integers(rows), rng.integers(cols)] = -77.0
    return values, rng.random((rows, cols)) < 0.7


def distances(values):
    return ndimage.distance_transform_edt(~np.isfinite(values))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 10**6),
    st.floats(0.0, 0.3),
    st.integers(1, 30),
    st.integers(1, 20),
    st.sampled_from([7, 2048]),
)
def test_wanted_pixels_take_the_nearest_known_value(
    rows, cols, seed, known, step, halo, window
) -> None:
    values, wanted = broken_map(rows, cols, seed, known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill, "WINDOW_COLS", window)
        bands = [slice(row, min(row + step, rows)) for row in range(0, rows, step)]
        filled = np.concatenate(
            [fill_gaps(lambda r: values[r], band, wanted[band], rows, halo) for band in bands]
        )
    unknown = ~np.isfinite(values)
    np.testing.assert_array_equal(np.isfinite(filled), wanted | ~unknown)
    np.testing.assert_array_equal(filled[~unknown], values[~unknown])
    apart = distances(values)
    known_places = np.argwhere(~unknown)
    for row, col in np.argwhere(unknown & wanted)[:20]:
        nearest = np.hypot(*(known_places - (row, col)).T) <= apart[row, col] + 1e-9
        assert filled[row, col] in values[tuple(known_places[nearest].T)]


def test_map_without_any_value_stays_empty() -> None:
    empty = np.full((30, 40), np.nan, np.float32)
    filled = fill_gaps(lambda rows: empty[rows], slice(5, 9), np.ones((4, 40), bool), 30, 3)
    assert np.isnan(filled).all()
    assert filled.shape == (4, 40)
