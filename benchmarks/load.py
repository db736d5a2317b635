"""Times of ``rm-geo predict`` and of QGIS's worker beside other busy processes.

``python -m benchmarks.load`` and ``python -m benchmarks.load --worker``. A computation that shares
the cores with others should take as long as its share of them allows. The same run is timed alone
and beside busy processes, alternately, so that slow changes of the machine affect both. A run with
one thread for each of C cores has a share of C / (C + B) beside B busy processes, and takes
(C + B) / C times as long as alone. ``times_fair_share`` is the median ratio of the measured time to
that. ``times_cpu`` is the median ratio of the processor time: threads that wait actively use more
of it beside busy processes. On a machine that others use too, only the latter says something.

Of the worker, the time of the first run until the maps of the first cell are complete, with the
start of the process, and that of the second run until then and until its end are taken.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from qgis_plugin.worker_client import Event, Listener, Worker
from rm_geo.workflows.demo import write_demo_data

_BUSY = "while True: pass"

Times = dict[str, float]
"""Seconds by what was timed, and processor seconds under ``cpu``."""


def command_times(measurements: Path, method: str, reach_m: float) -> Times:
    """Time one run of the command, with its start."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *("-m", "rm_geo", "predict", str(measurements), "-o", folder),
            *("--method", method, "--reach", str(reach_m), "--no-preview"),
        ]
        begun, used = time.perf_counter(), _cpu_of_children_s()
        subprocess.run(command, check=True, capture_output=True)
        return {"run": time.perf_counter() - begun, "cpu": _cpu_of_children_s() - used}


class _FirstCell(Listener):
    """Notes when the first cell is complete."""

    def __init__(self) -> None:
        self.at = float("nan")

    def cell(self, event: Event) -> None:
        """Note the time of the first one."""
        if self.at != self.at:
            self.at = time.perf_counter()


def worker_times(measurements: Path, method: str, reach_m: float) -> Times:
    """Time two runs of one worker, as of a session of QGIS."""
    options = {"method": method, "reach_m": reach_m}
    times: Times = {}
    with tempfile.TemporaryDirectory() as folder:
        begun, used = time.perf_counter(), _cpu_of_children_s()
        worker = Worker(sys.executable, None)
        try:
            worker.greet(Listener())
            for name in ("first", "second"):
                listener = _FirstCell()
                request = {"request": "predict", "output": f"{folder}/{name}", "options": options}
                worker.ask({**request, "measurements": str(measurements)}, listener)
                times[f"{name}_layer"] = listener.at - begun
                begun, ended = time.perf_counter(), begun
            times["second_run"] = begun - ended
        finally:
            worker.end()
    return {**times, "cpu": _cpu_of_children_s() - used}


def _cpu_of_children_s() -> float:
    """Return the processor time of all child processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep processes busy for the time of a block."""
    with ExitStack() as ends:
        for _ in range(number):
            process = subprocess.Popen([sys.executable, "-c", _BUSY])
            ends.callback(process.wait)
            ends.callback(process.kill)
        yield


@click.command()
@click.option("--worker", "is_worker", is_flag=True, help="Time QGIS's worker, not the command.")
@click.option("--busy", default=4, show_default=True, help="Number of busy processes.")
@click.option("--pairs", default=3, show_default=True, help="Runs alone and beside them.")
@click.option("--method", default="radiocycle", show_default=True, help="Method of the maps.")
@click.option("--reach", "reach_m", default=100.0, show_default=True, help="Reach in metres.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file of the result.")
def main(
    is_worker: bool, busy: int, pairs: int, method: str, reach_m: float, output: Path | None
) -> None:
    """Compare runs alone with runs beside busy processes."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    timed: Callable[[Path, str, float], Times] = worker_times if is_worker else command_times
    alone: list[Times] = []
    loaded: list[Times] = []
    with tempfile.TemporaryDirectory() as folder:
        measurements, _ = write_demo_data(folder)
        timed(measurements, method, reach_m)  # fills the caches of files and of compilers
        for _ in range(pairs):
            alone.append(timed(measurements, method, reach_m))
            with busy_processes(busy):
                loaded.append(timed(measurements, method, reach_m))
    fair = (cores + busy) / cores
    result = {
        "cores": cores,
        "busy": busy,
        "load_before": round(before, 1),
        "fair_factor": fair,
        "alone_s": _rounded(alone),
        "loaded_s": _rounded(loaded),
        "times_fair_share": {
            name: round(_ratio(loaded, alone, name) / fair, 2) for name in alone[0] if name != "cpu"
        },
        "times_cpu": round(_ratio(loaded, alone, "cpu"), 2),
    }
    text = json.dumps(result, indent=1)
    if output is not None:
        output.write_text(f"{text}\n", encoding="utf-8")
    print(text)


def _rounded(found: list[Times]) -> dict[str, list[float]]:
    """Return the times of all runs by what was timed."""
    return {name: [round(one[name], 2) for one in found] for name in found[0]}


def _ratio(loaded: list[Times], alone: list[Times], name: str) -> float:
    """Return the median ratio of the pairs."""
    return statistics.median(b[name] / a[name] for a, b in zip(alone, loaded, strict=True))


if __name__ == "__main__":
    main()
