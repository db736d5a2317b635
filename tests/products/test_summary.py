"""The summary of a run: one row for each cell, written by one run at a time."""

from __future__ import annotations

from pathlib import Path

from rm_geo.products.summary import write_summary


def test_what_a_killed_run_left_of_a_summary_is_replaced(tmp_path: Path) -> None:
    for name in (".summary.csv.part/half", ".summary.json.part/half", ".rmgeo-summary-lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    write_summary([], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.csv", "summary.json"]
