"""Processor time of ``rm-geo predict`` by stage, in a new process for each job.

Run ``python -m benchmarks.stages``; jobs by name: ``1km2`` (a street drive of 1.05 km2), ``20km2``
(20 km2), ``cells`` (a log of many cells), ``holdout`` (``rm-geo validate`` of a log of 4 cells),
and ``100km2``, only if it is named. ``--out FOLDER`` writes the tables.

The stages are measured in a process on one core, where every library computes in the calling
thread: the times of the stages add up to the processor time of the process. Wall time and peak
memory are those of a second process, with all cores and without measuring. This module imports
nothing that ``rm-geo predict`` does not, so that what that imports is counted.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import click

JOBS: Final = ("1km2", "20km2", "100km2", "cells", "holdout")
BY_DEFAULT: Final = ("1km2", "20km2", "cells", "holdout")
SIDES_M: Final = {
    "1km2": 1025.0,
    "20km2": 4472.0,
    "100km2": 10_000.0,
    "cells": 2236.0,
    "holdout": 400.0,
}
CELLS: Final = {"cells": 50, "holdout": 4}
IMPORTS: Final = "imports"
OTHER: Final = "other"

STAGES: Final = (
    ("reading", "rm_geo.pipeline.plan", "plan_run"),
    ("binning", "rm_geo.raster.binning", "bin_measurements"),
    ("site", "rm_geo.sites.selection", "choose_site"),
    ("site", "rm_geo.geostat.path_loss_trend", "DistanceTrend.fit"),
    ("network: opening", "rm_geo.zoo.onnx_session", "OnnxNetwork.__init__"),
    ("network: forward pass", "rm_geo.zoo.onnx_session", "OnnxNetwork.__call__"),
    ("network: inputs and outputs", "rm_geo.estimators.onnx_radiocycle", "OnnxRadioCycle.estimate"),
    ("tiles", "rm_geo.raster.sparse", "SparseRaster.tile"),
    ("blending", "rm_geo.pipeline.tile_pass", "_Blender.add"),
    ("blending", "rm_geo.pipeline.tile_pass", "_Blender.finish"),
    ("method weight", "rm_geo.pipeline.method_weight", "estimate_method_weight"),
    ("baseline: fit", "rm_geo.geostat.street_map", "StreetMap.fit"),
    ("baseline: fit", "rm_geo.geostat.classical_baseline", "SmoothMap.fit"),
    ("baseline: evaluation", "rm_geo.geostat.street_map", "StreetMap.on_rows"),
    ("baseline: evaluation", "rm_geo.geostat.street_map", "StreetMap.at"),
    ("baseline: evaluation", "rm_geo.geostat.classical_baseline", "SmoothMap.on_rows"),
    ("kriging of residuals", "rm_geo.geostat.regression_kriging", "fit_residuals"),
    ("kriging of residuals", "rm_geo.geostat.regression_kriging", "ResidualField.on_rows"),
    ("kriging of residuals", "rm_geo.geostat.regression_kriging", "apply_correction"),
    ("reach", "rm_geo.raster.reach", "reach_rows"),
    ("reach", "rm_geo.raster.reach", "MeasuredDistance.fit"),
    ("reach", "rm_geo.raster.reach", "MeasuredDistance.on_rows"),
    ("reach", "rm_geo.raster.reach", "typical_distance_px"),
    ("gaps", "rm_geo.pipeline.map_pass", "filled_rows"),
    ("deviation", "rm_geo.geostat.map_deviation", "MapDeviation.fit"),
    ("deviation", "rm_geo.geostat.map_deviation", "MapDeviation.on_rows"),
    ("joint estimate", "rm_geo.pipeline.joint", "log_evidence"),
    ("joint estimate", "rm_geo.pipeline.joint", "LogEvidence.of_cell"),
    ("joint correction of maps", "rm_geo.pipeline.joint", "CellEvidence.applied"),
    ("statistics", "rm_geo.products.statistics", "MapStatistics.watch"),
    ("writing: rows", "rm_geo.io.cog", "RasterSink.write_rows"),
    ("writing: overviews", "rm_geo.io.cog", "_build_overviews"),
    ("writing: compression", "rm_geo.io.cog", "_compress"),
    ("writing: check", "rm_geo.io.cog", "_require_whole"),
    ("preview", "rm_geo.products.preview", "save_preview"),
    ("preview", "rm_geo.products.preview", "MeasuredPoints.add_rows"),
    ("buildings of the area", "rm_geo.products.area_buildings", "write_area_buildings"),
    ("summary", "rm_geo.products.summary", "write_summary"),
)
"""Stage, module and function. A function inside of another one counts for its own stage."""


class StageTimes:
    """Processor time of each stage, over all threads of Python.

    Threads of libraries are not seen: measure on one core.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._local = threading.local()

    def _switch(self) -> float:
        """Return the processor time of this thread since the last switch."""
        now = time.thread_time()
        spent = now - getattr(self._local, "since", now)
        self._local.since = now
        return spent

    def _charge(self) -> None:
        spent = self._switch()
        with self._lock:
            self.seconds[self.stage()] += spent

    def stage(self) -> str:
        """Return the stage of this thread."""
        stack = getattr(self._local, "stack", None)
        return stack[-1] if stack else OTHER

    def enter(self, stage: str) -> None:
        """Begin a stage in this thread."""
        self._charge()
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        self._local.stack.append(stage)

    def leave(self) -> None:
        """End the stage that began last in this thread."""
        self._charge()
        self._local.stack.pop()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function; of one that gives an iterator, each step counts."""

        @functools.wraps(function)
        def wrapper(*args: Any, **named: Any) -> Any:
            self.enter(stage)
            try:
                found = function(*args, **named)
            finally:
                self.leave()
            return self._steps(stage, found) if isinstance(found, Iterator) else found

        return wrapper

    def _steps(self, stage: str, values: Iterator[Any]) -> Iterator[Any]:
        while True:
            self.enter(stage)
            try:
                value = next(values)
            except StopIteration:
                return
            finally:
                self.leave()
            yield value

    def watch_imports(self) -> None:
        """Count what import statements take."""

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(name: str, *args: Any, **named: Any) -> Any:
                if name in sys.modules:
                    return function(name, *args, **named)
                self.enter(IMPORTS)
                try:
                    return function(name, *args, **named)
                finally:
                    self.leave()

            return wrapper

        builtins.__import__ = watched(builtins.__import__)
        importlib.import_module = watched(importlib.import_module)

    def watch_threads(self) -> None:
        """Count what threads of a pool do for the stage that asked for it."""
        submit = ThreadPoolExecutor.submit

        def watched(
            pool: ThreadPoolExecutor, function: Callable[..., Any], *args: Any, **named: Any
        ) -> Future[Any]:
            asked = self.stage()
            return submit(pool, self.timed(asked, function), *args, **named)

        ThreadPoolExecutor.submit = watched  # type: ignore[method-assign,assignment]

    def watch(self, stage: str, module: str, name: str) -> None:
        """Replace a function, or a method, by one that is measured, wherever it is used."""
        owner: Any = sys.modules.get(module)
        if owner is None:
            return
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        found = vars(owner)[last]
        if isinstance(found, classmethod):
            setattr(owner, last, classmethod(self.timed(stage, found.__func__)))
            return
        timed = self.timed(stage, found)
        setattr(owner, last, timed)
        if not path:
            for other in list(sys.modules.values()):
                if getattr(other, "__name__", "").startswith("rm_geo"):
                    for known, value in list(vars(other).items()):
                        if value is found:
                            setattr(other, known, timed)


def _measured(arguments: Sequence[str]) -> None:
    """Run the command line in this process on one core; the times go to standard output."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    times = StageTimes()
    times.seconds[IMPORTS] = time.process_time()  # the interpreter's start
    times.enter(OTHER)
    times.watch_imports()
    times.watch_threads()
    times.enter(IMPORTS)
    from rm_geo._util.threads import quiet_threads

    quiet_threads()
    from rm_geo.cli.group import rm_geo

    for module in ("rm_geo.pipeline.predict", "rm_geo.cli.predict", "rm_geo.zoo.onnx_session"):
        importlib.import_module(module)
    for module in {module for _, module, _ in STAGES}:
        importlib.import_module(module)
    times.leave()
    for stage, module, name in STAGES:
        times.watch(stage, module, name)
    rm_geo(list(arguments), standalone_mode=False)
    times.leave()
    times.seconds[OTHER] += time.process_time() - sum(times.seconds.values())
    print(json.dumps(times.seconds))


def stages(arguments: Sequence[str]) -> dict[str, float]:
    """Measure the stages of a job.

    Parameters
    ----------
    arguments : sequence of str
        Arguments of ``rm-geo``.

    Returns
    -------
    dict of str to float
        Processor seconds of each stage.
    """
    command = [sys.executable, "-m", "benchmarks.stages", "--measure", *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def whole(arguments: Sequence[str]) -> dict[str, float]:
    """Measure a job as users run it.

    Parameters
    ----------
    arguments : sequence of str
        Arguments of ``rm-geo``.

    Returns
    -------
    dict of str to float
        Wall and processor seconds, and peak memory in MB.
    """
    command = [sys.executable, "-m", "rm_geo", *arguments]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begun
    if status != 0:
        raise RuntimeError(f"rm-geo failed with {status}")
    return {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def write_street_drive(path: Path, side_m: float) -> None:
    """Write streets 60 m apart with a measurement of one cell every 1.5 m, as a GeoPackage."""
    import geopandas

    from benchmarks.memory import street_drive

    points = street_drive(side_m, side_m, gap_m=60.0, step_m=1.5)
    columns = {"rsrp": points.rsrp_dbm, "pci": points.cell}
    place = geopandas.points_from_xy(points.x, points.y)
    geopandas.GeoDataFrame(columns, geometry=place, crs=points.crs).to_file(path)


def write_many_cells(path: Path, side_m: float, cells: int) -> None:
    """Write a log of streets 120 m apart: every 3 m the six strongest of all cells, as CSV."""
    import numpy as np

    from benchmarks.memory import street_drive

    points = street_drive(side_m, side_m, gap_m=120.0, step_m=3.0)
    rng = np.random.default_rng(0)
    site = rng.uniform(0.0, side_m, (cells, 2)) + np.array([points.x.min(), points.y.min()])
    distance_m = np.hypot(points.x[:, None] - site[:, 0], points.y[:, None] - site[:, 1])
    level = -45.0 - 30.0 * np.log10(1.0 + distance_m / 5.0) + rng.normal(0, 4, distance_m.shape)
    with path.open("w", encoding="ascii") as file:
        file.write("x,y,rsrp,pci\n")
        for place, strongest in enumerate(np.argsort(-level, axis=1)[:, :6]):
            for cell in strongest:
                reading = f"{level[place, cell]:.1f},{cell}"
                file.write(f"{points.x[place]:.2f},{points.y[place]:.2f},{reading}\n")


def drive(name: str, folder: Path) -> tuple[list[str], float]:
    """Write the measurements of a job; gives arguments of ``rm-geo``, and km2."""
    side_m = SIDES_M[name]
    out = ["-o", str(folder / "maps"), "--quiet"]
    predict = [*out, "--fresh", "--max-tiles", "100000"]
    if name in CELLS:
        path = folder / "log.csv"
        write_many_cells(path, side_m, CELLS[name])
        log = [str(path), "--crs", "EPSG:32633"]
        if name == "holdout":
            command = ["validate", *log, "--methods", "knn,single,joint,default", *out]
        else:
            command = ["predict", *log, "--resolution", "4", *predict]
    else:
        path = folder / "drive.gpkg"
        write_street_drive(path, side_m)
        command = ["predict", str(path), *predict]
    return command, side_m**2 / 1e6


def instruction_set() -> str:
    """Name the widest vector instructions of the processor, where the system tells."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return platform.machine()
    known = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}
    return next((name for flag, name in known.items() if flag in flags), platform.machine())


@click.command()
@click.argument("jobs", nargs=-1, type=click.Choice(JOBS))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False))
def main(jobs: tuple[str, ...], out: Path | None) -> None:
    """Measure the stages of jobs."""
    from benchmarks.suite import as_markdown, write_table

    rows: dict[str, dict[str, object]] = defaultdict(dict)
    totals = []
    chosen = jobs or BY_DEFAULT
    for job in chosen:
        with tempfile.TemporaryDirectory() as folder:
            arguments, km2 = drive(job, Path(folder))
            used = whole(arguments)  # first: Python compiles modules that have changed
            found = stages(arguments)
        for stage, seconds in found.items():
            rows[stage]["stage"] = stage
            rows[stage][job] = round(seconds / km2, 3)
        everything = sum(found.values())
        totals.append(
            {
                "job": job,
                "km2": round(km2, 2),
                "cpu_s_per_km2_one_core": round(everything / km2, 2),
                "cpu_s_per_km2": round(used["cpu_s"] / km2, 2),
                "wall_s_per_km2": round(used["wall_s"] / km2, 2),
                "wall_s": round(used["wall_s"], 1),
                "peak_mb": round(used["peak_mb"]),
            }
        )
    ordered = sorted(rows.values(), key=lambda row: -float(str(row.get(chosen[0], 0))))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{cores} cores with {instruction_set()}, shared with other work."
    text = "\n\n".join(
        [
            f"Processor seconds per km2 by stage, on one core. {machine}",
            as_markdown(ordered),
            "Whole runs, all cores.",
            as_markdown(totals),
        ]
    )
    click.echo(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "stages.md").write_text(text + "\n", "utf-8")
        write_table(ordered, out / "stages.csv")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measured(sys.argv[2:])
    else:
        main()
