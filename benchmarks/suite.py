"""All measurements in one command: ``python -m benchmarks.suite``.

Writes a table (Markdown and CSV) and a plot of each part into a folder, with the machine
described. Parts by name: ``reading``, ``tiles``, ``memory``, ``writing``, ``scaling``,
``tile-scaling``, ``resume``, ``rivals``. The small sizes take some minutes; ``--full`` takes
hours: 10,000,000 points of each format, 10 km x 10 km and 10 km x 40 km, a square kilometre by
every tool.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
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
                    continue  # nobody keeps so many points that way
                path = Path(folder) / f"drive.{name}"
                reading.write_points(path, count)
                command = [sys.executable, reading.__file__, "--measure", str(path)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found = json.loads(out)
                seconds = found["read_s"] + found["bin_s"]
                rows.append({"format": name, "points": count, "seconds": round(seconds, 2),
                             "points_per_s": round(count / seconds),
                             "peak_mb": round(found["peak_mb"])})  # fmt: skip
                for file in Path(folder).glob("drive.*"):
                    file.unlink()
    return rows


def parts(*, full: bool, device: str) -> dict[str, tuple[Callable[[], Rows], str, str, str]]:
    """Name -> (measurement, x column, y column, series column)."""
    counts = (100_000, 1_000_000, 10_000_000) if full else (100_000,)
    areas = ["1x1", "5x5", "10x10", "10x40"] if full else ["1x1", "1x4"]
    batches = (1, 2, 4, 8, 16) if full else (1, 4)
    if device != "cpu":
        batches = (8, 16, 32, 64, 128)
    return {
        "reading": (lambda: read_and_bin(counts), "points", "points_per_s", "format"),
        "tiles": (
            lambda: throughput.tiles_by_batch(device, batches, 36 if full else 4),
            "batch", "road_tiles_per_s", "engine",
        ),
        "memory": (lambda: memory.run(areas), "area_km2", "peak_mb", "method"),
        "writing": (
            lambda: throughput.writing((1024, 4096, 16384) if full else (1024, 2048)),
            "pixels", "mpixels_per_s", "",
        ),
        "scaling": (
            lambda: throughput.scaling((1, 2, 4, 8) if full else (1, 2), 8 if full else 2),
            "workers", "jobs_per_s", "",
        ),
        "tile-scaling": (
            lambda: throughput.tile_scaling((1, 2, 4, 8) if full else (1, 2, 4),
                                            4800.0 if full else 1200.0),
            "workers", "tiles_per_s", "",
        ),
        "resume": (
            lambda: throughput.resuming(2400.0 if full else 400.0), "run", "seconds", "",
        ),
        "rivals": (
            lambda: rivals.compare(1024.0 if full else 256.0), "tool", "s_per_km2", "",
        ),
    }  # fmt: skip


def write_table(rows: Rows, path: Path) -> str:
    """Write a CSV, and give the same as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = ("" if row.get(c) is None else str(row.get(c)) for c in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: Rows, x: str, y: str, series: str, path: Path) -> None:
    """Draw one column against another, a line for each series, or bars for names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    known = [row for row in rows if row.get(y) is not None and row.get(x) is not None]
    if known and isinstance(known[0][x], str):
        axes.barh([str(row[x]) for row in known], [float(str(row[y])) for row in known])
        axes.set_xlabel(y.replace("_", " "))
        axes.invert_yaxis()
    else:
        for name in dict.fromkeys(str(row.get(series, "")) for row in known):
            chosen = [row for row in known if str(row.get(series, "")) == name]
            axes.plot([float(str(row[x])) for row in chosen],
                      [float(str(row[y])) for row in chosen], "o-", label=name)  # fmt: skip
        axes.set_xlabel(x.replace("_", " "))
        axes.set_ylabel(y.replace("_", " "))
        axes.set_ylim(bottom=0.0)
        if series:
            axes.legend(fontsize=8)
        if known and max(float(str(row[x])) for row in known) > 1000:
            axes.set_xscale("log")
    figure.savefig(path)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmark-results"))
@click.option("--full", is_flag=True, help="The sizes of a city; takes hours.")
@click.option("--device", default="cpu", show_default=True)
def main(names: tuple[str, ...], out: Path, full: bool, device: str) -> None:
    """Measure, and write tables and plots."""
    out.mkdir(parents=True, exist_ok=True)
    known = parts(full=full, device=device)
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}")
    report = [f"# Measurements\n\n{throughput.machine()}.\n"]
    for name in names or known:
        click.echo(f"{name} ...", err=True)
        measure, x, y, series = known[name]
        rows = measure()
        table = write_table(rows, out / f"{name}.csv")
        plot(rows, x, y, series, out / f"{name}.png")
        report.append(f"## {name}\n\n{table}\n\n![{name}]({name}.png)\n")
        (out / "results.md").write_text("\n".join(report), "utf-8")
    click.echo("\n".join(report))


if __name__ == "__main__":
    main()
