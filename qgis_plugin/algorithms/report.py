"""Report: results as one HTML file."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)

from ..inputs import folder_of
from . import parameters as make
from .base import RmGeoAlgorithm, require_writable
from .planning import GROUP
from .run import Run

_FOLDERS = (
    ("PLAN", "Folder of the plan", "That 'Plan' made."),
    ("MAPS", "Folder of the radio maps", "That 'Estimate radio map' made."),
    ("VALIDATION", "Folder of the validation", "That 'Validate on held-out measurements' made."),
)


class WriteReport(RmGeoAlgorithm):
    """One HTML file of a plan, its maps and their validation."""

    NAME = "report"
    TITLE = "Report"
    GROUP = GROUP
    ICON = "report"
    TAGS = ("HTML", "document", "print", "PDF", "summary")
    SUMMARY = "Results of a plan, its maps and their validation as one HTML file."
    HELP = (
        "Puts results together into one HTML file that opens in a browser without a network: a "
        "summary, a map with layers and legend, the coverage of each cell and class, the list of "
        "holes, errors at held-out measurements, and where the results come from. The browser "
        "prints it to PDF.\n\n"
        "Give the folders that there are. 'Plan' writes such a report itself."
    )

    _folders: tuple[str, ...] = ()

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        for name, label, explanation in _FOLDERS:
            make.add(
                self,
                QgsProcessingParameterFile(
                    name, label, QgsProcessingParameterFile.Behavior.Folder, "", None, True
                ),
                explanation,
            )
        make.add(self, make.text("TITLE", "Heading"), "From the name of the folder if left empty.")
        make.add(
            self,
            make.real("MAX_SIZE", "Size of the pictures [MB]", 24.0, lowest=0.1, highest=1000.0),
            "Larger rasters are reduced.",
            advanced=True,
        )
        make.add(
            self,
            QgsProcessingParameterFileDestination("OUTPUT", "Report", "HTML (*.html)"),
            "A page for a browser.",
        )

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check the folders."""
        found = (
            folder_of(self.parameterAsString(parameters, name, context) or None, label)
            for name, label, _ in _FOLDERS
        )
        self._folders = tuple(folder for folder in found if folder is not None)
        if not self._folders:
            raise QgsProcessingException(
                "There is no folder.\nGive at least one folder of results."
            )

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``report``."""
        target = run.file_target("OUTPUT")
        require_writable(target)
        request = {
            "request": "report",
            "output": os.path.dirname(target),
            "name": os.path.basename(target),
            "folders": list(self._folders),
            "options": {"title": run.text("TITLE"), "max_mb": run.number("MAX_SIZE")},
        }
        answer = self.run_worker(request, run.feedback)
        run.feedback.pushInfo(f"{answer['bytes'] / 1e6:.1f} MB")
        return {"OUTPUT": target}
