"""Rasterize measurements: binning, and nothing else."""

from __future__ import annotations

import tempfile
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputMultipleLayers,
)

from ..inputs import POINTS, TABLE, VectorInput, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers


class RasterizeMeasurements(RmGeoAlgorithm):
    """Measurements in, a raster of their means for each cell out."""

    NAME = "rasterize"
    TITLE = "Rasterize measurements"
    GROUP = ("measurements", "Measurements")
    TAGS = ("drive test", "binning", "grid", "mean")
    SUMMARY = "Bin measurements on a grid, one raster per cell."
    HELP = (
        "Bins the measurements of each cell on a grid. The rasters have three bands: RSRP in "
        "dBm (mean of the power, median or maximum), count, and standard deviation in dB."
    )

    _input: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(self, make.choice("STATISTIC", "Statistic", ("mean", "median", "max"), "mean"),
                 "What a pixel gets; the mean is that of the power in milliwatts.")  # fmt: skip
        make.add_grid(self)
        make.add(self, make.real("MARGIN", "Margin [m]", 0.0, lowest=0.0),
                 "Ground around the measurements.", advanced=True)  # fmt: skip
        make.add_folder(self, "Gets a raster for each cell.")
        make.add(self, make.raster_output("MEASURED", "Measured RSRP"),
                 "The raster of the cell with the most measurements.")  # fmt: skip
        self.addOutput(QgsProcessingOutputMultipleLayers("RASTERS", "Rasters of all cells"))

    def look_at_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Look at the measurements."""
        self._input = vector_input(self, parameters, "INPUT", context, (POINTS, TABLE))

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Have the worker bin the measurements."""
        assert self._input is not None
        folder = self.folder(parameters, "OUTPUT", context)
        crs = self.parameterAsCrs(parameters, "TARGET_CRS", context)
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
            measurements = self._input.as_file(scratch, feedback)
            request = {
                "request": "rasterize",
                "measurements": measurements.path,
                "output": folder,
                "statistic": self.parameterAsEnumString(parameters, "STATISTIC", context),
                "options": {
                    "layer": measurements.layer,
                    "rsrp_column": self.optional_text(parameters, "RSRP_FIELD", context),
                    "cell_column": self.optional_text(parameters, "CELL_FIELD", context),
                    "resolution_m": self.parameterAsDouble(parameters, "RESOLUTION", context),
                    "reach_m": self.parameterAsDouble(parameters, "MARGIN", context),
                    "max_tiles": self.parameterAsInt(parameters, "MAX_TILES", context),
                    "target_crs": crs.toWkt() if crs.isValid() else None,
                },
            }
            answer = self.work(request, feedback)
        for cell in answer["cells"]:
            feedback.pushInfo(f"Cell {cell['cell']}: {cell['pixels']} pixels measured of "
                              f"{cell['rows']} x {cell['cols']}")  # fmt: skip
        rasters = result_layers(answer)
        load = self.parameterAsBool(parameters, "LOAD", context)
        found = self.hand_over(parameters, context, rasters, {"MEASURED": "measured"}, load=load)
        return {"OUTPUT": folder, "RASTERS": [raster.path for raster in rasters], **found}
