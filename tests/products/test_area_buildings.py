"""The building map of an area: the mean of the log odds of its cells' maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rm_geo import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import open_raster, read_raster
from rm_geo.products.area_buildings import write_area_buildings


def _write(folder: Path, name: str, west: float, values: list[list[float]], **tags: str) -> Path:
    array = np.array(values, dtype=np.float32)
    grid = Grid.create(500_000.0 + west, 5_000_000.0, array.shape, 1.0, 32633)
    write_raster(folder / name, array, grid, tags=tags)
    return folder / name


def test_places_of_one_cell_keep_its_probability_and_others_the_mean_of_the_log_odds(
    tmp_path: Path,
) -> None:
    files = [
        _write(tmp_path, "a_buildings.tif", 0.0, [[0.2, 0.9, np.nan]]),
        _write(tmp_path, "b_buildings.tif", 1.0, [[0.9, 0.4, np.nan]]),
    ]
    assert write_area_buildings(files, tmp_path / "buildings.tif")
    fused = read_raster(tmp_path / "buildings.tif")
    assert fused.grid.shape == (1, 4)
    np.testing.assert_allclose(fused.values[0, :3], [0.2, 0.9, 0.4], atol=1e-6)
    assert np.isnan(fused.values[0, 3])


def test_one_certain_cell_does_not_decide_alone(tmp_path: Path) -> None:
    files = [
        _write(tmp_path, f"{name}_buildings.tif", 0.0, [[value]])
        for name, value in (("a", 1.0), ("b", 0.1), ("c", 0.1))
    ]
    assert write_area_buildings(files, tmp_path / "buildings.tif")
    assert 0.1 < read_raster(tmp_path / "buildings.tif").values[0, 0] < 0.6


def test_tags_are_those_of_all_cells_and_say_what_to_expect(tmp_path: Path) -> None:
    files = [
        _write(tmp_path, f"{cell}_buildings.tif", 0.0, [[0.5]], cell=cell, method="radiocycle")
        for cell in "ab"
    ]
    write_area_buildings(files, tmp_path / "buildings.tif")
    tags = open_raster(tmp_path / "buildings.tif").tags
    assert (tags["method"], tags["cells"]) == ("radiocycle", "2")
    assert "cell" not in tags
    assert "AUC" in tags["expected_quality"]


@pytest.mark.parametrize("wests", [(0.0,), (0.0, 5000.0)])
def test_there_is_none_of_one_cell_or_of_cells_far_apart(
    tmp_path: Path, wests: tuple[float, ...]
) -> None:
    files = [
        _write(tmp_path, f"{number}_buildings.tif", west, [[0.5]])
        for number, west in enumerate(wests)
    ]
    assert not write_area_buildings(files, tmp_path / "buildings.tif")
    assert not (tmp_path / "buildings.tif").exists()


def test_the_map_of_an_earlier_run_goes_and_footprints_stay(tmp_path: Path) -> None:
    files = [_write(tmp_path, f"{cell}_buildings.tif", 0.0, [[0.5]]) for cell in "ab"]
    target = tmp_path / "buildings.tif"
    assert write_area_buildings(files, target)
    assert not write_area_buildings(files[:1], target)
    assert not target.exists()
    footprints = _write(tmp_path, "buildings.tif", 0.0, [[1.0]])
    assert not write_area_buildings(files[:1], footprints)
    assert footprints.exists()
