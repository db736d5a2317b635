"""Bands of scattered values: local rows, all points once, the same from memory and from disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo._util import disk_columns, row_blocks
from rm_geo.grid import Grid
from rm_geo.raster.blocks import block_means, block_sums, dense_block_means
from rm_geo.raster.points import Points
from rm_geo.raster.sparse import SparseRaster


def sparse_raster(seed: int, shape: tuple[int, int], share: float) -> SparseRaster:
    rng = np.random.default_rng(seed)
    level_dbm = np.where(rng.random(shape) < share, rng.normal(-90.0, 9.0, shape), np.nan)
    return SparseRaster.from_levels(Grid.create(0, 0, shape, 1.0, 32633), level_dbm)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 900), st.integers(1, 9), st.floats(0.0, 0.5))
def test_bands_hold_each_point_once_with_local_rows(seed, height, width, share) -> None:
    sparse = sparse_raster(seed, (height, width), share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_blocks, "BAND_PIXELS", 1)
        bands = list(sparse.bands())
    assert [band.rows.start for band in bands] == list(range(0, height, 256))
    row = np.concatenate([band.row + band.rows.start for band in bands])
    np.testing.assert_array_equal(row, sparse.row)
    np.testing.assert_array_equal(np.concatenate([band.col for band in bands]), sparse.col)
    for band in bands:
        dense_dbm = band.to_dense(band.value, np.nan)
        np.testing.assert_array_equal(dense_dbm, sparse.dense_rsrp_dbm(band.rows))
        np.testing.assert_array_equal(band.from_dense(dense_dbm), band.value)
        np.testing.assert_array_equal(sparse.level_dbm[band.index], band.value)


def test_bands_of_columns_on_disk_are_copies_in_memory(monkeypatch) -> None:
    sparse = sparse_raster(0, (700, 5), 0.5)
    expected = [band.value.copy() for band in sparse.bands()]
    monkeypatch.setattr(disk_columns, "IN_MEMORY_ROWS", 10)
    on_disk = sparse.points.map_values(np.positive)
    assert any(isinstance(base, np.memmap) for base in (on_disk.value, on_disk.value.base))
    bands = list(on_disk.bands((700, 5)))
    for band, values in zip(bands, expected, strict=True):
        assert not isinstance(band.value, np.memmap)
        assert band.value.base is None
        np.testing.assert_array_equal(band.value, values)


def test_values_computed_by_bands_keep_the_order_of_the_points() -> None:
    sparse = sparse_raster(1, (600, 7), 0.2)
    rows = sparse.map_bands(lambda band: band.row + band.rows.start)
    np.testing.assert_array_equal(rows, sparse.row)


def test_dense_array_of_another_shape_is_refused() -> None:
    band = sparse_raster(2, (3, 3), 1.0).band(slice(0, 2))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        band.from_dense(np.zeros((3, 3)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.sampled_from([1, 2, 4, 8]))
def test_block_means_agree_for_scattered_and_dense_values(seed, block_px) -> None:
    sparse = sparse_raster(seed, (24, 16), 0.3)
    dense = dense_block_means(sparse.dense_rsrp_dbm(), block_px)
    blocks = block_means(sparse.points, (24, 16), block_px)
    np.testing.assert_allclose(np.where(blocks.occupied, blocks.mean, np.nan), dense, rtol=1e-5)
    sums = block_sums(sparse.row, sparse.col, sparse.level_dbm, block_px)
    np.testing.assert_allclose(sums.mean, dense[sums.row, sums.col], rtol=1e-5)
    assert sums.count.sum() == len(sparse)


def test_points_without_a_value_are_left_out() -> None:
    points = Points(np.arange(3), np.arange(3), np.array([1.0, np.nan, 3.0], np.float32))
    assert points.known().row.tolist() == [0, 2]
    assert points.known().known().value.tolist() == [1.0, 3.0]
