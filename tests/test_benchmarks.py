"""Benchmarks write tables, plots and a report that describes the machine."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import gpu, precision, rivals, stages, suite
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.zoo.catalog import default_model
from rm_geo.zoo.onnx_files import graph_path
from tests.support.models import save_tiny_model


def test_suite_part_writes_table_plot_and_report(tmp_path, monkeypatch):
    monkeypatch.setitem(suite.SIZES, "small", suite.Sizes(sides_px=(64, 128)))
    (tmp_path / "reading.csv").write_text("format,points\nparquet,1000\n")
    result = CliRunner().invoke(suite.main, ["writing", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    with (tmp_path / "writing.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["pixels"]) for row in rows] == [64 * 64, 128 * 128]
    assert all(float(row["mpixels_per_s"]) > 0 for row in rows)
    assert (tmp_path / "writing.png").read_bytes().startswith(b"\x89PNG")
    report = (tmp_path / "results.md").read_text()
    assert "cores" in report
    assert "| parquet | 1000 |" in report, "results of earlier runs are kept"


def test_rmse_is_computed_at_held_out_pixels(tmp_path):
    sparse, held = rivals.scene(150.0)
    assert 0.05 < held.mean() < 0.6
    truth = sparse.dense_rsrp_dbm()
    wrong = np.where(np.isfinite(truth), truth + 3.0, -90.0).astype(np.float32)
    write_raster(tmp_path / "map.tif", wrong, sparse.grid)
    assert abs(rivals.rmse_db(tmp_path / "map.tif", sparse, held) - 3.0) < 1e-4
    west, south, _, _ = sparse.grid.bounds
    rows, cols = sparse.grid.shape
    wider = (rows + 5, cols + 7)
    shifted = Grid.create(west - 7.0, south + rows + 5.0, wider, 1.0, 32633)
    write_raster(tmp_path / "map.tif", np.pad(wrong, ((5, 0), (7, 0))), shifted)
    assert abs(rivals.rmse_db(tmp_path / "map.tif", sparse, held) - 3.0) < 1e-4


def test_first_and_last_layers_of_both_networks_are_found():
    pytest.importorskip("onnx")
    kept = precision.ends(graph_path(default_model("radiocycle").path, precision.SIZE_PX))
    assert len(kept) == 2 * 3


def test_a_stage_inside_of_another_one_counts_for_itself(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stages.time, "thread_time", lambda: clock[0])
    times = stages.StageTimes()

    def work(seconds):
        clock[0] += seconds

    inner = times.timed("inner", work)

    def outer():
        work(1.0)
        inner(2.0)
        work(4.0)

    def steps():
        for _ in range(3):
            work(8.0)
            yield None

    times.enter(stages.OTHER)
    times.timed("outer", outer)()
    for _ in times.timed("steps", steps)():
        work(0.5)
    times.leave()
    assert times.seconds == {"other": 1.5, "outer": 5.0, "inner": 2.0, "steps": 24.0}


def test_all_measured_functions_exist():
    import importlib

    for _, module, name in stages.STAGES:
        owner = importlib.import_module(module)
        for part in name.split("."):
            owner = getattr(owner, part)
        assert callable(owner)


def test_the_check_of_a_gpu_runs_on_a_cpu_and_fails_with_its_parts(tmp_path, monkeypatch):
    save_tiny_model(tmp_path / "tiny", 0)
    arguments = ["memory", "--device", "cpu", "--small", "--model", str(tmp_path / "tiny")]
    result = CliRunner().invoke(gpu.main, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "out" / "gpu.json").read_text())["tables"]["memory"]
    assert (row["refused"], row["computed"], row["check"]) == ("8 4", "2 2 2 2", "ok")
    monkeypatch.setattr(gpu, "run_tiles", lambda estimator, batches: [estimator.estimate(*batches)])
    result = CliRunner().invoke(gpu.main, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "out of memory" in (tmp_path / "out" / "gpu.md").read_text()
