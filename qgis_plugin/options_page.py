"""The settings page: which Python runs rm_geo, and whether it does."""

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
from .labels import with_labels
from .settings import PLUGIN_FOLDER, interpreter_setting, set_interpreter
from .worker_client import Listener, WorkerCancelled, WorkerError, run_job

_ICON = str(Path(__file__).resolve().parent / "icon.svg")
_POLL_MS = 100


class OptionsPageFactory(QgsOptionsWidgetFactory):
    """Gives QGIS the page when the options are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setTitle("Radio maps (rm_geo)")
        self.setIcon(QIcon(_ICON))

    def icon(self) -> QIcon:
        """Icon in the list of pages."""
        return QIcon(_ICON)

    def createWidget(self, parent: Any) -> QgsOptionsPageWidget:
        """Make the page."""
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """The interpreter, a Check button, and what is wrong in words."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._check: _Check | None = None
        self.interpreter = QgsFileWidget()
        self.interpreter.setDialogTitle("Python interpreter of the environment with rm_geo")
        self.interpreter.lineEdit().setPlaceholderText("found by itself if left empty")
        self.interpreter.setFilePath(interpreter_setting())
        self.origin = QLabel()
        self.origin.setWordWrap(True)
        self.button = QPushButton("Check")
        self.button.clicked.connect(self.check)
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
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(QLabel("Python interpreter"))
        layout.addLayout(row)
        layout.addWidget(self.origin)
        layout.addWidget(self.report)
        self.interpreter.fileChanged.connect(self._tell_origin)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._tell_origin()

    def apply(self) -> None:
        """Keep the interpreter; called when the options are closed with OK."""
        set_interpreter(self.interpreter.filePath().strip())

    def check(self) -> None:
        """Start rm_geo and report; the page stays alive meanwhile."""
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
        """Whether a check is under way."""
        return self._check is not None

    def hideEvent(self, event: Any) -> None:
        """Give a check up when the page goes away."""
        if self._check is not None:
            self._check.cancelled.set()
        super().hideEvent(event)

    def _poll(self) -> None:
        """Show the report as soon as it is there."""
        if self._check is None or self._check.is_alive():
            return
        self._timer.stop()
        self.report.setPlainText(self._check.report)
        self._check = None
        self.button.setEnabled(True)

    def _chosen(self) -> Any:
        """Choose the interpreter as the page stands, whether kept or not."""
        return choose_interpreter(self.interpreter.filePath(), os.environ, PLUGIN_FOLDER)

    def _tell_origin(self, _path: str = "") -> None:
        """Say which interpreter would be used, and why; or what is wrong."""
        try:
            chosen = self._chosen()
        except NoInterpreterError as error:
            self.origin.setText(str(error))
        else:
            self.origin.setText(f"In use: {chosen.path}, from {chosen.origin}.")


class _Check(threading.Thread):
    """A check in a thread of its own; touches no widget."""

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
            self.report = "Given up."
        except WorkerError as error:
            self.report = with_labels(str(error), error.parameter)
        else:
            lines: list[str] = ["rm_geo works.", "", *answer["text"]]
            self.report = "\n".join(lines)


class _CheckListener(Listener):
    """Gives a check up when the page is closed."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def is_cancelled(self) -> bool:
        """Whether the page was closed, or QGIS with it."""
        return self._cancelled.is_set() or QgsApplication.instance() is None
