"""Settings page: choice and check of the interpreter that runs rm_geo."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtGui import QFontDatabase, QIcon
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QPushButton, QTextBrowser, QVBoxLayout

from .interpreter import NoInterpreterError, choose_interpreter, worker_environment
from .interpreter_search import find_interpreters
from .labels import with_labels
from .settings import PLUGIN_FOLDER, interpreter_setting, set_interpreter
from .worker_client import Listener, WorkerCancelled, WorkerError, run_job

_ICON = str(Path(__file__).resolve().parent / "icon.svg")
_POLL_MS = 100

PAGE = "Radio maps (rm_geo)"
"""Title of the page."""


class OptionsPageFactory(QgsOptionsWidgetFactory):
    """Creates the page when the options dialog is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setTitle(PAGE)
        self.setIcon(QIcon(_ICON))

    def icon(self) -> QIcon:
        """Return the icon in the list of pages."""
        return QIcon(_ICON)

    def createWidget(self, parent: Any) -> QgsOptionsPageWidget:
        """Create the page."""
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """Page with the interpreter, a Check button and its report."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.setObjectName(PAGE)
        self._check: _Check | None = None
        self.interpreter = QgsFileWidget()
        self.interpreter.setDialogTitle("Python interpreter of the environment with rm_geo")
        self.interpreter.lineEdit().setPlaceholderText("found by itself if left empty")
        self.interpreter.setFilePath(interpreter_setting())
        self.origin = QLabel()
        self.origin.setWordWrap(True)
        self.button = QPushButton("Check")
        self.button.clicked.connect(self.check)
        self.finder = QPushButton("Find")
        self.finder.setToolTip("Search the usual places for an environment with rm_geo")
        self.finder.clicked.connect(self.find)
        self.report = QTextBrowser()
        self.report.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

        about = QLabel(
            "rm_geo runs in a Python environment of its own, never inside QGIS. Choose the "
            "interpreter of that environment (bin/python, on Windows python.exe), or run "
            "<code>rm-geo qgis install</code> there."
        )
        about.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.interpreter)
        row.addWidget(self.finder)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(QLabel("Python interpreter"))
        layout.addLayout(row)
        layout.addWidget(self.origin)
        layout.addWidget(self.report)
        self.interpreter.fileChanged.connect(self._show_origin)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._show_origin()

    def apply(self) -> None:
        """Save the interpreter; called when the options are closed with OK."""
        set_interpreter(self.interpreter.filePath().strip())

    def find(self) -> None:
        """Search for environments with rm_geo, choose the first and list them all."""
        found = find_interpreters(Path.home(), os.environ)
        if not found:
            self.report.setPlainText(
                "No environment with rm_geo was found in the usual places. Choose its Python."
            )
            return
        self.interpreter.setFilePath(found[0])
        self.report.setPlainText("\n".join(("Environments with rm_geo:", "", *found)))

    def check(self) -> None:
        """Start the check in a thread, so that the page stays responsive."""
        try:
            chosen = self._chosen()
        except NoInterpreterError as error:
            self.report.setPlainText(str(error))
            return
        self.button.setEnabled(False)
        self.report.setPlainText(f"Starting rm_geo with {chosen.path} …")
        self._check = _Check(chosen.path)
        self._timer.start(_POLL_MS)

    def is_checking(self) -> bool:
        """Return whether a check is running."""
        return self._check is not None

    def hideEvent(self, event: Any) -> None:
        """Cancel the check when the page is hidden."""
        if self._check is not None:
            self._check.cancelled.set()
        super().hideEvent(event)

    def _poll(self) -> None:
        """Show the report when the check has ended."""
        if self._check is None or self._check.is_alive():
            return
        self._timer.stop()
        self.report.setPlainText(self._check.report)
        self._check = None
        self.button.setEnabled(True)

    def _chosen(self) -> Any:
        """Return the interpreter for the current, possibly unsaved, value of the page."""
        return choose_interpreter(self.interpreter.filePath(), os.environ, PLUGIN_FOLDER)

    def _show_origin(self, _path: str = "") -> None:
        """Show the interpreter and its origin, or why there is none."""
        try:
            chosen = self._chosen()
        except NoInterpreterError as error:
            self.origin.setText(str(error))
        else:
            self.origin.setText(f"In use: {chosen.path}, from {chosen.origin}.")


class _Check(threading.Thread):
    """Check in a separate thread; uses no widget."""

    def __init__(self, python: str) -> None:
        super().__init__(daemon=True)
        self.cancelled = threading.Event()
        self.report = ""
        self._python = python
        self.start()

    def run(self) -> None:
        """Ask the worker to describe its environment."""
        listener = _CheckListener(self.cancelled)
        try:
            answer = run_job(
                self._python,
                {"request": "check"},
                listener,
                environment=worker_environment(os.environ),
            )
        except WorkerCancelled:
            self.report = "Cancelled."
        except WorkerError as error:
            self.report = with_labels(str(error), error.parameter)
        else:
            lines: list[str] = ["rm_geo works.", "", *answer["text"]]
            self.report = "\n".join(lines)


class _CheckListener(Listener):
    """Cancels a check when the page is closed."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        """Return whether the page or QGIS was closed."""
        return self._cancelled.is_set() or QgsApplication.instance() is None
