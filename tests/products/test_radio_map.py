"""RadioMap: layers, windows, samples, files, xarray."""

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import InputError, OutputError
from rm_geo.grid import Grid
from rm_geo.products.radio_map import RadioMap, open_radio_map
from rm_geo.sites.site import Site

GRID = Grid.create(500_000.0, 5_000_000.0, (300, 520), 2.0, 32633)


def values(seed=0, grid=GRID):
    rng = np.random.default_rng(seed)
    level = rng.normal(-90.0, 5.0, grid.shape).astype(np.float32)
    level[rng.random(grid.shape) < 0.3] = np.nan
    return level


def full_map() -> RadioMap:
    probability = np.random.default_rng(1).random(GRID.shape)
    site = Site(500_100.25, 4_999_900.5, frequency_mhz=1815.0)
    tags = {"method": "test", "cell_name": "40"}
    return RadioMap(GRID, values(), probability, values(2) ** 2 / 1e3, site=site, tags=tags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps")
    full_map().write(path / "40_rsrp.tif")
    return path


def test_a_map_cannot_be_changed():
    radio_map = full_map()
    with pytest.raises(ValueError, match="read-only"):
        radio_map.rsrp_dbm[0, 0] = 0.0
    with pytest.raises(TypeError):
        radio_map.tags["x"] = "y"
    with pytest.raises(AttributeError):
        radio_map.grid = GRID


def test_layers_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="std_db has the shape"):
        RadioMap(GRID, values(), std_db=np.zeros((2, 2)))


def test_files_give_the_same_map(folder):
    made, opened = full_map(), open_radio_map(folder / "40_rsrp.tif")
    assert opened.grid == made.grid
    assert opened.layers == made.layers == ("rsrp_dbm", "building_probability", "std_db")
    for layer in made.layers:
        np.testing.assert_array_equal(getattr(opened, layer), getattr(made, layer))
    assert opened.tags["method"] == "test"
    assert (opened.site.x, opened.site.y) == (500_100.25, 4_999_900.5)
    assert (opened.site.frequency_mhz, opened.site.cell) == (1815.0, "40")


def test_nodata_is_finite_in_the_file(folder):
    with rasterio.open(folder / "40_rsrp.tif") as dataset:
        assert dataset.nodata == -9999.0
        raw = dataset.read(1)
    assert np.isfinite(raw).all()
    assert (raw == -9999.0).sum() == np.isnan(full_map().rsrp_dbm).sum()


def test_opening_and_windows_read_only_what_is_asked_for(folder, monkeypatch):
    from rm_geo.io.raster_reader import RasterFile

    read = []
    plain = RasterFile.read

    def spy(self, rows, cols):
        read.append((self.path.name, rows, cols))
        return plain(self, rows, cols)

    monkeypatch.setattr(RasterFile, "read", spy)
    opened = open_radio_map(folder / "40_rsrp.tif")
    part = opened.window(slice(10, 20), slice(30, 35)).window(slice(2, 4), slice(1, 3))
    assert read == []
    np.testing.assert_array_equal(part.rsrp_dbm, full_map().rsrp_dbm[12:14, 31:33])
    assert read == [("40_rsrp.tif", slice(12, 14), slice(31, 33))]
    assert part.grid == GRID.window(slice(12, 14), slice(31, 33))
    bands = list(opened.bands(128))
    assert len(read) == 1
    together = np.concatenate([band.building_probability for band in bands])
    np.testing.assert_array_equal(together, full_map().building_probability)
    assert [name for name, _, _ in read[1:]] == ["40_buildings.tif"] * 3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.booleans())
def test_samples_are_the_pixels_around_the_points(folder, seed, lazy):
    rng = np.random.default_rng(seed)
    x = 500_000.0 + rng.uniform(-100.0, 1200.0, 20)
    y = 5_000_000.0 - rng.uniform(-100.0, 700.0, 20)
    source = open_radio_map(folder / "40_rsrp.tif") if lazy else full_map()
    found = source.sample(x, y, layer="building_probability")
    row, col = (np.floor(axis).astype(int) for axis in GRID.to_pixel(x, y))
    inside = (row >= 0) & (row < 300) & (col >= 0) & (col < 520)
    expected = np.full(20, np.nan, np.float32)
    expected[inside] = full_map().building_probability[row[inside], col[inside]]
    np.testing.assert_array_equal(found, expected)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no std_db"):
        RadioMap(GRID, values()).sample(0.0, 0.0, layer="std_db")


def test_windows_outside_and_bands_without_rows_are_refused():
    radio_map = RadioMap(GRID, values())
    with pytest.raises(ValueError, match="no pixel"):
        radio_map.window(slice(300, 310), slice(0, 5))
    with pytest.raises(ValueError, match="at least one row"):
        next(radio_map.bands(0))


def test_files_of_another_map_beside_it_are_not_taken_for_its_own(folder, tmp_path):
    full_map().write(tmp_path / "40_rsrp.tif")
    with pytest.raises(OutputError, match=r"40_buildings\.tif belongs to another map"):
        RadioMap(GRID, values()).write(tmp_path / "40_rsrp.tif")
    other = Grid.create(0.0, 0.0, (5, 5), 2.0, 32633)
    (tmp_path / "40_uncertainty.tif").unlink()
    RadioMap(other, np.zeros((5, 5))).write(tmp_path / "x.tif")
    (tmp_path / "x.tif").rename(tmp_path / "40_uncertainty.tif")
    with pytest.raises(InputError, match="another grid"):
        open_radio_map(tmp_path / "40_rsrp.tif")


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*7_rsrp\.tif"):
        open_radio_map(tmp_path / "7_rsrp.tif")
    (tmp_path / "7_rsrp.tif").write_bytes(b"no raster")
    with pytest.raises(InputError, match=r"7_rsrp\.tif cannot be read"):
        open_radio_map(tmp_path / "7_rsrp.tif")


class TestXarray:
    @pytest.fixture(autouse=True)
    def _needs_xarray(self):
        pytest.importorskip("xarray")

    def test_there_and_back(self):
        made = full_map()
        dataset = made.to_xarray()
        assert dataset.rsrp_dbm.dims == ("y", "x")
        assert float(dataset.x[0]) == 500_001.0
        assert float(dataset.y[0]) == 4_999_999.0
        back = RadioMap.from_xarray(dataset)
        assert back.grid == made.grid
        for layer in made.layers:
            np.testing.assert_array_equal(getattr(back, layer), getattr(made, layer))
        assert (back.site.x, back.tags["method"]) == (500_100.25, "test")

    def test_rioxarray_reads_what_is_made(self, tmp_path):
        pytest.importorskip("rioxarray")
        dataset = full_map().to_xarray()
        assert dataset.rio.crs.to_epsg() == 32633
        assert dataset.rio.transform() == GRID.transform
        dataset.rsrp_dbm.rio.to_raster(tmp_path / "by_rio.tif")
        opened = open_radio_map(tmp_path / "by_rio.tif")
        assert opened.grid == GRID
        np.testing.assert_array_equal(opened.rsrp_dbm, full_map().rsrp_dbm)

    @pytest.mark.parametrize("masked", [True, False])
    def test_what_rioxarray_opens_is_taken(self, folder, masked):
        rioxarray = pytest.importorskip("rioxarray")
        with rioxarray.open_rasterio(folder / "40_rsrp.tif", masked=masked) as array:
            taken = RadioMap.from_xarray(array.load())
        assert taken.grid == GRID
        np.testing.assert_array_equal(taken.rsrp_dbm, full_map().rsrp_dbm)

    def test_datasets_without_levels_or_place_are_refused(self):
        import xarray

        with pytest.raises(InputError, match="no variable rsrp_dbm"):
            RadioMap.from_xarray(full_map().to_xarray().drop_vars("rsrp_dbm"))
        bare = xarray.Dataset({"rsrp_dbm": (("y", "x"), np.zeros((2, 2)))})
        with pytest.raises(InputError, match="no georeferencing"):
            RadioMap.from_xarray(bare)

    def test_without_xarray_the_extra_is_named(self, monkeypatch):
        import sys

        from rm_geo.errors import DependencyError

        monkeypatch.setitem(sys.modules, "xarray", None)
        with pytest.raises(DependencyError, match=r"rm-geo\[xarray\]"):
            full_map().to_xarray()
