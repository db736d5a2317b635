"""Mask of a building map."""

import numpy as np
import pytest
import rasterio

from rm_geo import Grid
from rm_geo.buildings.threshold import (
    CALIBRATION_TAG,
    Calibration,
    expected_f1_threshold,
)
from rm_geo.io.cog import write_raster
from rm_geo.products import building_mask
from rm_geo.products.building_mask import MASK_NODATA, write_building_mask


@pytest.fixture
def source(tmp_path):
    """Raster of low probabilities, as sparse drives give them, with a row without data."""
    values = np.random.default_rng(0).beta(1.0, 8.0, (600, 40)).astype(np.float32)
    values[300] = np.nan
    path = tmp_path / "probability.tif"
    write_raster(path, values, Grid.create(500_000.0, 5_000_000.0, values.shape, 1.0, 32633))
    return path, values


def read(path):
    with rasterio.open(path) as mask:
        assert (mask.dtypes, mask.nodata) == (("uint8",), MASK_NODATA)
        return mask.read(1), mask.tags()


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_a_mask_is_one_above_its_threshold_in_any_number_of_bands(
    source, tmp_path, monkeypatch, threshold
):
    path, values = source
    monkeypatch.setattr(building_mask, "_BAND_BYTES", 1)  # bands of one block of the file
    chosen = write_building_mask(path, tmp_path / "mask.tif", threshold, tags={"cell": "7"})
    assert chosen == (expected_f1_threshold(values) if threshold is None else threshold)
    mask, tags = read(tmp_path / "mask.tif")
    known = np.isfinite(values)
    np.testing.assert_array_equal(mask[known], values[known] > chosen)
    assert (mask[~known] == MASK_NODATA).all()
    assert float(tags["mask_threshold"]) == pytest.approx(chosen, rel=1e-5)
    assert tags["mask_threshold_from"] == ("expected F1" if threshold is None else "option")
    assert tags["cell"] == "7"


def test_a_cancelled_mask_leaves_no_file(source, tmp_path):
    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_building_mask(source[0], tmp_path / "mask.tif", 0.5, check=check)
    assert not (tmp_path / "mask.tif").exists()


def test_the_calibration_in_the_tags_counts(source, tmp_path):
    _, values = source
    grid = Grid.create(500_000.0, 5_000_000.0, values.shape, 1.0, 32633)
    calibration = Calibration(-1.0, 1.0)
    path = tmp_path / "tagged.tif"
    write_raster(path, values, grid, tags={CALIBRATION_TAG: str(calibration)})
    chosen = write_building_mask(path, tmp_path / "mask.tif")
    assert chosen == expected_f1_threshold(values, calibration)
    assert chosen != expected_f1_threshold(values)
