"""Sites among buildings: levels fall with distance, and buildings are left empty."""

import geopandas
import numpy as np
import pytest
from click.testing import CliRunner
from shapely.geometry import Point, box

from rm_geo.buildings.reader import read_buildings
from rm_geo.cli.group import rm_geo
from rm_geo.errors import CrsError, InputError, UsageError
from rm_geo.io.cog import read_raster
from rm_geo.sites.site import Site, free_space_loss_1m_db
from rm_geo.workflows.simulate import simulate

pytest.importorskip("numba")

WEST, SOUTH = 500_000.0, 5_400_000.0


@pytest.fixture
def buildings(tmp_path):
    frame = geopandas.GeoDataFrame(
        {"height": [12.0, np.nan]},
        geometry=[
            box(WEST, SOUTH, WEST + 20, SOUTH + 20),
            box(WEST + 60, SOUTH + 60, WEST + 80, SOUTH + 90),
        ],
        crs="EPSG:32633",
    )
    path = tmp_path / "buildings.gpkg"
    frame.to_file(path)
    return path


@pytest.fixture
def site():
    return Site(
        x=WEST + 40.5, y=SOUTH + 40.5, height_m=5.0, eirp_dbm=20.0, frequency_mhz=2600.0, cell="7"
    )


def test_heights_come_from_the_layer_or_the_default(buildings):
    read = read_buildings(buildings, default_height_m=9.0)
    assert read.heights_m.tolist() == [12.0, 9.0]
    assert read.bounds == (WEST, SOUTH, WEST + 80, SOUTH + 90)


def test_degrees_are_converted_to_metres(tmp_path, buildings):
    path = tmp_path / "degrees.geojson"
    geopandas.read_file(buildings).to_crs(4326).to_file(path)
    read = read_buildings(path)
    assert read.crs.to_epsg() == 32633
    np.testing.assert_allclose(read.bounds, (WEST, SOUTH, WEST + 80, SOUTH + 90), atol=0.01)


def test_line_of_sight_is_free_space_and_buildings_are_empty(tmp_path, buildings, site):
    (made,) = simulate(read_buildings(buildings), [site], tmp_path / "out", margin_m=10.0)
    assert made.path.name == "7_rsrp.tif"
    raster = read_raster(made.path)
    row, col = (int(value) for value in raster.grid.to_pixel(WEST + 50.5, SOUTH + 40.5))
    expected = 20.0 - free_space_loss_1m_db(2600.0) - 20.0 * np.log10(np.hypot(10.0, 3.5))
    assert raster.values[row, col] == pytest.approx(expected, abs=0.3)
    row, col = (int(value) for value in raster.grid.to_pixel(WEST + 10.5, SOUTH + 10.5))
    assert np.isnan(raster.values[row, col])


def test_gain_is_written_without_an_eirp(tmp_path, buildings, site):
    from dataclasses import replace

    (made,) = simulate(read_buildings(buildings), [replace(site, eirp_dbm=None)], tmp_path)
    assert made.path.name == "7_gain.tif"
    assert np.nanmax(read_raster(made.path).values) < 0.0


def test_sites_with_the_same_name_get_different_files(tmp_path, buildings, site):
    made = simulate(read_buildings(buildings), [site, site], tmp_path / "out")
    assert len({one.path for one in made}) == 2


def test_simulate_command_equals_the_function(tmp_path, buildings):
    sites = tmp_path / "sites.gpkg"
    frame = geopandas.GeoDataFrame(
        {"pci": ["7"], "height_m": [5.0]},
        geometry=[Point(WEST + 40.5, SOUTH + 40.5)],
        crs="EPSG:32633",
    )
    frame.to_file(sites)
    result = CliRunner().invoke(
        rm_geo,
        [
            "simulate",
            str(buildings),
            "--sites",
            str(sites),
            "-o",
            str(tmp_path / "out"),
            "--eirp",
            "20",
            "--building-height",
            "9",
        ],
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "7_rsrp.tif").exists()


def test_declared_crs_of_buildings_is_used(tmp_path, buildings):
    assert read_buildings(buildings, crs="EPSG:32632").crs.to_epsg() == 32633
    geopandas.read_file(buildings).set_crs(None, allow_override=True).to_file(tmp_path / "b.shp")
    assert read_buildings(tmp_path / "b.shp", crs="EPSG:32632").crs.to_epsg() == 32632


def test_layers_without_polygons_are_refused(tmp_path, buildings):
    with pytest.raises(InputError, match=r"gone\.gpkg"):
        read_buildings(tmp_path / "gone.gpkg")
    points = geopandas.GeoDataFrame(geometry=[Point(0, 0)], crs="EPSG:32633")
    points.to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="polygons"):
        read_buildings(tmp_path / "points.gpkg")
    geopandas.read_file(buildings).set_crs(None, allow_override=True).to_file(tmp_path / "b.shp")
    with pytest.raises(CrsError, match=r"b\.shp"):
        read_buildings(tmp_path / "b.shp")
    with pytest.raises(UsageError, match="storeys"):
        read_buildings(buildings, height_column="storeys")
