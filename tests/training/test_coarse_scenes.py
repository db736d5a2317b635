"""Crops at coarser pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import ConfigError
from rm_geo.networks.features import tile_features
from rm_geo.networks.radiocycle import DriveTestRadioCycle
from rm_geo.training.coarse_scenes import coarsen, fit_batch
from rm_geo.training.drive_task import DriveTestOptions, DriveTestTask
from rm_geo.training.measurements import MeasurementMixture, sample_measurements
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import StepContext
from tests.support.scenes import free_space_set

TINY = {"f_widths": (8, 12), "f_depths": (1, 1), "g_widths": (8, 12), "g_depths": (1, 1)}


def crops(seed=0, batch=4, crop=64):
    return ScenePool([free_space_set()]).draw(np.random.default_rng(seed), batch, crop)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([2, 4]))
def test_a_coarse_pixel_is_the_mean_outdoor_power(seed, factor):
    fine = crops(seed)
    coarse = coarsen(fine, factor)
    free = fine.free[0, 0].numpy() > 0
    power = np.where(free, 10.0 ** (fine.gain_db[0, 0].numpy().astype(float) / 10.0), 0.0)
    side = 64 // factor
    squares = power.reshape(side, factor, side, factor).sum((1, 3))
    number = free.reshape(side, factor, side, factor).sum((1, 3))
    known = coarse.free[0, 0].numpy() > 0
    assert (known == (number >= factor**2 / 2)).all()
    expected = 10.0 * np.log10(squares[known] / number[known])
    np.testing.assert_allclose(coarse.gain_db[0, 0].numpy()[known], expected, atol=1e-3)


@pytest.mark.parametrize("factor", [2, 4])
def test_coarsening_keeps_the_transmitter_position(factor):
    fine = crops()
    coarse = coarsen(fine, factor)
    assert coarse.spacing_m == factor
    torch.testing.assert_close(coarse.transmitter_rc * coarse.spacing_m, fine.transmitter_rc)
    tiles = sample_measurements(
        coarse, MeasurementMixture(unknown_transmitter=0.0), torch.Generator()
    )
    assert tiles.spacing_m == factor
    assert torch.isfinite(tile_features(tiles, trend=True).base).all()


@pytest.mark.parametrize("factor", [2, 4])
def test_the_order_of_a_coarse_pixel_is_that_of_its_first_visit(factor):
    fine = crops()
    coarse = coarsen(fine, factor)
    side = 64 // factor
    squares = fine.order.reshape(-1, side, factor, side, factor)
    for which in np.ndindex(len(fine.order), side, side):
        k, row, col = which
        inside = squares[k, row, :, col, :]
        visited = inside[inside >= 0]
        expected = visited.min() if visited.numel() else torch.tensor(-1.0)
        assert coarse.order[k, 0, row, col] == expected


def test_factor_one_changes_nothing():
    fine = crops()
    assert coarsen(fine, 1) is fine


@given(st.integers(1, 64), st.integers(1, 8), st.sampled_from([1, 2, 4]), st.integers(16, 1024))
def test_crops_are_halved_until_they_fit(batch, eighths, factor, largest):
    found_batch, found = fit_batch(batch, 32 * eighths, factor, largest, 32)
    assert found % 32 == 0
    assert found_batch * found**2 == batch * (32 * eighths) ** 2
    assert found * factor <= largest or found % 64 != 0


def test_large_crops_are_drawn_only_from_large_scenes():
    small, large = free_space_set(side=64), free_space_set(side=128)
    pool = ScenePool([small, large])
    assert pool.largest_crop == 128
    assert pool.draw(np.random.default_rng(0), 8, 100).gain_db.shape == (8, 1, 100, 100)
    with pytest.raises(ConfigError, match="do not fit"):
        pool.draw(np.random.default_rng(0), 8, 200)


def task(shares, side=128):
    sets = [free_space_set(scenes=3, side=side)]
    options = DriveTestOptions(batch=2, crop=32, final_crop=32, coarse_shares=shares)
    return DriveTestTask(
        DriveTestRadioCycle(**TINY, trend=True),
        ScenePool(sets, held_out=1),
        ScenePool(sets, held_out=1, validation=True),
        options,
        MeasurementMixture(),
    )


@pytest.mark.parametrize(
    ("shares", "spacings"), [((0.0, 0.0), {1.0}), ((0.4, 0.4), {1.0, 2.0, 4.0})]
)
def test_training_uses_the_requested_pixel_sizes(shares, spacings, monkeypatch):
    seen = set()
    one = task(shares)
    monkeypatch.setattr(
        "rm_geo.training.drive_task.sample_measurements",
        lambda crops, *rest: seen.add(crops.spacing_m) or sample_measurements(crops, *rest),
    )
    for step in range(12):
        context = StepContext(np.random.default_rng(step), torch.Generator().manual_seed(step), 0.0)
        assert torch.isfinite(one.losses(context)["total"])
    assert seen == spacings


def test_small_scenes_are_used_at_full_resolution():
    one = task((0.0, 1.0), side=32)
    assert torch.isfinite(
        one.losses(StepContext(np.random.default_rng(0), torch.Generator(), 0.0))["total"]
    )


def test_validation_includes_the_pixel_sizes_of_the_training():
    assert "route_4_by_4_db" in task((0.1, 0.1)).validate(DriveTestRadioCycle(**TINY))
    assert "route_4_by_4_db" not in task((0.0, 0.0)).validate(DriveTestRadioCycle(**TINY))


@pytest.mark.parametrize("shares", [(-0.1, 0.0), (0.6, 0.6)])
def test_invalid_shares_are_rejected(shares):
    with pytest.raises(ConfigError, match="coarse_shares"):
        DriveTestOptions(coarse_shares=shares)
