"""Estimate radio map: the main road."""

from __future__ import annotations

import tempfile
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
)

from ..inputs import POINTS, TABLE, VectorInput, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers

_OUTPUTS = {"RSRP": "rsrp", "BUILDINGS": "buildings", "UNCERTAINTY": "uncertainty"}


class EstimateRadioMap(RmGeoAlgorithm):
    """Measurements in, radio maps and building maps out."""

    NAME = "estimate"
    TITLE = "Estimate radio map"
    GROUP = ("maps", "Radio maps")
    TAGS = ("coverage", "drive test", "interpolation", "kriging", "buildings", "LTE", "5G",
            "RadioCycle")  # fmt: skip
    SUMMARY = "Radio map and building map of each cell of a drive test."
    HELP = (
        "Makes of the measurements of a drive test, for each cell, a radio map (RSRP everywhere "
        "in reach, in dBm), a map of the probability of buildings (method radiocycle), and if "
        "wished a map of the uncertainty.\n\n"
        "The measurements are binned on a grid; the method estimates the map tile by tile; and "
        "the measurements are honoured where they are. Pixels beyond reach of any measurement "
        "stay empty.\n\n"
        "All files go into one folder, named by their cells, exactly as 'rm-geo predict' writes "
        "them, with a summary and previews. The outputs 'Radio map', 'Buildings' and "
        "'Uncertainty' are for layers of a single cell, for models and for batches: they get the "
        "maps of the cell with the most measurements."
    )

    _input: VectorInput | None = None
    _sites: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self, make.choice("METHOD", "Method", make.METHODS, "radiocycle"),
            "How the map is made: radiocycle is a network, the others interpolate or fit an "
            "empirical model.",
        )  # fmt: skip
        make.add(
            self,
            QgsProcessingParameterFeatureSource(
                "SITES", "Sites", [QgsProcessing.SourceType.TypeVector], None, True
            ),
            "One point (or row with longitude and latitude) for each cell, with the cell's name "
            "and where known height_m, eirp_dbm, azimuth, downtilt, frequency_mhz. Without it, "
            "positions are estimated.",
        )
        make.add_grid(self)
        make.add(
            self, make.real("REACH", "Reach [m]", 100.0, lowest=0.0),
            "Pixels further from any measurement stay empty.",
        )  # fmt: skip
        make.add_model(self)
        make.add(
            self, make.whole("OVERLAP", "Tile overlap [px]", 64, lowest=0),
            "Least number of pixels that neighbouring tiles share.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.whole("TILE_SIZE", "Tile size [px]", 256, lowest=16),
            "Side of a tile.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.text("CELLS", "Only these cells"),
            "Names separated by commas; all cells if left empty.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.text("METHOD_OPTIONS", "Options of the method"),
            "KEY=VALUE, separated by spaces, such as neighbors=8 for knn.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.flag("ASSIMILATE", "Honour the measurements", True),
            "Krige the residuals at the measurements back in.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.real("TRUST", "Trust in the method", None, lowest=0.0, highest=1.0),
            "Share of the method in the map, inverse distances have the rest. Judged on "
            "measurements held back if left empty.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.real("NOISE", "Error of a measured pixel [dB]", None, lowest=0.0),
            "Judged by neighbouring pixels if left empty; with 0 the map equals the measurement.",
            advanced=True,
        )  # fmt: skip
        make.add(
            self, make.real("EIRP", "EIRP [dBm]", None),
            "Per resource element, where the sites do not say.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.real("FREQUENCY", "Carrier frequency [MHz]", None, lowest=1.0),
            "Where neither sites nor measurements say.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.whole("MIN_PIXELS", "Fewest measured pixels", 5, lowest=1),
            "A cell measured in fewer pixels is left out.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.flag("MASK", "Also write the building mask", False),
            "1 where a building is more likely than not.", advanced=True,
        )  # fmt: skip
        make.add(
            self, make.flag("WITH_UNCERTAINTY", "Also write the uncertainty", False),
            "Standard deviation in dB, of the methods that know it.",
        )  # fmt: skip
        make.add(
            self, make.flag("PREVIEW", "Also write previews", True),
            "A picture of each cell, in the folder.", advanced=True,
        )  # fmt: skip
        make.add_folder(self, "Gets the files of every cell, a summary and previews.")
        make.add(self, make.raster_output("RSRP", "Radio map"),
                 "Radio map of the cell with the most measurements, in dBm.")  # fmt: skip
        make.add(self, make.raster_output("BUILDINGS", "Buildings"),
                 "Probability of a building, from the same cell's measurements.")  # fmt: skip
        make.add(self, make.raster_output("UNCERTAINTY", "Uncertainty"),
                 "Standard deviation of the same cell's map, in dB.")  # fmt: skip
        self.addOutput(QgsProcessingOutputMultipleLayers("RADIO_MAPS", "Radio maps of all cells"))
        self.addOutput(QgsProcessingOutputNumber("MAPPED_CELLS", "Number of cells mapped"))

    def look_at_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Look at measurements and sites."""
        self._input = vector_input(self, parameters, "INPUT", context, (POINTS, TABLE))
        self._sites = vector_input(
            self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
        )

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Have the worker map every cell."""
        assert self._input is not None
        folder = self.folder(parameters, "OUTPUT", context)
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
            measurements = self._input.as_file(scratch, feedback)
            sites = None if self._sites is None else self._sites.as_file(scratch, feedback).path
            options = self._options(parameters, context)
            request = {
                "request": "predict",
                "measurements": measurements.path,
                "output": folder,
                "options": {**options, "layer": measurements.layer, "sites": sites},
            }
            answer = self.work(request, feedback)
        self._report(answer["cells"], feedback)
        rasters = result_layers(answer)
        load = self.parameterAsBool(parameters, "LOAD", context)
        found = self.hand_over(parameters, context, rasters, _OUTPUTS, load=load)
        maps = [raster.path for raster in rasters if raster.kind == "rsrp"]
        return {"OUTPUT": folder, "RADIO_MAPS": maps, "MAPPED_CELLS": len(maps), **found}

    def _options(self, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, Any]:
        """Give the options as ``PredictOptions`` has them."""
        extra = self.optional_text(parameters, "METHOD_OPTIONS", context)
        wants_uncertainty = self.raster_target(parameters, "UNCERTAINTY", context) is not None
        crs = self.parameterAsCrs(parameters, "TARGET_CRS", context)
        return {
            "method": self.parameterAsEnumString(parameters, "METHOD", context),
            "model": self.optional_text(parameters, "MODEL", context),
            "method_options": extra.split() if extra else None,
            "device": self.parameterAsEnumString(parameters, "DEVICE", context),
            "tile_size_px": self.parameterAsInt(parameters, "TILE_SIZE", context),
            "overlap_px": self.parameterAsInt(parameters, "OVERLAP", context),
            "resolution_m": self.parameterAsDouble(parameters, "RESOLUTION", context),
            "reach_m": self.parameterAsDouble(parameters, "REACH", context),
            "target_crs": crs.toWkt() if crs.isValid() else None,
            "rsrp_column": self.optional_text(parameters, "RSRP_FIELD", context),
            "cell_column": self.optional_text(parameters, "CELL_FIELD", context),
            "cells": self.names(parameters, "CELLS", context),
            "eirp_dbm": self.optional_number(parameters, "EIRP", context),
            "frequency_mhz": self.optional_number(parameters, "FREQUENCY", context),
            "assimilate": self.parameterAsBool(parameters, "ASSIMILATE", context),
            "trust": self.optional_number(parameters, "TRUST", context),
            "noise_db": self.optional_number(parameters, "NOISE", context),
            "min_pixels": self.parameterAsInt(parameters, "MIN_PIXELS", context),
            "max_tiles": self.parameterAsInt(parameters, "MAX_TILES", context),
            "mask": self.parameterAsBool(parameters, "MASK", context),
            "uncertainty": wants_uncertainty
            or self.parameterAsBool(parameters, "WITH_UNCERTAINTY", context),
            "preview": self.parameterAsBool(parameters, "PREVIEW", context),
        }

    def _report(self, cells: list[dict[str, Any]], feedback: QgsProcessingFeedback) -> None:
        """Say what became of each cell."""
        for cell in cells:
            if cell["status"] == "mapped":
                feedback.pushInfo(
                    f"Cell {cell['cell']}: {cell['measurements']} measurements, "
                    f"{cell['rows']} x {cell['cols']} pixels, mean {cell['rsrp_mean_dbm']:.1f} "
                    f"dBm, transmitter: {cell['transmitter']}"
                )
            else:
                feedback.reportError(f"Cell {cell['cell']} could not be mapped: {cell['message']}")
