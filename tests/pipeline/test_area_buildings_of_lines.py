"""Building map of an area from the lines of cells with known sites, in a run."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch

from rm_geo import PredictOptions, predict
from rm_geo.buildings.threshold import expected_f1_threshold
from rm_geo.grid import Grid, Tile
from rm_geo.io.raster_reader import read_raster
from rm_geo.networks import build
from rm_geo.pipeline.area_buildings import LARGEST_DENSITY, RAY_QUALITY, AreaCell, sampling_density
from rm_geo.products.area_buildings import EXPECTED_QUALITY
from rm_geo.raster.sparse import SparseRaster
from rm_geo.zoo.weights import save_model, write_index
from tests.support.measurements import CORNER, drive, together
from tests.support.models import save_tiny_model

TINY = {"widths": [8, 8], "depths": [1, 1]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of a tiny network for single cells and one for many cells."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "single", 0)
    torch.manual_seed(0)
    network = build("ray-buildings", TINY)
    for parameter in network.parameters():  # heads start at zero, which would prove nothing
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(folder / "lines", network, "ray-buildings", TINY)
    return folder


@pytest.fixture
def run(models, tmp_path, monkeypatch):
    """Map two cells, with or without a site table and a network for many cells."""
    monkeypatch.setenv("RM_GEO_MODELS", str(models))
    monkeypatch.setattr("rm_geo.pipeline.area_buildings.LEAST_CELLS", 2)
    log = together(street("7"), street("8"))
    table = tmp_path / "sites.csv"

    def mapped(*, sites, lines=True, log=log, height_m=25, **options):
        default = {"radiocycle": "single", **({"ray-buildings": "lines"} if lines else {})}
        write_index(models, default)
        rows = [f"{cell},{CORNER[0] + 10},{CORNER[1] + 10},{height_m}" for cell in sites]
        table.write_text("\n".join(["cell,x,y,height_m", *rows]) + "\n")
        chosen = PredictOptions(
            sites=table if sites else None,
            sites_crs="EPSG:32633" if sites else None,
            assimilate=False,
            preview=False,
            tile_size_px=128,
            **options,
        )
        predict(log, tmp_path / "out", chosen)
        return read_raster(tmp_path / "out" / "buildings.tif")

    return mapped


def street(cell):
    """Measure a cell along a street; drives over whole squares are no case for lines."""
    points = drive(cell=cell)
    return replace(points, y=np.full(len(points), points.y.mean()))


def test_two_known_sites_give_a_map_of_the_lines(run):
    raster = run(sites=["7", "8"])
    tags = raster.tags
    assert (tags["expected_quality"], tags["area_sites"]) == (RAY_QUALITY, "2")
    assert 0.0 < float(tags["area_density"]) <= LARGEST_DENSITY
    assert (tags["area_model"], tags["area_model_kind"]) == ("lines", "ray-buildings")
    known = np.isfinite(raster.values)
    assert known.any()
    assert ((raster.values[known] >= 0.0) & (raster.values[known] <= 1.0)).all()
    assert np.ptp(raster.values[known]) > 0.0


@pytest.mark.parametrize("sites", [["7", "8"], []], ids=["lines", "fused"])
def test_the_map_has_a_mask_that_goes_with_it(run, tmp_path, sites):
    probability = run(sites=sites, mask=True).values
    mask = tmp_path / "out" / "buildings_mask.tif"
    with rasterio.open(mask) as raster:
        threshold, values = float(raster.tags()["mask_threshold"]), raster.read(1)
        assert raster.tags()["quantity"] == "building mask"
    known = np.isfinite(probability)
    assert threshold == pytest.approx(expected_f1_threshold(probability), rel=1e-5)
    np.testing.assert_array_equal(values[known], probability[known] > threshold)
    run(sites=sites)
    assert not mask.exists()


@pytest.mark.parametrize(
    ("sites", "options"),
    [
        ([], {}),
        (["7"], {}),
        (["7", "8"], {"lines": False}),
        (["7", "8"], {"resolution_m": 4.0}),
    ],
    ids=["unknown", "one site", "no model", "larger pixels"],
)
def test_otherwise_the_maps_of_the_cells_are_fused(run, sites, options):
    tags = run(sites=sites, **options).tags
    assert tags["expected_quality"] == EXPECTED_QUALITY
    assert "area_sites" not in tags


def test_dense_samples_are_fused_even_if_the_sites_are_known(run):
    dense = together(drive(400, cell="7"), drive(400, cell="8", seed=1))
    assert run(sites=["7", "8"], log=dense).tags["expected_quality"] == EXPECTED_QUALITY


def test_density_is_that_of_the_surroundings_of_measurements():
    grid = Grid.create(0.0, 800.0, (800, 800), 1.0, 32633)

    def density(rows, cols):
        level = np.full((800, 800), np.nan)
        level[rows, cols] = -80.0
        return sampling_density(SparseRaster.from_levels(grid, level))

    corner = density(slice(0, 160, 8), slice(0, 160, 8))
    assert 0.7 < corner < density(slice(0, 800, 8), slice(0, 800, 8)) < 1.0
    assert density(4, slice(None)) == pytest.approx(density(400, slice(0, 100)), abs=0.03)
    assert density(slice(0, 0), slice(0, 0)) == 0.0


@pytest.mark.parametrize(("height_m", "of_lines"), [(5, True), (25, False)])
def test_fewer_sites_suffice_below_the_roofs(run, monkeypatch, height_m, of_lines):
    monkeypatch.setattr("rm_geo.pipeline.area_buildings.LEAST_CELLS", 3)
    monkeypatch.setattr("rm_geo.pipeline.area_buildings.LEAST_LOW_CELLS", 2)
    tags = run(sites=["7", "8"], height_m=height_m).tags
    assert ("area_sites" in tags) == of_lines


def test_a_cell_is_cut_at_its_place_in_the_area():
    grid = Grid.create(0.0, 100.0, (40, 50), 1.0, 32633)
    level = np.full((40, 50), np.nan)
    level[5, 7], level[30, 40] = -80.0, -90.0
    cell = AreaCell(SparseRaster.from_levels(grid, level), (10, 20), (12.5, 300.5), -40.0, 3.0)
    samples = cell.on_tile(Tile(8, 16, 16))
    assert (samples.rows.tolist(), samples.cols.tolist()) == ([7], [11])
    assert samples.level_dbm.tolist() == [-80.0]
    assert samples.site_rc == (4.5, 284.5)
