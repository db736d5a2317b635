"""Sites as a layer: the rows of a site table as points with wedges."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputNumber,
)

from ..inputs import POINTS, TABLE, VectorInput, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm, copy_file, result_layers
from .planning import vector_output
from .run import Run


class SitesLayer(RmGeoAlgorithm):
    """Layer of sites, as the other algorithms understand them."""

    NAME = "sites_layer"
    TITLE = "Sites as a layer"
    GROUP = ("planning", "Planning")
    TAGS = ("antenna", "sector", "azimuth", "wedge", "cell", "site table")
    SUMMARY = "A site table as points, with a wedge towards the azimuth of each cell."
    HELP = (
        "Reads a table or a layer of sites as the other algorithms do, and writes what they "
        "understand: cell, height, azimuth, downtilt, beam width, EIRP and frequency. The layer is "
        "drawn with a wedge for each sector and a dot for each omnidirectional antenna, in the "
        "same size at all scales. It can be given as 'Sites' to the other algorithms."
    )

    _sites: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_sites(
            self,
            "One point (or row with longitude and latitude) for each cell.",
            optional=False,
        )
        kind = QgsProcessing.SourceType.TypeVectorPoint
        make.add(
            self,
            vector_output("OUTPUT", "Sites as points", kind, optional=False),
            "Points in Web Mercator (EPSG:3857).",
        )
        self.addOutput(QgsProcessingOutputNumber("NUMBER", "Number of sites"))

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check the layer of sites."""
        self._sites = vector_input(
            self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
        )

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``sites``."""
        self.check_outputs(run, ("OUTPUT",))
        target, sites = run.layer_target("OUTPUT"), run.required_file_of(self._sites)
        if target is None:
            raise QgsProcessingException("There is no output.\nChoose a file, and run again.")
        request = {
            "request": "sites",
            "output": os.path.join(run.scratch, "sites"),
            "name": "sites.gpkg",
            "sites": sites.path,
            "sites_crs": run.crs("SITES_CRS"),
        }
        answer = self.run_worker(request, run.feedback)
        (made,) = result_layers(answer)
        copy_file(made.path, target)
        self.finish(run, replace(made, path=target), load=False)
        return {"OUTPUT": target, "NUMBER": answer["vectors"][0]["features"]}
