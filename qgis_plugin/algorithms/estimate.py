"""Estimate radio map: the whole pipeline, from measurements to maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qgis.core import (
    QgsProcessingFeedback,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterDestination,
)

from ..labels import with_labels
from ..layer_loader import LayerLoader
from ..layer_tree import RunGroup
from ..results import ResultLayer, method_of
from ..worker_client import Event
from . import parameters as make
from .base import MeasurementsAlgorithm, copy_file, do_not_load, result_layers
from .run import Run

_OUTPUTS = {"RSRP": "rsrp", "BUILDINGS": "buildings", "UNCERTAINTY": "uncertainty"}
_PART_OF_MAPS = 0.95  # of the work; the rest is the strongest level

_ADVANCED = (
    ("ASSIMILATE", "Correct to the measurements", "assimilate"),
    ("JOINT", "Estimate all cells together", "joint"),
    ("SELECTION", "Lower the map where a cell was not reported", "selection_correction"),
    ("METHOD_WEIGHT", "Weight of the method", "method_weight"),
    ("NOISE", "Error of a measured pixel [dB]", "noise_db"),
    ("EIRP", "EIRP [dBm]", "eirp_dbm"),
    ("FREQUENCY", "Carrier frequency [MHz]", "frequency_mhz"),
    ("MIN_PIXELS", "Fewest measured pixels", "min_pixels"),
    ("MASK", "Also write the building mask", "mask"),
    ("WITH_UNCERTAINTY", "Also write the uncertainty", "uncertainty"),
    ("WITH_REPORTED", "Also write the probability of being reported", "reported"),
    ("PREVIEW", "Also write previews", "preview"),
)
"""Parameters for options of the library: name, label, keyword."""


class EstimateRadioMap(MeasurementsAlgorithm):
    """Radio maps and building maps from measurements."""

    NAME = "estimate"
    TITLE = "Estimate radio map"
    GROUP = ("maps", "Radio maps")
    TAGS = (
        "coverage",
        "drive test",
        "interpolation",
        "kriging",
        "buildings",
        "LTE",
        "5G",
        "RadioCycle",
    )
    SUMMARY = "Radio map and building map of each cell of a drive test."
    HELP = (
        "Estimates from the measurements of a drive test, for each cell, a radio map (RSRP in dBm "
        "within reach of the measurements), a map of the building probability (method radiocycle) "
        "and, on request, a map of the uncertainty.\n\n"
        "The measurements are binned on a grid, the method estimates the map tile by tile, and the "
        "map is corrected to the measurements. Pixels beyond the reach of every measurement are "
        "nodata.\n\n"
        "'Only say what would be done' lists the fields that are used, the cells, their tiles and "
        "the expected time in the log, and writes nothing.\n\n"
        "All files go into one folder, named by their cells, exactly as 'rm-geo predict' writes "
        "them, with a summary and previews. Of several cells, the strongest level at each place "
        "is a layer on top, and the groups of the cells are switched off. The outputs 'Radio "
        "map', 'Buildings' and 'Uncertainty' are for layers of a single cell, for models and for "
        "batches: they get the maps of the cell with the most measurements."
    )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add_measurements(self)
        make.add(
            self,
            make.choice("METHOD", "Method", make.METHODS, make.default_of("method")),
            "Estimator of the map: radiocycle is a network, the others interpolate or fit an "
            "empirical model.",
        )
        make.add_sites(
            self,
            "One point (or row with longitude and latitude) for each cell, with the cell's name "
            "and where known height_m, eirp_dbm, azimuth, downtilt, frequency_mhz. Without it, "
            "positions are estimated.",
        )
        make.add_outlines(self)
        make.add_grid(self)
        make.add_option(self, "REACH", "Reach [m]", "reach_m")
        make.add_model(self)
        make.add_option(self, "OVERLAP", "Tile overlap [px]", "overlap_px", advanced=True)
        make.add_option(self, "TILE_SIZE", "Tile size [px]", "tile_size_px", advanced=True)
        make.add_cells(self, "all cells if left empty")
        make.add(
            self,
            make.text("METHOD_OPTIONS", "Options of the method"),
            "KEY=VALUE, separated by spaces, such as neighbors=8 for knn.",
            advanced=True,
        )
        for name, label, option in _ADVANCED:
            make.add_option(self, name, label, option, advanced=True)
        make.add(
            self,
            make.flag("DRY_RUN", "Only say what would be done", False, optional=True),
            "Fields, cells, tiles and expected time in the log; nothing is written.",
        )
        make.add_folder(
            self,
            "Gets the files of every cell, a summary and previews.",
            load_explanation="Add the maps of each cell as styled layers as soon as they are "
            "complete, in a group for the run. Switch it off in models and batches.",
        )
        make.add(
            self,
            QgsProcessingParameterRasterDestination(
                "COMPOSITE", "Strongest level of all cells", None, True, True
            ),
            "Level of the strongest cell at each place, in dBm. Not loaded if there is one cell.",
        )
        make.add(
            self,
            make.raster_output("RSRP", "Radio map"),
            "Radio map of the cell with the most measurements, in dBm.",
        )
        make.add(
            self,
            make.raster_output("BUILDINGS", "Buildings"),
            "Probability of a building, from the same cell's measurements.",
        )
        make.add(
            self,
            make.raster_output("UNCERTAINTY", "Uncertainty"),
            "Standard deviation of the same cell's map, in dB.",
        )
        self.addOutput(QgsProcessingOutputMultipleLayers("RADIO_MAPS", "Radio maps of all cells"))
        self.addOutput(QgsProcessingOutputNumber("MAPPED_CELLS", "Number of cells mapped"))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``predict``, and ``plan`` for the strongest level."""
        self.check_outputs(run, (*_OUTPUTS, "COMPOSITE"))
        folder, composite = run.folder("OUTPUT"), run.layer_target("COMPOSITE")
        measured = self.measured(run)
        request = {
            "request": "predict",
            "output": folder,
            **measured,
            "options": {**measured["options"], **_options(run)},
        }
        if run.flag("DRY_RUN"):
            return self._say(request, run)
        part = 1.0 if composite is None else _PART_OF_MAPS
        group = self.group_of("", by_cell=True)
        elsewhere = [kind for name, kind in _OUTPUTS.items() if run.layer_target(name) is not None]
        loads = run.loads_layers and LayerLoader.is_useful()
        cells = _FinishedCells(self._loader if loads else None, group, elsewhere)
        self._finished_cells = cells.names
        answer = self.run_worker(request, run.feedback, (0.0, part), cells.add)
        _report(answer["cells"], str(answer.get("skipped", "")), run.feedback)
        layers = result_layers(answer)
        maps = [layer for layer in layers if layer.kind == "rsrp"]
        shown = None if len(maps) == 1 else "" if composite else maps[0].cell
        group = _titled(replace(group, shown_cell=shown), layers)
        layers = [replace(layer, run=group) for layer in layers]
        found = self.collect_outputs(run, layers, _OUTPUTS, loaded=cells.loaded)
        if composite is not None:
            self._combine(maps, composite, group, run)
            found["COMPOSITE"] = composite
        paths = [layer.path for layer in maps]
        return {"OUTPUT": folder, "RADIO_MAPS": paths, "MAPPED_CELLS": len(maps), **found}

    def _combine(self, maps: list[ResultLayer], target: str, group: RunGroup, run: Run) -> None:
        """Write the strongest level of all maps."""
        request = {
            "request": "plan",
            "output": f"{run.scratch}/plan",
            "maps": [layer.path for layer in maps],
            "only": ["composite"],
        }
        answer = self.run_worker(request, run.feedback, (_PART_OF_MAPS, 1.0))
        (made,) = (one for one in result_layers(answer, group) if one.kind == "composite_rsrp")
        copy_file(made.path, target)
        if len(maps) == 1:
            do_not_load(run.context, target)
        self.finish(run, replace(made, path=target), load=False)

    def _say(self, request: dict[str, Any], run: Run) -> dict[str, Any]:
        """Log what the run would do."""
        answer = self.run_worker({**request, "request": "dry_run"}, run.feedback)
        for line in answer["text"]:
            run.feedback.pushInfo(line)
        run.context.setLayersToLoadOnCompletion({})
        return {"MAPPED_CELLS": 0}


class _FinishedCells:
    """Loads the maps of finished cells while the others are still made.

    The maps of the first cell are shown meanwhile.

    Parameters
    ----------
    loader : LayerLoader or None
        Adds layers to the project; None to add none.
    group : RunGroup
        Group of the run; the method is added to its title.
    elsewhere : list of str
        Kinds whose first layer is an output of its own, which Processing loads.

    Attributes
    ----------
    names : list of str
        Cells that are finished.
    loaded : set of str
        Paths of the layers that are handed over.
    """

    def __init__(self, loader: LayerLoader | None, group: RunGroup, elsewhere: list[str]) -> None:
        self._loader, self._group, self._elsewhere = loader, group, elsewhere
        self.names: list[str] = []
        self.loaded: set[str] = set()

    def add(self, event: Event) -> None:
        """Receive the event of a finished cell."""
        self.names.append(str(event["cell"]))
        layers = result_layers(event)
        shown = self.names[0] if event["cells"] > 1 else None
        group = _titled(replace(self._group, shown_cell=shown), layers)
        for layer in layers:
            if layer.kind in self._elsewhere:
                self._elsewhere.remove(layer.kind)
            elif self._loader is not None:
                self._loader.load(replace(layer, run=group))
                self.loaded.add(layer.path)


def _titled(group: RunGroup, layers: list[ResultLayer]) -> RunGroup:
    """Add the method of the radio maps to the title of a group."""
    method = next(method_of(layer.tags) for layer in layers if layer.kind == "rsrp")
    return replace(group, title=f"{group.title}{method}")


def _options(run: Run) -> dict[str, Any]:
    """Return the options by their keywords in ``PredictOptions``."""
    method_options = run.text("METHOD_OPTIONS")
    wants_uncertainty = run.flag("WITH_UNCERTAINTY") or run.is_given("UNCERTAINTY")
    return {
        "method": run.choice("METHOD"),
        "model": run.text("MODEL"),
        "method_options": method_options.split() if method_options else None,
        "device": run.choice("DEVICE"),
        "tile_size_px": run.whole("TILE_SIZE"),
        "overlap_px": run.whole("OVERLAP"),
        "reach_m": run.number("REACH"),
        "cells": run.names("CELLS"),
        **{option: run.option(name, option) for name, _, option in _ADVANCED},
        "uncertainty": wants_uncertainty,
    }


def _report(cells: list[dict[str, Any]], skipped: str, feedback: QgsProcessingFeedback) -> None:
    """Log the result of each cell, and the skipped cells in one line."""
    for cell in cells:
        if cell["status"] == "skipped":
            continue
        named = cell.get("cell_name") not in (None, "", cell["cell"])
        title = f"{cell['cell']} ({cell['cell_name']})" if named else cell["cell"]
        if cell["status"] == "mapped":
            feedback.pushInfo(
                f"Cell {title}: {cell['measurements']} measurements, "
                f"{cell['rows']} x {cell['cols']} pixels, mean {cell['rsrp_mean_dbm']:.1f} "
                f"dBm, transmitter: {cell['transmitter']}"
            )
        else:
            feedback.reportError(
                f"Cell {title} could not be mapped: {with_labels(cell['message'])}"
            )
    if skipped:
        feedback.pushInfo(skipped)
