"""Validate on held-out measurements: how good the maps of a method are, here."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
)

from . import parameters as make
from .base import MeasurementsAlgorithm
from .run import Run


class ValidateMethods(MeasurementsAlgorithm):
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
        make.add_sites(self, "As for 'Estimate radio map'.")
        make.add(
            self,
            make.whole("FOLDS", "Folds", 5, lowest=2, highest=50),
            "So many times a map is made.",
        )
        make.add(
            self,
            make.real("BLOCK", "Side of a block [m]", 50.0, lowest=1.0),
            "Blocks are held back as a whole: neighbours along a route are nearly copies of each "
            "other, and would flatter every method.",
        )
        make.add_grid(self)
        make.add_option(self, "REACH", "Reach [m]", "reach_m", advanced=True)
        make.add_model(self)
        make.add(
            self,
            make.text("CELLS", "Only these cells"),
            "Names separated by commas; all cells if left empty.",
            advanced=True,
        )
        make.add(
            self,
            QgsProcessingParameterFileDestination("OUTPUT", "Table of errors", "CSV (*.csv)"),
            "One line for each cell and method.",
        )
        self.addOutput(QgsProcessingOutputString("BEST", "Best method over all cells"))
        self.addOutput(QgsProcessingOutputNumber("RMSE", "RMSE of the best method in dB"))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Have the worker hold out measurements."""
        target = run.file_target("OUTPUT")
        measured = self.measured(run)
        request = {
            "request": "validate",
            "output": os.path.dirname(target),
            "name": os.path.basename(target),
            "measurements": measured["measurements"],
            "methods": run.choices("METHODS"),
            "folds": run.whole("FOLDS"),
            "block_m": run.number("BLOCK"),
            "options": {
                **measured["options"],
                "model": run.text("MODEL"),
                "device": run.choice("DEVICE"),
                "reach_m": run.number("REACH"),
                "cells": run.names("CELLS"),
            },
        }
        answer = self.work(request, run.feedback)
        for score in answer["scores"]:
            run.feedback.pushInfo(
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
