"""Super-resolve radio map: a coarse raster made finer by a network."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from ..inputs import raster_file
from ..results import ResultLayer
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers


class SuperResolveRadioMap(RmGeoAlgorithm):
    """A coarse radio map in, a fine one out."""

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

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add(self, QgsProcessingParameterRasterLayer("INPUT", "Radio map"),
                 "A raster of RSRP in dBm.")  # fmt: skip
        make.add(self, make.whole("BAND", "Band", None, lowest=1),
                 "Needed where the raster has several.", advanced=True)  # fmt: skip
        make.add(self, make.whole("SCALE", "Scale", 4, lowest=2),
                 "Fine pixels along each coarse one; there must be a model for it.")  # fmt: skip
        make.add_model(self)
        make.add(
            self, make.real("INTERCEPT", "Level at 1 m [dBm]", None),
            "Level that free space would give at 1 m, if known.", advanced=True,
        )  # fmt: skip
        make.add_most_tiles(self, 10_000)
        make.add(self, QgsProcessingParameterRasterDestination("OUTPUT", "Fine radio map"),
                 "GeoTIFF to make.")  # fmt: skip

    def look_at_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Find the raster's file."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        self._raster = raster_file(layer, "Radio map")

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Have the worker refine the raster."""
        target = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        band = self.optional_number(parameters, "BAND", context)
        request = {
            "request": "superres",
            "raster": self._raster,
            "output": os.path.dirname(os.path.abspath(target)),
            "name": os.path.basename(target),
            "options": {
                "scale": self.parameterAsInt(parameters, "SCALE", context),
                "model": self.optional_text(parameters, "MODEL", context),
                "device": self.parameterAsEnumString(parameters, "DEVICE", context),
                "band": None if band is None else int(band),
                "intercept_dbm": self.optional_number(parameters, "INTERCEPT", context),
                "max_tiles": self.parameterAsInt(parameters, "MAX_TILES", context),
            },
        }
        answer = self.work(request, feedback)
        feedback.pushInfo(f"Pixels of {answer['spacing_m']:g} m, by {answer['model']}")
        (made,) = result_layers(answer)
        cell = str(made.tags.get("cell", ""))
        self.finish(
            context,
            ResultLayer(target, "rsrp", f"{cell} refined".strip() if cell else "", made.tags),
            load=False,
        )
        return {"OUTPUT": target}
