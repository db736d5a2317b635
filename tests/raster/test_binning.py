"""Binning: all points count once, and their order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo._util import disk_columns
from rm_geo.errors import InputError
from rm_geo.grid import Grid, Tile
from rm_geo.measurements.model import Measurements
from rm_geo.raster.binning import SparseRaster, bin_measurements

UTM = CRS.from_epsg(32633)
SHAPE = (7, 9)
GRID = Grid.create(500_000.0, 5_000_000.0, SHAPE, 1.0, UTM)


def points(x, y, rsrp) -> Measurements:
    x = np.asarray(x, dtype=np.float64)
    return Measurements(
        x=x,
        y=np.asarray(y, dtype=np.float64),
        rsrp_dbm=np.asarray(rsrp, dtype=np.float32),
        cell=np.full(x.shape, None),
        crs=UTM,
    )


@st.composite
def drives(draw: st.DrawFn) -> Measurements:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count = draw(st.integers(1, 200))
    # Some points lie outside of the grid.
    return points(
        500_000.0 + rng.uniform(-2, 11, count),
        5_000_000.0 - rng.uniform(-2, 9, count),
        rng.uniform(-156, -20, count),
    )


def pixel_lists(drive: Measurements) -> dict[tuple[int, int], list[float]]:
    """The slow way: values by pixel."""
    found: dict[tuple[int, int], list[float]] = {}
    row, col = GRID.to_pixel(drive.x, drive.y)
    for r, c, value in zip(np.floor(row), np.floor(col), drive.rsrp_dbm, strict=True):
        if 0 <= r < SHAPE[0] and 0 <= c < SHAPE[1]:
            found.setdefault((int(r), int(c)), []).append(float(value))
    return found


@settings(max_examples=40, deadline=None)
@given(drive=drives(), statistic=st.sampled_from(["mean", "median", "max"]))
def test_binning_equals_a_loop_over_points(drive, statistic) -> None:
    raster = bin_measurements(drive, GRID, statistic)
    expected = pixel_lists(drive)
    slow = {
        "mean": lambda v: 10 * np.log10(np.mean(10 ** (np.array(v) / 10))),
        "median": np.median,
        "max": np.max,
    }[statistic]
    assert raster.dense_observed().sum() == len(expected)
    for (row, col), values in expected.items():
        assert raster.dense_count()[row, col] == len(values)
        assert raster.dense_rsrp_dbm()[row, col] == pytest.approx(slow(values), abs=1e-4)
        if len(values) > 1:
            assert raster.dense_std_db()[row, col] == pytest.approx(
                np.std(values, ddof=1), abs=1e-3
            )
        else:
            assert np.isnan(raster.dense_std_db()[row, col])


@settings(max_examples=40, deadline=None)
@given(drive=drives(), statistic=st.sampled_from(["mean", "median", "max"]))
def test_a_pixel_lies_between_its_weakest_and_strongest_value(drive, statistic) -> None:
    raster = bin_measurements(drive, GRID, statistic)
    for (row, col), values in pixel_lists(drive).items():
        assert min(values) - 1e-4 <= raster.dense_rsrp_dbm()[row, col] <= max(values) + 1e-4


@settings(max_examples=30, deadline=None)
@given(drive=drives(), seed=st.integers(0, 99), chunk=st.integers(1, 300))
def test_order_and_chunks_change_no_bit(drive, seed, chunk) -> None:
    order = np.random.default_rng(seed).permutation(len(drive))
    one = bin_measurements(drive, GRID)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_columns, "IN_MEMORY_ROWS", chunk)  # on disk beyond
        other = bin_measurements(drive.select(order), GRID, chunk=chunk)
    for name in ("pixel", "level_dbm", "count", "std_db"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=30, deadline=None)
@given(drive=drives(), rows=st.integers(-3, 3), cols=st.integers(-3, 3))
def test_moving_points_and_grid_by_whole_pixels_changes_nothing(drive, rows, cols) -> None:
    moved = points(drive.x + cols, drive.y - rows, drive.rsrp_dbm)
    grid = Grid.create(500_000.0 + cols, 5_000_000.0 - rows, SHAPE, 1.0, UTM)
    np.testing.assert_array_equal(
        bin_measurements(drive, GRID).dense_count(), bin_measurements(moved, grid).dense_count()
    )


@settings(max_examples=30, deadline=None)
@given(drive=drives())
def test_a_covering_grid_loses_no_point(drive) -> None:
    grid = Grid.covering(drive.x, drive.y, UTM, spacing_m=2.0)
    assert bin_measurements(drive, grid).dense_count().sum() == len(drive)


@settings(max_examples=20, deadline=None)
@given(level=st.floats(-156, -20, width=32), count=st.integers(1, 50))
def test_equal_levels_give_that_level_exactly(level, count) -> None:
    here = np.full(count, 500_000.5), np.full(count, 4_999_999.5)
    for statistic in ("mean", "median", "max"):
        raster = bin_measurements(points(*here, np.full(count, level)), GRID, statistic)
        assert raster.dense_rsrp_dbm()[0, 0] == np.float32(level)


def test_the_mean_is_of_power() -> None:
    drive = points([500_000.5] * 2, [4_999_999.5] * 2, [-60.0, -90.0])
    assert bin_measurements(drive, GRID).dense_rsrp_dbm()[0, 0] == pytest.approx(-63.006, abs=1e-3)
    assert bin_measurements(drive, GRID, "median").dense_rsrp_dbm()[0, 0] == -75.0


def test_a_pixel_holds_its_west_and_north_edge() -> None:
    raster = bin_measurements(points([500_001.0], [4_999_999.0], [-80.0]), GRID)
    assert raster.dense_count()[1, 1] == 1


def test_no_point_inside_gives_an_empty_raster() -> None:
    raster = bin_measurements(points([0.0], [0.0], [-80.0]), GRID)
    assert not raster.dense_observed().any()
    assert np.isnan(raster.dense_rsrp_dbm()).all()
    assert raster.coverage == 0.0


def test_types_are_those_of_the_files() -> None:
    raster = bin_measurements(points([500_000.5], [4_999_999.5], [-80.0]), GRID)
    assert (
        raster.dense_rsrp_dbm().dtype,
        raster.dense_count().dtype,
        raster.dense_std_db().dtype,
    ) == (
        np.float32,
        np.int32,
        np.float32,
    )


def test_another_crs_is_refused() -> None:
    grid = Grid.create(0.0, 0.0, (3, 3), 1.0, 32632)
    with pytest.raises(InputError, match=r"zone 33N.*zone 32N"):
        bin_measurements(points([1.0], [-1.0], [-80.0]), grid)


def test_too_large_grid_is_refused_before_allocation() -> None:
    grid = Grid.create(0.0, 0.0, (10**6, 10**6), 1.0, UTM)
    with pytest.raises(InputError, match="too large"):
        bin_measurements(points([1.0], [-1.0], [-80.0]), grid)


@pytest.fixture
def numbered() -> SparseRaster:
    values = np.arange(63, dtype=np.float32).reshape(SHAPE) - 130
    ones = np.ones(SHAPE, dtype=np.int32)
    return SparseRaster.from_dense(GRID, values, ones, np.zeros(SHAPE, dtype=np.float32))


@settings(max_examples=40, deadline=None)
@given(row=st.integers(-12, 12), col=st.integers(-12, 12), size=st.integers(1, 12))
def test_a_tile_is_the_raster_padded_with_nan(row, col, size) -> None:
    values = np.arange(63, dtype=np.float32).reshape(SHAPE) - 130
    raster = SparseRaster.from_dense(
        GRID, values, np.ones(SHAPE, np.int32), np.zeros(SHAPE, np.float32)
    )
    padded = np.pad(values, 30, constant_values=np.nan)
    expected = padded[row + 30 : row + 30 + size, col + 30 : col + 30 + size]
    np.testing.assert_array_equal(raster.tile(Tile(row, col, size)), expected)
    crop = raster.crop(slice(row, row + size), slice(col, col + size))
    np.testing.assert_array_equal(crop.dense_rsrp_dbm(), expected)
    np.testing.assert_array_equal(crop.dense_count(), np.isfinite(expected).astype(np.int32))


def test_a_crop_keeps_its_place_in_the_world(numbered: SparseRaster) -> None:
    crop = numbered.crop(slice(2, 5), slice(-1, 3))
    assert crop.grid.bounds == (499_999.0, 4_999_995.0, 500_003.0, 4_999_998.0)
    assert crop.dense_rsrp_dbm()[0, 1] == numbered.dense_rsrp_dbm()[2, 0]


@settings(max_examples=30, deadline=None)
@given(drive=drives(), first=st.integers(0, 6), height=st.integers(0, 7))
def test_rows_are_those_of_the_raster(drive, first, height) -> None:
    raster = bin_measurements(drive, GRID)
    rows = slice(first, min(first + height, SHAPE[0]))
    np.testing.assert_array_equal(raster.dense_rsrp_dbm(rows), raster.dense_rsrp_dbm()[rows])
    np.testing.assert_array_equal(raster.dense_observed(rows), raster.dense_observed()[rows])


@settings(max_examples=30, deadline=None)
@given(drive=drives(), size=st.integers(2, 12), overlap=st.integers(0, 1))
def test_tiles_count_their_measured_pixels(drive, size, overlap) -> None:
    raster = bin_measurements(drive, GRID)
    tiles = GRID.tiles(size, overlap)
    expected = [np.isfinite(raster.tile(tile)).sum() for tile in tiles]
    np.testing.assert_array_equal(raster.tile_counts(tiles), expected)
