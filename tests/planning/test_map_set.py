"""Sets of radio maps: one grid, no shift, bands of bounded memory, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.planning.map_set import CellMap, RadioMapSet, open_radio_map_set
from rm_geo.products.radio_map import RadioMap
from rm_geo.sites.site import Site

WEST, NORTH = 500_000.0, 5_000_000.0


def grid_at(col=0, row=0, shape=(40, 60), spacing=2.0, crs=32633):
    return Grid.create(WEST + col * spacing, NORTH - row * spacing, shape, spacing, crs)


def level(grid, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(-90.0, 8.0, grid.shape).astype(np.float32)
    values[rng.random(grid.shape) < 0.2] = np.nan
    return values


def plane(grid):
    """A level that is linear in the coordinates, which bilinear resampling keeps exactly."""
    rows, cols = np.indices(grid.shape) + 0.5
    x, y = grid.to_world(rows, cols)
    return (-90.0 + (x - WEST) / 100.0 + (y - NORTH) / 50.0).astype(np.float32)


def assembled(map_set, **options):
    """All bands put together, shape (cells, H, W)."""
    whole = np.full((len(map_set.cells), *map_set.grid.shape), np.nan, np.float32)
    seen = np.zeros(map_set.grid.shape, bool)
    for band in map_set.bands(**options):
        assert band.rsrp_dbm.shape == (len(band.cells), *band.shape)
        assert not seen[band.rows, band.cols].any()
        seen[band.rows, band.cols] = True
        whole[band.cells, band.rows, band.cols] = band.rsrp_dbm
    return whole


def test_maps_of_one_grid_family_are_placed_without_resampling():
    grids = {"a": grid_at(), "b": grid_at(col=-7, row=11), "c": grid_at(col=200, row=150)}
    maps = {name: RadioMap(grid, level(grid, i)) for i, (name, grid) in enumerate(grids.items())}
    made = RadioMapSet.of(maps)
    assert made.notes == ()
    assert made.grid.bounds == (WEST - 14, NORTH - 380, WEST + 520, NORTH)
    whole = assembled(made)
    for place, (name, grid) in enumerate(grids.items()):
        row, col = (round(float(v)) for v in made.grid.to_pixel(grid.bounds[0], grid.bounds[3]))
        part = whole[place, row : row + grid.shape[0], col : col + grid.shape[1]]
        np.testing.assert_array_equal(part, maps[name].rsrp_dbm)
        assert np.isfinite(whole[place]).sum() == np.isfinite(maps[name].rsrp_dbm).sum()


@settings(max_examples=25, deadline=None)
@given(
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    spacing=st.sampled_from([1.0, 2.0, 3.0, 5.0]),
)
def test_a_resampled_map_is_never_shifted(shift, spacing):
    base = grid_at(shape=(60, 60))
    other = Grid.create(WEST + shift[0] + 10, NORTH + shift[1] - 10, (40, 40), spacing, 32633)
    maps = [RadioMap(base, plane(base)), RadioMap(base, plane(base)), RadioMap(other, plane(other))]
    made = RadioMapSet.of(dict(zip("abc", maps, strict=True)))
    assert made.grid.spacing_m == 2.0
    found = assembled(made)[2]
    rows, cols = np.indices(made.grid.shape) + 0.5
    x, y = made.grid.to_world(rows, cols)
    inner = (  # within the edge, where the values are not extrapolated
        (x > other.bounds[0] + 2 * spacing)
        & (x < other.bounds[2] - 2 * spacing)
        & (y > other.bounds[1] + 2 * spacing)
        & (y < other.bounds[3] - 2 * spacing)
    )
    np.testing.assert_allclose(found[inner], plane(made.grid)[inner], atol=0.003)


def test_a_map_in_another_crs_is_resampled_to_its_place():
    base = grid_at(shape=(100, 100))
    change = Transformer.from_crs(32633, 32632, always_xy=True)
    x, y = change.transform(WEST + 100, NORTH - 100)
    other = Grid.create(round(x) - 60, round(y) + 60, (60, 60), 2.0, 32632)
    rows, cols = np.indices(other.shape) + 0.5
    back = Transformer.from_crs(32632, 32633, always_xy=True)
    east, north = back.transform(*other.to_world(rows, cols))
    there = (-90.0 + (east - WEST) / 100.0 + (north - NORTH) / 50.0).astype(np.float32)
    made = RadioMapSet.of(
        {
            "a": RadioMap(base, plane(base)),
            "b": RadioMap(base, plane(base)),
            "c": RadioMap(other, there),
        }
    )
    assert "resampled" in made.notes[0]
    found = assembled(made)[2]
    known = np.isfinite(found)
    assert 2000 < known.sum() < 5000
    inner = known & (np.abs(found - plane(made.grid)) < 0.02)
    assert inner.sum() > 0.95 * known.sum()  # the rest lies at the edge
    np.testing.assert_array_equal(found, assembled(made, max_bytes=1)[2])


@pytest.mark.parametrize("max_bytes", [1, 200_000, 1_000_000, 10**9])
def test_bands_of_any_size_hold_the_same_values(max_bytes):
    grid = grid_at(shape=(300, 700))
    maps = {f"c{i}": RadioMap(grid, level(grid, i)) for i in range(5)}
    made = RadioMapSet.of(maps)
    np.testing.assert_array_equal(
        assembled(made, max_bytes=max_bytes), [maps[name].rsrp_dbm for name in maps]
    )
    sizes = [band.rsrp_dbm.nbytes for band in made.bands(max_bytes)]
    assert max(sizes) <= max(max_bytes, 5 * 16 * 256 * 4)


def test_the_memory_of_a_band_does_not_grow_with_the_number_of_cells():
    grid = grid_at(shape=(64, 512))
    values = np.full(grid.shape, -90.0, np.float32)
    made = RadioMapSet.of({f"c{i:04}": RadioMap(grid, values) for i in range(1000)})
    sizes = [band.rsrp_dbm.nbytes for band in made.bands(20_000_000)]
    assert max(sizes) <= 20_000_000
    assert sum(sizes) == 1000 * values.nbytes


def test_layers_are_those_of_the_cells_that_have_them():
    grid = grid_at()
    made = RadioMapSet.of(
        {
            "a": RadioMap(grid, level(grid), std_db=np.full(grid.shape, 4.0)),
            "b": RadioMap(grid, level(grid)),
        }
    )
    (band,) = made.bands()
    assert band.reported is None
    assert (band.std_db[0] == 4.0).all()
    assert np.isnan(band.std_db[1]).all()
    (bare,) = made.bands(layers=())
    assert bare.std_db is None


def write(folder, name, seed=0, **layers):
    grid = grid_at()
    RadioMap(grid, level(grid, seed), **layers).write(folder / name)


def test_a_run_of_predict_is_read_with_its_layers_and_without_products(tmp_path):
    reported = np.full((40, 60), 0.5)
    write(tmp_path, "154_earfcn1300_rsrp.tif", reported_probability=reported)
    write(tmp_path, "7_rsrp.tif", 1)
    grid = grid_at()
    tags = {"planning_product": "composite"}
    write_raster(tmp_path / "composite_rsrp.tif", level(grid), grid, tags=tags, unit="dBm")
    write_raster(tmp_path / "dominance.tif", level(grid), grid, tags=tags, unit="dB")
    made = open_radio_map_set(tmp_path)
    assert [cell.name for cell in made.cells] == ["154_earfcn1300", "7"]
    first, second = made.cells
    assert (first.pci, first.channel, first.carrier) == (154, 1300, "1815.0 MHz")
    assert (second.pci, second.channel, second.carrier) == (7, None, None)
    (band,) = made.bands()
    assert np.nanmax(band.reported[0]) == 0.5
    assert np.isnan(band.reported[1]).all()


def test_rasters_of_other_tools_are_cells_by_their_names(tmp_path):
    grid = grid_at()
    for name in ("north", "south"):
        write_raster(tmp_path / f"{name}.tif", level(grid), grid)
    assert [cell.name for cell in open_radio_map_set(tmp_path).cells] == ["north", "south"]


def test_tags_say_more_than_names():
    grid = grid_at()
    tags = {"pci": "33", "channel": "6300", "technology": "LTE", "frequency_mhz": "2000"}
    cell = CellMap.of("1", RadioMap(grid, level(grid), tags=tags))
    assert (cell.pci, cell.channel, cell.frequency_mhz) == (33, 6300, 806.0)
    assumed = {"frequency_mhz": "2000", "frequency": "assumed"}
    assert CellMap.of("1", RadioMap(grid, level(grid), tags=assumed)).carrier is None


def test_a_site_table_gives_the_sites(tmp_path):
    write(tmp_path, "154_earfcn1300_rsrp.tif")
    write(tmp_path, "7_rsrp.tif", 1)
    (tmp_path / "sites.csv").write_text(
        "cell,longitude,latitude,height_m,frequency_mhz\n154,15.0,45.15,30,1815\n154,15.0,45.15,20,800\n"
    )
    made = open_radio_map_set(tmp_path, sites=tmp_path / "sites.csv")
    assert made.cells[0].site.height_m == 30.0
    assert made.cells[1].site is None
    assert "does not name 1 of 2" in made.notes[-1]
    given = open_radio_map_set(tmp_path, sites=[Site(WEST, NORTH, cell="007")])
    assert given.cells[1].site.x == WEST


@pytest.mark.parametrize("unit", ["dB", "mW", "W"])
def test_other_units_are_refused(tmp_path, unit):
    grid = grid_at()
    write_raster(tmp_path / "a.tif", level(grid), grid, unit=unit)
    with pytest.raises(InputError, match=rf"a\.tif is in {unit}, not in dBm"):
        open_radio_map_set(tmp_path)


@pytest.mark.parametrize("values", [120.0, 1e-9, 3.0])
def test_path_loss_power_and_classes_without_a_unit_are_refused(tmp_path, values):
    grid = grid_at()
    write_raster(tmp_path / "a.tif", np.full(grid.shape, values, np.float32), grid)
    with pytest.raises(InputError, match="no RSRP in dBm"):
        open_radio_map_set(tmp_path)


def test_a_cell_with_two_maps_is_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "7_rsrp.tif")
    with pytest.raises(InputError, match=r"cell 7 has two maps: .*one.* and .*two"):
        open_radio_map_set([tmp_path / "one", tmp_path / "two"])
    same = open_radio_map_set([tmp_path / "one", tmp_path / "one" / "7_rsrp.tif"])
    assert len(same.cells) == 1


def test_maps_of_places_far_apart_are_refused():
    near = Grid.create(WEST, NORTH, (200, 200), 1.0, 32633)
    far = Grid.create(WEST + 100_000, NORTH - 100_000, (200, 200), 1.0, 32633)
    with pytest.raises(InputError, match="far apart"):
        RadioMapSet.of({"a": RadioMap(near, level(near)), "b": RadioMap(far, level(far))})


def test_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no radio map"):
        RadioMapSet.of({})
    with pytest.raises(InputError, match="no radio map in"):
        open_radio_map_set(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_radio_map_set(tmp_path / "none")


def test_mixed_quantities_are_noted():
    grid = grid_at()
    one = CellMap.of("a", RadioMap(grid, level(grid)))
    other = CellMap.of("b", RadioMap(grid, level(grid)), quantity="RSCP")
    assert "RSCP" in RadioMapSet.of([one, other]).notes[0]
    assert math.isclose(RadioMapSet.of([one, other]).grid.spacing_m, 2.0)


def test_rendered_colours_are_refused(tmp_path):
    grid = grid_at()
    numbers = np.ones(grid.shape, np.uint8)
    colours = {1: (255, 0, 0)}
    write_raster(tmp_path / "a.tif", numbers, grid, nodata=0, colormap=colours)
    with pytest.raises(InputError, match="no RSRP in dBm"):
        open_radio_map_set(tmp_path)
    with pytest.raises(InputError, match="colour numbers"):
        open_radio_map_set(tmp_path / "a.tif")
