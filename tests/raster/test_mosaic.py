"""Blending: weights sum to one everywhere, nothing tapers at the edge, gaps stay gaps."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.grid import Grid, Tile
from rm_geo.raster.mosaic import Band, Mosaic, axis_weights, blend

SIZE = 8
quick = settings(max_examples=40, deadline=None)
sides = st.one_of(st.sampled_from([1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE]), st.integers(1, 30))
overlaps = st.integers(0, SIZE - 1)


def grid_of(rows: int, cols: int) -> Grid:
    return Grid.create(500_000.0, 5_000_000.0, (rows, cols), 1.0, 32633)


def cut(raster: np.ndarray, tile: Tile) -> np.ndarray:
    """The tile's part of a raster, NaN outside."""
    part = np.full((tile.size, tile.size), np.nan, np.float32)
    window, inner = tile.clip(raster.shape)
    part[inner] = raster[window]
    return part


@quick
@given(sides, sides, overlaps, st.floats(-150.0, -20.0, width=32))
def test_constant_in_gives_the_same_constant_out(rows, cols, overlap, level_dbm) -> None:
    grid = grid_of(rows, cols)
    tiles = grid.tiles(SIZE, overlap)
    values = [np.full((SIZE, SIZE), level_dbm, np.float32)] * len(tiles)
    result = blend(grid, tiles, values)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, level_dbm, rtol=2e-6)


@quick
@given(sides, sides, overlaps, st.integers(0, 2**32 - 1))
def test_tiles_that_agree_give_back_the_raster_they_were_cut_from(rows, cols, overlap, seed):
    grid = grid_of(rows, cols)
    raster = np.random.default_rng(seed).normal(-90.0, 10.0, grid.shape).astype(np.float32)
    tiles = grid.tiles(SIZE, overlap)
    result = blend(grid, tiles, [cut(raster, tile) for tile in tiles])
    np.testing.assert_allclose(result, raster, rtol=2e-6)


@quick
@given(sides, sides, overlaps, st.integers(0, 2**32 - 1))
def test_result_is_nan_exactly_where_no_tile_has_a_value(rows, cols, overlap, seed) -> None:
    grid = grid_of(rows, cols)
    rng = np.random.default_rng(seed)
    tiles = grid.tiles(SIZE, overlap)
    values = rng.normal(-90.0, 1.0, (len(tiles), SIZE, SIZE)).astype(np.float32)
    values[rng.random(values.shape) < 0.5] = np.nan
    values[rng.random(len(tiles)) < 0.3] = np.nan
    covered = np.zeros(grid.shape, bool)
    for tile, layer in zip(tiles, values, strict=True):
        window, inner = tile.clip(grid.shape)
        covered[window] |= np.isfinite(layer[inner])
    result = blend(grid, tiles, values)
    assert np.array_equal(np.isfinite(result), covered)
    assert (np.abs(result[covered] + 90.0) < 10.0).all()


@quick
@given(sides, sides, overlaps, st.integers(0, 2**32 - 1))
def test_rows_are_final_once_in_order_and_early(rows, cols, overlap, seed) -> None:
    grid = grid_of(rows, cols)
    rng = np.random.default_rng(seed)
    tiles = grid.tiles(SIZE, overlap)
    mosaic = Mosaic(grid, tiles)
    bands: list[Band] = []
    for index, tile in enumerate(tiles):
        bands += mosaic.push(tile, rng.random((1, SIZE, SIZE)))
        later = [t.clip(grid.shape)[0][0].start for t in tiles[index + 1 :]]
        assert sum(band.rows for band in bands) == min(later, default=rows)
    bands += mosaic.finish()
    assert np.concatenate([band.values for band in bands], axis=1).shape == (1, rows, cols)
    assert [band.row for band in bands] == list(np.cumsum([0] + [band.rows for band in bands[:-1]]))
    assert mosaic.finish() == []


@settings(deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=8), st.integers(1, 40))
def test_axis_weights_sum_to_one_and_never_vanish(starts: list[int], size: int) -> None:
    total: dict[int, float] = {}
    for start, weights in axis_weights(starts, size).items():
        assert (weights > 0.0).all()
        for offset, weight in enumerate(weights):
            total[start + offset] = total.get(start + offset, 0.0) + float(weight)
    assert list(total.values()) == pytest.approx([1.0] * len(total), abs=1e-6)


def test_nothing_tapers_at_the_outer_edge() -> None:
    # One tile is wrong: its level must arrive in full up to the raster's corner.
    grid = grid_of(24, 24)
    tiles = grid.tiles(16, 8)
    values = [np.full((16, 16), -60.0 if tile == tiles[0] else -100.0) for tile in tiles]
    result = blend(grid, tiles, values)
    np.testing.assert_allclose(result[:8, :8], -60.0, rtol=1e-6)
    np.testing.assert_allclose(result[16:], -100.0, rtol=1e-6)


def test_overlap_is_a_straight_ramp_between_two_tiles() -> None:
    grid = grid_of(4, 6)
    left, right = np.zeros((4, 4)), np.ones((4, 4))
    result = blend(grid, grid.tiles(4, 2), [left, right])
    np.testing.assert_allclose(result, np.tile([0.0, 0.0, 0.25, 0.75, 1.0, 1.0], (4, 1)))


def test_missing_tiles_are_filled_by_their_neighbours() -> None:
    grid = grid_of(40, 40)
    tiles = grid.tiles(16, 4)
    mosaic = Mosaic(grid, tiles)
    bands = mosaic.push(tiles[-1], np.full((1, 16, 16), -80.0)) + mosaic.finish()
    assert [(band.row, band.rows) for band in bands] == [(0, 16), (16, 8), (24, 16)]
    assert [band.values is None for band in bands] == [True, True, False]
    assert np.isfinite(bands[-1].values).sum() == 16 * 16
    np.testing.assert_allclose(bands[-1].values[0, :, 24:], -80.0)


def test_rows_between_distant_tiles_cost_no_memory() -> None:
    grid = grid_of(20_000, 400)
    tiles = [tile for tile in grid.tiles(256, 32) if tile.col == 0]
    mosaic = Mosaic(grid, grid.tiles(256, 32), channels=2)
    values = np.zeros((2, 256, 256), np.float32)
    held, most = 0, 0
    tracemalloc.start()
    try:
        for bands in (mosaic.push(tiles[0], values), mosaic.push(tiles[-1], values)):
            held += sum(band.rows for band in bands)
            most = max(most, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert held == tiles[-1].row
    assert most < 5 * 2 * 256 * 400 * 4  # the accumulators' size each, not that of the raster


def test_channels_keep_their_own_gaps() -> None:
    grid = grid_of(16, 16)
    tiles = grid.tiles(16, 0)
    values = np.zeros((2, 16, 16), np.float32)
    values[0, :8] = np.nan
    (band,) = Mosaic(grid, tiles, channels=2).push(tiles[0], values)
    assert np.isnan(band.values[0, :8]).all()
    assert np.isfinite(band.values[0, 8:]).all()
    assert np.isfinite(band.values[1]).all()


def test_released_rows_are_not_changed_by_later_tiles() -> None:
    grid = grid_of(30, 16)
    tiles = grid.tiles(16, 2)
    mosaic = Mosaic(grid, tiles)
    (first,) = mosaic.push(tiles[0], np.ones((1, 16, 16)))
    kept = first.values.copy()
    mosaic.push(tiles[1], np.full((1, 16, 16), 7.0))
    assert np.array_equal(first.values, kept)


def test_tile_out_of_order_is_refused() -> None:
    grid = grid_of(16, 40)
    tiles = grid.tiles(16, 4)
    mosaic = Mosaic(grid, tiles)
    mosaic.push(tiles[1], np.ones((1, 16, 16)))
    for late in (tiles[1], tiles[0]):
        with pytest.raises(ValueError, match="after"):
            mosaic.push(late, np.ones((1, 16, 16)))


def test_tile_of_another_mosaic_is_refused() -> None:
    grid = grid_of(16, 40)
    mosaic = Mosaic(grid, grid.tiles(16, 4))
    with pytest.raises(ValueError, match="not a tile"):
        mosaic.push(Tile(1, 0, 16), np.ones((1, 16, 16)))
    with pytest.raises(ValueError, match="shape"):
        mosaic.push(grid.tiles(16, 4)[0], np.ones((2, 16, 16)))


def test_no_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Mosaic(grid_of(4, 4), [])
