"""Super-resolve radio map: refinement of a coarse raster by a network."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from ..inputs import POLYGONS, VectorInput, raster_file, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers
from .run import Run


class SuperResolveRadioMap(RmGeoAlgorithm):
    """Fine radio map from a coarse one."""

    NAME = "superresolve"
    TITLE = "Super-resolve radio map"
    GROUP = ("maps", "Radio maps")
    TAGS = ("super-resolution", "refine", "downscale", "MARS")
    SUMMARY = "Refine a coarse radio map with a super-resolution network."
    HELP = (
        "Refines a raster of RSRP in dBm, in a projected CRS with metres, by a whole factor "
        "along each axis. The corners stay where they are; what was empty stays empty.\n\n"
        "Its result depends on the trained model; compare it with a bilinear resampling."
    )

    _raster = ""
    _outlines: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add(
            self,
            QgsProcessingParameterRasterLayer("INPUT", "Radio map"),
            "A raster of RSRP in dBm.",
        )
        make.add(
            self,
            make.whole("BAND", "Band", None, lowest=1),
            "Needed where the raster has several.",
            advanced=True,
        )
        make.add(
            self,
            make.whole("SCALE", "Scale", 4, lowest=2),
            "Fine pixels along each coarse one; there must be a model for it.",
        )
        make.add_outlines(self)
        make.add_model(self)
        make.add(
            self,
            make.real("INTERCEPT", "Level at 1 m [dBm]", None),
            "Level that free space would give at 1 m, if known.",
            advanced=True,
        )
        make.add_most_tiles(self, 10_000)
        make.add(
            self,
            QgsProcessingParameterRasterDestination("OUTPUT", "Fine radio map"),
            "GeoTIFF to make.",
        )

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Find the file of the raster, and check the layer of buildings."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        self._raster = raster_file(layer, "Radio map")
        self._outlines = vector_input(self, parameters, "OUTLINES", context, (POLYGONS,))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``superres``."""
        outlines = run.file_of(self._outlines)
        target = os.path.abspath(run.layer_target("OUTPUT") or "")
        request = {
            "request": "superres",
            "output": os.path.dirname(target),
            "name": os.path.basename(target),
            "raster": self._raster,
            "options": {
                "scale": run.whole("SCALE"),
                "model": run.text("MODEL"),
                "device": run.choice("DEVICE"),
                "band": run.whole("BAND"),
                "intercept_dbm": run.number("INTERCEPT"),
                "buildings": None if outlines is None else outlines.path,
                "buildings_layer": None if outlines is None else outlines.layer,
                "max_tiles": run.whole("MAX_TILES"),
            },
        }
        answer = self.run_worker(request, run.feedback)
        run.feedback.pushInfo(f"Pixels of {answer['spacing_m']:g} m, by {answer['model']}")
        (made,) = result_layers(answer)
        layer = replace(made, path=target, cell=str(made.tags.get("cell", "")))
        self.finish(run, layer, load=False)
        return {"OUTPUT": target}
