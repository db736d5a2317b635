"""Selecting measurements by time, network, carrier and size of the cell."""

from __future__ import annotations

import numpy as np
import pytest

from rm_geo.errors import InputError, UsageError
from rm_geo.measurements.reader import read_measurements
from rm_geo.measurements.selection import Selection, parse_time


@pytest.fixture
def points(tmp_path):
    lines = ["lat,lon,time,tech,operator,PCI,EARFCN,RSRP"]
    for row in range(60):
        cell, channel, operator = ((101, 1300, "A"), (102, 6300, "A"), (103, 1300, "B"))[row % 3]
        if row % 3 == 2 and row > 30:
            continue
        lines.append(
            f"{52.5 + row * 1e-5},13.4,2024-05-01T10:{row:02d}:00Z,4G,{operator},{cell},"
            f"{channel},-{80 + row % 7}"
        )
    file = tmp_path / "log.csv"
    file.write_text("\n".join(lines))
    return read_measurements(file)[0]


def counts(selection, points):
    found, _ = selection.apply(points)
    return {name: len(rows) for name, rows in found.by_cell().items()}


def test_empty_selection_returns_all_rows(points):
    found, notes = Selection().apply(points)
    assert found is points
    assert notes == ()


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(channels=(6300,)), {"102": 20}),
        (Selection(operators=("b",)), {"103": 10}),
        (Selection(technologies=("LTE",)), {"101": 20, "102": 20, "103": 10}),
        (Selection(technologies=("4g",), operators=("A",), top=1), {"101": 20}),
        (Selection(min_points=11), {"101": 20, "102": 20}),
        (Selection(begin=parse_time("2024-05-01T10:57", "time_from")), {"101": 1, "102": 1}),
        (Selection(end=parse_time("2024-05-01T10:02", "time_to")), {"101": 1, "102": 1, "103": 1}),
    ],
)
def test_selection_criteria(points, selection, expected):
    assert counts(selection, points) == expected


def test_dropped_rows_are_counted(points):
    _, notes = Selection(top=1).apply(points)
    assert notes == ("2 cells and their 30 measurements are left out by the selection.",)


def test_selection_without_rows_is_an_error(points):
    with pytest.raises(InputError, match="No measurement"):
        Selection(operators=("C",)).apply(points)


def test_selection_by_time_requires_times(points):
    timeless = points.select(np.arange(10))
    object.__setattr__(timeless, "time", None)
    with pytest.raises(InputError, match="no readable times"):
        Selection(begin=parse_time("2024-05-01", "time_from")).apply(timeless)


@pytest.mark.parametrize("text", ["yesterday", "", "2024-13-01"])
def test_invalid_time_is_refused(text):
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text, "time_from")
