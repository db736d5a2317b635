"""Hold-out of a whole drive test: cells, the full pipeline, the command."""

import csv
import math

import numpy as np
import pytest
from click.testing import CliRunner
from pyproj import CRS

from rm_geo.cli.group import rm_geo
from rm_geo.errors import TooSmallError, UsageError
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.progress import SilentProgress
from rm_geo.validation.cells import holdout_cells, pipeline_predictor, validate
from rm_geo.validation.holdout import estimator_predictor, map_predictor


def drive(count, level_dbm, seed=0, side_m=60.0) -> Measurements:
    rng = np.random.default_rng(seed)
    return Measurements(
        x=500_000.0 + rng.uniform(0, side_m, count),
        y=4_000_000.0 + rng.uniform(0, side_m, count),
        rsrp_dbm=np.full(count, level_dbm, np.float32),
        cell=np.full(count, None, dtype=object),
        crs=CRS.from_epsg(32617),
    )


def test_cells_together_count_by_measurement():
    cells = {"a": drive(90, -90.0), "b": drive(30, -80.0, seed=1)}
    predictors = {
        "minus 86": map_predictor(lambda seen, grid: np.full(grid.shape, -86.0, np.float32))
    }
    first, second, together = holdout_cells(cells, predictors, block_m=15.0)
    assert [row.cell for row in (first, second, together)] == ["a", "b", "all"]
    assert (first.rmse_db, second.rmse_db) == (4.0, 6.0)
    assert together.points == 120
    assert together.rmse_db == pytest.approx(math.sqrt((90 * 16 + 30 * 36) / 120))
    assert together.mae_db == pytest.approx((90 * 4 + 30 * 6) / 120)
    assert together.bias_db == pytest.approx((90 * 4 - 30 * 6) / 120)


def test_the_full_pipeline_is_scored_like_an_estimator():
    cell = drive(80, -90.0)
    pipeline = pipeline_predictor(PredictOptions(method="knn"))
    from rm_geo.estimators.registry import get_method

    predictors = {"pipeline": pipeline, "knn": estimator_predictor(get_method("knn"))}
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


def test_cells_with_too_few_blocks_are_left_out_and_others_evaluated():
    large, small = drive(90, -90.0), drive(3, -80.0, seed=1, side_m=1.0)
    lines = []

    class Log(SilentProgress):
        def log(self, message):
            lines.append(message)

    predictors = {"constant": map_predictor(lambda seen, grid: np.full(grid.shape, -86.0))}
    rows = holdout_cells({"a": large, "b": small}, predictors, block_m=15.0, progress=Log())
    assert [row.cell for row in rows] == ["a", "all"]
    assert any(line.startswith("Cell b is left out: 3 measurements fill") for line in lines)
    with pytest.raises(TooSmallError, match="too few for 5 folds"):
        holdout_cells({"b": small}, predictors, block_m=15.0)


def test_validate_gives_the_rows_of_the_command():
    rows = validate(drive(120, -90.0), ["nearest", "pipeline:idw"], block_m=15.0, spacing_m=2.0)
    assert [row.method for row in rows if row.cell == "all"] == ["nearest", "pipeline:idw"]
    assert all(row.rmse_db == pytest.approx(0.0, abs=0.01) for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": []}, "at least one method"),
        ({"methods": "knn"}, "at least one method"),
        ({"methods": ["nothing-such"]}, "no method"),
        ({"methods": ["knn"], "buildings": "x.gpkg"}, "reads buildings"),
        ({"methods": ["knn"], "model": "x"}, "uses a model"),
        ({"methods": ["pipeline:radiocycle+buildings"]}, "needs buildings"),
        ({"methods": ["knn"], "folds": 1}, "at least 2 folds"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        validate(drive(30, -90.0), **arguments)
