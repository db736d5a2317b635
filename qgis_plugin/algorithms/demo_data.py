"""Demo drive test: measurements and sites to try the other algorithms with."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingOutputVectorLayer

from . import parameters as make
from .base import RmGeoAlgorithm, result_layers, run_group
from .run import Run


class DemoData(RmGeoAlgorithm):
    """Drive test of three cells in a generated city."""

    NAME = "demo_data"
    TITLE = "Demo drive test"
    GROUP = ("measurements", "Measurements")
    ICON = "measurements"
    TAGS = ("example", "sample", "data", "tutorial")
    SUMMARY = "A drive test and its sites, simulated in a generated city."
    HELP = (
        "Writes the drive test of three cells in a generated city, 448 m wide, as 'rm-geo demo' "
        "does: about 32,000 measurements with noise, and the layer of sites. It needs "
        "rm-geo[simulate]."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_folder(
            self,
            "Gets drive_test.gpkg, sites.csv and sites.gpkg.",
            label="Folder of the demo",
            load="Add the layers to the project",
            load_explanation="Add the measurements and the sites as styled layers.",
        )
        self.addOutput(QgsProcessingOutputVectorLayer("DRIVE_TEST", "Drive test"))
        self.addOutput(QgsProcessingOutputVectorLayer("SITES", "Sites"))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``demo_data``."""
        folder = run.folder("OUTPUT")
        answer = self.run_worker({"request": "demo_data", "output": folder}, run.feedback)
        layers = result_layers(answer, run_group("Demo"))
        self.collect_outputs(run, layers, {})
        paths = {layer.kind: layer.path for layer in layers}
        return {"OUTPUT": folder, "DRIVE_TEST": paths["drive_test"], "SITES": paths["sites"]}
