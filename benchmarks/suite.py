"""All benchmarks in one command: ``python -m benchmarks.suite``.

Writes a table (Markdown and CSV) and a plot of each part into a folder, with a description of the
machine; parts of earlier runs are kept. Parts by name: ``reading``, ``tiles``,
``memory``, ``writing``, ``scaling``, ``tile-scaling``, ``resume``, ``rivals``. ``--size small``
takes some minutes; ``medium`` half an hour: a million points of each format, 10 km x 40 km, the
full-size network, a square kilometre by every tool; ``full`` hours: ten million points, more
workers, larger areas.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import memory, reading, rivals, throughput

Rows = list[dict[str, object]]


def read_and_bin(counts: tuple[int, ...]) -> Rows:
    rows: Rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for name in reading.FORMATS:
                if count > 1_000_000 and name in {"geojson", "csv.gz"}:
                    continue  # unusual formats for this number of points
                path = Path(folder) / f"drive.{name}"
                reading.write_points(path, count)
                command = [sys.executable, reading.__file__, "--measure", str(path)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(out)
                seconds = found["read_s"] + found["bin_s"]
                rows.append(
                    {
                        "format": name,
                        "points": count,
                        "seconds": round(seconds, 2),
                        "points_per_s": round(count / seconds),
                        "peak_mb": round(found["peak_mb"]),
                    }
                )
                for file in Path(folder).glob("drive.*"):
                    file.unlink()
    return rows


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements."""

    points: tuple[int, ...] = (100_000,)
    tiles: tuple[int, ...] = (4,)
    full_size_tiles: int = 0
    batches: tuple[int, ...] = (1, 4)
    areas: tuple[str, ...] = ("1x1", "1x4")
    sides_px: tuple[int, ...] = (1024, 2048)
    workers: tuple[int, ...] = (1, 2)
    jobs: int = 2
    spread_side_m: float = 1200.0
    resumed_side_m: float = 400.0
    rivals_side_m: float = 256.0


SIZES = {
    "small": Sizes(),
    "medium": Sizes(
        points=(100_000, 1_000_000),
        tiles=(25, 100),
        full_size_tiles=25,
        batches=(1, 4, 16),
        areas=("1x1", "5x5", "10x10", "10x40"),
        sides_px=(1024, 4096, 16384),
        workers=(1, 2, 4),
        jobs=4,
        spread_side_m=2400.0,
        resumed_side_m=1200.0,
        rivals_side_m=1024.0,
    ),
    "full": Sizes(
        points=(100_000, 1_000_000, 10_000_000),
        tiles=(25, 100, 400),
        full_size_tiles=100,
        batches=(1, 2, 4, 8, 16),
        areas=("1x1", "5x5", "10x10", "10x40", "10x160"),
        sides_px=(1024, 4096, 16384),
        workers=(1, 2, 4, 8),
        jobs=8,
        spread_side_m=4800.0,
        resumed_side_m=2400.0,
        rivals_side_m=1024.0,
    ),
}


DESCRIPTIONS = {
    "reading": "Generated measurements in each format, read, cleaned and binned at 1 m, a process "
    "for each row. `peak_mb` is the resident memory of the process.",
    "tiles": "Tiles of 256 x 256 pixels of one cell. `bare` is the estimator alone, `pipeline` the "
    "whole computation of maps; `outside_estimator` is the share of the time outside "
    "the estimator.",
    "memory": "Streets 250 m apart with a reading every 2 m; radio map, buildings and uncertainty "
    "are written. The method takes no time.",
    "writing": "One float32 raster, compressed, tiled and with overviews.",
    "scaling": "Jobs of `rm-geo batch` on local worker processes.",
    "tile-scaling": "Tiles of one cell on local worker processes; 0 workers is one process "
    "without Dask.",
    "resume": "A run that is stopped in the middle and continued by the same command.",
    "rivals": "One square kilometre of simulated streets, each tool in a separate process, start "
    "included. `rmse_db` is the error at held-out measurements.",
}
"""Descriptions of the parts for the report."""


def parts(sizes: Sizes, device: str) -> dict[str, tuple[Callable[[], Rows], str, str, str]]:
    """Return (measurement, x column, y column, series column) by name."""
    batches = sizes.batches if device == "cpu" else (8, 16, 32, 64, 128)

    def tiles() -> Rows:
        found = [throughput.tiles_by_batch(device, batches, count) for count in sizes.tiles]
        if sizes.full_size_tiles:
            found.append(throughput.full_size(device, batches[1:2], sizes.full_size_tiles))
        return [row for rows in found for row in rows]

    return {
        "reading": (lambda: read_and_bin(sizes.points), "points", "points_per_s", "format"),
        "tiles": (tiles, "batch", "pipeline_tiles_per_s", "engine tiles"),
        "memory": (lambda: memory.run(list(sizes.areas)), "area_km2", "peak_mb", "method"),
        "writing": (lambda: throughput.writing(sizes.sides_px), "pixels", "mpixels_per_s", ""),
        "scaling": (
            lambda: throughput.scaling(sizes.workers, sizes.jobs),
            "workers",
            "jobs_per_s",
            "",
        ),
        "tile-scaling": (
            lambda: throughput.tile_scaling(sizes.workers, sizes.spread_side_m),
            "workers",
            "tiles_per_s",
            "",
        ),
        "resume": (lambda: throughput.resuming(sizes.resumed_side_m), "run", "seconds", ""),
        "rivals": (lambda: rivals.compare(sizes.rivals_side_m), "tool", "s_per_km2", ""),
    }


def write_table(rows: Rows, path: Path) -> None:
    """Write a table as CSV."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def as_markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Format a table in Markdown."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = ("" if row.get(c) is None else str(row.get(c)) for c in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: Rows, x: str, y: str, series: str, path: Path) -> None:
    """Plot one column against another, one line per series, or bars if x is text.

    A series is identified by one column, or by several separated by blanks.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    known = [row for row in rows if row.get(y) is not None and row.get(x) is not None]
    if known and isinstance(known[0][x], str):
        axes.barh([str(row[x]) for row in known], [float(str(row[y])) for row in known])
        axes.set_xlabel(y.replace("_", " "))
        axes.invert_yaxis()
    else:
        named = [(", ".join(str(row.get(key, "")) for key in series.split()), row) for row in known]
        for name in dict.fromkeys(name for name, _ in named):
            chosen = [row for own, row in named if own == name]
            axes.plot(
                [float(str(row[x])) for row in chosen],
                [float(str(row[y])) for row in chosen],
                "o-",
                label=name,
            )
        axes.set_xlabel(x.replace("_", " "))
        axes.set_ylabel(y.replace("_", " "))
        axes.set_ylim(bottom=0.0)
        if series:
            axes.legend(fontsize=8)
        if known and max(float(str(row[x])) for row in known) > 1000:
            axes.set_xscale("log")
    figure.savefig(path)


def report(out: Path, names: Iterable[str]) -> str:
    """Combine the tables of a folder, including those of earlier runs."""
    sections = [f"# Performance\n\n{throughput.machine()}.\n"]
    for name in names:
        if (out / f"{name}.csv").is_file():
            with (out / f"{name}.csv").open(encoding="utf-8", newline="") as file:
                table = as_markdown(list(csv.DictReader(file)))
            what = f"{DESCRIPTIONS[name]} `python -m benchmarks.suite {name}`"
            sections.append(f"## {name}\n\n{what}\n\n{table}\n\n![{name}]({name}.png)\n")
    return "\n".join(sections)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmark-results"))
@click.option(
    "--size",
    type=click.Choice(list(SIZES)),
    default="small",
    show_default=True,
    help="How much is measured: some minutes, half an hour, or hours.",
)
@click.option("--device", default="cpu", show_default=True)
def main(names: tuple[str, ...], out: Path, size: str, device: str) -> None:
    """Measure, and write tables and plots."""
    out.mkdir(parents=True, exist_ok=True)
    known = parts(SIZES[size], device)
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
    for name in names or known:
        click.echo(f"{name} ...", err=True)
        measure, x, y, series = known[name]
        rows = measure()
        write_table(rows, out / f"{name}.csv")
        plot(rows, x, y, series, out / f"{name}.png")
        (out / "results.md").write_text(report(out, known), "utf-8")
    click.echo(report(out, known))


if __name__ == "__main__":
    main()
