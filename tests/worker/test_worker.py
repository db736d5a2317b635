"""The worker: JSON lines in and out, the same bytes as the commands, and no way to outlive us."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas
import psutil
import pytest
from click.testing import CliRunner
from pyproj import CRS

from rm_geo.cli.group import rm_geo
from rm_geo.errors import InputError
from rm_geo.estimators.registry import list_methods
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.worker import jobs, service
from rm_geo.worker.service import PROTOCOL, Worker
from rm_geo.zoo.catalog import list_models
from tests.support.measurements import drive_frame, write_frame
from tests.support.waiting import HANG_S

OPTIONS = {
    "method": "nearest",
    "tile_size_px": 64,
    "overlap_px": 16,
    "reach_m": 10.0,
    "assimilate": False,
    "preview": False,
}
ARGUMENTS = [
    "--method",
    "nearest",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "10",
    "--no-assimilate",
    "--no-preview",
]
FOREVER = {"method": "random-forest", "resolution_m": 0.1, "max_tiles": 100_000, "reach_m": 100.0}
"""A request that takes minutes, most of them inside one call that cannot be cancelled."""


class Conversation:
    """A worker, and the events that it has sent."""

    def __init__(self, *, cwd=None, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "rm_geo.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **environment},
        )
        self.hello = self.next()

    def next(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        events = []
        while (event := self.next()) is not None:
            events.append(event)
            if event["event"] in {"result", "error"}:
                break
        return events

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(HANG_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode


@pytest.fixture
def worker():
    conversation = Conversation()
    yield conversation
    conversation.process.kill()
    conversation.close()


@pytest.fixture
def measurements(tmp_path):
    folder = tmp_path / "drive tests ü"
    folder.mkdir()
    return write_frame(drive_frame(), folder / "mesure é 1.gpkg")


def bytes_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.tif")}


def test_hello_states_protocol_device_models_and_methods(worker):
    assert worker.hello["event"] == "hello"
    assert worker.hello["protocol"] == PROTOCOL
    assert worker.hello["device"] in {"cpu", "cuda", "mps"}
    assert [m["name"] for m in worker.hello["models"]] == [m.name for m in list_models()]
    assert [m["name"] for m in worker.hello["methods"]] == [m.name for m in list_methods()]


def test_hello_imports_no_heavy_library():
    code = (
        "import sys, rm_geo.worker.service as w; w.hello();"
        "heavy = {'torch', 'rasterio', 'geopandas', 'scipy', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_predict_gives_the_bytes_of_the_command(worker, measurements, tmp_path):
    arguments = ["predict", str(measurements), "-o", str(tmp_path / "cli"), *ARGUMENTS]
    assert CliRunner().invoke(rm_geo, arguments).exit_code == 0
    output = tmp_path / "out ß" / "deeper"
    events = worker.ask(
        request="predict", output=str(output), measurements=str(measurements), options=OPTIONS
    )
    result = events[-1]
    assert result["event"] == "result", result
    assert bytes_in(output) == bytes_in(tmp_path / "cli") != {}
    assert {Path(raster["path"]).name for raster in result["rasters"]} == set(bytes_in(output))
    assert {(raster["cell"], raster["kind"]) for raster in result["rasters"]} == {
        ("7", "rsrp"),
        ("8", "rsrp"),
    }
    assert all(raster["tags"]["method"] == "nearest" for raster in result["rasters"])
    assert {event["event"] for event in events} >= {"scratch", "log", "start", "progress"}


def test_cells_are_in_the_output_folder_as_they_finish_and_stay_after_a_cancel(
    worker, measurements, tmp_path
):
    frame = pandas.concat([drive_frame(60, cells=("7",)), drive_frame(30, cells=("8",))])
    path = write_frame(frame, tmp_path / "log.gpkg")
    request = {"request": "predict", "measurements": str(path), "options": OPTIONS}
    events = worker.ask(**request, output=str(tmp_path / "whole"))
    cells = [event for event in events if event["event"] == "cell"]
    assert [(event["cell"], event["cells"]) for event in cells] == [("7", 2), ("8", 2)]
    assert [one for event in cells for one in event["rasters"]] == events[-1]["rasters"]
    done = [event["done"] for event in events if event["event"] == "progress"]
    assert done == sorted(done)
    (stage,) = (event for event in events if event["event"] == "start")
    assert done[-1] == stage["total"]
    assert events.index(cells[1]) > max(
        place for place, event in enumerate(events) if event["event"] == "progress"
    )

    output = tmp_path / "part"
    network = {"method": "radiocycle", "tile_size_px": 128, "reach_m": 100.0}
    long = {**request, "options": {**OPTIONS, **network}}
    worker.process.stdin.write(json.dumps({**long, "output": str(output)}).encode() + b"\n")
    worker.process.stdin.flush()
    while (event := worker.next())["event"] != "cell":
        assert event["event"] in {"scratch", "log", "start", "progress"}, event
    assert Path(event["rasters"][0]["path"]).is_file(), "before the other cell is mapped"
    worker.process.stdin.close()
    worker.process.wait(HANG_S)
    kept = {item.name for item in output.iterdir()}
    assert {"7_rsrp.tif", "7_buildings.tif"} <= kept
    assert not any(name.startswith((".", "summary")) for name in kept)


def test_rasterize_gives_the_bytes_of_the_command(worker, measurements, tmp_path):
    arguments = ["rasterize", str(measurements), "-o", str(tmp_path / "cli"), "--resolution", "2"]
    assert CliRunner().invoke(rm_geo, arguments).exit_code == 0
    result = worker.ask(
        request="rasterize",
        output=str(tmp_path / "out"),
        measurements=str(measurements),
        options={"resolution_m": 2.0, "reach_m": 0.0},
    )[-1]
    assert bytes_in(tmp_path / "out") == bytes_in(tmp_path / "cli") != {}
    assert {raster["kind"] for raster in result["rasters"]} == {"measured"}


def test_superres_gives_the_bytes_of_the_command(worker, tmp_path):
    x, y = [500_000.0, 500_090.0], [5_400_000.0, 5_400_070.0]
    grid = Grid.covering(x, y, CRS.from_epsg(32633), spacing_m=4.0)
    count = grid.shape[0] * grid.shape[1]
    levels = np.linspace(-120.0, -60.0, count, dtype=np.float32).reshape(grid.shape)
    write_raster(tmp_path / "coarse.tif", levels, grid)
    arguments = ["superres", str(tmp_path / "coarse.tif"), "-o", str(tmp_path / "cli" / "f.tif")]
    assert CliRunner().invoke(rm_geo, arguments).exit_code == 0
    result = worker.ask(
        request="superres",
        raster=str(tmp_path / "coarse.tif"),
        output=str(tmp_path / "out"),
        name="f.tif",
        options={"scale": 4},
    )[-1]
    assert result["event"] == "result", result
    assert bytes_in(tmp_path / "out") == bytes_in(tmp_path / "cli") != {}


def test_validate_judges_every_method_in_every_cell(worker, measurements, tmp_path):
    request = {
        "request": "validate",
        "output": str(tmp_path / "out"),
        "measurements": str(measurements),
        "methods": ["nearest", "pipeline:idw"],
        "folds": 3,
        "block_m": 20.0,
        "options": {"reach_m": 100.0},
    }
    result = worker.ask(**request)[-1]
    assert result["event"] == "result", result
    names = [Path(path).name for path in result["files"]]
    assert names == ["validation.csv", "validation.json", "validation_held_out.gpkg"]
    assert [result["table"], result["index"]] == names[:2]
    (points,) = result["vectors"]
    assert points["kind"] == "held_out"
    assert points["features"] > 10
    judged = {(score["cell"], score["method"]): score["rmse_db"] for score in result["scores"]}
    assert set(judged) == {(c, m) for c in ("7", "8", "all") for m in ("nearest", "pipeline:idw")}
    assert all(0.0 < error < 15.0 for error in judged.values())
    assert result["left_out"] == {}
    assert result["text"][0].startswith("blocks of 20 m held out, 2 cells, ")
    for wrong in (
        {"methods": ["magic"]},
        {"methods": []},
        {"folds": 1},
        {"block_m": 5000.0},
        {"hold_out": "some"},
    ):
        assert worker.ask(**{**request, **wrong})[-1]["event"] == "error", wrong


def test_validate_leaves_out_cells_that_are_too_small(worker, tmp_path):
    large, small = drive_frame(40, cells=("7",)), drive_frame(4, cells=("8",), seed=1)
    path = write_frame(pandas.concat([large, small], ignore_index=True), tmp_path / "log.gpkg")
    result = worker.ask(
        request="validate",
        output=str(tmp_path / "out"),
        measurements=str(path),
        methods=["pipeline:idw"],
        block_m=20.0,
        options={"reach_m": 100.0, "resolution_m": 2.0},
    )[-1]
    assert result["event"] == "result", result
    assert {score["cell"] for score in result["scores"]} == {"7", "all"}
    assert result["left_out"] == {"8": "readings in fewer than 20 bins of 5 m"}


def test_check_describes_the_environment(worker):
    result = worker.ask(request="check")[-1]
    assert result["event"] == "result"
    names = {check["name"] for check in result["checks"]}
    assert {"numpy", "simulate", "temporary", "pyproj", "radiocycle-drive-s"} <= names
    assert result["device"] in {"cpu", "cuda", "mps"}


def test_inspect_describes_measurements_and_writes_nothing(worker, tmp_path):
    here = drive_frame(20, cells=("7",))
    there = here.set_geometry(here.geometry.translate(xoff=0.2))
    path = write_frame(pandas.concat([here, there], ignore_index=True), tmp_path / "far.gpkg")
    request = {"request": "inspect", "measurements": str(path)}
    result = worker.ask(**request)[-1]
    assert result["event"] == "result", result
    assert (result["total"], result["kept"], result["dropped"]) == (40, 40, [])
    assert [(cell["name"], cell["points"]) for cell in result["cells"]] == [("7", 40)]
    assert len(result["warnings"]) == 1
    assert f"  warning: {result['warnings'][0]}" in result["text"]
    result = worker.ask(**request, options={"where": "rsrp > -85"})[-1]
    assert 0 < result["cells"][0]["points"] < 40
    failed = worker.ask(**request, options={"strict": True})[-1]
    assert (failed["event"], failed["class"]) == ("error", "InputError")
    assert list(tmp_path.iterdir()) == [path]


def test_several_requests_are_answered_and_failures_do_not_end_the_worker(worker, tmp_path):
    missing = worker.ask(
        request="predict", output=str(tmp_path / "out"), measurements=str(tmp_path / "no.gpkg")
    )[-1]
    assert missing["event"] == "error"
    assert missing["class"] == "InputError"
    assert "no.gpkg" in missing["message"]
    assert missing["hint"]
    assert not (tmp_path / "out").exists()
    assert worker.ask(request="dance")[-1]["class"] == "UsageError"
    assert worker.ask(request="predict")[-1]["class"] == "UsageError"
    unknown = worker.ask(
        request="predict", output=str(tmp_path / "out"), measurements="x", options={"methd": 1}
    )[-1]
    assert "methd" in unknown["message"]
    worker.process.stdin.write(b"no JSON\n")
    worker.process.stdin.flush()
    assert worker.next()["class"] == "UsageError"
    assert worker.close() == 0


def test_output_of_libraries_does_not_reach_the_protocol():
    code = (
        "import sys, rm_geo.worker.jobs as jobs\n"
        "def noisy(values, folder, progress):\n"
        "    import os; print('noise'); os.write(1, b'more noise\\n'); return {}\n"
        "jobs.JOBS['check'] = noisy\n"
        "import rm_geo.worker.service as worker; worker.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(b'{"request": "check"}\n')
        process.stdin.flush()
        events = [json.loads(process.stdout.readline())["event"] for _ in range(2)]
        rest, noise = process.communicate(timeout=HANG_S)
    assert (events, rest) == (["hello", "result"], b"")
    assert b"more noise" in noise


def test_errors_name_the_output_folder_of_the_user(worker, measurements, tmp_path):
    (tmp_path / "out" / "7_rsrp.tif").mkdir(parents=True)
    event = worker.ask(
        request="predict",
        output=str(tmp_path / "out"),
        measurements=str(measurements),
        options=OPTIONS,
    )[-1]
    assert event["event"] == "error"
    assert str(tmp_path / "out" / "7_rsrp.tif") in event["message"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["7_rsrp.tif"]


def start_long_job(conversation, measurements, output):
    request = {
        "request": "predict",
        "output": str(output),
        "measurements": str(measurements),
        "options": FOREVER,
    }
    conversation.process.stdin.write(json.dumps(request).encode() + b"\n")
    conversation.process.stdin.flush()
    while (event := conversation.next())["event"] != "start":
        assert event["event"] in {"scratch", "log"}, event


def test_a_cancelled_job_stops_and_the_worker_takes_the_next_one(monkeypatch):
    def forever(_values, _folder, progress):
        progress.log("begun")
        while True:
            progress.check()
            time.sleep(0.001)

    monkeypatch.setattr(service, "_GRACE_S", HANG_S)  # after it, this process would be ended
    monkeypatch.setitem(jobs.JOBS, "check", forever)
    monkeypatch.setitem(jobs.JOBS, "inspect", lambda *_: {"fine": True})
    requests, here = os.pipe()
    there, answers = os.pipe()
    with os.fdopen(answers, "w") as written, os.fdopen(there) as read:
        thread = threading.Thread(target=Worker(requests, written).serve)
        thread.start()

        def send(name):
            os.write(here, json.dumps({"request": name}).encode() + b"\n")

        def receive():
            return json.loads(read.readline())

        assert receive()["event"] == "hello"
        for _ in range(3):
            send("cancel")  # nothing runs
            send("check")
            assert receive()["message"] == "begun"
            send("cancel")
            event = receive()
            assert (event["class"], event["expected"]) == ("CancelledError", True)
            send("inspect")
            assert receive()["fine"]
        send("check")
        assert receive()["message"] == "begun"
        os.close(here)
        assert receive()["class"] == "CancelledError"
        thread.join(HANG_S)
        assert not thread.is_alive()
    os.close(requests)


def test_faults_are_told_apart_from_bad_input(monkeypatch):
    def fault(*_):
        raise RuntimeError("CUDA error")

    def wrong(*_):
        raise InputError("no rows")

    monkeypatch.setattr(service, "_GRACE_S", HANG_S)  # after it, this process would be ended
    requests, here = os.pipe()
    os.write(here, b'{"request": "check"}\n{"request": "inspect"}\n')
    os.close(here)
    monkeypatch.setitem(jobs.JOBS, "check", fault)
    monkeypatch.setitem(jobs.JOBS, "inspect", wrong)
    answers = io.StringIO()
    Worker(requests, answers).serve()
    os.close(requests)
    _, first, second = (json.loads(line) for line in answers.getvalue().splitlines())
    assert (first["class"], first["expected"]) == ("RuntimeError", False)
    assert (second["class"], second["expected"]) == ("InputError", True)


def test_the_second_run_of_a_worker_gives_the_same_bytes_and_holds_no_files(
    worker, measurements, tmp_path
):
    request = {"request": "predict", "measurements": str(measurements), "options": OPTIONS}
    for name in ("first", "second"):
        assert worker.ask(**request, output=str(tmp_path / name))[-1]["event"] == "result"
    assert bytes_in(tmp_path / "second") == bytes_in(tmp_path / "first") != {}
    opened = psutil.Process(worker.process.pid).open_files()
    assert [file.path for file in opened if file.path.startswith(str(tmp_path))] == []


def test_end_of_input_cancels_a_running_job_and_leaves_nothing(worker, tmp_path):
    measurements = write_frame(drive_frame(), tmp_path / "m.gpkg")
    start_long_job(worker, measurements, tmp_path / "out")
    assert (tmp_path / "out").is_dir()
    worker.process.stdin.close()
    worker.process.wait(HANG_S)
    assert [path.name for path in tmp_path.iterdir()] == ["m.gpkg"]


@pytest.mark.skipif(os.name != "posix", reason="kills a process group's leader")
def test_a_killed_parent_leaves_no_worker(tmp_path):
    measurements = write_frame(drive_frame(), tmp_path / "m.gpkg")
    request = {
        "request": "predict",
        "output": str(tmp_path / "out"),
        "measurements": str(measurements),
        "options": FOREVER,
    }
    parent_code = (
        "import subprocess, sys, json\n"
        "p = subprocess.Popen([sys.executable, '-I', '-m', 'rm_geo.worker'],"
        "                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        f"p.stdin.write(json.dumps({request!r}).encode() + b'\\n'); p.stdin.flush()\n"
        "for line in p.stdout:\n"
        "    if json.loads(line)['event'] == 'start': break\n"
        "print(p.pid, flush=True)\n"
        "import time; time.sleep(10_000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE)
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([worker], timeout=HANG_S)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert [path.name for path in tmp_path.iterdir()] == ["m.gpkg"]


def test_skipped_cells_are_reported_in_one_line(worker, tmp_path):
    frame = pandas.concat([drive_frame(), drive_frame(1, cells=("few",))], ignore_index=True)
    path = write_frame(frame, tmp_path / "drive.gpkg")
    request = {"request": "predict", "measurements": str(path)}
    result = worker.ask(**request, output=str(tmp_path / "out"), options=OPTIONS)[-1]
    assert {cell["cell"]: cell["status"] for cell in result["cells"]} == {
        "7": "mapped",
        "8": "mapped",
        "few": "skipped",
    }
    assert result["skipped"].startswith("1 cell was skipped")
    options = {**OPTIONS, "min_pixels": 1}
    result = worker.ask(**request, output=str(tmp_path / "all"), options=options)[-1]
    assert result["skipped"] == ""
