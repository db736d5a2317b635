"""Path-loss trend: recovered from a long drive, that of a street otherwise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.geostat import path_loss_trend
from rm_geo.geostat.classical_baseline import SmoothMap
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.grid import Grid
from rm_geo.networks import features
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo
from rm_geo.units import SLOPE_DB

SIDE = 256
GRID = Grid.create(500_000.0, 5_400_000.0, (SIDE, SIDE), 1.0, 32633)
SITE_RC = (40.5, 30.5)


def facts(row=SITE_RC[0], col=SITE_RC[1], height_m=1.5):
    x, y = GRID.to_world(row, col)
    return SiteInfo(transmitter_xy=(float(x), float(y)), transmitter_height_m=height_m)


def law(slope_db, level_dbm=-60.0, site=SITE_RC):
    row, col = np.mgrid[:SIDE, :SIDE] + 0.5
    decades = np.log10(np.maximum(np.hypot(row - site[0], col - site[1]), 3.0))
    return (level_dbm + slope_db * decades).astype(np.float32)


def drive(level_dbm, where):
    return SparseRaster.from_levels(GRID, np.where(where, level_dbm, np.nan))


def street(row=200):
    where = np.zeros((SIDE, SIDE), bool)
    where[row] = True
    return where


def circle(radius=100.0, width=1.5):
    row, col = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.abs(np.hypot(row - SITE_RC[0], col - SITE_RC[1]) - radius) < width


@settings(max_examples=30, deadline=None)
@given(st.floats(-50.0, -15.0), st.floats(-120.0, -40.0))
def test_slope_of_a_long_drive_is_recovered_at_any_power(slope_db, level_dbm):
    everywhere = np.random.default_rng(0).random((SIDE, SIDE)) < 0.5
    trend = DistanceTrend.fit(drive(law(slope_db, level_dbm), everywhere), facts())
    # A ridge estimate stops short of the truth by a share that shrinks with the evidence.
    assert abs(trend.slope_db - slope_db) < 0.05 * abs(slope_db - SLOPE_DB) + 0.05


def test_trend_is_relative_to_the_mean_measurement():
    one = drive(law(-35.0), street())
    trend = DistanceTrend.fit(one, facts())
    assert trend.at(one.row + 0.5, one.col + 0.5).mean() == pytest.approx(0.0, abs=1e-4)


def test_circular_drive_gives_the_prior_slope():
    rng = np.random.default_rng(1)
    noisy = law(-60.0) + rng.normal(0.0, 4.0, (SIDE, SIDE))
    trend = DistanceTrend.fit(drive(noisy, circle(width=0.8)), facts())
    assert trend.slope_db == pytest.approx(SLOPE_DB, abs=3.0)


def test_no_trend_without_transmitter_or_measurements():
    assert DistanceTrend.fit(drive(law(-30.0), street()), SiteInfo()) is None
    assert DistanceTrend.fit(drive(law(-30.0), np.zeros((SIDE, SIDE), bool)), facts()) is None


def test_no_trend_for_an_uncertain_position():
    one = drive(law(-30.0), street())
    assert DistanceTrend.fit(one, replace(facts(), uncertainty_m=30.0)) is None
    assert DistanceTrend.fit(one, replace(facts(), uncertainty_m=3.0)) is not None


def test_fit_does_not_depend_on_the_block_size(monkeypatch):
    one = drive(law(-37.0), circle(60.0, 20.0))
    whole = DistanceTrend.fit(one, facts())
    monkeypatch.setattr(path_loss_trend, "BLOCK_SIZE", 17)
    parts = DistanceTrend.fit(one, facts())
    assert parts.slope_db == pytest.approx(whole.slope_db, rel=1e-6)


def test_antenna_height_flattens_the_trend_nearby():
    low, high = (DistanceTrend(SITE_RC, rise_px) for rise_px in (0.0, 30.0))
    near, far = np.array([45.0, 250.0]), np.array([30.5, 250.0])
    assert np.ptp(high.at(near, far)) < np.ptp(low.at(near, far))


def test_rows_are_evaluated_at_pixel_centres():
    trend = DistanceTrend(SITE_RC, 2.0, -33.0, 1.5)
    rows = trend.on_rows(slice(10, 12), 7)
    assert rows.shape == (2, 7)
    assert rows.dtype == np.float32
    assert rows[1, 3] == trend.at(np.array(11.5), np.array(3.5))


@pytest.mark.parametrize("site", [SITE_RC, (-300.0, 500.0)])
def test_network_input_has_the_same_trend(site):
    rng = np.random.default_rng(2)
    where = rng.random((SIDE, SIDE)) < 0.02
    level = law(-41.0, site=site) + rng.normal(0.0, 3.0, (SIDE, SIDE))
    trend = DistanceTrend.fit(drive(level, where), facts(*site))
    tiles = features.SparseTiles(
        torch.from_numpy(np.where(where, level, 0.0)[None, None]).float(),
        torch.from_numpy(where[None, None]).float(),
        torch.tensor([site]),
        torch.tensor([float("nan")]),
    )
    seen = features.distance_trend(tiles)[0, 0].numpy()
    np.testing.assert_allclose(seen, trend.on_rows(slice(0, SIDE), SIDE), atol=0.02)


def test_trend_extrapolates_a_street():
    truth = law(-40.0)
    one = drive(truth, street())
    everywhere = np.ones((SIDE, SIDE), bool)
    rows = slice(0, SIDE)
    plain = SmoothMap.fit(one).on_rows(rows, everywhere) - truth
    known = SmoothMap.fit(one, DistanceTrend.fit(one, facts())).on_rows(rows, everywhere) - truth
    beside = slice(60, 150)
    assert np.sqrt(np.mean(known[beside] ** 2)) < 0.3 * np.sqrt(np.mean(plain[beside] ** 2))
