"""Check environment: versions, device and models of the worker's environment."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingOutputString

from ..settings import current_interpreter
from .base import RmGeoAlgorithm
from .run import Run


class CheckEnvironment(RmGeoAlgorithm):
    """Report about the environment; no inputs."""

    NAME = "check_environment"
    TITLE = "Check environment"
    GROUP = ("environment", "Environment")
    TAGS = ("doctor", "install", "version", "device", "GPU", "models", "interpreter")
    SUMMARY = "Check the environment that runs rm_geo: versions, device, models."
    HELP = (
        "Starts rm_geo in the environment that is set, and reports its versions, the device that "
        "networks run on, the trained models and the formats that can be read, with what to do "
        "about what is missing.\n\n"
        "The environment is that of Settings > Options > Radio maps (rm_geo), else that of the "
        "variable RM_GEO_PYTHON, else the one in which 'rm-geo qgis install' was run."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the outputs; there are no parameters."""
        for name, label in (
            ("INTERPRETER", "Python interpreter"),
            ("VERSION", "Version of rm_geo"),
            ("DEVICE", "Device"),
            ("MODELS", "Trained models"),
            ("HINTS", "What to fix"),
        ):
            self.addOutput(QgsProcessingOutputString(name, label))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``check``."""
        answer = self.run_worker({"request": "check"}, run.feedback)
        for line in answer["text"]:
            run.feedback.pushInfo(line)
        return {
            "INTERPRETER": current_interpreter().path,
            "VERSION": answer["version"],
            "DEVICE": answer["device"],
            "MODELS": ", ".join(answer["models"]),
            "HINTS": "\n".join(answer["hints"]),
        }
