"""Reach is Euclidean distance to the nearest measurement, exact to the pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rm_geo.grid import Grid
from rm_geo.raster.reach import MeasuredDistance, reach_rows, reach_samples, within_reach
from rm_geo.raster.sparse import SparseRaster


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.floats(0.0, 120.0),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_exact_distance_transform(shape, reach_m, spacing_m, count, seed) -> None:
    observed = np.zeros(shape, bool)
    observed.flat[np.random.default_rng(seed).integers(0, observed.size, count)] = True
    distance_m = ndimage.distance_transform_edt(~observed) * spacing_m
    expected = distance_m <= reach_m
    # A pixel within rounding of the rim may fall either way.
    sure = np.abs(distance_m - reach_m) > 1e-6 * (1.0 + reach_m)
    assert np.array_equal(within_reach(observed, reach_m, spacing_m)[sure], expected[sure])


@pytest.mark.parametrize("reach_px", [1, 5, 40, 250])
def test_pixel_at_exactly_the_reach_is_in_it(reach_px: int) -> None:
    observed = np.zeros((3, 600), bool)
    observed[1, 300] = True
    marked = within_reach(observed, reach_px * 0.1, 0.1)[1]
    assert marked[300 - reach_px]
    assert marked[300 + reach_px]
    assert not marked[300 - reach_px - 1]
    assert not marked[300 + reach_px + 1]


def test_windows_of_a_large_raster_fit_together() -> None:
    observed = np.zeros((1100, 1300), bool)
    observed[[10, 1020, 1030], [1020, 1030, 5]] = True
    distance = ndimage.distance_transform_edt(~observed)
    assert np.array_equal(within_reach(observed, 60.5, 1.0), distance <= 60.5)


def test_no_measurement_gives_no_reach() -> None:
    assert not within_reach(np.zeros((20, 30), bool), np.inf, 1.0).any()


def test_infinite_reach_marks_everything() -> None:
    observed = np.zeros((20, 30), bool)
    observed[0, 0] = True
    assert within_reach(observed, np.inf, 1.0).all()


def test_zero_reach_marks_the_measurements_themselves() -> None:
    observed = np.random.default_rng(0).random((20, 30)) < 0.2
    assert np.array_equal(within_reach(observed, 0.0, 1.0), observed)


def test_input_is_left_as_it_was() -> None:
    observed = np.zeros((50, 50), bool)
    observed[25, 25] = True
    within_reach(observed, 10.0, 1.0)
    assert observed.sum() == 1


@pytest.mark.parametrize(("reach_m", "spacing_m"), [(-1.0, 1.0), (np.nan, 1.0), (1.0, 0.0)])
def test_impossible_distances_are_refused(reach_m: float, spacing_m: float) -> None:
    with pytest.raises(ValueError, match="must"):
        within_reach(np.ones((2, 2), bool), reach_m, spacing_m)


def scattered(shape: tuple[int, int], count: int, seed: int) -> SparseRaster:
    observed = np.zeros(shape, bool)
    observed.flat[np.random.default_rng(seed).integers(0, observed.size, count)] = True
    grid = Grid.create(0.0, 0.0, shape, 2.0, 32633)
    return SparseRaster.from_levels(grid, np.where(observed, -90.0, np.nan))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 90)),
    st.sampled_from([0.0, 2.0, 10.0, 61.7, 1e6, np.inf]),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
)
def test_bands_and_samples_are_parts_of_the_whole(shape, reach_m, count, seed, step) -> None:
    sparse = scattered(shape, count, seed)
    whole = within_reach(sparse.dense_observed(), reach_m, 2.0)
    bands = [slice(row, min(row + step, shape[0])) for row in range(0, shape[0], step)]
    parts = [reach_rows(sparse, rows, reach_m) for rows in bands]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(reach_samples(sparse, step, reach_m), whole[::step, ::step])


@pytest.mark.parametrize("shape", [(60, 90), (5000, 3)])
def test_distances_of_rows_are_those_of_the_whole_raster(shape) -> None:
    height, width = shape
    rng = np.random.default_rng(0)
    pixels = np.unique(rng.integers(0, height * width, 7))
    grid = Grid.create(500_000.0, 5_000_000.0, shape, 1.0, 32633)
    dense = np.full(height * width, np.nan, np.float32)
    dense[pixels] = -90.0
    sparse = SparseRaster.from_levels(grid, dense.reshape(shape))
    distance = MeasuredDistance.fit(sparse)
    rows = np.concatenate([distance.on_rows(slice(a, a + 20)) for a in range(0, height, 20)])
    exact = ndimage.distance_transform_edt(np.isnan(dense.reshape(shape)))
    # Blocks of a large raster are squares of `step` pixels.
    assert np.abs(rows - exact).max() <= (1e-3 if distance.step == 1 else 2.0 * distance.step)
    assert distance.step == -(-max(shape) // 2048)
