"""Evaluation of building maps from many cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.errors import UsageError
from rm_geo.evaluation.area_buildings import (
    EVERY_PIXEL,
    DriveErrors,
    by_tiles,
    drive_samples,
    evaluate_area_buildings,
    strongest,
)
from rm_geo.evaluation.cases import Sampling
from rm_geo.networks import build
from rm_geo.zoo.weights import save_model
from tests.support.models import save_tiny_model
from tests.support.scenes import INTERCEPT_DB, free_space_set, save_set

UNIFORM = Sampling("uniform", 0.1)


def samples(**errors):
    scene = free_space_set(antennas=4).scene(0)
    return drive_samples(scene, UNIFORM, DriveErrors(**errors), 0)


def test_all_cells_are_measured_in_the_same_outdoor_pixels():
    scene = free_space_set(antennas=4).scene(0)
    cells = samples()
    for cell in cells:
        assert not scene.buildings[cell.rows, cell.cols].any()
        np.testing.assert_array_equal(cell.rows, cells[0].rows)
        assert cell.intercept_dbm == pytest.approx(INTERCEPT_DB, abs=0.01)


def test_errors_move_sites_and_levels_but_not_pixels():
    plain, wrong = samples(), samples(noise_db=4.0, site_error_m=10.0)
    for one, other in zip(plain, wrong, strict=True):
        np.testing.assert_array_equal(one.cols, other.cols)
        assert np.std(one.level_dbm - other.level_dbm) == pytest.approx(4.0, abs=0.8)
        assert 0.0 < np.abs(np.subtract(one.site_rc, other.site_rc)).max() < 50.0


def test_each_pixel_reports_its_strongest_cells():
    cells = samples()
    level = np.stack([cell.level_dbm for cell in cells])
    kept = strongest(cells, 2)
    found = np.zeros(level.shape, dtype=bool)
    places = list(zip(cells[0].rows, cells[0].cols, strict=True))
    for index, cell in enumerate(kept):
        for place in zip(cell.rows, cell.cols, strict=True):
            found[index, places.index(place)] = True
    assert (found.sum(0) == 2).all()
    assert (np.where(found, level, np.inf).min(0) >= np.where(found, -np.inf, level).max(0)).all()
    assert len(strongest(cells, 0)) == 4


def test_the_true_map_is_found_perfect_and_every_pixel_is_counted():
    data = free_space_set(scenes=2, antennas=4)
    truth = data.scene(0).buildings.astype(np.float32)
    rows = evaluate_area_buildings(
        data, {"truth": lambda *_: truth}, samplings=[UNIFORM], cells=[1, 4]
    )
    by_place = {(row.method, row.cells): row for row in rows}
    assert by_place["truth", 1].f1 == by_place["truth", 4].best_f1 == 1.0
    assert by_place["truth", 1].f1_low == by_place["truth", 1].f1_high == 1.0
    assert (by_place["truth", 1].maps, by_place["truth", 4].maps) == (8, 2)
    every = by_place[EVERY_PIXEL, 4]
    assert every.recall == 1.0
    assert every.f1_low <= every.f1 <= every.f1_high
    assert every.precision == pytest.approx(truth.mean() / 0.9, rel=0.1)


def test_the_mask_of_a_doubtful_map_finds_what_a_fixed_threshold_misses():
    data = free_space_set(scenes=2, antennas=2)
    # Probabilities of sparse measurements: calibrated, and never near 1.
    doubt = np.where(data.scene(0).buildings, np.float32(0.4), np.float32(0.02))
    (row,) = (
        row
        for row in evaluate_area_buildings(
            data, {"doubt": lambda *_: doubt}, samplings=[UNIFORM], cells=[1]
        )
        if row.method == "doubt"
    )
    assert row.f1 == 0.0
    assert row.mask_f1 == row.mask_f1_low == row.mask_f1_high == 1.0


def test_larger_scenes_are_mapped_by_tiles():
    cells, shape = samples(), free_space_set(antennas=4).scene(0).buildings.shape

    def distance(inside, size, spacing_m):
        row, col = inside[0].site_rc
        rows, cols = np.indices(size)
        found = np.hypot(rows - row, cols - col).astype(np.float32)
        found[inside[0].rows, inside[0].cols] = -1.0
        return found

    whole = distance(cells, shape, 1.0)
    np.testing.assert_allclose(by_tiles(distance, cells, shape, 24), whole, atol=1e-4)
    first = replace(cells[0], rows=np.array([3]), cols=np.array([4]), level_dbm=np.zeros(1))
    found = by_tiles(distance, [first], shape, 24)
    assert np.isfinite(found[:24, :24]).all()
    assert np.isnan(found[24:]).all()


def test_more_cells_than_antennas_are_refused():
    with pytest.raises(UsageError, match="2 antennas"):
        evaluate_area_buildings(free_space_set(), {}, cells=[3])


def test_the_command_writes_its_table(tmp_path):
    data = save_set(free_space_set(scenes=1, antennas=2), tmp_path / "set")
    torch.manual_seed(0)
    tiny = {"widths": [8, 8], "depths": [1, 1]}
    save_model(tmp_path / "rays", build("ray-buildings", tiny), "ray-buildings", tiny)
    save_tiny_model(tmp_path / "single", 0)
    arguments = ["evaluate", "buildings", str(data), "-o", str(tmp_path / "out")]
    arguments += ["--model", str(tmp_path / "rays"), "--single-cell", str(tmp_path / "single")]
    result = CliRunner().invoke(
        rm_geo, [*arguments, "--cells", "1,2", "--samplings", "uniform:0.1"]
    )
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "out" / "buildings.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3
    assert (tmp_path / "out" / "buildings.png").stat().st_size > 1000
