"""The plugin and PyQt6, which QGIS 4 has: names of Qt, and a run with a stub of QGIS."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.qgis_python.imported_names import missing_names
from tests.support.waiting import HANG_S

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "qgis_plugin").rglob("*.py"))

pytest.importorskip("PyQt6.QtWidgets", exc_type=ImportError)


def qt_modules(name):
    """Modules of PyQt6 that have the names of a module of qgis.PyQt."""
    if not name.startswith("qgis.PyQt."):
        return []
    modules = [importlib.import_module(f"PyQt6.{name.rsplit('.', 1)[1]}")]
    if name == "qgis.PyQt.QtWidgets":  # where QGIS keeps QAction
        modules.append(importlib.import_module("PyQt6.QtGui"))
    return modules


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_name_of_qt_is_in_pyqt6_with_its_enumeration(path):
    assert missing_names(path.read_text(), qt_modules) == []


def test_an_unscoped_enumeration_would_be_found():
    source = """
        from qgis.PyQt.QtCore import Qt, QRegExp
        from qgis.PyQt.QtWidgets import QAction, QFrame
        Qt.AlignmentFlag.AlignLeft, Qt.AlignLeft, Qt.AlignmentFlag.AlignNowhere, QFrame.Shape.Box
        QAction.setText.__doc__
    """
    assert missing_names(textwrap.dedent(source), qt_modules) == [
        "QRegExp",
        "Qt.AlignLeft",
        "Qt.AlignmentFlag.AlignNowhere",
    ]


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What happened in a window with PyQt6 and a stub of QGIS."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.qgis_with_pyqt6"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        cwd=ROOT,
        env={
            **os.environ,
            "HOME": str(home),
            "QT_QPA_PLATFORM": "offscreen",
            "RM_GEO_PYTHON": "",
            "RM_GEO_TEST_WRONG_PYTHON": sys.executable if os.name == "nt" else "/bin/echo",
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_module_of_the_plugin_is_imported_with_pyqt6(facts):
    expected = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in SOURCES
        if path.name != "__init__.py"
    }
    assert expected <= set(facts["modules"])


def test_the_algorithms_describe_their_parameters_with_scoped_enumerations(facts):
    assert {"estimate", "plan", "validate", "check_environment"} <= set(facts["algorithms"])


def test_menu_and_settings_page_work_and_are_removed(facts):
    assert any("Estimate" in text for text in facts["menu"])
    assert "/no/such/python does not exist" in facts["missing"]
    assert "ended unexpectedly" in facts["checked"]
    assert facts["left"] == [0, 0, False]


def test_a_first_run_offers_to_find_the_interpreter(facts):
    assert ["Find it", "Settings…"] in facts["messages"]
