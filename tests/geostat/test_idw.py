"""Inverse distance weighting: bands of rows give the result of a full search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from rm_geo.geostat import idw
from rm_geo.geostat.classical_baseline import SmoothMap
from rm_geo.geostat.idw import BlockIdw
from rm_geo.grid import Grid
from rm_geo.raster.points import Points
from rm_geo.raster.sparse import SparseRaster


def by_all_pairs(places, level_dbm, targets):
    """Inverse distance weighting by all pairs."""
    distance = cdist(targets, places)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :8]
    weight = 1.0 / np.maximum(np.take_along_axis(distance, nearest, 1), 0.5) ** 2
    return (weight * level_dbm[nearest]).sum(1) / weight.sum(1)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 2000), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_search_of_a_band_equals_a_full_search(seed, known, height, band):
    rng = np.random.default_rng(seed)
    # Columns without ties, so that there is one set of eight nearest blocks.
    places = np.column_stack([np.sort(rng.integers(0, height, known)), 50.0 * rng.random(known)])
    level_dbm = rng.normal(-90.0, 10.0, known).astype(np.float32)
    top = int(rng.integers(0, height))
    targets = np.column_stack([top + rng.integers(0, band, 30), rng.integers(0, 50, 30)])
    found = BlockIdw(Points(*places.T, level_dbm)).at(*targets.T)
    np.testing.assert_allclose(found, by_all_pairs(places, level_dbm, targets), rtol=1e-5)


def test_empty_input_and_empty_request():
    none = np.empty(0, np.int64)
    empty = BlockIdw(Points(none, none, np.empty(0, np.float32)))
    assert np.isnan(empty.at(np.array([3]), np.array([4]))).all()
    one = BlockIdw(Points(np.array([5]), np.array([5]), np.array([-80.0], np.float32)))
    assert one.at(none, none).shape == (0,)
    assert one.at(np.array([5000]), np.array([0])) == pytest.approx(-80.0)


def test_only_rows_near_the_request_are_searched(monkeypatch):
    rows = np.repeat(np.arange(20_000), 3)
    cols = np.tile([0, 4, 9], 20_000)
    sizes = []
    tree = idw.spatial.KDTree
    monkeypatch.setattr(
        idw.spatial, "KDTree", lambda known: sizes.append(len(known)) or tree(known)
    )
    blocks = Points(rows, cols, np.zeros(len(rows), np.float32))
    BlockIdw(blocks).at(np.array([9000]), np.array([2]))
    assert max(sizes) < 1000


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_blocks_average_their_pixels_across_bands(seed):
    rng = np.random.default_rng(seed)
    rsrp_dbm = np.full((1500, 21), np.nan, np.float32)  # two bands
    chosen = rng.random(rsrp_dbm.shape) < 0.05
    rsrp_dbm[chosen] = rng.normal(-90.0, 10.0, int(chosen.sum()))
    grid = Grid.create(0.0, 0.0, rsrp_dbm.shape, 1.0, 32633)
    smooth = SmoothMap.fit(SparseRaster.from_levels(grid, rsrp_dbm))
    padded = np.pad(rsrp_dbm, ((0, 0), (0, 3)), constant_values=np.nan)
    blocks = padded.reshape(375, 4, 6, 4).swapaxes(1, 2).reshape(375, 6, 16)
    row, col = np.nonzero(np.isfinite(blocks).any(-1))
    means_dbm = np.nanmean(blocks[row, col], axis=-1).astype(np.float32)
    direct = BlockIdw(Points(row, col, means_dbm))
    everywhere = np.nonzero(np.ones((375, 6), dtype=bool))
    np.testing.assert_allclose(smooth.idw.at(*everywhere), direct.at(*everywhere), rtol=1e-5)
