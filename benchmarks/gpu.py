"""Check and measure a GPU in one command: ``python -m benchmarks.gpu --out gpu``.

Four parts, within ``--minutes`` together:

- ``parity``: the networks on the device against PyTorch on the CPU in float32,
- ``memory``: a batch that does not fit the memory is answered by smaller ones, with the same maps,
- ``throughput``: tiles/s of the network and of ``predict`` by batch size,
- ``city``: an area of streets from measurements to files, and what Greater London takes at its
  speed.

``gpu.md`` and ``gpu.json`` hold the results. The exit status is 1 if a check failed.
``--device cpu --small`` runs all of it on a machine without a GPU, where a limit on the number of
tiles stands for the memory.
"""

from __future__ import annotations

import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.memory import street_drive
from benchmarks.throughput import tiles_by_batch
from rm_geo.buildings.rays import CellSamples
from rm_geo.devices import choose_device
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.ray_buildings import RayBuildingMapper
from rm_geo.estimators.registry import get_method
from rm_geo.grid import Grid
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.runner import run_tiles
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.raster.binning import bin_measurements
from rm_geo.sites.facts import SiteInfo

LONDON_KM2 = 1572.0
LIMITS_DB = {"float32": 0.02, "bfloat16": 1.0}
"""Largest difference from float32 on the CPU, of outdoor levels."""
LIMITS_PROBABILITY = {"float32": 0.005, "bfloat16": 0.2}


@dataclass
class Report:
    """Tables of the parts, and the checks that failed."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, part: str, **row: object) -> None:
        """Add a row and print it."""
        self.tables.setdefault(part, []).append(row)
        print(f"{part}: " + ", ".join(f"{key} {value}" for key, value in row.items()), flush=True)

    def require(self, is_right: bool, what: str) -> str:
        """Note a check."""
        if not is_right:
            self.failures.append(what)
        return "ok" if is_right else "FAILED"


@dataclass(frozen=True)
class Task:
    """What is measured."""

    device: str
    model: str | None
    is_small: bool
    ends_at: float

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.ends_at - time.monotonic()

    def estimator(self, device: str, precision: str) -> Any:
        """Open the network for single cells, by PyTorch."""
        given = {} if self.model is None else {"model": self.model}
        return get_method("radiocycle", device=device, engine="torch", precision=precision, **given)


def tiles_of_streets(count: int) -> TileBatch:
    """Prepare tiles of one cell along streets, its site known."""
    side_m = 256.0 + 224.0 * np.ceil(np.sqrt(count))
    points = street_drive(side_m, side_m, gap_m=90.0)
    grid = Grid.covering(points.x, points.y, points.crs, margin_m=20.0)
    sparse = bin_measurements(points, grid)
    west, south, _, _ = grid.bounds
    site = SiteInfo((west + 0.4 * side_m, south + 0.6 * side_m))
    return next(tile_batches(sparse, grid.tiles(256, 32)[:count], site, count))


def parity(task: Task, report: Report) -> None:
    """Compare the networks on the device with PyTorch on the CPU."""
    batch = tiles_of_streets(2 if task.is_small else 16)
    right = task.estimator("cpu", "float32").estimate(batch)
    for precision in LIMITS_DB:
        found = task.estimator(task.device, precision).estimate(batch)
        error_db = np.abs(found.rsrp_dbm - right.rsrp_dbm)
        shift = np.abs(found.building_probability - right.building_probability)
        is_right = (
            error_db.max() <= LIMITS_DB[precision] and shift.max() <= LIMITS_PROBABILITY[precision]
        )
        report.add(
            "parity",
            network="single cells",
            precision=precision,
            largest_db=round(float(error_db.max()), 4),
            rms_db=round(float(np.sqrt(np.mean(error_db**2))), 5),
            largest_probability=round(float(shift.max()), 5),
            check=report.require(bool(is_right), f"parity of single cells in {precision}"),
        )
    cells = cells_of_streets(8)
    one, other = (
        RayBuildingMapper(device=device).probability(cells, (256, 256))
        for device in ("cpu", task.device)
    )
    largest = float(np.abs(one - other).max())
    report.add(
        "parity",
        network="many cells",
        precision="auto",
        largest_probability=round(largest, 5),
        check=report.require(largest <= LIMITS_PROBABILITY["bfloat16"], "parity of many cells"),
    )


def cells_of_streets(count: int) -> list[CellSamples]:
    """Measure several cells along the same streets of a tile."""
    rng = np.random.default_rng(0)
    rows, cols = np.nonzero(
        (np.arange(256)[:, None] % 60 == 0) | (np.arange(256)[None, :] % 60 == 0)
    )
    cells = []
    for _ in range(count):
        site = rng.uniform(0.0, 256.0, 2)
        distance = np.hypot(rows - site[0], cols - site[1])
        level = -45.0 - 20.0 * np.log10(1.0 + distance) - rng.choice([0.0, 18.0], len(rows))
        cells.append(
            CellSamples(rows, cols, level.astype(np.float32), (site[0], site[1]), -40.0, 3.0)
        )
    return cells


class Recorded:
    """Estimator that records its batches; it may refuse large ones as a full memory does."""

    def __init__(self, estimator: Any, most_tiles: int | None = None) -> None:
        self._estimator, self._most = estimator, most_tiles
        self.done: list[int] = []
        self.refused: list[int] = []

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch."""
        try:
            if self._most is not None and len(batch) > self._most:
                raise RuntimeError("out of memory: more tiles than the trial allows")
            estimate: Estimate = self._estimator.estimate(batch)
        except RuntimeError:
            self.refused.append(len(batch))
            raise
        self.done.append(len(batch))
        return estimate


@contextlib.contextmanager
def small_memory(device: str, bytes_allowed: int) -> Iterator[None]:
    """Limit the memory of the process on a GPU."""
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(torch.device(device))
    torch.cuda.set_per_process_memory_fraction(min(bytes_allowed / total, 1.0), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def memory(task: Task, report: Report) -> None:
    """Give a batch that does not fit the memory, and compare its maps with those that fit."""
    count = 8 if task.is_small else 64
    batch, estimator = tiles_of_streets(count), task.estimator(task.device, "auto")
    fits = count // 4
    if task.device.startswith("cuda"):
        place = task.device if ":" in task.device else "cuda:0"
        torch.cuda.reset_peak_memory_stats(place)
        reference = Recorded(estimator)
        parts = [batch.part(start, fits) for start in range(0, count, fits)]
        right = np.concatenate([found.rsrp_dbm for found in run_tiles(reference, parts)])
        peak = torch.cuda.max_memory_reserved(place)
        tried = Recorded(estimator)
        with small_memory(place, int(1.5 * peak)):
            (found,) = run_tiles(tried, [batch])
    else:
        right = estimator.estimate(batch).rsrp_dbm
        tried, peak = Recorded(estimator, fits), 0
        (found,) = run_tiles(tried, [batch])
    largest = float(np.abs(found.rsrp_dbm - right).max())
    is_right = bool(tried.refused) and sum(tried.done) == count and largest <= 1.0
    report.add(
        "memory",
        tiles=count,
        memory_mb=round(peak / 2**20),
        refused=" ".join(map(str, tried.refused)) or "none",
        computed=" ".join(map(str, tried.done)),
        largest_db=round(largest, 4),
        check=report.require(is_right, "a batch that does not fit the memory"),
    )


def throughput(task: Task, report: Report) -> None:
    """Measure tiles/s by batch size."""
    sizes, count = ((1, 2), 2) if task.is_small else ((1, 4, 16, 64), 256)
    model = None if task.model is None else Path(task.model)
    for row in tiles_by_batch(task.device, sizes, count, model):
        report.add("throughput", **row)


def city(task: Task, report: Report) -> None:
    """Map a square of streets, as large as the time allows, and extrapolate to London."""
    rows = [row for row in report.tables.get("throughput", []) if "s_per_km2" in row]
    speed = min((float(row["s_per_km2"]) for row in rows), default=10.0)
    largest_km2 = 0.05 if task.is_small else 100.0
    km2 = min(largest_km2, max(0.5 * task.left_s / speed, 0.05))
    side_m = 1000.0 * np.sqrt(km2)
    points = street_drive(side_m, side_m, gap_m=150.0)
    options = PredictOptions(device=task.device, model=task.model, preview=False)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        (result,) = predict(points, folder, options)
        seconds = time.perf_counter() - begun
    mapped_km2 = result.rows * result.cols * result.spacing_m**2 / 1e6
    report.add(
        "city",
        km2=round(mapped_km2, 3),
        tiles=result.tiles,
        seconds=round(seconds, 1),
        s_per_km2=round(seconds / mapped_km2, 3),
        london_hours=round(seconds / mapped_km2 * LONDON_KM2 / 3600.0, 2),
    )


PARTS: dict[str, Callable[[Task, Report], None]] = {
    "parity": parity,
    "memory": memory,
    "throughput": throughput,
    "city": city,
}


def write(report: Report, out: Path, device: str) -> None:
    """Write the results."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    machine = f"{device} {name}".strip() + f", torch {torch.__version__}"
    facts = {"machine": machine, "failures": report.failures, "tables": report.tables}
    (out / "gpu.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    lines = [f"# {machine}", ""]
    for part, rows in report.tables.items():
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines += [f"## {part}", "", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        lines += [f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in rows]
        lines.append("")
    (out / "gpu.md").write_text("\n".join(lines), "utf-8")


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("gpu"))
@click.option("--device", default="cuda", show_default=True)
@click.option("--model", help="Network for single cells (default: the default model).")
@click.option("--minutes", type=click.FloatRange(0.1), default=12.0, show_default=True)
@click.option("--small", is_flag=True, help="Few tiles, for a trial on a CPU.")
def main(
    parts: tuple[str, ...], out: Path, device: str, model: str | None, minutes: float, small: bool
) -> None:
    """Run the parts in order, and write the results after each."""
    place = choose_device(device)
    task = Task(place, model, small, time.monotonic() + 60.0 * minutes)
    report = Report()
    out.mkdir(parents=True, exist_ok=True)
    for name in parts or PARTS:
        if task.left_s <= 0.0:
            report.failures.append(f"no time for {name}")
            continue
        try:
            PARTS[name](task, report)
        except Exception as error:  # the other parts are measured too
            report.add(name, fault=f"{type(error).__name__}: {error}")
            report.failures.append(name)
        write(report, out, place)
    print(f"Failed: {', '.join(report.failures)}." if report.failures else "All checks passed.")
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
