"""Kill a run at random times, continue it, and compare the files byte by byte.

    python benchmarks/kill.py --kills 50

Each round starts ``rm-geo predict`` as a process and kills it with SIGKILL after a random time,
repeatedly, until a run is complete. The files must then be equal to those of an uninterrupted run.
Times are drawn over the duration of a run, so that all stages are interrupted.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The run is slow enough that estimation is interrupted too, not only imports.
OPTIONS = (
    "--method",
    "idw",
    "--method-weight",
    "0.6",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "30",
    "--batch-size",
    "3",
    "--crs",
    "EPSG:32633",
    "--quiet",
)


@dataclass(frozen=True)
class KillOutcome:
    """Number and times of the kills, and the differences of the files."""

    killed: int
    moments_s: tuple[float, ...]
    whole_s: float
    identical: bool
    differences: tuple[str, ...]


def write_drive(path: Path, side_m: float = 420.0) -> None:
    """Write measurements of two cells as CSV."""
    rng = np.random.default_rng(5)
    lines = ["x,y,rsrp,cell"]
    for cell in (7, 8):
        for street in np.arange(0.0, side_m, 45.0):
            along = np.arange(0.0, side_m, 1.5)
            for x, y in (
                (along, np.full_like(along, street)),
                (np.full_like(along, street), along),
            ):
                level = -60.0 - 20.0 * np.log10(1.0 + np.hypot(x - 90.0 * cell / 7, y) / 10.0)
                level += rng.normal(0.0, 3.0, x.size)
                lines += [
                    f"{500_000 + a:.2f},{5_400_000 + b:.2f},{c:.1f},{cell}"
                    for a, b, c in zip(x, y, level, strict=True)
                ]
    path.write_text("\n".join(lines) + "\n")


def start(drive: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    command = [sys.executable, "-m", "rm_geo", "predict", str(drive), "-o", str(output), *OPTIONS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run and raise an error if it failed."""
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(errors.decode())


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files of a run, including hidden ones."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kill_run(folder: Path, kills: int, seed: int = 0) -> KillOutcome:
    """Kill runs at random times until the number of kills is reached.

    Parameters
    ----------
    folder : Path
        Empty folder.
    kills : int
        Number of kills.
    seed : int
        Seed of the times.
    """
    moments = random.Random(seed)
    drive = folder / "drive.csv"
    write_drive(drive)
    begun = time.monotonic()
    finish(start(drive, folder / "whole"))
    whole_s = time.monotonic() - begun
    expected = contents(folder / "whole")
    killed: list[float] = []
    differences: list[str] = []
    round_number = 0
    while len(killed) < kills:
        output = folder / f"round{round_number}"
        round_number += 1
        while True:
            process = start(drive, output)
            moment_s = moments.uniform(0.15, 1.05) * whole_s
            try:
                if len(killed) < kills:
                    process.wait(moment_s)
                finish(process)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed.append(moment_s)
        found = contents(output)
        differences += [
            f"{output.name}/{name}"
            for name in sorted(expected.keys() | found.keys())
            if expected.get(name) != found.get(name)
        ]
    return KillOutcome(len(killed), tuple(killed), whole_s, not differences, tuple(differences))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_run(Path(folder), chosen.kills, chosen.seed)
    print(
        f"{outcome.killed} kills between {min(outcome.moments_s):.1f} and "
        f"{max(outcome.moments_s):.1f} s of a run of {outcome.whole_s:.1f} s: "
        + ("all files identical" if outcome.identical else f"DIFFERENT: {outcome.differences}")
    )
    sys.exit(not outcome.identical)


if __name__ == "__main__":
    main()
