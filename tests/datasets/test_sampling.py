import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rm_geo.datasets.routes import route_order
from rm_geo.datasets.sampling import (
    Corruption,
    SamplingMixture,
    along_route,
    leave_blocks_out,
    regular_grid,
    uniform,
)
from rm_geo.errors import ConfigError

masks = arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)))
seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0.0, 1.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def street_grid(side=64, pitch=16):
    """Streets one pixel wide around square blocks with houses."""
    roads = np.zeros((side, side), bool)
    roads[pitch // 2 :: pitch] = True
    roads[:, pitch // 2 :: pitch] = True
    free = np.ones_like(roads)
    for row in range(0, side, pitch):
        for column in range(0, side, pitch):
            free[row : row + 3, column : column + 3] = False
    return roads, free & True | roads


# --- invariants -------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(masks, shares, seeds)
def test_uniform_samples_exactly_the_fraction_of_free_pixels(free, fraction, seed):
    sampled = uniform(rng(seed), free, fraction)
    assert not (sampled & ~free).any()
    assert sampled.sum() == round(fraction * free.sum())


@settings(max_examples=30, deadline=None)
@given(masks, st.integers(1, 30), seeds)
def test_grid_samples_are_free_and_one_step_apart(free, step, seed):
    sampled = regular_grid(rng(seed), free, step)
    assert not (sampled & ~free).any()
    for places in np.nonzero(sampled):
        assert len({int(place) % step for place in places}) <= 1


@settings(max_examples=30, deadline=None)
@given(masks, st.integers(1, 30), shares, seeds)
def test_leave_blocks_out_only_removes_samples(sampled, block_px, fraction, seed):
    kept = leave_blocks_out(rng(seed), sampled, block_px, fraction)
    assert not (kept & ~sampled).any()
    if fraction == 0:
        assert (kept == sampled).all()
    if fraction == 1:
        assert not kept.any()


@settings(max_examples=20, deadline=None)
@given(arrays(bool, (20, 20)), arrays(bool, (20, 20)), seeds)
def test_a_drive_numbers_free_pixels_without_gaps(roads, free, seed):
    order = route_order(rng(seed), roads, free, coverage=0.3)
    visited = order[order >= 0]
    assert order.dtype == np.int32
    assert (free[order >= 0]).all()
    assert sorted(visited.tolist()) == list(range(visited.size))


@settings(max_examples=25, deadline=None)
@given(masks, seeds)
def test_a_mixture_samples_free_pixels_and_is_deterministic(free, seed):
    orders = np.where(free, np.arange(free.size).reshape(free.shape), -1)[None].astype(np.int16)
    first = SamplingMixture().draw(rng(seed), free, orders)
    second = SamplingMixture().draw(rng(seed), free, orders)
    assert not (first[0] & ~free).any()
    assert (first[0] == second[0]).all()
    assert first[1] == second[1]


@settings(max_examples=30, deadline=None)
@given(st.floats(-30, 30), st.sampled_from([0.0, 0.5, 1.0, 2.0]), seeds)
def test_a_corruption_keeps_nan_and_rounds_to_its_quantum(offset, quantum, seed):
    levels = np.full((6, 6), -80.25, np.float32)
    levels[2] = np.nan
    wrong = Corruption(offset, 2.0, quantum, 0.1).apply(rng(seed), levels)
    assert wrong.dtype == np.float32
    assert np.isnan(wrong[2]).all()
    assert np.isfinite(wrong[[0, 1, 3, 4, 5]]).all()
    assert levels[0, 0] == np.float32(-80.25)
    if quantum:
        steps = wrong[0] / quantum
        assert np.allclose(steps, np.round(steps), atol=1e-4)


# --- drives -----------------------------------------------------------------------------


def test_consecutive_pixels_of_a_drive_are_neighbours():
    roads, free = street_grid()
    order = route_order(rng(3), roads, free, coverage=0.1)
    rows, columns = np.nonzero(order >= 0)
    along = np.argsort(order[rows, columns])
    step = np.maximum(np.abs(np.diff(rows[along])), np.abs(np.diff(columns[along])))
    # Pixels visited before have lower numbers, so a few gaps remain where lanes cross.
    assert (step <= 2).mean() > 0.9


def test_a_drive_stays_near_the_streets():
    roads, free = street_grid()
    order = route_order(rng(5), roads, free, coverage=0.1)
    near = np.zeros_like(roads)
    for row in range(-4, 5):
        for column in range(-4, 5):
            near |= np.roll(roads, (row, column), (0, 1))
    assert near[order >= 0].all()


def test_a_drive_visits_new_streets_first():
    roads, free = street_grid(96, 24)
    order = route_order(rng(1), roads, free, coverage=0.3)
    early = along_route(order, int(roads.sum()))
    blurred = np.zeros_like(roads)
    for row in range(-3, 4):
        for column in range(-3, 4):
            blurred |= np.roll(early, (row, column), (0, 1))
    assert (blurred & roads).sum() > 0.75 * roads.sum()


def test_a_drive_follows_the_middle_of_wide_streets():
    roads = np.zeros((40, 60), bool)
    roads[15:25] = True
    order = route_order(rng(0), roads, np.ones_like(roads), coverage=0.05)
    rows = np.nonzero(order >= 0)[0]
    assert rows.size > 40
    assert np.abs(rows - 19.5).max() < 5.5


def test_a_map_without_streets_has_no_drive():
    nothing = np.zeros((12, 12), bool)
    assert (route_order(rng(), nothing, ~nothing) == -1).all()


def test_along_route_samples_a_section_of_a_drive():
    order = np.array([[0, 1, 2], [5, 4, 3], [-1, -1, -1]])
    assert along_route(order, 2).tolist() == [[True, True, False], [False] * 3, [False] * 3]
    assert along_route(order, 2, start=4).tolist() == [
        [False] * 3,
        [True, True, False],
        [False] * 3,
    ]


# --- mixtures ---------------------------------------------------------------------------


def test_a_mixture_of_only_drives_samples_one_drive_up_to_its_fraction():
    roads, free = street_grid()
    orders = np.stack([route_order(rng(seed), roads, free, coverage=0.1) for seed in (0, 1)])
    drives = SamplingMixture(uniform_weight=0, grid_weight=0, blocks_out_probability=0)
    for seed in range(20):
        sampled = drives.draw_mask(rng(seed), free, orders)
        assert any((order[sampled] >= 0).all() for order in orders)
        assert 1 <= sampled.sum() <= math.ceil(0.05 * free.sum())


def test_a_crop_of_a_drive_gives_the_requested_number_of_samples():
    free = np.ones((32, 32), bool)
    order = np.full((32, 32), -1, np.int16)
    order[10] = np.arange(0, 320, 10)  # only every tenth pixel of the drive is in the crop
    mixture = SamplingMixture(
        uniform_weight=0, grid_weight=0, blocks_out_probability=0, route_fraction=(0.01, 0.01)
    )
    for seed in range(10):
        assert mixture.draw_mask(rng(seed), free, order[None]).sum() == round(0.01 * free.sum())


def test_without_drives_samples_are_uniform():
    free = np.ones((40, 40), bool)
    mixture = SamplingMixture(uniform_weight=0, grid_weight=0, blocks_out_probability=0)
    assert mixture.draw_mask(rng(), free, None).any()
    assert mixture.draw_mask(rng(), free, np.full((2, 40, 40), -1)).any()


def test_a_mixture_without_errors_keeps_the_levels():
    levels = np.linspace(-120, -60, 9, dtype=np.float32)
    corruption = SamplingMixture(corrupt_probability=0).draw_corruption(rng())
    assert (corruption.apply(rng(), levels) == levels).all()


def test_outliers_have_the_requested_frequency_and_size():
    true = np.zeros(20_000, np.float32)
    wrong = Corruption(outlier_fraction=0.1).apply(rng(), true)
    assert 0.09 < (wrong != 0).mean() < 0.11
    assert np.abs(wrong[wrong != 0]).min() >= 10


@pytest.mark.parametrize(
    "ask",
    [
        lambda: uniform(rng(), np.ones((2, 2), bool), 1.5),
        lambda: regular_grid(rng(), np.ones((2, 2), bool), 0),
        lambda: leave_blocks_out(rng(), np.ones((2, 2), bool), 0, 0.5),
        lambda: Corruption(noise_db=-1),
        lambda: Corruption(outlier_fraction=2),
        lambda: SamplingMixture(uniform_weight=0, grid_weight=0, route_weight=0),
        lambda: SamplingMixture(uniform_fraction=(0.0, 0.5)),
    ],
)
def test_invalid_parameters_are_rejected(ask):
    with pytest.raises(ConfigError):
        ask()
