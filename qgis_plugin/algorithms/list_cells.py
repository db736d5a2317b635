"""The cells of measurements, for the list in dialogs; not in the toolbox."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication, QgsProcessingAlgorithm

from ..worker_keeper import WorkerKeeper
from . import parameters as make
from .base import MeasurementsAlgorithm
from .run import Run


class ListCells(MeasurementsAlgorithm):
    """Reads measurements as 'Inspect measurements' does; its result ``CELLS`` lists the cells."""

    NAME = "list_cells"
    TITLE = "List cells"
    GROUP = ("measurements", "Measurements")
    SUMMARY = "The cells of a drive test with their counts."
    HELP = SUMMARY

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)

    @classmethod
    def parameter_names(cls) -> set[str]:
        """Return the names of the parameters that select the measurements."""
        algorithm: QgsProcessingAlgorithm = cls().create()
        return {one.name() for one in algorithm.parameterDefinitions()}

    def workers(self) -> WorkerKeeper | None:
        """Return what keeps the worker of the provider, whose algorithm this is not."""
        provider = QgsApplication.processingRegistry().providerById("rm_geo")
        return getattr(provider, "workers", None)

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``inspect``."""
        answer = self.run_worker({"request": "inspect", **self.reading(run)}, run.feedback)
        return {"CELLS": answer["cells"]}
