"""Time of the main pipeline: a job of 40 tiles, start-up, a fresh process, the demo.

Run ``python -m benchmarks.pipeline``; parts by name: ``job``, ``startup``, ``fresh``, ``demo``. The
job uses the default model or that of ``--model``; ``--method knn`` needs none. ``fresh`` runs
``rm-geo predict`` from a GeoPackage to files in a new process.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import geopandas
import numpy as np
from pyproj import CRS

from benchmarks.memory import street_drive
from rm_geo.inference.runner import Clock
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.workflows.demo import run_demo


def drive_of_40_tiles() -> Measurements:
    """Return measurements of streets 60 m apart, one every 2 m, that need 8 x 5 tiles."""
    # n tiles of 256 px with an overlap of 32 cover 32 + 224 n pixels, including 100 m of margin.
    width, height = 32 + 224 * 8 - 202, 32 + 224 * 5 - 202
    rng = np.random.default_rng(0)
    points = []
    for street in np.arange(0, height, 60.0):
        points.append(np.column_stack([np.arange(0, width, 2.0), np.full(-(-width // 2), street)]))
    for street in np.arange(0, width, 60.0):
        points.append(
            np.column_stack([np.full(-(-height // 2), street), np.arange(0, height, 2.0)])
        )
    x, y = np.concatenate(points).T
    distance = np.hypot(x - 0.4 * width, y - 0.6 * height)
    rsrp = -50.0 - 25.0 * np.log10(1.0 + distance / 5.0) + rng.normal(0, 3, x.size)
    return Measurements(
        x=500_000.0 + x,
        y=5_400_000.0 + y,
        rsrp_dbm=rsrp.astype(np.float32),
        cell=np.array(["1"] * x.size, dtype=object),
        crs=CRS.from_epsg(32633),
    )


def job(method: str, model: str | None) -> None:
    points = drive_of_40_tiles()
    options = PredictOptions(method=method, model=model, mask=True)
    with tempfile.TemporaryDirectory() as folder:
        warm = points.select(np.arange(0, 400))
        predict(warm, Path(folder) / "warm", options)  # imports and loading are not measured
        clock = Clock()
        begun = time.perf_counter()
        (result,) = predict(points, Path(folder) / "job", options, clock=clock)
        wall = time.perf_counter() - begun
    outside = wall - clock.forward_s
    print(
        f"job: {result.tiles} tiles, {len(points)} points, {result.rows} x {result.cols} pixels: "
        f"{wall:.2f} s, {result.tiles / wall:.2f} tiles/s; outside the estimator {outside:.2f} s "
        f"= {100 * outside / wall:.1f} % (allowed: 15 %)"
    )


def startup() -> None:
    command = [sys.executable, "-c", "from rm_geo.cli import main; main()", "--help"]
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    print(f"startup: rm-geo --help takes {statistics.median(times):.3f} s (allowed: 0.4 s)")


def fresh(method: str, model: str | None) -> None:
    """Measure streets 60 m apart with a measurement every 1.5 m, about 1 and 5 km2."""
    for side_m in (1025.0, 2236.0):
        points = street_drive(side_m, side_m, gap_m=60.0, step_m=1.5)
        with tempfile.TemporaryDirectory() as folder:
            drive = Path(folder) / "drive.gpkg"
            columns = {"rsrp": points.rsrp_dbm, "pci": points.cell}
            place = geopandas.points_from_xy(points.x, points.y)
            geopandas.GeoDataFrame(columns, geometry=place, crs=points.crs).to_file(drive)
            command = [
                sys.executable,
                "-m",
                "rm_geo",
                "predict",
                str(drive),
                "-o",
                str(Path(folder) / "maps"),
                "--method",
                method,
                "--max-tiles",
                "10000",
                "--quiet",
                *([] if model is None else ["--model", model]),
            ]
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                subprocess.run([*command, "--fresh"], check=True)
                times.append(time.perf_counter() - begun)
        km2 = side_m**2 / 1e6
        seconds = statistics.median(times)
        print(
            f"fresh: {km2:.2f} km2, {len(points)} points: {seconds:.1f} s, "
            f"{seconds / km2:.2f} s/km2 (median of 3, all start-up included)"
        )


def demo(method: str, model: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        made = run_demo(folder, PredictOptions(method=method, model=model, reach_m=60.0))
        wall = time.perf_counter() - begun
    print(f"demo: {wall:.1f} s (allowed: 60 s)")
    for row in made.comparison:
        print(f"  {row}")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(["job", "startup", "fresh", "demo"]))
@click.option("--method", default="radiocycle")
@click.option("--model")
def main(parts: tuple[str, ...], method: str, model: str | None) -> None:
    for part in parts or ("startup", "job", "demo"):
        if part == "startup":
            startup()
        elif part == "fresh":
            fresh(method, model)
        elif part == "job":
            job(method, model)
        else:
            demo(method, model)


if __name__ == "__main__":
    main()
