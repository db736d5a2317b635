"""Accuracy on real drive tests: ``python benchmarks/field.py FOLDER``.

FOLDER holds the drive tests: ``scanner_rayong``, ``scanner_bangkok``, ``duke_cbrs`` and
``grid_chicago``. A set that is not there is left out. For each set the cells with the most
readings are held out in blocks of 50 and 200 m, and in whole drives, and estimated by each method
at the held-out bins of 5 m, also averaged over 20 m. In Chicago the share of the samples of each
square that report a cell is estimated. Writes ``field.csv`` and ``field.md``, and ``shares.csv``
and ``shares.md``, beside this file, in ``results``, after each set; rows of sets that were not
judged this time stay (``--sets``).
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from rm_geo.geostat.block_folds import block_numbers
from rm_geo.geostat.reported_in_squares import ReportedInSquares
from rm_geo.geostat.reporting import ReportedProbability
from rm_geo.measurements.reader import read_measurements
from rm_geo.validation.log_holdout import LogScore, validate
from rm_geo.validation.metrics import area_under_curve
from rm_geo.validation.tables import markdown_table

METHODS = ("knn", "idw", "street-ensemble", "single", "joint", "default", "reported")
QUICK = ("knn", "street-ensemble", "joint")
SETS = (
    ("Rayong, scanner", "scanner_rayong/measurements.csv.gz"),
    ("Bangkok, scanner", "scanner_bangkok/measurements.csv.gz"),
    ("Duke, campus", "duke_cbrs/measurements.shp"),
)
SQUARES = (
    ("Chicago, A-R4", "grid_chicago/A-R4.csv.gz"),
    ("Chicago, V-R8", "grid_chicago/V-R8.csv.gz"),
)
ORDER = [data for data, _ in (*SETS, *SQUARES)]
BLOCKS_M = (50.0, 200.0)
_FOLDS = 5
_METRES = 111_320.0


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
    rmse_db, mae_db, bias_db, correlation, interval_90, auc, brier : float
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
    auc: float
    brier: float


@dataclass(frozen=True)
class Share:
    """Errors of the share of a square's samples that report a cell, means over the cells.

    Attributes
    ----------
    data, method : str
        Set and method.
    block_m : float
        Side of the blocks.
    cells, squares : int
        Cells in the most squares, and squares.
    rmse, rank_correlation : float
        Of the shares.
    auc, brier : float
        Of being reported at all, all cells together.
    """

    data: str
    block_m: float
    method: str
    cells: int
    squares: int
    rmse: float
    rank_correlation: float
    auc: float
    brier: float


def shares_of(data: str, path: Path, most: int = 20) -> list[Share]:
    """Estimate the shares of held-out squares, by the mean of the others and by kriging.

    Whether a cell is reported at all in a square is estimated by its share, and by the kriged
    shares and the number of samples.
    """
    table = pd.read_csv(path)
    table["cell"] = table.rat + "_" + table.freq.astype(str) + "_" + table.cid.astype(str)
    table["share"] = table["sample"] / table.total_sample
    shares = table.pivot_table("share", ["grid_lat", "grid_lon"], "cell", "mean", fill_value=0.0)
    truth = shares[table.cell.value_counts().index[:most]].to_numpy()
    samples = table.groupby(["grid_lat", "grid_lon"]).total_sample.max()
    samples = samples.reindex(shares.index).to_numpy(dtype=np.float64)
    lat, lon = (np.asarray(shares.index.get_level_values(axis), float) for axis in (0, 1))
    place_m = _METRES * np.column_stack([(lon - lon[0]) * np.cos(np.radians(lat.mean())), lat])
    rows = []
    for block_m in BLOCKS_M:
        block = block_numbers(place_m[:, 1], place_m[:, 0], block_m)
        fold = np.random.default_rng(0).permutation(int(block.max()) + 1)[block] % _FOLDS
        mean, kriged, counted = np.empty((3, *truth.shape))
        for test in (fold == number for number in range(_FOLDS)):
            mean[test] = truth[~test].mean(axis=0)
            for cell in range(truth.shape[1]):
                field = ReportedProbability.fit(place_m[~test], truth[~test, cell])
                kriged[test, cell] = field.at(place_m[test])
            squares = ReportedInSquares.fit(place_m[~test], truth[~test], samples[~test], block_m)
            counted[test] = squares.at(place_m[test], samples[test])
        rows += [
            Share(
                data,
                block_m,
                method,
                truth.shape[1],
                len(truth),
                float(np.sqrt(((found - truth) ** 2).mean(axis=0)).mean()),
                float(np.mean([spearmanr(a, b)[0] for a, b in zip(found.T, truth.T, strict=True)])),
                area_under_curve(any_report.ravel(), truth.ravel() > 0.0),
                float(((any_report - (truth > 0.0)) ** 2).mean()),
            )
            for method, found, any_report in (
                ("mean", mean, mean),
                ("reported", kriged, kriged),
                ("reported, samples counted", kriged, counted),
            )
        ]
    return rows


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
            score.auc,
            score.brier,
        )
        for score in scores
        if score.cell == "all"
    ]


def keep_rows(name: str, data: str, rows: Sequence[Row | Share]) -> None:
    """Replace the rows of one set in a table of results, and write it again as Markdown."""
    results = Path(__file__).parent / "results"
    table = pd.DataFrame([asdict(row) for row in rows])
    path = results / f"{name}.csv"
    if path.exists():
        before = pd.read_csv(path)
        table = pd.concat([before[before.data != data], table], ignore_index=True)
    table = table.loc[table.data.map(ORDER.index).sort_values(kind="stable").index]
    table.to_csv(path, index=False)
    kind = type(rows[0])
    again = [kind(**row) for row in table[list(asdict(rows[0]))].to_dict("records")]
    (results / f"{name}.md").write_text(markdown_table(again), encoding="utf-8")


def main() -> None:
    """Judge the sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--top", type=int, default=6, help="Cells that are judged in each set.")
    parser.add_argument(
        "--sets", nargs="+", default=ORDER, choices=ORDER, help="Sets that are judged."
    )
    chosen = parser.parse_args()
    for data, name in SETS:
        if data not in chosen.sets:
            continue
        rows: list[Row] = []
        if not (chosen.folder / name).exists():
            print(f"{data}: left out, there is no {chosen.folder / name}")
            continue
        log, _ = read_measurements(chosen.folder / name)
        begun = time.perf_counter()
        target = validate(log, METHODS, top=chosen.top)
        rows += rows_of(data, "the cell", target.scores)
        apart = validate(log, ("joint",), top=chosen.top, evidence=other_antenna)
        rows += rows_of(data, "the cell; other antennas only", apart.scores)
        all_hidden = validate(
            log, ("knn", "street-ensemble", "single", "default"), top=chosen.top, hold_out="all"
        )
        rows += rows_of(data, "all cells", all_hidden.scores)
        means = validate(log, QUICK, top=chosen.top, support="20m")
        rows += rows_of(data, "the cell; means over 20 m", means.scores)
        if log.time is not None:
            drives = validate(log, QUICK, top=chosen.top, by="log")
            rows += rows_of(data, "the cell, in whole drives", drives.scores)
        floor = target.floor
        print(
            f"{data}: {time.perf_counter() - begun:.0f} s; floor {floor.within_pass_db:.1f} dB "
            f"within a pass, {floor.between_passes_db:.1f} dB between passes",
            flush=True,
        )
        keep_rows("field", data, rows)
    for data, name in SQUARES:
        if data in chosen.sets and (chosen.folder / name).exists():
            keep_rows("shares", data, shares_of(data, chosen.folder / name))


if __name__ == "__main__":
    main()
