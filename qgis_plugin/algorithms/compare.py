"""Compare radio maps: difference, statistics and significant changes."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterLayer,
)

from ..inputs import folder_of, raster_file
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers, run_group
from .planning import GROUP, vector_output
from .run import Run

_SIDES = (
    ("FIRST", "First radio map", "first radio maps"),
    ("SECOND", "Second radio map", "second radio maps"),
)
_OPTIONS = (
    ("WITHIN", "Share within [dB]", "within_db", 6.0, 0.0, None),
    ("CONFIDENCE", "Confidence of a change", "confidence", 0.95, 0.5, 0.999999),
    ("THRESHOLD", "Threshold [dBm]", "threshold_dbm", -110.0, None, None),
    ("CHANGE_AREA", "Smallest area of change [m²]", "min_area_m2", 400.0, 0.0, None),
    ("STD", "Standard deviation of maps without one [dB]", "std_db", None, 0.0, None),
)
_HELP_OF = {
    "WITHIN": "The share of the area whose difference is at most this is given.",
    "CONFIDENCE": "A change is significant if chance explains it with less than the rest.",
    "THRESHOLD": "Level at which a place is covered, for what is gained and lost.",
    "CHANGE_AREA": "Smaller polygons of change are left out.",
    "STD": "For changes of maps that have no uncertainty beside them.",
}
_OUTPUTS = {"DIFFERENCE": "difference", "CHANGE_AREAS": "change_areas"}


class CompareRadioMaps(RmGeoAlgorithm):
    """Difference of two maps or of two folders of maps."""

    NAME = "compare"
    TITLE = "Compare radio maps"
    GROUP = GROUP
    ICON = "compare"
    TAGS = ("difference", "before and after", "change", "RMSE", "bias", "Atoll", "benchmark")
    SUMMARY = "How two radio maps, or two sets of them, differ, and where it is significant."
    HELP = (
        "The second map minus the first: before and after a change of the network, or a measured "
        "map and that of any other tool. The maps may have other pixels and another CRS. Of two "
        "folders, cells of the same name are compared, or the strongest levels.\n\n"
        "The log has bias, RMSE and what is gained and lost. Where a standard deviation is known, "
        "polygons show where the difference is larger than chance explains."
    )

    _first = ""
    _second = ""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        for name, label, plural in _SIDES:
            make.add(
                self,
                QgsProcessingParameterRasterLayer(name, label, None, True),
                "A raster of RSRP in dBm.",
            )
            make.add(
                self,
                QgsProcessingParameterFile(
                    f"{name}_FOLDER",
                    f"Or folder of {plural}",
                    QgsProcessingParameterFile.Behavior.Folder,
                    "",
                    None,
                    True,
                ),
                "Folder of the maps of several cells.",
            )
        make.add(
            self,
            make.flag("STRONGEST", "Compare the strongest levels", False),
            "Of two folders: their strongest levels instead of cells of the same name.",
            advanced=True,
        )
        for name, label, _, default, lowest, highest in _OPTIONS:
            make.add(
                self,
                make.real(name, label, default, lowest=lowest, highest=highest),
                _HELP_OF[name],
                advanced=True,
            )
        make.add_folder(
            self,
            "Gets the rasters, polygons and tables.",
            label="Folder of the comparison",
            load="Add all layers to the project",
            load_explanation="Add the differences as styled layers. Switch it off in models and "
            "batches.",
        )
        make.add(
            self,
            make.raster_output("DIFFERENCE", "Difference"),
            "Second minus first in dB; of folders, that of the first cell.",
        )
        make.add(
            self,
            vector_output(
                "CHANGE_AREAS", "Areas of change", QgsProcessing.SourceType.TypeVectorPolygon
            ),
            "Polygons of significant change.",
        )
        self.addOutput(QgsProcessingOutputNumber("BIAS", "Bias in dB"))
        self.addOutput(QgsProcessingOutputNumber("RMSE", "RMSE in dB"))

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Find the two sides: a raster or a folder each."""
        self._first, self._second = (
            self._side(parameters, context, name, label) for name, label, _ in _SIDES
        )

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``compare``."""
        self.check_outputs(run, _OUTPUTS)
        folder = run.folder("OUTPUT")
        request = {
            "request": "compare",
            "output": folder,
            "first": self._first,
            "second": self._second,
            "composite": run.flag("STRONGEST"),
            "options": {option: run.number(name) for name, _, option, *_ in _OPTIONS},
        }
        answer = self.run_worker(request, run.feedback)
        for name, found in {**answer["cells"], "all": answer["all"]}.items():
            run.feedback.pushInfo(
                f"{name}: bias {found['bias_db']:.2f} dB, RMSE {found['rmse_db']:.2f} dB on "
                f"{found['area_km2']:.3g} km²"
            )
        for name, reason in answer["not_made"].items():
            run.feedback.pushInfo(f"Not made: {name}: {reason}")
        found = self.collect_outputs(run, result_layers(answer, run_group("Comparison")), _OUTPUTS)
        return {
            "OUTPUT": folder,
            "BIAS": answer["all"]["bias_db"],
            "RMSE": answer["all"]["rmse_db"],
            **found,
        }

    def _side(
        self, parameters: dict[str, Any], context: QgsProcessingContext, name: str, label: str
    ) -> str:
        """Return the path of one side."""
        has_layer = parameters.get(name) not in (None, "")
        folder = self.parameterAsString(parameters, f"{name}_FOLDER", context) or None
        if has_layer == (folder is not None):
            raise QgsProcessingException(
                f"Give either a raster as {label!r} or a folder in its place."
            )
        if has_layer:
            return raster_file(self.parameterAsRasterLayer(parameters, name, context), label)
        return str(folder_of(folder, label))
