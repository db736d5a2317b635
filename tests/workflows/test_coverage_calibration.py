"""The probability of coverage against the truth of a simulated drive test."""

import numpy as np
import pytest
import rasterio

from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster
from rm_geo.options import PredictOptions
from rm_geo.planning.map_set import open_radio_map_set
from rm_geo.planning.settings import PlanSettings
from rm_geo.workflows.demo import run_demo
from rm_geo.workflows.plan import derive_products

pytest.importorskip("numba")

THRESHOLDS_DBM = (-110.0, -105.0, -100.0, -95.0, -90.0, -85.0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    options = PredictOptions(uncertainty=True, preview=False, reach_m=60.0)
    run_demo(folder, options, size_px=256, seed=3)
    return folder


def placed(values: np.ndarray, grid: Grid, target: Grid) -> np.ndarray:
    """Values of a raster on another grid with the same pixels; NaN outside."""
    row, col = (round(float(v)) for v in target.to_pixel(grid.bounds[0], grid.bounds[3]))
    whole = np.full(target.shape, np.nan, np.float32)
    height, width = target.shape
    rows = slice(max(row, 0), min(row + values.shape[0], height))
    cols = slice(max(col, 0), min(col + values.shape[1], width))
    whole[rows, cols] = values[
        rows.start - row : rows.stop - row, cols.start - col : cols.stop - col
    ]
    return whole


def test_of_places_with_80_to_90_percent_about_85_are_covered(demo):
    maps = open_radio_map_set(demo / "maps")
    truth = [read_raster(path) for path in sorted((demo / "truth").glob("*_rsrp.tif"))]
    best = np.fmax.reduce([placed(one.values, one.grid, maps.grid) for one in truth])
    places = covered = 0
    for threshold in THRESHOLDS_DBM:
        settings = PlanSettings(coverage={"threshold_dbm": threshold})
        made = derive_products(maps, ["probability"], settings)
        probability = made.rasters["probability.tif"].values
        here = np.isfinite(best) & (probability >= 0.8) & (probability < 0.9)
        places += here.sum()
        covered += (best[here] >= threshold).sum()
    assert places > 5000
    assert 0.78 < covered / places < 0.92


def test_the_plan_of_the_demo_has_the_probability(demo):
    with rasterio.open(demo / "plan" / "probability.tif") as dataset:
        values = dataset.read(1, masked=True)
    assert 0.0 <= values.min() < 0.2
    assert 0.95 < values.max() <= 1.0
