"""Time of ``rm-geo predict`` beside other busy processes: ``python -m benchmarks.load``.

A computation that shares the cores with others should take as long as its share of them allows.
The same run is timed alone and beside busy processes, alternately, so that slow changes of the
machine affect both. A run with one thread for each of C cores has a share of C / (C + B) beside B
busy processes, and takes (C + B) / C times as long as alone. The result is the median ratio of the
measured time to that.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from rm_geo.workflows.demo import write_demo_data

_BUSY = "while True: pass"


def timed_run(measurements: Path, method: str, reach_m: float) -> float:
    """Time one run of the command in seconds, with its start."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *("-m", "rm_geo", "predict", str(measurements), "-o", folder),
            *("--method", method, "--reach", str(reach_m), "--no-preview"),
        ]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begun


def loaded_run(busy: int, measurements: Path, method: str, reach_m: float) -> float:
    """Time one run beside busy processes."""
    with ExitStack() as ends:
        for _ in range(busy):
            process = subprocess.Popen([sys.executable, "-c", _BUSY])
            ends.callback(process.wait)
            ends.callback(process.kill)
        return timed_run(measurements, method, reach_m)


@click.command()
@click.option("--busy", default=4, show_default=True, help="Number of busy processes.")
@click.option("--pairs", default=3, show_default=True, help="Runs alone and beside them.")
@click.option("--method", default="radiocycle", show_default=True, help="Method of the maps.")
@click.option("--reach", "reach_m", default=100.0, show_default=True, help="Reach in metres.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON file of the result.")
def main(busy: int, pairs: int, method: str, reach_m: float, output: Path | None) -> None:
    """Compare runs alone with runs beside busy processes."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with tempfile.TemporaryDirectory() as folder:
        measurements, _ = write_demo_data(folder)
        timed_run(measurements, method, reach_m)  # fills the caches of files and of compilers
        found = [
            (
                timed_run(measurements, method, reach_m),
                loaded_run(busy, measurements, method, reach_m),
            )
            for _ in range(pairs)
        ]
    fair = (cores + busy) / cores
    result = {
        "cores": cores,
        "busy": busy,
        "load_before": round(before, 1),
        "alone_s": [round(alone, 2) for alone, _ in found],
        "loaded_s": [round(loaded, 2) for _, loaded in found],
        "fair_factor": fair,
        "times_fair_share": round(statistics.median(b / a for a, b in found) / fair, 2),
    }
    text = json.dumps(result, indent=1)
    if output is not None:
        output.write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
