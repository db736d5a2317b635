"""Evaluation of super-resolution of rasters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

from rm_geo.errors import CancelledError, ModelError
from rm_geo.evaluation.superres import coarse_raster, resample, score_superres, superres_methods
from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.progress import SilentProgress
from tests.support.scenes import free_space_set


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_block_is_the_mean_of_its_outdoor_pixels(half, seed):
    rng = np.random.default_rng(seed)
    scale = 2 * half
    level = rng.normal(-90, 9, (3 * scale, 2 * scale)).astype(np.float32)
    outdoor = rng.random(level.shape) < 0.6
    coarse = coarse_raster(level, outdoor, scale)
    for row, col in np.ndindex(3, 2):
        cell = np.s_[row * scale : (row + 1) * scale, col * scale : (col + 1) * scale]
        inside = level[cell][outdoor[cell]]
        if 2 * inside.size < scale**2:
            assert np.isnan(coarse[row, col])
        else:
            assert coarse[row, col] == pytest.approx(inside.mean(), abs=1e-3)


@pytest.mark.parametrize("how", [Resampling.nearest, Resampling.bilinear])
def test_resampling_keeps_a_plane_and_nodata(tmp_path, how):
    rows, cols = np.mgrid[:8, :8].astype(np.float32) + 0.5
    coarse = -100.0 + rows + 2.0 * cols
    coarse[0, 0] = np.nan
    write_raster(tmp_path / "c.tif", coarse, Grid.create(0.0, 32.0, (8, 8), 4.0, 32633))
    resample(tmp_path / "c.tif", tmp_path / "f.tif", 4, how=how)
    fine = read_raster(tmp_path / "f.tif")
    assert fine.grid == Grid.create(0.0, 32.0, (32, 32), 1.0, 32633)
    assert np.isnan(fine.values[:4, :4]).all()
    away = np.s_[12:20, 12:20]
    expected = -100.0 + (np.mgrid[:32, :32] + 0.5)[0] / 4 + (np.mgrid[:32, :32] + 0.5)[1] / 2
    tolerance = 1e-3 if how is Resampling.bilinear else 1.2
    assert np.abs(fine.values - expected)[away].max() < tolerance


def test_true_map_has_no_error():
    data = free_space_set(scenes=2)
    truths = iter([unit for k in range(2) for unit in _truths(data, k)])

    def cheat(coarse, fine, scale):
        raster = read_raster(coarse)
        write_raster(fine, next(truths), raster.grid.scaled(scale))

    (row,) = score_superres(data, {"cheat": cheat}, transmitters=2)
    assert (row.maps, row.rmse_db, row.near_walls_db, row.maximum_db) == (4, 0.0, 0.0, 0.0)


def _truths(data, index):
    from rm_geo.evaluation.cases import unit_scene
    from rm_geo.units import unit_to_gain

    return unit_to_gain(unit_scene(data.scene(index), np.arange(2)).truth_unit)


def test_all_methods_are_evaluated_on_the_same_pixels():
    lines = superres_methods("superres-4x-s", "cpu")
    rows = score_superres(free_space_set(scenes=1), lines)
    assert [row.method for row in rows] == list(lines)
    by_name = {row.method: row for row in rows}
    assert by_name["gdalwarp, bilinear"].rmse_db < by_name["gdalwarp, nearest"].rmse_db
    assert all(0.0 < row.rmse_db < 10.0 and row.maximum_db > row.rmse_db for row in rows)


def test_evaluation_can_be_cancelled():
    class Stop(SilentProgress):
        def check(self):
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        score_superres(free_space_set(scenes=1), superres_methods(), progress=Stop())


def test_a_model_of_another_scale_is_rejected_before_any_work():
    with pytest.raises(ModelError, match="refines 4x, not 8x"):
        superres_methods("superres-4x-s", "cpu", (4, 8))
