"""What the algorithms share: their looks, and a run of the worker inside a run of Processing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtGui import QIcon

from ..inputs import POINTS, POLYGONS, TABLE, VectorInput, vector_input
from ..interpreter import Interpreter, NoInterpreterError, worker_environment
from ..labels import with_labels
from ..results import LayerFinisher, ResultLayer, expect
from ..settings import current_interpreter
from ..worker_client import Event, Listener, WorkerCancelled, WorkerError, run_job
from .parameters import READING
from .run import Run

_ICON = str(Path(__file__).resolve().parents[1] / "icon.svg")


class RmGeoAlgorithm(QgsProcessingAlgorithm):
    """An algorithm of rm_geo; subclasses say what it is called and what the worker does."""

    NAME = ""
    TITLE = ""
    GROUP: tuple[str, str] = ("", "")
    TAGS: tuple[str, ...] = ()
    SUMMARY = ""
    HELP = ""

    def __init__(self) -> None:
        super().__init__()
        self._finishers: list[LayerFinisher] = []

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Make a fresh one for each run."""
        return type(self)()

    def name(self) -> str:
        """Name in scripts, after ``rm_geo:``."""
        return self.NAME

    def displayName(self) -> str:
        """Name in the toolbox."""
        return self.TITLE

    def group(self) -> str:
        """Group in the toolbox."""
        return self.GROUP[1]

    def groupId(self) -> str:
        """Group in scripts."""
        return self.GROUP[0]

    def tags(self) -> list[str]:
        """Words to find it by."""
        return ["rm_geo", "radio", "RSRP", *self.TAGS]

    def shortDescription(self) -> str:
        """One line."""
        return self.SUMMARY

    def shortHelpString(self) -> str:
        """Text beside the dialog."""
        return self.HELP

    def icon(self) -> QIcon:
        """Icon in the toolbox."""
        return QIcon(_ICON)

    def svgIconPath(self) -> str:
        """Icon as a file."""
        return _ICON

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Look at the layers; runs in QGIS's main thread."""
        self._finishers = []
        keep = getattr(self.provider(), "keep", None)
        if keep is not None:
            keep(self._finishers)
        self.look_at_inputs(parameters, context)
        return True

    def look_at_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Keep what is to be known of the layers; for subclasses."""

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Do the work; runs in a thread of its own, in the dialog."""
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
            return self.carry_out(Run(self, parameters, context, feedback, scratch))

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Have the worker do the work, and give the results; for subclasses."""
        raise NotImplementedError

    def work(self, request: Mapping[str, Any], feedback: QgsProcessingFeedback) -> Event:
        """Have a worker do a job; gives its result.

        Raises
        ------
        QgsProcessingException
            If it could not be done, in words that say what to do; also when cancelled, for a
            run that returns counts as done.
        """
        try:
            interpreter = current_interpreter()
            listener = FeedbackListener(feedback, interpreter)
            return run_job(
                interpreter.path, request, listener, environment=worker_environment(os.environ)
            )
        except WorkerCancelled:
            raise QgsProcessingException("Cancelled; nothing is left behind.") from None
        except WorkerError as error:
            raise QgsProcessingException(with_labels(str(error), error.parameter)) from None
        except NoInterpreterError as error:
            raise QgsProcessingException(str(error)) from None

    def finish(self, run: Run, layer: ResultLayer, *, load: bool) -> None:
        """Style, name and group a result when Processing loads it."""
        finisher = expect(run.context, layer, load=load)
        if finisher is not None:
            self._finishers.append(finisher)

    def check_outputs(self, run: Run, names: Iterable[str]) -> None:
        """Refuse single outputs that cannot be written before the work, not after it."""
        for name in names:
            target = run.raster_target(name)
            if target is not None:
                require_writable(target)

    def hand_over(
        self, run: Run, rasters: list[ResultLayer], outputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Give the files that were asked for singly, and have the others loaded if so wished.

        Parameters
        ----------
        run : Run
            With a parameter ``LOAD``.
        rasters : list of ResultLayer
            All that was made, the most important cell first.
        outputs : mapping of str to str
            Raster parameters, and the kind of raster that each is to get.
        """
        found: dict[str, Any] = {}
        singled = set()
        for name, kind in outputs.items():
            first = next((raster for raster in rasters if raster.kind == kind), None)
            target = run.raster_target(name)
            if first is None:
                if target is not None:
                    _forget(run.context, target)
                continue
            found[name] = first.path
            if target is not None:
                copy_file(first.path, target)
                found[name] = target
                singled.add(first.path)
                self.finish(run, replace(first, path=target), load=False)
        load = run.flag("LOAD")
        for raster in rasters:
            self.finish(run, raster, load=load and raster.path not in singled)
        return found


class MeasurementsAlgorithm(RmGeoAlgorithm):
    """An algorithm that starts from a drive test, and perhaps a layer of sites."""

    _input: VectorInput | None = None
    _sites: VectorInput | None = None
    _outlines: VectorInput | None = None

    def look_at_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Look at measurements and sites."""
        self._input = vector_input(self, parameters, "INPUT", context, (POINTS, TABLE))
        if self.parameterDefinition("SITES") is not None:
            self._sites = vector_input(
                self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
            )
        if self.parameterDefinition("OUTLINES") is not None:
            self._outlines = vector_input(self, parameters, "OUTLINES", context, (POLYGONS,))

    @property
    def input_name(self) -> str:
        """Name of the layer of the measurements."""
        return "" if self._input is None else self._input.name

    def reading(self, run: Run) -> dict[str, Any]:
        """Give the part of a request that says which measurements are read."""
        measurements = run.file_of(self._input)
        assert measurements is not None
        options = {
            "layer": measurements.layer,
            "rsrp_column": run.text("RSRP_FIELD"),
            "cell_column": run.text("CELL_FIELD"),
            **{option: run.option(name, option) for name, _, option in READING},
        }
        return {"measurements": measurements.path, "options": options}

    def measured(self, run: Run) -> dict[str, Any]:
        """Give the part of a request that says what was measured, and on which grid it goes."""
        request, sites = self.reading(run), run.file_of(self._sites)
        options = {
            **request["options"],
            "resolution_m": run.number("RESOLUTION"),
            "target_crs": run.crs("TARGET_CRS"),
            "max_tiles": run.whole("MAX_TILES"),
        }
        if sites is not None:
            options["sites"] = sites.path
            options["sites_crs"] = run.crs("SITES_CRS")
        if (outlines := run.file_of(self._outlines)) is not None:
            options["buildings"] = outlines.path
            options["buildings_layer"] = outlines.layer
        return {**request, "options": options}


class FeedbackListener(Listener):
    """A worker's events as the progress and the log of a Processing run."""

    def __init__(self, feedback: QgsProcessingFeedback, interpreter: Interpreter) -> None:
        self._feedback = feedback
        self._interpreter = interpreter
        self._percent = 0.0

    def is_cancelled(self) -> bool:
        """Whether the user pressed Cancel."""
        return bool(self._feedback.isCanceled())

    def beat(self) -> None:
        """Show that something goes on."""
        self._feedback.setProgress(self._percent)

    def hello(self, event: Event) -> None:
        """Say who does the work."""
        self._feedback.pushDebugInfo(
            f"rm_geo {event.get('version')}, Python {event.get('python')} of "
            f"{self._interpreter.path} (from {self._interpreter.origin}), "
            f"device {event.get('device')}"
        )

    def stage(self, label: str, total: int, unit: str) -> None:
        """Begin a stage."""
        self._percent = 0.0
        self._feedback.setProgressText(f"{label}: {total} {unit}")

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        self._percent = 100.0 * min(done / max(total, 1), 1.0)
        self._feedback.setProgress(self._percent)

    def log(self, message: str) -> None:
        """Write a line."""
        say(message, self._feedback)


def say(message: str, feedback: QgsProcessingFeedback) -> None:
    """Write a line of rm_geo into the log; failures and warnings stand out.

    Parameters
    ----------
    message : str
        The line; a warning begins with ``Warning:`` or ``warning:``.
    feedback : QgsProcessingFeedback
        Gets it in the words of the dialogs.
    """
    text = with_labels(message)
    if message.startswith("Failed"):
        feedback.reportError(text)
    elif text.strip().lower().startswith("warning:"):
        feedback.pushWarning(f"W{text.strip()[1:]}")
    else:
        feedback.pushInfo(text)


def result_layers(answer: Event) -> list[ResultLayer]:
    """Give the rasters of an answer."""
    return [
        ResultLayer(str(r["path"]), str(r["kind"]), str(r["cell"]), r.get("tags", {}))
        for r in answer.get("rasters", [])
    ]


def require_writable(target: str) -> None:
    """Raise if a file cannot be made, as far as that can be seen without making it."""
    folder = os.path.dirname(os.path.abspath(target))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise _cannot_write(target, "it is a folder, or its folder takes no files")


def _cannot_write(target: str, reason: str) -> QgsProcessingException:
    """Say that a single output cannot be written."""
    return QgsProcessingException(
        f"Cannot write {target}: {reason}.\nChoose another file: in a folder that you may write "
        "to, and not one that another program has open."
    )


def copy_file(source: str, target: str) -> None:
    """Copy a file so that the target is whole or untouched."""
    part = f"{target}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        shutil.copyfile(source, part)
        os.replace(part, target)
    except OSError as error:
        if os.path.exists(part):
            os.unlink(part)
        raise _cannot_write(target, error.strerror or str(error)) from None


def _forget(context: QgsProcessingContext, path: str) -> None:
    """Do not load a raster that could not be made."""
    layers = context.layersToLoadOnCompletion()
    if layers.pop(path, None) is not None:
        context.setLayersToLoadOnCompletion(layers)
