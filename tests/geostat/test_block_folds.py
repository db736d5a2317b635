"""Spatial folds: blocks stay whole, every position is held out once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.geostat import block_folds
from rm_geo.geostat.block_folds import (
    block_numbers,
    leave_block_out,
    shuffled_folds,
)
from rm_geo.grid import Grid
from rm_geo.raster.sparse import SparseRaster

SHAPE = (90, 130)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(2, 6), st.booleans())
def test_blocks_of_pixels_are_in_one_fold(seed, block_px, folds, many) -> None:
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, SHAPE[0], 300), rng.integers(0, SHAPE[1], 300)
    with pytest.MonkeyPatch.context() as patch:
        if many:
            patch.setattr(block_folds, "MAX_SHUFFLED", 0)
        fold = shuffled_folds(row, col, SHAPE, block_px, folds, seed)
    assert fold.min() >= 0
    assert fold.max() < folds
    blocks = block_numbers(row, col, block_px)
    for block in np.unique(blocks):
        assert len(np.unique(fold[blocks == block])) == 1


def test_shifted_origin_moves_the_blocks() -> None:
    x = np.array([0.0, 0.9, 1.1])
    assert block_numbers(x, x, 1.0).tolist() == [0, 0, 1]
    assert block_numbers(x, x, 1.0, (0.5, 0.5)).tolist() == [0, 1, 1]


def test_each_measurement_is_left_out_of_blocks_of_one_size_once() -> None:
    level_dbm = np.random.default_rng(0).normal(-90.0, 5.0, SHAPE)
    sparse = SparseRaster.from_levels(Grid.create(0, 0, SHAPE, 1.0, 32633), level_dbm)
    parts = list(leave_block_out(sparse, 10.0, 4, limits_px=(4, 10)))  # no block above 10 px
    held_out = sum(~np.isin(sparse.pixel, part.pixel) for part in parts)
    np.testing.assert_array_equal(held_out, 1)


@pytest.mark.parametrize("block_m", [1e-12, 1e-3, 0.5, 5.0, 1e4])
def test_blocks_are_numbered_by_row_and_column_at_any_size(block_m) -> None:
    x, y = np.random.default_rng(0).uniform(-500.0, 500.0, (2, 300))
    corner = np.column_stack([np.floor(x / block_m), np.floor(y / block_m)])
    _, expected = np.unique(corner, axis=0, return_inverse=True)
    np.testing.assert_array_equal(block_numbers(x, y, block_m), expected.reshape(-1))
