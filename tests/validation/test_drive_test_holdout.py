"""Hold-out of a whole drive test: cells, the full road, the command."""

import csv
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from rm_geo.cli.group import rm_geo
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.validation.cells import align, holdout_cells, pipeline_predictor
from rm_geo.validation.holdout import whole_area_predictor


def drive(count, level_dbm, seed=0, side_m=60.0) -> Measurements:
    rng = np.random.default_rng(seed)
    return Measurements(
        x=500_000.0 + rng.uniform(0, side_m, count),
        y=4_000_000.0 + rng.uniform(0, side_m, count),
        rsrp_dbm=np.full(count, level_dbm, np.float32),
        cell=np.full(count, None, dtype=object),
        crs=CRS.from_epsg(32617),
    )


def grid(west, north, shape, spacing_m=2.0) -> Grid:
    return Grid.create(west, north, shape, spacing_m, 32617)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 8), st.integers(1, 8))
def test_alignment_keeps_every_value_at_its_place(row, col, height, width):
    target = grid(0.0, 0.0, (6, 5))
    source = grid(2.0 * col, -2.0 * row, (height, width))
    values = np.arange(height * width, dtype=np.float32).reshape(height, width)
    aligned = align(values, source, target)
    for (r, c), value in np.ndenumerate(aligned):
        inside = 0 <= r - row < height and 0 <= c - col < width
        assert value == values[r - row, c - col] if inside else math.isnan(value)


def test_grids_whose_pixels_do_not_coincide_are_refused():
    values = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="do not coincide"):
        align(values, grid(1.0, 0.0, (3, 3)), grid(0.0, 0.0, (3, 3)))
    with pytest.raises(ValueError, match="do not coincide"):
        align(values, grid(0.0, 0.0, (3, 3), 1.0), grid(0.0, 0.0, (3, 3), 2.0))


def test_cells_together_count_by_measurement():
    cells = {"a": drive(90, -90.0), "b": drive(30, -80.0, seed=1)}
    predictors = {"minus 86": lambda seen, grid: np.full(grid.shape, -86.0, np.float32)}
    first, second, together = holdout_cells(cells, predictors, block_m=15.0)
    assert [row.cell for row in (first, second, together)] == ["a", "b", "all"]
    assert (first.rmse_db, second.rmse_db) == (4.0, 6.0)
    assert together.points == 120
    assert together.rmse_db == pytest.approx(math.sqrt((90 * 16 + 30 * 36) / 120))
    assert together.mae_db == pytest.approx((90 * 4 + 30 * 6) / 120)
    assert together.bias_db == pytest.approx((90 * 4 - 30 * 6) / 120)


def test_the_full_road_is_judged_like_an_estimator():
    cell = drive(80, -90.0)
    road = pipeline_predictor(PredictOptions(method="knn"))
    from rm_geo.estimators.registry import get_method

    predictors = {"road": road, "knn": whole_area_predictor(get_method("knn"))}
    rows = holdout_cells({"a": cell}, predictors, block_m=15.0, spacing_m=2.0)
    for row in rows:
        assert (row.points, row.missing) == (80, 0)
        assert row.rmse_db == pytest.approx(0.0, abs=0.01)


class TestCommand:
    @pytest.fixture
    def file(self, tmp_path):
        rng = np.random.default_rng(0)
        path = tmp_path / "drive.csv"
        with path.open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(["lon", "lat", "pci", "rsrp"])
            for index in range(120):
                lon, lat = 8.5 + 1e-3 * rng.random(), 47.4 + 1e-3 * rng.random()
                writer.writerow([lon, lat, index % 2 + 1, -90 + rng.normal()])
        return path

    def run(self, *arguments):
        words = ["evaluate", "drive-test", *arguments]
        return CliRunner().invoke(rm_geo, [str(word) for word in words])

    def test_writes_a_table_of_cells_and_methods(self, file, tmp_path):
        result = self.run(
            file,
            "--methods=knn,nearest",
            "--cell-column=pci",
            "--resolution=2",
            "--block=20",
            "--out",
            tmp_path / "out",
        )
        assert result.exit_code == 0, result.output
        with (tmp_path / "out" / "holdout.csv").open() as table:
            rows = list(csv.DictReader(table))
        assert {(row["cell"], row["method"]) for row in rows} == {
            (cell, method) for cell in ("1", "2", "all") for method in ("knn", "nearest")
        }
        assert all(0.0 < float(row["rmse_db"]) < 3.0 for row in rows)

    def test_an_unknown_cell_is_answered_with_the_known(self, file, tmp_path):
        result = self.run(file, "--cell-column=pci", "--cells=1,9", "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "no cell 9" in result.output
        assert "1, 2" in result.output
