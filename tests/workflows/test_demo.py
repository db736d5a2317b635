"""The demo: a drive test like real ones, mapped, and compared with the truth."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.io.cog import read_raster

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "here"
    result = CliRunner().invoke(
        rm_geo, ["demo", "-o", str(folder), "--method", "knn", "--size", "160", "--json"]
    )
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout.splitlines()[-1])


def test_demo_writes_all_files_into_one_folder(demo):
    folder, _ = demo
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {
        "drive_test.gpkg",
        "sites.csv",
        "comparison.csv",
        "maps/summary.csv",
        "maps/101_rsrp.tif",
        "maps/101_preview.png",
        "truth/101_rsrp.tif",
        "truth/buildings.tif",
        "plan/plan.json",
        "plan/composite_rsrp.tif",
        "plan/coverage.gpkg",
        "plan/holes.gpkg",
        "report.html",
    } <= made


def test_demo_uses_the_site_table(demo):
    folder, _ = demo
    for cell in ("101", "205", "206"):
        assert read_raster(folder / "maps" / f"{cell}_rsrp.tif").tags["transmitter"] == "site table"


def test_demo_comparison_has_plausible_errors(demo):
    _, result = demo
    for row in result["cells"]:
        assert 0.0 < row["measured_share"] < 0.5
        assert 0.0 < row["rmse_db"] < 15.0
        # The same method, but for tiles and assimilation.
        assert row["rmse_db"] == pytest.approx(row["knn_rmse_db"], abs=1.5)


def test_demo_maps_share_the_grid_of_the_truth(demo):
    folder, _ = demo
    level = read_raster(folder / "maps" / "101_rsrp.tif")
    truth = read_raster(folder / "truth" / "101_rsrp.tif")
    row, col = (int(v) for v in level.grid.to_pixel(truth.grid.bounds[0], truth.grid.bounds[3]))
    rows, cols = truth.values.shape
    aligned = np.full(truth.values.shape, np.nan)
    top, left = max(-row, 0), max(-col, 0)
    part = level.values[max(row, 0) : row + rows, max(col, 0) : col + cols]
    aligned[top : top + part.shape[0], left : left + part.shape[1]] = part
    both = np.isfinite(aligned) & np.isfinite(truth.values)
    assert np.corrcoef(aligned[both], truth.values[both])[0, 1] > 0.7
