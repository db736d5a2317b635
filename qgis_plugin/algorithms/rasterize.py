"""Rasterize measurements: binning only."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingOutputMultipleLayers

from . import parameters as make
from .base import MeasurementsAlgorithm, result_layers
from .run import Run


class RasterizeMeasurements(MeasurementsAlgorithm):
    """Raster of the binned measurements of each cell."""

    NAME = "rasterize"
    TITLE = "Rasterize measurements"
    GROUP = ("measurements", "Measurements")
    TAGS = ("drive test", "binning", "grid", "mean")
    SUMMARY = "Bin measurements on a grid, one raster per cell."
    HELP = (
        "Bins the measurements of each cell on a grid. The rasters have three bands: RSRP in "
        "dBm (mean of the power, median or maximum), count, and standard deviation in dB."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self,
            make.choice("STATISTIC", "Statistic", ("mean", "median", "max"), "mean"),
            "What a pixel gets; the mean is that of the power in milliwatts.",
        )
        make.add_grid(self)
        make.add(
            self,
            make.real("MARGIN", "Margin [m]", 0.0, lowest=0.0),
            "Ground around the measurements.",
            advanced=True,
        )
        make.add_folder(self, "Gets a raster for each cell.")
        make.add(
            self,
            make.raster_output("MEASURED", "Measured RSRP"),
            "The raster of the cell with the most measurements.",
        )
        self.addOutput(QgsProcessingOutputMultipleLayers("RASTERS", "Rasters of all cells"))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``rasterize``."""
        self.check_outputs(run, ("MEASURED",))
        folder = run.folder("OUTPUT")
        measured, statistic = self.measured(run), run.choice("STATISTIC")
        request = {
            "request": "rasterize",
            "output": folder,
            **measured,
            "statistic": statistic,
            "options": {**measured["options"], "reach_m": run.number("MARGIN")},
        }
        answer = self.run_worker(request, run.feedback)
        for cell in answer["cells"]:
            run.feedback.pushInfo(
                f"Cell {cell['cell']}: {cell['pixels']} pixels measured of "
                f"{cell['rows']} x {cell['cols']}"
            )
        group = self.group_of(f"measured {statistic}", by_cell=True)
        rasters = result_layers(answer, group)
        found = self.collect_outputs(run, rasters, {"MEASURED": "measured"})
        return {"OUTPUT": folder, "RASTERS": [raster.path for raster in rasters], **found}
