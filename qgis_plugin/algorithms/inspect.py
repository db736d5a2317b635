"""Inspect measurements: report on the contents of a drive test."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsProcessingOutputNumber, QgsProcessingParameterFileDestination

from ..inspection_report import inspection_html
from . import parameters as make
from .base import MeasurementsAlgorithm, copy_file, log_message, require_writable
from .run import Run

_NUMBERS = (
    ("ROWS", "Number of rows"),
    ("USED", "Number of rows used"),
    ("CELLS", "Number of cells"),
    ("WARNINGS", "Number of warnings"),
)


class InspectMeasurements(MeasurementsAlgorithm):
    """Report about measurements."""

    NAME = "inspect"
    TITLE = "Inspect measurements"
    GROUP = ("measurements", "Measurements")
    ICON = "inspect"
    TAGS = ("drive test", "report", "columns", "cells", "carriers", "PCI", "EARFCN", "quality")
    SUMMARY = "What a drive test holds: fields that are recognised, cells, carriers, warnings."
    HELP = (
        "Reads the measurements as the other algorithms do, and maps nothing. The report lists "
        "the fields that are recognised, the rows that are left out and why, the extent, the "
        "times, and each cell with its number of measurements, median RSRP, extent, technology, "
        "carrier and operator.\n\n"
        "What may be wrong is a warning in the report and in the log: several cells that share a "
        "name, a cell measured in places far apart, coordinates that contradict the CRS. Choose "
        "other fields, or use only some of the rows, until the report is right; 'Estimate radio "
        "map' has the same parameters."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self,
            QgsProcessingParameterFileDestination("OUTPUT", "Report", "HTML (*.html)"),
            "A page of tables, shown in the results viewer.",
        )
        for name, label in _NUMBERS:
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``inspect``."""
        target = run.file_target("OUTPUT")
        require_writable(target)
        answer = self.run_worker({"request": "inspect", **self.reading(run)}, run.feedback)
        for line in answer["text"]:
            log_message(line, run.feedback)
        page = os.path.join(run.scratch, "report.html")
        with open(page, "w", encoding="utf-8") as file:
            file.write(inspection_html(self.input_name, answer))
        copy_file(page, target)
        return {
            "OUTPUT": target,
            "ROWS": answer["total"],
            "USED": answer["kept"],
            "CELLS": len(answer["cells"]),
            "WARNINGS": len(answer["warnings"]),
        }
