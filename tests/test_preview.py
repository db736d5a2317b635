"""Previews show points, radio map and buildings, at a bounded size, the same every time."""

import numpy as np
import pytest
from matplotlib.image import imread
from pyproj import CRS

from rm_geo.cell_products import CellMaps
from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.measurements import Measurements
from rm_geo.preview import RSRP_BREAKS_DBM, rsrp_colours, write_preview


def cell(shape=(60, 90), buildings=True, level=-95.0):
    grid = Grid.create(500_000.0, 5_000_000.0, shape, 1.0, 32633)
    rsrp = np.full(shape, level, dtype=np.float32)
    rsrp[:5] = np.nan
    probability = np.linspace(0, 1, rsrp.size, dtype=np.float32).reshape(shape)
    return CellMaps(grid, rsrp, probability if buildings else None, None)


def points(count=40):
    rng = np.random.default_rng(0)
    return Measurements(
        x=500_000.0 + 90 * rng.random(count),
        y=5_000_000.0 - 60 * rng.random(count),
        rsrp_dbm=rng.normal(-95, 8, count).astype(np.float32),
        cell=np.full(count, "7", dtype=object),
        crs=CRS.from_epsg(32633),
    )


def drawn(tmp_path, maps, name="a.png"):
    write_preview(tmp_path / name, maps, points(), "7")
    return tmp_path / name


def test_buildings_get_a_panel_of_their_own(tmp_path):
    with_them = imread(drawn(tmp_path, cell(), "a.png"))
    without = imread(drawn(tmp_path, cell(buildings=False), "b.png"))
    assert with_them.shape[1] > without.shape[1]


def test_the_same_maps_give_the_same_bytes(tmp_path):
    first, second = drawn(tmp_path, cell(), "a.png"), drawn(tmp_path, cell(), "b.png")
    assert first.read_bytes() == second.read_bytes()


def test_levels_change_the_picture(tmp_path):
    first = drawn(tmp_path, cell(level=-95.0), "a.png")
    second = drawn(tmp_path, cell(level=-75.0), "b.png")
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (3000, 3000)])
def test_the_picture_stays_of_a_size_to_look_at(tmp_path, shape):
    picture = imread(drawn(tmp_path, cell(shape)))
    assert 200 < picture.shape[0] < 1500
    assert 500 < picture.shape[1] < 2500


def test_the_ramp_runs_through_the_planners_breaks():
    ramp, norm = rsrp_colours()
    colours = {ramp(norm(level)) for level in RSRP_BREAKS_DBM}
    assert len(colours) == len(RSRP_BREAKS_DBM)
    assert ramp(norm(-150.0)) == ramp(norm(-120.0))


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path):
    with pytest.raises(OutputError):
        write_preview(tmp_path / "none" / "a.png", cell(), points(), "7")
