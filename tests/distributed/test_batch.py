"""A batch on a real cluster of several processes, one of which is killed."""

import contextlib
import csv
import json
import os
import signal
import socket
import threading

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from rm_geo._util.locks import output_lock
from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import ClusterError, ConfigError, OutputInUseError
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.planning.settings import PlanSettings
from rm_geo.progress import SilentProgress
from rm_geo.workflows.plan import make_plan

pytest.importorskip("distributed")

from rm_geo.distributed.batch import run_batch
from rm_geo.distributed.batch_state import STATE_NAME
from rm_geo.distributed.cluster import open_cluster
from tests.support.clusters import reachable_cluster
from tests.support.measurements import write_drive as write_square
from tests.support.outputs import map_contents
from tests.support.waiting import wait_until

OPTIONS = PredictOptions(
    method="idw",
    tile_size_px=64,
    overlap_px=16,
    reach_m=20.0,
    crs="EPSG:32633",
    device="cpu",
    joint=False,
    preview=False,
    method_weight=0.6,
)
EXTENT = 80.0
"""Side of the area of a drive in metres: four tiles a cell."""


def write_drive(path, cells, seed=0):
    write_square(path, cells, extent=EXTENT, seed=seed)


class Log(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def cluster():
    with reachable_cluster(workers=2) as client:
        yield client


@pytest.fixture
def drives(tmp_path):
    folder = tmp_path / "drives"
    folder.mkdir()
    write_drive(folder / "many.csv", ["1", "2", "3"])
    write_drive(folder / "one.csv", ["9"], seed=1)
    (folder / "broken.csv").write_text("x,y,cell\n1,2,3\n")
    return folder


def test_jobs_and_cells_are_distributed_and_failures_are_reported(drives, tmp_path, cluster):
    write_drive(drives / "few.csv", ["5"])
    (drives / "few.csv").write_text((drives / "few.csv").read_text()[:150] + "\n")
    with (drives / "many.csv").open("a") as file:
        file.write("500001,5400001,,1\n500002,5400001,,2\n")
    log = Log()
    states = run_batch(read_jobs([drives], tmp_path, OPTIONS), tmp_path, cluster, progress=log)
    status = {state.job.name: state.status for state in states}
    assert status == {"broken": "failed", "few": "failed", "many": "done", "one": "done"}
    assert {state.job.name: state.reason for state in states}["few"].startswith("Cell 5 of")
    for name in ("many", "one"):
        predict(drives / f"{name}.csv", tmp_path / "alone" / name, OPTIONS)
        assert map_contents(tmp_path / name) == map_contents(tmp_path / "alone" / name)
    with (tmp_path / "batch_summary.csv").open() as file:
        rows = {row["job"]: row for row in csv.DictReader(file)}
    assert "RSRP" in rows["broken"]["message"]
    assert (rows["many"]["cells"], rows["many"]["cells_mapped"]) == ("3", "3")
    # Each task reads the whole file; its findings are logged once.
    assert log.lines.count("many: dropped 2 rows without an RSRP") == 1
    assert any("many.csv: 1,200 of 1,202 rows used." in line for line in log.lines)
    assert "dropped 2 rows without an RSRP" in rows["many"]["warnings"]
    assert "cell 3: " in rows["many"]["warnings"]
    assert "RSRP" not in rows["one"]["warnings"]
    assert not list(tmp_path.rglob(".*"))
    # The same batch again does what is left: nothing that is complete.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}
    write_drive(drives / "broken.csv", ["4"], seed=2)
    again = run_batch(read_jobs([drives], tmp_path, OPTIONS), tmp_path, cluster, progress=log)
    assert {state.job.name: state.skipped for state in again} == {
        "broken": False,
        "few": False,
        "many": True,
        "one": True,
    }
    assert {state.job.name: state.status for state in again}["broken"] == "done"
    assert [state.warnings for state in again if state.skipped] == [
        state.warnings for state in states if state.status == "done"
    ]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    changed = read_jobs([f"{drives}/one.cs?"], tmp_path, OPTIONS.replace(reach_m=25.0))
    assert not run_batch(changed, tmp_path, cluster)[0].skipped


def test_logs_are_mapped_together_and_any_of_their_files_counts(tmp_path, cluster):
    drives = tmp_path / "drives"
    drives.mkdir()
    write_drive(drives / "monday.csv", ["1", "2", "3"])
    write_drive(drives / "tuesday.csv", ["2", "3", "4"], seed=1)
    log, options = Log(), OPTIONS.replace(joint=True)

    def run():
        jobs = read_jobs([drives], tmp_path / "out", options, together=True)
        return run_batch(jobs, tmp_path / "out", cluster, progress=log)

    (state,) = run()
    assert (state.job.name, state.status) == ("together", "done")
    assert {name: cell.measurements for name, cell in state.results.items()} == {
        "1": 400,
        "2": 800,
        "3": 800,
        "4": 400,
    }
    predict([drives / "monday.csv", drives / "tuesday.csv"], tmp_path / "alone", options)
    assert map_contents(state.job.output) == map_contents(tmp_path / "alone")
    with (tmp_path / "out" / "batch_summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["measurements"] == "../drives/monday.csv, ../drives/tuesday.csv"
    # A batch of which a cell failed finds the complete ones again, until a file changes.
    record = tmp_path / "out" / STATE_NAME
    write_drive(drives / "monday.csv", ["1", "2", "3"], seed=2)
    (drives / "tuesday.csv").write_text("x,y,cell\n1,2,3\n")
    (broken,) = run()
    assert broken.status == "failed"
    assert "tuesday.csv" in broken.reason
    assert record.exists()
    write_drive(drives / "tuesday.csv", ["2", "3", "4"], seed=1)
    (again,) = run()
    assert (again.skipped, again.status) == (False, "done")


def test_a_batch_of_several_logs_resumes_and_notices_changes(tmp_path, cluster):
    drives = tmp_path / "drives"
    drives.mkdir()
    write_drive(drives / "a.csv", ["1"])
    write_drive(drives / "b.csv", ["2"], seed=1)
    (tmp_path / "bad.csv").write_text("x,y,cell\n1,2,3\n")
    (tmp_path / "jobs.yaml").write_text(
        "- {measurements: 'drives/*.csv', name: both}\n- {measurements: bad.csv}\n"
    )

    def run():
        jobs = read_jobs([tmp_path / "jobs.yaml"], tmp_path / "out", OPTIONS)
        return {state.job.name: state for state in run_batch(jobs, tmp_path / "out", cluster)}

    assert {name: state.status for name, state in run().items()} == {
        "both": "done",
        "bad": "failed",
    }
    assert run()["both"].skipped
    write_drive(drives / "b.csv", ["2"], seed=2)
    assert not run()["both"].skipped
    assert run()["both"].skipped
    write_drive(drives / "c.csv", ["2"], seed=3)
    changed = run()["both"]
    assert not changed.skipped
    assert changed.results["2"].measurements == 800


def test_batch_survives_a_killed_worker(tmp_path):
    drives = tmp_path / "drives"
    drives.mkdir()
    for number in range(2):
        write_drive(drives / f"d{number}.csv", ["1", "2"], seed=number)
    jobs = read_jobs([drives], tmp_path / "out", OPTIONS)
    with open_cluster(workers=2, device="cpu") as client:
        workers = client.run(os.getpid)
        victim = next(iter(workers.values()))
        killed = threading.Event()

        class Killing(SilentProgress):
            def log(self, message):
                if not killed.is_set():
                    killed.set()
                    os.kill(victim, signal.SIGKILL)

        states = run_batch(jobs, tmp_path / "out", client, progress=Killing())
        assert killed.is_set()
        wait_until(lambda: victim not in client.run(os.getpid).values(), "the worker to die")
    assert [state.status for state in states] == ["done"] * 2
    for job in jobs:
        predict(job.measurements, tmp_path / "alone" / job.name, OPTIONS)
        assert map_contents(job.output) == map_contents(tmp_path / "alone" / job.name)
    assert not (tmp_path / "out" / STATE_NAME).exists()


def test_second_batch_with_the_same_output_is_refused(drives, tmp_path, cluster):
    jobs = read_jobs([drives], tmp_path, OPTIONS)
    with output_lock(tmp_path / ".rmgeo-batch-lock", "it"), pytest.raises(OutputInUseError):
        run_batch(jobs, tmp_path, cluster)


def test_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr("rm_geo.distributed.cluster.ANSWER_TIMEOUT_S", 1)
    with (
        pytest.raises(ClusterError, match="does not answer") as refused,
        open_cluster("tcp://127.0.0.1:9"),
    ):
        pass
    assert "dask scheduler" in refused.value.hint


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_port_of_another_service_is_not_taken_for_a_scheduler(monkeypatch, caplog, greeting):
    monkeypatch.setattr("rm_geo.distributed.cluster.ANSWER_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = []

        def greet():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    taken[-1].sendall(greeting)

        threading.Thread(target=greet, daemon=True).start()
        before = set(threading.enumerate())
        with (
            pytest.raises(ClusterError, match="does not answer"),
            open_cluster(f"tcp://127.0.0.1:{listener.getsockname()[1]}"),
        ):
            pass
        assert set(threading.enumerate()) <= before  # nothing that the exit would wait for
        listener.shutdown(socket.SHUT_RDWR)
    assert taken
    for connection in taken:
        connection.close()
    assert not caplog.records


def test_running_scheduler_is_used(drives, tmp_path, cluster):
    from rm_geo.cli.group import rm_geo

    arguments = [
        "batch",
        str(drives / "one.csv"),
        str(drives / "broken.csv"),
        "-o",
        str(tmp_path / "out"),
        "--scheduler",
        cluster.scheduler.address,
        "--method",
        "nearest",
        "--crs",
        "EPSG:32633",
        "--reach",
        "5",
        "--no-preview",
        "--tile-size",
        "64",
        "--overlap",
        "8",
        "--quiet",
    ]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == 1
    assert "1 of 2 jobs failed" in result.output
    assert (tmp_path / "out" / "one" / "9_rsrp.tif").exists()


def test_job_with_skipped_cells_is_complete(tmp_path, cluster):
    from rm_geo.cli.group import rm_geo

    drive = tmp_path / "log.csv"
    write_drive(drive, ["1", "2"])
    with drive.open("a") as file:
        file.write("500001,5400001,-80,few\n500002,5400001,-81,fewer\n500003,5400003,-81,few\n")
    write_drive(tmp_path / "small.csv", ["1"])
    small = (tmp_path / "small.csv").read_text().splitlines()[:4]
    (tmp_path / "small.csv").write_text("\n".join([*small[:3], small[3][:-1] + "2"]) + "\n")
    log = Log()
    jobs = read_jobs([drive, tmp_path / "small.csv"], tmp_path / "out", OPTIONS)
    states = run_batch(jobs, tmp_path / "out", cluster, progress=log)
    assert [(state.status, state.attempts) for state in states] == [("done", 0), ("failed", 0)]
    assert states[0].reason == ""
    assert "pixels only" in states[1].reason
    assert [line for line in log.lines if "fewer" in line] == [
        "log: 2 cells were skipped, measured in too few pixels to be mapped: few, fewer."
    ]
    predict(drive, tmp_path / "alone", OPTIONS)
    assert map_contents(tmp_path / "out" / "log") == map_contents(tmp_path / "alone")
    with (tmp_path / "out" / "batch_summary.csv").open() as file:
        row, _ = csv.DictReader(file)
    assert [row[name] for name in ("cells", "cells_mapped", "cells_skipped")] == ["4", "2", "2"]
    assert run_batch(jobs, tmp_path / "out", cluster)[0].skipped
    arguments = [
        "batch",
        str(tmp_path / "log.cs?"),
        "-o",
        str(tmp_path / "again"),
        "--scheduler",
        cluster.scheduler.address,
        "--method",
        "nearest",
        "--crs",
        "EPSG:32633",
        "--reach",
        "5",
        "--no-preview",
        "--tile-size",
        "64",
        "--overlap",
        "8",
        "--quiet",
    ]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == 0, result.output


def test_a_job_gets_the_building_map_of_predict_with_its_mask(tmp_path, cluster):
    pytest.importorskip("torch")
    from tests.support.models import save_tiny_model

    save_tiny_model(tmp_path / "single", 0)
    along = np.arange(0.0, EXTENT, 0.4)  # a street
    rows = [f"{500_000 + x:.2f},5400040,{-60 - x / 8:.1f},{cell}" for cell in "1234" for x in along]
    (tmp_path / "log.csv").write_text("\n".join(["x,y,rsrp,cell", *rows]) + "\n")
    sites = [f"{cell},{500_000 + 20 * cell},5400090,5" for cell in range(1, 5)]
    (tmp_path / "sites.csv").write_text("\n".join(["cell,x,y,height_m", *sites]) + "\n")
    options = OPTIONS.replace(
        method="radiocycle",
        model=tmp_path / "single",
        assimilate=False,
        method_weight=None,
        sites=tmp_path / "sites.csv",
        sites_crs="EPSG:32633",
        mask=True,
    )
    log = Log()
    jobs = read_jobs([f"{tmp_path}/log.cs?"], tmp_path / "out", options)
    (state,) = run_batch(jobs, tmp_path / "out", cluster, progress=log)
    assert state.status == "done", state.reason
    predict(tmp_path / "log.csv", tmp_path / "alone", options)
    assert map_contents(state.job.output) == map_contents(tmp_path / "alone")
    with rasterio.open(state.job.output / "buildings.tif") as raster:
        assert raster.tags()["area_sites"] == "4"
    assert (state.job.output / "buildings_mask.tif").exists()
    assert any("Buildings of the area: buildings.tif; from the lines" in line for line in log.lines)


def test_each_job_with_a_plan_gets_the_products_of_its_maps(tmp_path, cluster):
    write_drive(tmp_path / "one.csv", ["1", "2"])
    write_drive(tmp_path / "two.csv", ["9"], seed=1)
    write_drive(tmp_path / "none.csv", ["9"], seed=2)
    (tmp_path / "wide.yaml").write_text("coverage: {threshold_dbm: -80}\n")
    (tmp_path / "jobs.csv").write_text(
        "measurements,plan,plan_settings\none.csv,yes,\ntwo.csv,,wide.yaml\nnone.csv,no,\n"
    )
    jobs = read_jobs([tmp_path / "jobs.csv"], tmp_path / "out", OPTIONS)
    assert [job.options.output.uncertainty for job in jobs] == [True, True, False]
    states = run_batch(jobs, tmp_path / "out", cluster)
    assert [(state.status, state.plan) for state in states] == [
        ("done", "done"),
        ("done", "done"),
        ("done", ""),
    ], [state.reason for state in states]
    one = json.loads((tmp_path / "out" / "one" / "plan" / "plan.json").read_text())
    assert [cell["name"] for cell in one["cells"]] == ["1", "2"]
    two = json.loads((tmp_path / "out" / "two" / "plan" / "plan.json").read_text())
    assert two["parameters"]["settings"]["coverage"]["threshold_dbm"] == -80.0
    assert not (tmp_path / "out" / "none" / "plan").exists()
    maps = sorted((tmp_path / "out" / "one").glob("*_rsrp.tif"))
    make_plan(maps, tmp_path / "alone", PlanSettings())
    for path in (tmp_path / "alone").glob("*.tif"):
        with (
            rasterio.open(path) as alone,
            rasterio.open(tmp_path / "out" / "one" / "plan" / path.name) as of_batch,
        ):
            np.testing.assert_array_equal(alone.read(), of_batch.read())


def test_a_failed_plan_leaves_the_maps_and_is_made_again_alone(tmp_path, cluster):
    write_drive(tmp_path / "one.csv", ["1", "2"])
    out = tmp_path / "out"
    jobs = read_jobs([tmp_path / "on*.csv"], out, OPTIONS, plan=PlanSettings())
    (out / "one").mkdir(parents=True)
    (out / "one" / "plan").write_text("in the way")
    log = Log()
    (state,) = run_batch(jobs, out, cluster, retries=0, progress=log)
    assert state.status == "partly"
    assert state.reason.startswith("Plan: ")
    assert any("the plan failed" in line for line in log.lines)
    made = {path: path.stat().st_mtime_ns for path in (out / "one").glob("*.tif")}
    (out / "one" / "plan").unlink()
    (state,) = run_batch(jobs, out, cluster)
    assert (state.status, state.plan) == ("done", "done")
    assert {path: path.stat().st_mtime_ns for path in (out / "one").glob("*.tif")} == made
    assert (out / "one" / "plan" / "plan.json").exists()


def test_a_table_says_yes_or_no_to_a_plan(tmp_path):
    write_drive(tmp_path / "one.csv", ["1"])
    (tmp_path / "jobs.yaml").write_text("- {measurements: one.csv, plan: perhaps}\n")
    with pytest.raises(ConfigError, match="'perhaps' in job 1"):
        read_jobs([tmp_path / "jobs.yaml"], tmp_path / "out", OPTIONS)
    (tmp_path / "jobs.yaml").write_text("- {measurements: one.csv, plan: false}\n")
    (job,) = read_jobs([tmp_path / "jobs.yaml"], tmp_path / "out", OPTIONS, plan=PlanSettings())
    assert job.plan is None
