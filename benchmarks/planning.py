"""Time and peak memory of ``rm-geo plan``: ``python -m benchmarks.planning 4x4@1 50x25@5``.

Each case, cells x area in km2 @ pixel side in metres, is a square area with maps of all cells over
all of it: a distance law with shadowing that is correlated over some 40 m, a standard deviation,
and a site table. All products are made in a separate process; the maps are written before. Wall
time depends on what else the machine does; CPU time, of all threads, much less. Writes
``planning.csv`` and ``planning.md`` beside this file, in ``results``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.reading import peak_mb
from rm_geo.validation.tables import markdown_table, write_csv

CASES = ("4x4@1", "50x25@5", "200x25@5", "50x100@5", "1000x1@5")


@dataclass(frozen=True)
class Row:
    """Cost of all products of one case.

    Attributes
    ----------
    cells, area_km2, spacing_m : int, float, float
        The case.
    seconds, cpu_seconds : float
        Wall time, and CPU time of all threads, without the start of Python.
    peak_mb : int
        Peak resident memory.
    products : int
        Number of products; those that are not made lack an input.
    load : float
        Load average of one minute of the whole machine, at the end.
    """

    cells: int
    area_km2: float
    spacing_m: float
    seconds: float
    cpu_seconds: float
    peak_mb: int
    products: int
    load: float


def write_maps(folder: Path, cells: int, area_km2: float, spacing_m: float) -> Path:
    """Write maps and a site table; returns the site table."""
    from scipy import ndimage

    from rm_geo import Grid, RadioMap, Site

    side = round(1000.0 * np.sqrt(area_km2) / spacing_m)
    grid = Grid.create(500_000.0, 5_400_000.0, (side, side), spacing_m, 32633)
    rng = np.random.default_rng(0)
    rows, cols = np.indices(grid.shape, dtype=np.float32)
    lines = ["cell,x,y,height_m,azimuth,frequency_mhz"]
    for cell in range(cells):
        row, col = rng.uniform(0.1 * side, 0.9 * side, 2)
        distance_m = np.hypot(rows - row, cols - col) * spacing_m + 10.0
        shadow = ndimage.gaussian_filter(
            rng.normal(size=grid.shape).astype(np.float32), 40.0 / spacing_m, mode="wrap"
        )
        level = -35.0 - 30.0 * np.log10(distance_m) + 7.0 * shadow / shadow.std()
        level[level < -140.0] = np.nan
        x, y = grid.to_world(row, col)
        site = Site(float(x), float(y), frequency_mhz=1815.0)
        tags = {"method": "benchmark", "pci": str(cell % 1008), "channel": "1300"}
        std_db = np.full(grid.shape, 6.0, np.float32)
        made = RadioMap(grid, level, std_db=std_db, site=site, tags=tags)
        made.write(folder / f"{cell}_rsrp.tif")
        lines.append(f"{cell},{x:.1f},{y:.1f},30,{rng.uniform(0, 360):.0f},1815")
    (folder / "sites.csv").write_text("\n".join(lines) + "\n")
    return folder / "sites.csv"


def measure(maps: Path, only: list[str]) -> None:
    """Make all products, and print seconds and peak memory as JSON."""
    from rm_geo.workflows.plan import make_plan

    begun, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as out:
        made = make_plan(maps, out, only=only, sites=read_sites(maps))
        found = {
            "seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "peak_mb": round(peak_mb()),
            "products": len(made.products),
        }
        for name, reason in made.not_made.items():
            print(f"not made: {name}: {reason}", file=sys.stderr)
    print(json.dumps(found))


def read_sites(maps: Path):
    from rm_geo import read_sites as read

    return read(maps / "sites.csv", target_crs=32633, crs=32633)


def run(case: str, only: list[str]) -> Row:
    """Measure one case in a process of its own."""
    cells, rest = case.split("x")
    area, spacing = rest.split("@")
    with tempfile.TemporaryDirectory() as folder:
        write_maps(Path(folder), int(cells), float(area), float(spacing))
        command = [sys.executable, "-m", "benchmarks.planning", "--measure", folder]
        command += [part for name in only for part in ("--only", name)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(out.strip().splitlines()[-1])
    load = round(os.getloadavg()[0], 1)
    return Row(int(cells), float(area), float(spacing), **found, load=load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--measure", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    chosen = parser.parse_args()
    if chosen.measure is not None:
        measure(chosen.measure, chosen.only)
        return
    rows = []
    for case in chosen.cases:
        rows.append(run(case, chosen.only))
        print(rows[-1], flush=True)
    write_csv(chosen.out / "planning.csv", rows)
    (chosen.out / "planning.md").write_text(markdown_table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
