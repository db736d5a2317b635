"""Outlines of buildings become a mask on the grid, whatever they come as."""

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import Point, box

from rm_geo.buildings.mask import building_mask
from rm_geo.buildings.reader import read_buildings
from rm_geo.errors import CrsError, InputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster

GRID = Grid.create(500_000.0, 5_400_000.0, (40, 60), 1.0, 32633)
BLOCK = box(500_010.0, 5_399_970.0, 500_030.0, 5_399_980.0)  # rows 20-29, columns 10-29
EXPECTED = np.zeros(GRID.shape, bool)
EXPECTED[20:30, 10:30] = True


@pytest.mark.parametrize("crs", [32633, 4326])
@pytest.mark.parametrize("name", ["b.gpkg", "b.geojson", "b.shp"])
def test_polygons_fill_pixels_by_centre(tmp_path, name, crs):
    frame = geopandas.GeoDataFrame(geometry=[BLOCK], crs=32633).to_crs(crs)
    frame.to_file(tmp_path / name)
    mask = building_mask(tmp_path / name, GRID)
    # GeoJSON is longitude and latitude, rounded to a decimetre.
    assert (mask != EXPECTED).sum() <= (0 if crs == 32633 and name != "b.geojson" else 2)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_rasters_are_resampled_to_the_grid(tmp_path, dtype):
    wider = Grid.create(499_990.0, 5_400_020.0, (40, 60), 2.0, 32633)
    built = np.zeros(wider.shape, dtype)
    built[20:25, 10:20] = 1
    write_raster(
        tmp_path / "b.tif",
        built * (0.7 if dtype == "float32" else 1),
        wider,
        dtype=dtype,
        nodata=-9999.0 if dtype == "float32" else None,
    )
    np.testing.assert_array_equal(building_mask(tmp_path / "b.tif", GRID), EXPECTED)


def test_low_probabilities_and_nodata_are_not_buildings(tmp_path):
    values = np.full(GRID.shape, 0.4, np.float32)
    values[:10] = np.nan
    values[EXPECTED] = 0.6
    write_raster(tmp_path / "b.tif", values, GRID)
    np.testing.assert_array_equal(building_mask(tmp_path / "b.tif", GRID), EXPECTED)


def test_files_without_buildings_here_are_refused(tmp_path):
    geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=32633).to_file(tmp_path / "far.gpkg")
    points = geopandas.GeoDataFrame(geometry=[Point(500_010, 5_399_980)], crs=32633)
    points.to_file(tmp_path / "point.gpkg")
    (tmp_path / "text.gpkg").write_text("no layer")
    for name, match in (
        ("far.gpkg", "no building where the map is"),
        ("point.gpkg", "no polygons"),
        ("text.gpkg", "cannot be read"),
        ("none.gpkg", "no file"),
    ):
        with pytest.raises(InputError, match=match):
            building_mask(tmp_path / name, GRID)


def test_outlines_without_a_crs_are_refused(tmp_path):
    geopandas.GeoDataFrame(geometry=[BLOCK]).to_file(tmp_path / "b.gpkg")
    with pytest.raises(CrsError) as refusal:
        building_mask(tmp_path / "b.gpkg", GRID)
    assert "`crs`" not in refusal.value.hint  # that is the measurements'


def test_invalid_building_rasters_are_refused(tmp_path):
    write_raster(tmp_path / "rsrp.tif", np.full(GRID.shape, -90.0, np.float32), GRID)
    with pytest.raises(InputError, match="no raster of buildings: it has values of -90"):
        building_mask(tmp_path / "rsrp.tif", GRID)
    profile = {
        "width": 60,
        "height": 40,
        "count": 2,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": GRID.transform,
    }
    with rasterio.open(tmp_path / "two.tif", "w", **profile) as dataset:
        dataset.write(np.ones((2, 40, 60), np.uint8))
    with pytest.raises(InputError, match="2 bands"):
        building_mask(tmp_path / "two.tif", GRID)


def test_layer_must_be_chosen_among_several(tmp_path):
    file = tmp_path / "b.gpkg"
    for name, shape in (("houses", BLOCK), ("parks", box(500_000, 5_399_990, 500_005, 5_399_999))):
        geopandas.GeoDataFrame(geometry=[shape], crs=32633).to_file(file, layer=name)
    np.testing.assert_array_equal(building_mask(file, GRID, layer="houses"), EXPECTED)
    with pytest.raises(InputError, match="2 layers: houses, parks"):
        building_mask(file, GRID)
    with pytest.raises(InputError, match="no layer 'house'") as refusal:
        building_mask(file, GRID, layer="house")
    assert "houses, parks" in refusal.value.hint


def test_reading_gml_leaves_nothing_beside_it(tmp_path) -> None:
    houses = geopandas.GeoDataFrame(geometry=[box(0.0, 0.0, 9.0, 9.0)], crs=32633)
    houses.to_file(tmp_path / "houses.gml", driver="GML")
    for extra in set(tmp_path.iterdir()) - {tmp_path / "houses.gml"}:
        extra.unlink()
    read_buildings(tmp_path / "houses.gml")
    assert [path.name for path in tmp_path.iterdir()] == ["houses.gml"]
