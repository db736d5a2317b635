"""The summary of a run: one row for each cell, written by one run at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rm_geo.products.summary import CellResult, write_summary


def test_what_a_killed_run_left_of_a_summary_is_replaced(tmp_path: Path) -> None:
    for name in (".summary.csv.part/half", ".summary.json.part/half", ".rmgeo-summary-lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    write_summary([], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.csv", "summary.json"]


def result(folder: Path, cell: str, measurements: int) -> CellResult:
    """Result of a cell with one file."""
    (folder / f"{cell}_rsrp.tif").write_text(cell * 3)
    return CellResult(
        cell, "mapped", measurements=measurements, files=(f"{cell}_rsrp.tif",), file_bytes=(3,)
    )


def cells_in(folder: Path) -> list[str]:
    return [row["cell"] for row in json.loads((folder / "summary.json").read_text())["cells"]]


def test_runs_of_other_cells_keep_their_rows_while_their_files_are_there(tmp_path: Path) -> None:
    write_summary([result(tmp_path, "7", 50), CellResult("9", "skipped")], tmp_path)
    write_summary([result(tmp_path, "8", 90)], tmp_path)
    assert cells_in(tmp_path) == ["8", "7", "9"]
    assert len((tmp_path / "summary.csv").read_text().splitlines()) == 4
    write_summary([result(tmp_path, "7", 10), CellResult("9", "failed")], tmp_path)
    assert cells_in(tmp_path) == ["8", "7", "9"]
    rows = json.loads((tmp_path / "summary.json").read_text())["cells"]
    assert [row["status"] for row in rows] == ["mapped", "mapped", "failed"]
    (tmp_path / "8_rsrp.tif").write_text("other")
    write_summary([result(tmp_path, "5", 1)], tmp_path)
    assert cells_in(tmp_path) == ["7", "5", "9"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "{}",
        '{"cells": 3}',
        '{"cells": [3, {}, {"cell": 7, "status": "mapped"}, {"cell": "8", "files": 3}]}',
        '{"cells": [{"cell": "8", "status": "mapped", "files": ["a\\u0000b"]}]}',
        '{"cells": [{"cell": "8", "status": "skipped", "measurements": "many"}]}',
        '{"cells": [{"cell": "8", "status": "skipped", "later_field": 1}]}',
    ],
)
def test_rows_that_cannot_be_read_are_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    write_summary([result(tmp_path, "7", 50)], tmp_path)
    assert cells_in(tmp_path) == ["7"]
