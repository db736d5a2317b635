"""``rm-geo inspect``: what a file of measurements holds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.options import PredictOptions
from rm_geo.workflows.inspect_log import inspect_log


@pytest.fixture
def log(tmp_path):
    lines = ["lat,lon,time,NetworkTech,PCI,EARFCN,RSRP"]
    for row in range(30):
        channel = 1300 if row % 3 else 6300
        lines.append(f"{52.5 + row * 1e-5},13.4,2024-05-01 10:00:{row:02d},4G,101,{channel},-90")
    file = tmp_path / "my log.csv"
    file.write_text("\n".join(lines))
    return file


def test_cells_times_and_places(log):
    summary = inspect_log(log)
    assert [(cell.name, cell.points, cell.carrier) for cell in summary.cells] == [
        ("101_earfcn1300", 20, "earfcn1300"),
        ("101_earfcn6300", 10, "earfcn6300"),
    ]
    assert summary.first == "2024-05-01T10:00:00.000"
    assert summary.visits == 30
    assert summary.bounds_lonlat == pytest.approx((13.4, 52.5, 13.4, 52.50029), abs=3e-5)
    assert len(summary.sample) == 5
    assert summary.report.columns["technology"] == "NetworkTech"


def test_the_command_repeats_the_options(log):
    summary = inspect_log(log, PredictOptions(rsrp_column="RSRP", channels=(1300,)))
    assert summary.command == (f"rm-geo predict '{log}' -o maps --rsrp-column RSRP --channels 1300")


def test_the_command_line_for_people_and_for_machines(log):
    plain = CliRunner().invoke(rm_geo, ["inspect", str(log), "--most-cells", "1"])
    assert plain.exit_code == 0, plain.output
    assert "101_earfcn1300" in plain.output
    assert "and 1 more cells with 10 measurements" in plain.output
    machine = CliRunner().invoke(rm_geo, ["inspect", str(log), "--json"])
    result = json.loads(machine.output.splitlines()[-1])
    assert result["event"] == "result"
    assert [cell["points"] for cell in result["cells"]] == [20, 10]
    assert list(log.parent.iterdir()) == [log]


def test_a_file_that_cannot_be_used_is_one_message(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("a,b\n1,2\n")
    result = CliRunner().invoke(rm_geo, ["inspect", str(file)])
    assert result.exit_code == 1
    assert "longitude" in result.output
    assert "Traceback" not in result.output
