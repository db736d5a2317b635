"""Validate on held-out measurements: errors of methods in the user's area."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
)

from ..results import ResultLayer
from . import parameters as make
from .base import MeasurementsAlgorithm, copy_file, require_writable, result_layers
from .planning import vector_output
from .run import Run

_PIPELINE = "pipeline:"

_OF_THE_LOG = ("joint", "default")
"""Methods that read all cells of the log."""


class ValidateMethods(MeasurementsAlgorithm):
    """Table of errors from measurements."""

    NAME = "validate"
    TITLE = "Validate on held-out measurements"
    GROUP = ("measurements", "Measurements")
    TAGS = ("cross-validation", "hold-out", "accuracy", "error", "RMSE", "compare methods")
    SUMMARY = "Errors of methods at held-out measurements."
    HELP = (
        "Estimates the error of each method on your own data by leave-block-out cross-validation: "
        "blocks of a cell are held out, its map is estimated from the rest and compared with the "
        "held-out measurements, until each block has been held out once. Compared are means of "
        "5 m, at the places that every method estimated.\n\n"
        "Methods run all steps of 'Estimate radio map' for one cell, so that a network takes a "
        "while. 'joint' estimates a cell from the other cells of the log at the same places, "
        "where the drive passed; 'default' is the map of the default method corrected by it.\n\n"
        "The points that were held out are a layer, coloured by the error of the best method. The "
        "table has RMSE, mean absolute error, bias and correlation in dB, by cell and method, "
        "and the difference from the best other method with its p-value; the lines of the cell "
        "'all' are those of all cells together. Cells with too few measurements are left out, and "
        "named in the log."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self,
            QgsProcessingParameterEnum(
                "METHODS",
                "Methods",
                [*make.METHODS, *_OF_THE_LOG],
                True,
                ["knn", "idw"],
                False,
                True,
            ),
            "Methods to compare, all on the same held-out measurements.",
        )
        make.add_sites(self, "As for 'Estimate radio map'.")
        make.add(
            self,
            make.whole("FOLDS", "Folds", 5, lowest=2, highest=50),
            "Number of folds; a map is estimated for each.",
        )
        make.add(
            self,
            make.real("BLOCK", "Side of a block [m]", 50.0, lowest=1.0),
            "Blocks are held out as a whole: neighbouring measurements along a route are nearly "
            "equal, and random folds would underestimate the error.",
        )
        make.add(
            self,
            QgsProcessingParameterEnum(
                "HOLD_OUT", "Hold out", ["target", "all"], False, "target", False, True
            ),
            "'target': only the judged cell is unknown in the held-out blocks, as where the drive "
            "passed without reporting it. 'all': all cells are, as in places that were not driven.",
            advanced=True,
        )
        make.add_grid(self)
        make.add_option(self, "REACH", "Reach [m]", "reach_m", advanced=True)
        make.add_model(self)
        make.add_cells(self, "all cells with enough measurements if left empty")
        make.add(
            self,
            QgsProcessingParameterFileDestination("OUTPUT", "Table of errors", "CSV (*.csv)"),
            "One line for each cell and method.",
        )
        make.add(
            self,
            vector_output(
                "POINTS",
                "Errors at held-out points",
                QgsProcessing.SourceType.TypeVectorPoint,
                by_default=True,
            ),
            "Held-out points with measurement, estimate and error of the best method.",
        )
        make.add(
            self,
            QgsProcessingParameterFolderDestination(
                "FOLDER", "Folder of the validation", None, True, False
            ),
            "Gets validation.json and validation.csv, which 'Report' shows.",
            advanced=True,
        )
        make.add(
            self,
            make.flag("LOAD", "Add the table to the project", True, optional=True),
            "Add the table of errors. Switch it off in models and batches.",
        )
        self.addOutput(QgsProcessingOutputString("BEST", "Best method over all cells"))
        self.addOutput(QgsProcessingOutputNumber("RMSE", "RMSE of the best method in dB"))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``validate``."""
        self.check_outputs(run, ("POINTS",))
        target = run.file_target("OUTPUT")
        require_writable(target)
        folder = run.folder("FOLDER") if run.is_given("FOLDER") else None
        if folder is not None:
            require_writable(os.path.join(folder, "validation.json"))
        measured = self.measured(run)
        request = {
            "request": "validate",
            "output": os.path.join(run.scratch, "validation"),
            "measurements": measured["measurements"],
            "methods": [_request_name(name) for name in run.choices("METHODS")],
            "folds": run.whole("FOLDS"),
            "block_m": run.number("BLOCK"),
            "hold_out": run.choice("HOLD_OUT"),
            "options": {
                **measured["options"],
                "model": run.text("MODEL"),
                "device": run.choice("DEVICE"),
                "reach_m": run.number("REACH"),
                "cells": run.names("CELLS"),
            },
        }
        answer = self.run_worker(request, run.feedback)
        for score in answer["scores"]:
            run.feedback.pushInfo(
                f"Cell {score['cell']}, {_shown(score['method'])}: RMSE {_db(score['rmse_db'])}, "
                f"bias {_db(score['bias_db'])} at {score['points']} places"
            )
        for line in answer["text"]:
            run.feedback.pushInfo(line)
        copy_file(os.path.join(request["output"], answer["table"]), target)
        if folder is not None:
            for name in (answer["table"], answer["index"]):
                copy_file(os.path.join(request["output"], name), os.path.join(folder, name))
        if run.loads_layers:
            table = ResultLayer(target, "errors", "", {}, run=self.group_of("validation"))
            self.finish(run, table, load=True)
        found = self.collect_outputs(run, result_layers(answer), {"POINTS": "held_out"})
        scored = [s for s in answer["scores"] if s["cell"] == "all" and s["rmse_db"] is not None]
        if folder is not None:
            found = {**found, "FOLDER": folder}
        if not scored:
            return {"OUTPUT": target, **found}
        best = min(scored, key=lambda score: score["rmse_db"])
        shown = {"BEST": _shown(best["method"]), "RMSE": best["rmse_db"]}
        return {"OUTPUT": target, **shown, **found}


def _request_name(method: str) -> str:
    """Name of a method in the request: the map of all steps, for one cell."""
    return method if method in _OF_THE_LOG else _PIPELINE + method


def _shown(name: str) -> str:
    """Name of a method in the list of the parameter."""
    return name[len(_PIPELINE) :] if name.startswith(_PIPELINE) else name


def _db(value: float | None) -> str:
    """Format decibels; None if there was nothing to compare."""
    return "unknown" if value is None else f"{value:.2f} dB"
