"""Rasters of the lines from sites to measurements."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.buildings.rays import (
    POINT_CHANNELS,
    RAY_CHANNELS,
    CellSamples,
    excess_over_free_space,
    ray_rasters,
)

SHAPE = (64, 48)
INTERCEPT_DBM = -40.0
COUNT, CLEAR, CLEAR_SHARE, EXCESS, OBSTRUCTION = 0, 1, 2, 3, 7


def cell(site, rows, cols, loss_db=0.0, height_m=1.5, intercept_dbm=INTERCEPT_DBM):
    """Measurements below free space by a loss."""
    rows, cols = np.atleast_1d(rows), np.atleast_1d(cols)
    distance = np.hypot(rows + 0.5 - site[0], cols + 0.5 - site[1]).clip(1.0)
    level = (INTERCEPT_DBM - 20.0 * np.log10(distance) - loss_db).astype(np.float32)
    return CellSamples(rows, cols, level, site, intercept_dbm, height_m)


def random_cells(seed, count):
    rng = np.random.default_rng(seed)
    return [
        cell(
            tuple(rng.uniform(-40, 100, 2)),
            rng.integers(0, SHAPE[0], 9),
            rng.integers(0, SHAPE[1], 9),
            rng.uniform(0, 30, 9),
            rng.uniform(1.5, 40),
        )
        for _ in range(count)
    ]


def test_a_line_passes_the_pixels_between_site_and_measurement():
    rasters = ray_rasters([cell((20.5, 4.5), 20, 40)], SHAPE)
    crossed = rasters.rays[COUNT] > 0
    assert crossed[10, 3:20].all()
    assert crossed.sum() == crossed[10].sum() <= 20
    assert (rasters.rays[CLEAR_SHARE][crossed] > 0.9).all()
    assert rasters.rays[EXCESS][crossed] == pytest.approx(0.0, abs=1e-6)


def test_the_line_of_a_site_outside_ends_at_the_edge():
    rasters = ray_rasters([cell((20.5, -300.0), 20, 10)], SHAPE)
    crossed = rasters.rays[COUNT] > 0
    assert crossed[10, :5].all()
    assert not crossed[:, 6:].any()


def test_an_obstructed_line_suspects_only_pixels_that_no_clear_line_crosses():
    blocked = cell((20.5, 0.5), 20, 46, loss_db=25.0)
    # clear lines cross it everywhere but in columns 20 to 29
    clear = [cell((0.5, col + 0.5), 60, col) for col in range(0, 48, 2) if not 20 <= col < 30]
    suspected = ray_rasters([blocked, *clear], SHAPE).rays[OBSTRUCTION, 10]
    assert suspected[10:15].min() > 1.5 * np.delete(suspected, range(10, 15)).max()


def test_lines_above_the_roofs_count_near_the_measurement_only():
    rasters = ray_rasters([cell((20.5, 0.5), 20, 46, height_m=60.0)], SHAPE)
    count = rasters.rays[COUNT, 10]
    assert count[22] > 0.9 * np.log1p(1.0) / 5.0
    assert count[1] < 0.05 * count[22]


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_cells_does_not_matter(seed, count):
    cells = random_cells(seed, count)
    one, other = ray_rasters(cells, SHAPE), ray_rasters(cells[::-1], SHAPE)
    for ours, theirs in zip(one, other, strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert one.points.shape == (POINT_CHANNELS, *SHAPE)
    assert one.rays.shape == (RAY_CHANNELS, 32, 24)


def test_a_cell_without_a_site_shows_only_where_the_drive_was():
    located, unknown = random_cells(3, 2)
    unknown = dataclasses.replace(unknown, site_rc=(np.nan, np.nan))
    both, one = ray_rasters([located, unknown], SHAPE), ray_rasters([located], SHAPE)
    np.testing.assert_array_equal(both.rays, one.rays)
    assert both.points[0, unknown.rows, unknown.cols].all()
    nothing = ray_rasters([unknown], SHAPE)
    assert not nothing.rays.any()


def test_an_unknown_power_does_not_change_the_rasters():
    cells = [dataclasses.replace(c, intercept_dbm=np.nan) for c in random_cells(5, 3)]
    louder = [dataclasses.replace(c, level_dbm=c.level_dbm + np.float32(17.0)) for c in cells]
    for ours, theirs in zip(ray_rasters(cells, SHAPE), ray_rasters(louder, SHAPE), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_excess_is_relative_to_free_space_in_metres():
    one = cell((20.5, 0.5), [20, 20], [10, 40], loss_db=20.0)
    assert excess_over_free_space(one, 1.0) == pytest.approx(-1.0, abs=1e-5)
    assert excess_over_free_space(one, 2.0) == pytest.approx(-1.0 + 0.301, abs=1e-3)
