"""Measurement noise, estimated from differences between neighbours."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.geostat.noise import measurement_noise_db
from rm_geo.grid import Grid
from rm_geo.raster.sparse import SparseRaster


def field(noise_db, seed=0, share=1.0):
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:80, :80]
    level = -90.0 - 0.05 * rows - 0.1 * cols + noise_db * rng.standard_normal((80, 80))
    return np.where(rng.random((80, 80)) < share, level, np.nan)


def noise_of(level):
    return measurement_noise_db(
        SparseRaster.from_levels(Grid.create(0, 0, level.shape, 1.0, 32633), level)
    )


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 6.0), st.integers(0, 10**6))
def test_added_noise_is_recovered(noise_db, seed):
    assert noise_of(field(noise_db, seed)) == pytest.approx(noise_db, rel=0.1)


def test_smooth_field_has_little_noise():
    assert noise_of(field(0.0)) < 0.1


def test_shadow_boundaries_do_not_count_as_noise():
    level = field(0.0)
    level[:, 40:] -= 30.0
    assert noise_of(level) < 0.1


def test_too_few_neighbours_give_zero():
    assert noise_of(field(4.0, share=0.005)) == 0.0
    assert noise_of(np.full((3, 3), np.nan)) == 0.0
