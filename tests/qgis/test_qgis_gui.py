"""QGIS's window under Xvfb: a drive test, the dialog, the Run button, styled layers on the map."""

import json
import shutil
import subprocess

import pytest

from tests.support.measurements import drive_frame, write_frame
from tests.support.qgis import CHECKS, install_plugin, is_qgis_expected
from tests.support.waiting import HANG_S


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """What happened in the window, and where its pictures are."""
    qgis = install_plugin(tmp_path_factory.mktemp("gui") / "config")
    programs = {name: shutil.which(name, path="/usr/bin") for name in ("qgis", "xvfb-run")}
    if missing := [name for name, path in programs.items() if path is None]:
        message = f"not installed: {', '.join(missing)}"
        pytest.fail(message) if is_qgis_expected() else pytest.skip(message)
    folder = tmp_path_factory.mktemp("Sitzung ü")
    measurements = write_frame(drive_frame(400), folder / "drive test.gpkg")
    environment = qgis.environment(
        RM_GEO_TEST_OUT=str(folder),
        RM_GEO_TEST_DRIVE_TEST=str(measurements),
        RM_GEO_TEST_PARAMETERS=json.dumps({"REACH": 30.0, "WITH_UNCERTAINTY": True}),
        LANG="C.UTF-8",
    )
    del environment["QT_QPA_PLATFORM"]
    done = subprocess.run(
        [
            programs["xvfb-run"],
            "-a",
            "-s",
            "-screen 0 1500x1000x24",
            programs["qgis"],
            "--nologo",
            "--noversioncheck",
            "--profiles-path",
            str(qgis.config),
            "--code",
            str(CHECKS / "window.py"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        cwd=folder,
    )
    error = folder / "error.txt"
    assert not error.exists(), error.read_text()
    facts = folder / "facts.json"
    assert facts.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(facts.read_text()), folder


def test_a_run_is_a_group_with_the_strongest_level_on_top_and_the_cells_off(opened):
    facts, _ = opened
    cells = {
        f"Cell {cell}": [
            f"{cell} {what}, radiocycle" for what in ("buildings", "RSRP", "uncertainty")
        ]
        for cell in ("7", "8")
    }
    run = {"drive test: radiocycle": ["RSRP of the best server", "Cell 7", "Cell 8"]}
    assert facts["groups"] == {**run, **cells}
    assert facts["shown"] == ["RSRP of the best server"]


def test_cells_are_chosen_from_a_list_with_their_counts(opened):
    cells = opened[0]["cells"]
    assert cells["listed"] == [["7", 200], ["8", 200]]
    assert cells["said"] == "2 of 2 cells"
    assert [cells["value"]] == cells["left"]
    assert cells["again"] == "1 of 2 cells"
    assert cells["all"] is None
    assert "CellsWidget" not in (cells["batch"], cells["model"])
    assert cells["text"] == "7, 8"


def test_the_layers_are_styled_and_drawn(opened):
    facts, _ = opened
    assert set(facts["styles"].values()) == {"singlebandpseudocolor"}
    assert facts["points"] == "graduatedSymbol"
    assert facts["drawn"] > 50  # colours on the canvas: a map, not a blank page


def test_menu_and_toolbar_open_the_algorithms(opened):
    facts, _ = opened
    assert facts["toolbar"] == [
        "Estimate radio map…",
        "Inspect measurements…",
        "Plan…",
        "Compare radio maps…",
        "Report…",
    ]
    assert facts["menu"][:5] == facts["toolbar"]
    assert "Demo drive test…" in facts["menu"]


def test_a_plugin_without_an_interpreter_asks_for_it_and_finds_it(opened):
    facts, folder = opened
    first_run = facts["first_run"]
    assert first_run["found"] == str(folder / "home/venvs/maps/bin/python")
    assert first_run["found"] in first_run["said"]
    assert first_run["after"], "it is silent when an interpreter is set"


def test_screenshots_of_window_dialog_and_settings_exist(opened):
    _, folder = opened
    for name in ("window", "dialog", "cells", "log", "settings", "first_run"):
        picture = (folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_check_button_reports_success_and_failure(opened):
    page = opened[0]["page"]
    assert page["good"].startswith("rm_geo works.")
    assert "radiocycle-drive-s" in page["good"]
    assert "has no rm_geo" in page["bad"]
    assert "/usr/bin/python3" in page["origin"]


def test_nothing_heavy_was_imported_into_qgis(opened):
    assert opened[0]["modules"] == []
