"""Validate on held-out measurements: how good the maps of a method are, here."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
)

from ..inputs import POINTS, TABLE, VectorInput, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm


class ValidateMethods(RmGeoAlgorithm):
    """Measurements in, a table of errors out."""

    NAME = "validate"
    TITLE = "Validate on held-out measurements"
    GROUP = ("measurements", "Measurements")
    TAGS = ("cross-validation", "hold-out", "accuracy", "error", "RMSE", "compare methods")
    SUMMARY = "Error of methods at measurements that they have not seen."
    HELP = (
        "Says how far the maps of each method are from the truth in your own data: blocks of the "
        "measurements are held back, the maps are made from the rest, and compared with what was "
        "held back, until each block has been held back once.\n\n"
        "The table has RMSE, mean absolute error and bias in dB, by cell and by method; the lines "
        "of the cell 'all' sum up. Each method goes the whole way, as in 'Estimate radio map', so "
        "that a network takes a while."
    )

    _input: VectorInput | None = None
    _sites: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self,
            QgsProcessingParameterEnum(
                "METHODS", "Methods", list(make.METHODS), True, ["knn", "idw"], False, True
            ),
            "The methods to judge, all on the same held-out measurements.",
        )
        make.add(
            self,
            QgsProcessingParameterFeatureSource(
                "SITES", "Sites", [QgsProcessing.SourceType.TypeVector], None, True
            ),
            "As for 'Estimate radio map'.",
        )
        make.add(self, make.whole("FOLDS", "Folds", 5, lowest=2, highest=50),
                 "So many times a map is made.")  # fmt: skip
        make.add(
            self, make.real("BLOCK", "Side of a block [m]", 50.0, lowest=1.0),
            "Blocks are held back as a whole: neighbours along a route are nearly copies of each "
            "other, and would flatter every method.",
        )  # fmt: skip
        make.add_grid(self)
        make.add(
            self, make.real("REACH", "Reach [m]", 100.0, lowest=0.0),
            "Pixels further from any measurement stay empty, and do not count.", advanced=True,
        )  # fmt: skip
        make.add_model(self)
        make.add(
            self, make.text("CELLS", "Only these cells"),
            "Names separated by commas; all cells if left empty.", advanced=True,
        )  # fmt: skip
        make.add(
            self,
            QgsProcessingParameterFileDestination("OUTPUT", "Table of errors", "CSV (*.csv)"),
            "One line for each cell and method.",
        )
        self.addOutput(QgsProcessingOutputString("BEST", "Best method over all cells"))
        self.addOutput(QgsProcessingOutputNumber("RMSE", "RMSE of the best method in dB"))

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
        """Have the worker hold out measurements."""
        assert self._input is not None
        target = os.path.abspath(self.parameterAsFileOutput(parameters, "OUTPUT", context))
        crs = self.parameterAsCrs(parameters, "TARGET_CRS", context)
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
            measurements = self._input.as_file(scratch, feedback)
            sites = None if self._sites is None else self._sites.as_file(scratch, feedback).path
            request = {
                "request": "validate",
                "measurements": measurements.path,
                "output": os.path.dirname(target),
                "name": os.path.basename(target),
                "methods": self.parameterAsEnumStrings(parameters, "METHODS", context),
                "folds": self.parameterAsInt(parameters, "FOLDS", context),
                "block_m": self.parameterAsDouble(parameters, "BLOCK", context),
                "options": {
                    "layer": measurements.layer,
                    "sites": sites,
                    "model": self.optional_text(parameters, "MODEL", context),
                    "device": self.parameterAsEnumString(parameters, "DEVICE", context),
                    "resolution_m": self.parameterAsDouble(parameters, "RESOLUTION", context),
                    "reach_m": self.parameterAsDouble(parameters, "REACH", context),
                    "target_crs": crs.toWkt() if crs.isValid() else None,
                    "rsrp_column": self.optional_text(parameters, "RSRP_FIELD", context),
                    "cell_column": self.optional_text(parameters, "CELL_FIELD", context),
                    "cells": self.names(parameters, "CELLS", context),
                    "max_tiles": self.parameterAsInt(parameters, "MAX_TILES", context),
                },
            }
            answer = self.work(request, feedback)
        for score in answer["scores"]:
            feedback.pushInfo(
                f"Cell {score['cell']}, {score['method']}: RMSE {_db(score['rmse_db'])}, "
                f"bias {_db(score['bias_db'])} at {score['points']} measurements"
            )
        judged = [s for s in answer["scores"] if s["cell"] == "all" and s["rmse_db"] is not None]
        if not judged:
            return {"OUTPUT": target}
        best = min(judged, key=lambda score: score["rmse_db"])
        return {"OUTPUT": target, "BEST": best["method"], "RMSE": best["rmse_db"]}


def _db(value: float | None) -> str:
    """Write decibels; null where nothing could be judged."""
    return "unknown" if value is None else f"{value:.2f} dB"
