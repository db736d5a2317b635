"""Single planning products: one or two layers, without a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from qgis.core import QgsProcessing, QgsProcessingParameterRasterDestination

from . import parameters as make
from .base import result_layers
from .planning import (
    INTERFERENCE,
    STD,
    THRESHOLD,
    PlanningAlgorithm,
    Setting,
    add_settings,
    log_plan,
    require_made,
    vector_output,
)
from .run import Run


@dataclass(frozen=True)
class Output:
    """An output layer of an algorithm.

    Attributes
    ----------
    name : str
        Name of the parameter.
    label : str
        Label in the dialog.
    kind : str
        Kind of the layer, see :mod:`..results`.
    explanation : str
        Help text.
    is_vector : bool
        Whether it is a layer of polygons.
    optional : bool
        Whether it is made only where it is asked for.
    """

    name: str
    label: str
    kind: str
    explanation: str
    is_vector: bool = False
    optional: bool = False


class ProductAlgorithm(PlanningAlgorithm):
    """Base class of the algorithms for one product each; subclasses define the description."""

    PRODUCT = ""
    SITES_TEXT = "Not needed; the maps of 'Estimate radio map' state their sites."
    SHOWN: tuple[Setting, ...] = ()
    ADVANCED: tuple[Setting, ...] = ()
    OUTPUTS: tuple[Output, ...] = ()

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        self.add_maps(self.SITES_TEXT)
        add_settings(self, self.SHOWN)
        add_settings(self, self.ADVANCED, advanced=True)
        for output in self.OUTPUTS:
            if output.is_vector:
                kind = QgsProcessing.SourceType.TypeVectorPolygon
                parameter = vector_output(output.name, output.label, kind, optional=output.optional)
            else:
                parameter = QgsProcessingParameterRasterDestination(
                    output.name, output.label, None, output.optional, not output.optional
                )
            make.add(self, parameter, output.explanation)

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``plan`` for one product, and copy its layers."""
        outputs = {output.name: output.kind for output in self.OUTPUTS}
        self.check_outputs(run, outputs)
        request = {
            "request": "plan",
            "output": os.path.join(run.scratch, "plan"),
            "only": [self.PRODUCT],
            **self.plan_request(run),
        }
        answer = self.run_worker(request, run.feedback)
        require_made(answer, [self.PRODUCT])
        log_plan(answer, run)
        wanted = {name: kind for name, kind in outputs.items() if run.layer_target(name)}
        return self.collect_outputs(run, result_layers(answer), wanted)

    @property
    def SETTINGS(self) -> tuple[Setting, ...]:  # type: ignore[override]
        """Settings that the dialog has."""
        return (*self.SHOWN, *self.ADVANCED)


class BestServer(ProductAlgorithm):
    """The strongest cell at each place."""

    NAME = "best_server"
    TITLE = "Best server"
    TAGS = ("strongest cell", "serving cell", "dominance", "polygons")
    SUMMARY = "The strongest cell at each place, as a raster and as polygons."
    HELP = (
        "Which cell is the strongest at each place, and how strong: a raster of the cells, a "
        "polygon for each cell with its area and mean level, and the level itself. A cell has the "
        "same colour in the raster and in the polygons.\n\n"
        "With a hysteresis, a place may be given to the cell that serves most places around it; "
        "this removes isolated pixels. Small parts of polygons are given to the server around "
        "them."
    )
    PRODUCT = "best_server"
    SHOWN = (("SERVER_MINIMUM", "Lowest level of a server [dBm]", "servers.minimum_dbm"),)
    ADVANCED = (
        ("HYSTERESIS", "Hysteresis [dB]", "servers.hysteresis_db"),
        ("RADIUS", "Radius of the hysteresis [m]", "servers.hysteresis_radius_m"),
        ("SERVER_AREA", "Smallest part of a polygon [m²]", "servers.min_area_m2"),
    )
    OUTPUTS = (
        Output("BEST_SERVER", "Best server", "best_server", "Number of the strongest cell."),
        Output("SERVER_AREAS", "Server areas", "server_areas", "A polygon for each cell.", True),
        Output(
            "COMPOSITE",
            "RSRP of the best server",
            "composite_rsrp",
            "Strongest level in dBm.",
            optional=True,
        ),
    )


class CoverageClasses(ProductAlgorithm):
    """Classes of the strongest level."""

    NAME = "coverage_classes"
    TITLE = "Coverage classes"
    TAGS = ("coverage", "thresholds", "legend", "polygons", "area")
    SUMMARY = "Classes of the strongest level, as a raster and as polygons, with their areas."
    HELP = (
        "Classes of the strongest level at each place, by the breaks of the technology: from "
        "excellent to none. The legend has the area and the share of each class, and so has the "
        "log.\n\n"
        "Other breaks: a settings file of 'Plan'."
    )
    PRODUCT = "coverage"
    ADVANCED = (("CLASS_AREA", "Smallest part of a class [m²]", "coverage.min_area_m2"),)
    OUTPUTS = (
        Output("COVERAGE", "Coverage classes", "coverage", "Class of the strongest level."),
        Output(
            "COVERAGE_AREAS", "Coverage areas", "coverage_areas", "A polygon for each class.", True
        ),
    )


class CoverageProbability(ProductAlgorithm):
    """Probability that the level reaches the threshold."""

    NAME = "coverage_probability"
    TITLE = "Probability of coverage"
    TAGS = ("coverage", "uncertainty", "confidence", "threshold")
    SUMMARY = "Probability that the level reaches the threshold, from the uncertainty of the maps."
    HELP = (
        "The probability that at least one cell reaches the threshold, from the level and the "
        "standard deviation of the maps. It is 0.5 where the level is the threshold.\n\n"
        "The maps need an uncertainty beside them ('Also write the uncertainty' of 'Estimate "
        "radio map'), or give one standard deviation for maps of other tools."
    )
    PRODUCT = "probability"
    SHOWN = (THRESHOLD, STD)
    OUTPUTS = (Output("PROBABILITY", "Probability of coverage", "probability", "0 to 1."),)


class CoverageHoles(ProductAlgorithm):
    """Ranked polygons without coverage."""

    NAME = "coverage_holes"
    TITLE = "Coverage holes"
    TAGS = ("coverage", "gaps", "polygons", "rank")
    SUMMARY = "Areas below the threshold as polygons, ranked by their area."
    HELP = (
        "Connected areas in which no cell reaches the threshold, the largest first: with area, "
        "mean and lowest level, probability of coverage where the maps have an uncertainty, and "
        "the nearest site. With a probability, holes are where coverage is less certain than "
        "that. Unknown pixels are no holes.\n\n"
        "'Plan' ranks them also by persons or metres of road."
    )
    PRODUCT = "holes"
    SHOWN = (THRESHOLD, ("HOLE_AREA", "Smallest hole [m²]", "holes.min_area_m2"))
    ADVANCED = (
        ("MIN_PROBABILITY", "Holes below this probability", "holes.min_probability"),
        ("CLOSE", "Close gaps narrower than [m]", "holes.close_m"),
        STD,
    )
    OUTPUTS = (Output("HOLES", "Coverage holes", "holes", "Polygons, ranked.", True),)


class Interference(ProductAlgorithm):
    """SINR and related quantities."""

    NAME = "interference"
    TITLE = "Interference"
    TAGS = ("SINR", "RSRQ", "RSSI", "C/I", "EARFCN", "carrier", "load")
    SUMMARY = "SINR, RSRQ, RSSI and C/I of the best server against the cells of its carrier."
    HELP = (
        "The best server against the other cells of its carrier: SINR, and where chosen RSRQ, "
        "RSSI and C/I, at full load or at the load given. Carriers are the EARFCN or NR-ARFCN in "
        "the maps or in the layer of sites.\n\n"
        "A cell interferes only where it is mapped: near the edge of what was driven, SINR is an "
        "upper limit."
    )
    PRODUCT = "interference"
    SITES_TEXT = "With the carrier of each cell (earfcn, nrarfcn), for maps that do not state it."
    SHOWN = INTERFERENCE
    OUTPUTS = (
        Output("SINR", "SINR", "sinr", "In dB."),
        Output("RSRQ", "RSRQ", "rsrq", "In dB.", optional=True),
        Output("RSSI", "RSSI", "rssi", "In dBm.", optional=True),
        Output("CI", "C/I", "ci", "In dB.", optional=True),
    )


PRODUCT_ALGORITHMS = (
    BestServer,
    CoverageClasses,
    CoverageProbability,
    CoverageHoles,
    Interference,
)
