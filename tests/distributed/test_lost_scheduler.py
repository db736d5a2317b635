"""A scheduler that is killed while its workers compute: one error message, results are kept."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.distributed import pool
from tests.support.measurements import write_drive
from tests.support.outputs import map_contents
from tests.support.waiting import HANG_S, wait_until

pytest.importorskip("distributed")

OPTIONS = [
    "--method",
    "idw",
    "--crs",
    "EPSG:32633",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "20",
    "--batch-size",
    "2",
    "--no-preview",
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@contextlib.contextmanager
def python(*arguments, log=None):
    """A Python process for the time of a block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=ENVIRONMENT,
        text=True,
        stdout=log or subprocess.DEVNULL,
        stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def scheduler_with_worker(folder):
    """Process and address of a scheduler, and the process of its worker."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    scheduler = python(
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    with scheduler as process:
        # Dask creates the file before it writes the address into it.
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        with python(
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--memory-limit",
            "0",
            "--host",
            "127.0.0.1",
        ) as worker:
            from distributed import Client

            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=HANG_S)
            yield process, address, worker


def assert_one_message(text, address):
    assert f"Error: The connection to the scheduler at {address} was lost." in text
    assert "the same command resumes this run" in text
    assert "Traceback" not in text
    assert text.count("Error") == 1


def mapped(measurements, output, *more, command="predict"):
    """The output of a command that succeeds."""
    result = CliRunner().invoke(
        rm_geo, [command, str(measurements), "-o", str(output), *OPTIONS, *more]
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_batch_reports_a_lost_scheduler_once_and_keeps_its_work(tmp_path):
    drives, out = tmp_path / "drives", tmp_path / "out"
    drives.mkdir()
    write_drive(drives / "a.csv", ["1"], extent=60.0)
    write_drive(drives / "b.csv", ["1"], extent=450.0, seed=1)
    bands, log = out / "b" / ".1.rmgeo-journal" / "bands.txt", tmp_path / "log"
    arguments = ["rm_geo", "batch", str(drives), "-o", str(out), *OPTIONS, "--scheduler"]
    with (
        scheduler_with_worker(tmp_path) as (scheduler, address, worker),
        log.open("w") as file,
        python(*arguments, address, log=file) as run,
    ):
        wait_until(lambda: bands.exists() or run.poll() is not None)
        scheduler.kill()
        assert run.wait(HANG_S) == 1, log.read_text()
        worker.wait(HANG_S)  # so that it no longer holds the outputs
    assert_one_message(log.read_text(), address)
    assert bands.read_text()
    assert (out / "a" / "1_rsrp.tif").exists()

    with scheduler_with_worker(tmp_path) as (_, address, _):
        again = mapped(drives, out, "--scheduler", address, command="batch")
    assert "a: complete already" in again
    assert not list(out.rglob(".*"))
    for name in ("a", "b"):
        mapped(drives / f"{name}.csv", tmp_path / "alone" / name)
        assert map_contents(out / name) == map_contents(tmp_path / "alone" / name)


@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGSTOP])
def test_predict_reports_a_lost_scheduler_once_and_keeps_its_work(
    tmp_path, caplog, monkeypatch, signal_sent
):
    if signal_sent == signal.SIGSTOP:  # nothing but its silence shows that the scheduler hangs
        monkeypatch.setattr(pool, "PATIENCE_S", 5.0)
    drive, out = tmp_path / "b.csv", tmp_path / "out"
    write_drive(drive, ["1"], extent=650.0)
    bands = out / ".1.rmgeo-journal" / "bands.txt"
    arguments = ["predict", str(drive), "-o", str(out), *OPTIONS, "--scheduler"]
    with scheduler_with_worker(tmp_path) as (scheduler, address, _):
        killer = threading.Thread(
            target=lambda: (wait_until(bands.exists), scheduler.send_signal(signal_sent))
        )
        killer.start()
        result = CliRunner().invoke(rm_geo, [*arguments, address])
        killer.join()
    assert result.exit_code == 1
    assert_one_message(result.output, address)
    assert not [record for record in caplog.records if record.name == "distributed.client"]
    assert bands.read_text()
    mapped(drive, out)
    mapped(drive, tmp_path / "alone")
    assert map_contents(out) == map_contents(tmp_path / "alone")
    assert not list(out.rglob(".*"))
