"""Accuracy on real drive tests: ``python benchmarks/field.py FOLDER``.

FOLDER holds the drive tests: ``scanner_rayong``, ``scanner_bangkok`` and ``duke_cbrs``. A set that
is not there is left out. For each set the cells with the most readings are held out in blocks of
50 and 200 m, and estimated by each method at the held-out bins of 5 m. Writes ``field.csv`` and
``field.md`` beside this file, in ``results``.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path

from rm_geo.measurements.reader import read_measurements
from rm_geo.validation.log_holdout import LogScore, validate_log
from rm_geo.validation.tables import markdown_table, write_csv

METHODS = ("knn", "idw", "street-ensemble", "joint", "default")
SETS = (
    ("Rayong, scanner", "scanner_rayong/measurements.csv.gz"),
    ("Bangkok, scanner", "scanner_bangkok/measurements.csv.gz"),
    ("Duke, campus", "duke_cbrs/measurements.shp"),
)


@dataclass(frozen=True)
class Row:
    """Pooled errors of one method on one set.

    Attributes
    ----------
    data, hidden, method : str
        Set, what was held out, method.
    block_m : float
        Side of the blocks.
    cells, points : int
        Judged cells, and held-out bins of all of them.
    rmse_db, mae_db, bias_db, correlation, interval_90 : float
        See :class:`rm_geo.validation.log_holdout.LogScore`.
    """

    data: str
    hidden: str
    block_m: float
    method: str
    cells: int
    points: int
    rmse_db: float
    mae_db: float
    bias_db: float
    correlation: float
    interval_90: float


def other_antenna(first: str, second: str) -> bool:
    """Whether two cells have different physical identities: not one antenna on two carriers.

    >>> other_antenna("154_earfcn38852", "154_earfcn39050"), other_antenna("7", "40")
    (False, True)
    """
    return _identity(first) != _identity(second)


def _identity(cell: str) -> str:
    """Name of a cell without its carrier."""
    return re.sub(r"_(?:earfcn|uarfcn|arfcn)\d+$", "", cell)


def rows_of(data: str, hidden: str, scores: tuple[LogScore, ...]) -> list[Row]:
    """Collect the pooled scores of one hold-out."""
    cells = len({score.cell for score in scores} - {"all"})
    return [
        Row(
            data,
            hidden,
            score.block_m,
            score.method,
            cells,
            score.points,
            score.rmse_db,
            score.mae_db,
            score.bias_db,
            score.correlation,
            score.interval_90,
        )
        for score in scores
        if score.cell == "all"
    ]


def main() -> None:
    """Judge all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--top", type=int, default=6, help="Cells that are judged in each set.")
    chosen = parser.parse_args()
    rows: list[Row] = []
    for data, name in SETS:
        if not (chosen.folder / name).exists():
            print(f"{data}: left out, there is no {chosen.folder / name}")
            continue
        log, _ = read_measurements(chosen.folder / name)
        begun = time.perf_counter()
        target = validate_log(log, METHODS, top=chosen.top)
        rows += rows_of(data, "the cell", target.scores)
        apart = validate_log(log, ("joint",), top=chosen.top, evidence=other_antenna)
        rows += rows_of(data, "the cell; other antennas only", apart.scores)
        all_hidden = validate_log(
            log, ("knn", "street-ensemble", "default"), top=chosen.top, hold_out="all"
        )
        rows += rows_of(data, "all cells", all_hidden.scores)
        floor = target.floor
        print(
            f"{data}: {time.perf_counter() - begun:.0f} s; floor {floor.within_pass_db:.1f} dB "
            f"within a pass, {floor.between_passes_db:.1f} dB between passes",
            flush=True,
        )
    results = Path(__file__).parent / "results"
    write_csv(results / "field.csv", rows)
    (results / "field.md").write_text(markdown_table(rows), encoding="utf-8")
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
