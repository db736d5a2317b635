"""Transmitters: found from levels with an honest uncertainty, their power from an envelope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo._util import disk_columns
from rm_geo.measurements.cell_summary import CellSummary
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.reader import read_measurements
from rm_geo.sites.localization import decluster, locate
from rm_geo.sites.site import (
    Site,
    estimate_position,
    free_space_intercept,
    free_space_loss_1m_db,
    match_site,
    measured_carrier_mhz,
)

HEIGHT_M = 20.0
STREETS = np.array([0.0, 100.0, 200.0, 300.0, 400.0, 500.0])


def drive(
    rng: np.random.Generator,
    *,
    position: tuple[float, float],
    intercept_dbm: float = -20.0,
    exponent: float = 3.2,
    noise_db: float = 2.0,
    streets: np.ndarray = STREETS,
    cell: str | None = "7",
    earfcn: float | None = None,
) -> Measurements:
    """Levels after a log-distance law along streets in both directions."""
    along = np.arange(0.0, 500.0, 8.0)
    x = np.concatenate([np.concatenate([along, np.full(along.size, s)]) for s in streets])
    y = np.concatenate([np.concatenate([np.full(along.size, s), along]) for s in streets])
    distance = np.sqrt((x - position[0]) ** 2 + (y - position[1]) ** 2 + HEIGHT_M**2)
    rsrp = intercept_dbm - 10 * exponent * np.log10(distance) + rng.normal(0, noise_db, x.size)
    return Measurements(
        x=x + 400_000.0,
        y=y + 5_800_000.0,
        rsrp_dbm=np.round(rsrp).astype(np.float32),
        cell=np.array([cell] * x.size, dtype=object),
        crs=CRS.from_epsg(32633),
        earfcn=None if earfcn is None else np.full(x.size, earfcn),
    )


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    x=st.floats(50, 450),
    y=st.floats(50, 450),
    exponent=st.floats(2.4, 4.0),
)
def test_a_transmitter_among_the_streets_is_found(seed, x, y, exponent) -> None:
    points = drive(np.random.default_rng(seed), position=(x, y), exponent=exponent)
    found = estimate_position(points, height_m=HEIGHT_M)
    assert found is not None
    error = np.hypot(found.x - 400_000.0 - x, found.y - 5_800_000.0 - y)
    assert error < 25.0
    assert error < 3.0 * found.uncertainty_m
    assert found.uncertainty_m < 60.0
    assert found.cell == "7"


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000), east=st.floats(-2000, 2000), north=st.floats(-2000, 2000))
def test_the_estimate_moves_with_the_points(seed, east, north) -> None:
    points = drive(np.random.default_rng(seed), position=(200, 300))
    x, y, level = points.x - 400_000.0, points.y - 5_800_000.0, points.rsrp_dbm.astype(float)
    shift = np.round([east, north], -2)  # whole blocks
    here, there = locate(x, y, level), locate(x + shift[0], y + shift[1], level)
    assert here is not None
    assert there is not None
    assert there.x - shift[0] == pytest.approx(here.x, abs=0.5)
    assert there.y - shift[1] == pytest.approx(here.y, abs=0.5)


def test_outliers_do_not_move_it_far() -> None:
    rng = np.random.default_rng(3)
    points = drive(rng, position=(200, 300))
    level = points.rsrp_dbm.astype(float)
    level[rng.choice(level.size, level.size // 20, replace=False)] = -60.0
    found = locate(points.x, points.y, level, height_m=HEIGHT_M)
    assert found is not None
    assert np.hypot(found.x - 400_200.0, found.y - 5_800_300.0) < 40.0


def test_one_straight_street_cannot_tell_the_side() -> None:
    rng = np.random.default_rng(1)
    street = np.arange(0.0, 600.0, 5.0)
    level = -20 - 32 * np.log10(np.sqrt((street - 300) ** 2 + 150.0**2 + HEIGHT_M**2))
    found = locate(street, np.zeros(street.size), level + rng.normal(0, 2, street.size))
    assert found is not None
    assert found.uncertainty_m > 70.0


def test_levels_without_a_trend_leave_it_open() -> None:
    rng = np.random.default_rng(2)
    points = drive(rng, position=(200, 300))
    found = locate(points.x, points.y, rng.normal(-95, 6, len(points)))
    assert found is not None
    assert found.uncertainty_m > 300.0


def test_a_far_transmitter_is_known_to_be_uncertain() -> None:
    points = drive(np.random.default_rng(4), position=(1100, 250), noise_db=4.0)
    found = estimate_position(points)
    assert found is not None
    error = np.hypot(found.x - 401_100.0, found.y - 5_800_250.0)
    assert error < 3.0 * found.uncertainty_m
    assert found.uncertainty_m > 100.0


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_few_places_tell_nothing(count: int) -> None:
    points = drive(np.random.default_rng(0), position=(200, 300)).select(np.arange(count) * 3)
    assert estimate_position(points) is None


def test_standing_still_counts_once() -> None:
    points = drive(np.random.default_rng(0), position=(200, 300)).select(np.zeros(500, dtype=int))
    assert estimate_position(points) is None


def test_the_carrier_follows_the_channel_number() -> None:
    points = drive(np.random.default_rng(0), position=(200, 300), earfcn=55990)
    assert measured_carrier_mhz(CellSummary.of(points)) == 3625.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), block_m=st.sampled_from([5.0, 10.0, 50.0]))
def test_declustered_points_lie_in_distinct_blocks(seed, block_m) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-100, 100, (2, 200))
    level = rng.uniform(-120, -60, 200)
    bx, by, bl = decluster(x, y, level, block_m)
    blocks = set(zip(np.floor(x / block_m), np.floor(y / block_m), strict=True))
    assert bx.size == by.size == bl.size == len(blocks)
    assert bl.min() >= level.min()
    assert bl.max() <= level.max()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), intercept=st.floats(-40, 10))
def test_the_envelope_finds_the_free_space_level(seed, intercept) -> None:
    # A third in line of sight, the rest behind buildings.
    rng = np.random.default_rng(seed)
    points = drive(rng, position=(220, 260), intercept_dbm=intercept, exponent=2.0, noise_db=0.0)
    loss = np.where(rng.random(len(points)) < 0.67, rng.uniform(5, 30, len(points)), 0.0)
    shadowed = Measurements(
        points.x,
        points.y,
        (points.rsrp_dbm - loss + rng.normal(0, 2, len(points))).astype(np.float32),
        points.cell,
        points.crs,
    )
    site = Site(x=400_220.0, y=5_800_260.0, height_m=HEIGHT_M)
    assert free_space_intercept(shadowed, site) == pytest.approx(intercept, abs=3.5)


def test_a_known_eirp_gives_the_intercept() -> None:
    points = drive(np.random.default_rng(0), position=(200, 300))
    site = Site(x=0.0, y=0.0, eirp_dbm=15.0, frequency_mhz=3600.0)
    expected = 15.0 - free_space_loss_1m_db(3600.0)
    assert free_space_intercept(points, site) == pytest.approx(expected)
    # 20 log10(4 pi / wavelength).
    assert free_space_loss_1m_db(3600.0) == pytest.approx(
        20 * np.log10(4 * np.pi * 3.6e9 / 299_792_458.0), abs=0.02
    )


def test_of_a_reused_identity_the_nearest_site_is_taken() -> None:
    points = drive(np.random.default_rng(0), position=(100, 100))
    near = Site(x=400_150.0, y=5_800_150.0, cell="7")
    far = Site(x=450_000.0, y=5_800_150.0, cell="7")
    other = Site(x=400_100.0, y=5_800_100.0, cell="8")
    assert match_site([far, other, near], CellSummary.of(points)) == near
    assert match_site([other], CellSummary.of(points)) is None


def test_the_duke_campus(shared_data: Path) -> None:
    measurements, _ = read_measurements(shared_data / "duke_cbrs" / "measurements.shp")
    by_cell = measurements.by_cell()
    for name in ("7", "40", "20", "6"):
        found = estimate_position(by_cell[name])
        assert found is not None
        # Their positions are unknown; estimates must not lie far from all points.
        strongest = np.argsort(-by_cell[name].rsrp_dbm)[:10]
        near = np.hypot(
            found.x - np.median(by_cell[name].x[strongest]),
            found.y - np.median(by_cell[name].y[strongest]),
        )
        assert near < 2.0 * found.uncertainty_m + 50.0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), in_memory=st.integers(1, 60), block=st.integers(1, 50))
def test_declustering_in_bands_changes_no_bit(seed, in_memory, block) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-300, 300, (2, 60))
    level = np.round(rng.normal(-90, 9, 60)).astype(np.float32)
    whole = decluster(x, y, level, 50.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_columns, "IN_MEMORY_ROWS", in_memory)
        patch.setattr(disk_columns, "BLOCK_ROWS", block)
        for part, expected in zip(decluster(x, y, level, 50.0), whole, strict=True):
            np.testing.assert_array_equal(part, expected)
