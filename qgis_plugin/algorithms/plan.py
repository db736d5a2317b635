"""Plan: composite, servers, coverage, holes and more from the maps of many cells."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterLayer,
)

from ..inputs import LINES, POLYGONS, VectorInput, raster_file, vector_input
from . import parameters as make
from .base import result_layers, run_group
from .planning import (
    INTERFERENCE,
    STD,
    THRESHOLD,
    PlanningAlgorithm,
    add_settings,
    log_plan,
    vector_output,
)
from .run import Run

PRODUCTS = (
    "composite",
    "best_server",
    "overlap",
    "dominance",
    "coverage",
    "probability",
    "holes",
    "contours",
    "interference",
    "pci_conflicts",
    "overshooters",
    "sectors",
    "statistics",
    "next_drive",
)
"""Products of rm_geo; a test compares them with its registry."""

_RANKS = ("area", "population", "roads")
_SHOWN = (THRESHOLD, ("HOLE_AREA", "Smallest hole [m²]", "holes.min_area_m2"))
_ADVANCED = (
    STD,
    ("MIN_PROBABILITY", "Holes below this probability", "holes.min_probability"),
    ("SERVER_MINIMUM", "Lowest level of a server [dBm]", "servers.minimum_dbm"),
    ("HYSTERESIS", "Hysteresis [dB]", "servers.hysteresis_db"),
    ("RANKS", "Ranks of servers", "servers.ranks"),
    ("MARGIN", "Margin of overlap [dB]", "overlap.margin_db"),
    *INTERFERENCE,
    ("SQUARES", "Squares of the statistics [m]", "statistics.grid_m"),
    ("BUDGET", "Length to drive next [km]", "next_drive.budget_km"),
)
_OUTPUTS = {
    "COMPOSITE": "composite_rsrp",
    "BEST_SERVER": "best_server",
    "SERVER_AREAS": "server_areas",
    "COVERAGE": "coverage",
    "COVERAGE_AREAS": "coverage_areas",
    "PROBABILITY": "probability",
    "HOLES": "holes",
}


class PlanRadioMaps(PlanningAlgorithm):
    """All planning products, or some of them, in a folder."""

    NAME = "plan"
    TITLE = "Plan"
    TAGS = ("composite", "best server", "coverage", "holes", "SINR", "overlap", "report")
    SUMMARY = "Composite, best server, coverage, holes, interference and more from radio maps."
    HELP = (
        "Derives what a planner decides by from the radio maps of all cells: the strongest level "
        "and its cell, coverage classes with their areas, the probability of coverage, ranked "
        "holes, overlap, interference, PCI conflicts, overshooters, statistics of squares and "
        "polygons, and where to drive next.\n\n"
        "Maps with other pixels or another CRS are resampled to the grid of most maps, with a "
        "note. The probability of coverage needs maps with an uncertainty, interference a carrier "
        "in the maps or the sites. What cannot be made is in the log with its reason, the rest is "
        "made.\n\n"
        "All files go into one folder, exactly as 'rm-geo plan' writes them: plan.json lists them "
        "with their definitions. Layers have the names and areas of their classes in the legend; "
        "a cell has the same colour in every layer."
    )
    SETTINGS = (*_SHOWN, *_ADVANCED)

    _vectors: dict[str, VectorInput | None]
    _population: str | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        self.add_maps("Positions, azimuths and carriers of the cells, as for 'Estimate radio map'.")
        make.add(
            self,
            QgsProcessingParameterEnum(
                "PRODUCTS", "Only these products", list(PRODUCTS), True, None, True, True
            ),
            "All if none is chosen; others that they need are made too.",
        )
        add_settings(self, _SHOWN)
        make.add(
            self,
            make.choice("RANK_BY", "Rank holes by", _RANKS, "area"),
            "population and roads need these layers.",
        )
        make.add(
            self,
            QgsProcessingParameterRasterLayer("POPULATION", "Population", None, True),
            "Raster of persons for each pixel, in any CRS.",
            advanced=True,
        )
        lines, polygons = (
            QgsProcessing.SourceType.TypeVectorLine,
            QgsProcessing.SourceType.TypeVectorPolygon,
        )
        make.add(
            self,
            QgsProcessingParameterFeatureSource("ROADS", "Roads", [lines], None, True),
            "Where to drive next, and metres of road in holes.",
            advanced=True,
        )
        make.add(
            self,
            QgsProcessingParameterFeatureSource(
                "POLYGONS", "Polygons of statistics", [polygons], None, True
            ),
            "Areas such as districts that get the shares of the classes.",
            advanced=True,
        )
        make.add(
            self,
            QgsProcessingParameterFile(
                "SETTINGS_FILE",
                "Settings file",
                QgsProcessingParameterFile.Behavior.File,
                "",
                None,
                True,
                "YAML (*.yaml *.yml)",
            ),
            "Thresholds and options as 'rm-geo plan --show-settings' prints them. Its technology "
            "counts; other parameters take precedence where they are given.",
            advanced=True,
        )
        add_settings(self, _ADVANCED, advanced=True)
        make.add(
            self,
            make.flag("WITH_REPORT", "Write a report", True),
            "report.html, which shows the results in a browser without a network.",
        )
        make.add_folder(
            self,
            "Gets all files.",
            label="Folder of the plan",
            load="Add all layers to the project",
            load_explanation="Add the products as styled layers in one group. Switch it off in "
            "models and batches.",
        )
        for name, label, text in (
            ("COMPOSITE", "RSRP of the best server", "Strongest level in dBm."),
            ("BEST_SERVER", "Best server", "Number of the strongest cell."),
            ("COVERAGE", "Coverage classes", "Class of the strongest level."),
            ("PROBABILITY", "Probability of coverage", "0 to 1."),
        ):
            make.add(self, make.raster_output(name, label), text)
        for name, label, text in (
            ("SERVER_AREAS", "Server areas", "A polygon for each cell."),
            ("COVERAGE_AREAS", "Coverage areas", "A polygon for each class."),
            ("HOLES", "Coverage holes", "Polygons, ranked."),
        ):
            make.add(self, vector_output(name, label, polygons), text)
        self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))
        self.addOutput(QgsProcessingOutputNumber("NUMBER_OF_HOLES", "Number of coverage holes"))

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check the maps and the layers of sites, roads, polygons and population."""
        super().check_inputs(parameters, context)
        self._vectors = {
            "roads": vector_input(
                self, parameters, "ROADS", context, (LINES,), one_layer_only=True
            ),
            "polygons": vector_input(
                self, parameters, "POLYGONS", context, (POLYGONS,), one_layer_only=True
            ),
        }
        self._population = None
        if parameters.get("POPULATION") not in (None, ""):
            layer = self.parameterAsRasterLayer(parameters, "POPULATION", context)
            self._population = raster_file(layer, "Population")

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``plan``."""
        self.check_outputs(run, _OUTPUTS)
        folder = run.folder("OUTPUT")
        files = {name: run.file_of(layer) for name, layer in self._vectors.items()}
        inputs = {name: file.path for name, file in files.items() if file is not None}
        if self._population is not None:
            inputs["population"] = self._population
        rank = run.choice("RANK_BY")
        request = {
            "request": "plan",
            "output": folder,
            "only": run.choices("PRODUCTS"),
            "inputs": inputs,
            "report": run.flag("WITH_REPORT"),
            **self.plan_request(run, {} if rank == "area" else {"holes": {"rank_by": rank}}),
        }
        settings_file = run.text("SETTINGS_FILE")
        if settings_file is not None:
            request["settings_file"] = settings_file
            del request["settings"]["preset"]
        answer = self.run_worker(request, run.feedback)
        log_plan(answer, run)
        found = self.collect_outputs(run, result_layers(answer, run_group("Plan")), _OUTPUTS)
        results = {"OUTPUT": folder, **found}
        if answer["report"]:
            results["REPORT"] = f"{folder}/{answer['report']}"
        if "holes" in answer["products"]:
            results["NUMBER_OF_HOLES"] = answer["products"]["holes"]["holes"]
        return results
