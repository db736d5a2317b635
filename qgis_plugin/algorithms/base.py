"""Base classes of the algorithms: description, run of the worker, loading of results."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterVectorDestination,
)
from qgis.PyQt.QtGui import QIcon

from ..inputs import POINTS, POLYGONS, TABLE, VectorInput, vector_input
from ..interpreter import Interpreter, NoInterpreterError, worker_environment
from ..labels import with_labels
from ..layer_loader import LayerLoader
from ..layer_styles import LayerClass
from ..layer_tree import RunGroup
from ..open_layers import OpenLayers, is_main_thread
from ..plugin_metadata import homepage
from ..results import LayerFinisher, ResultLayer, register_finisher
from ..settings import current_interpreter
from ..worker_client import Event, Listener, WorkerCancelled, WorkerError, run_job
from ..worker_keeper import WorkerKeeper
from .parameters import READING
from .run import Run, path_of

_NAMES_ENDING = ".aux.xml"  # names of the classes of a raster, for GDAL
_AREAS = {
    "best_server": "server_areas",
    "coverage": "coverage_areas",
    "overlap": "overlap_areas",
    "change": "change_areas",
}
"""Kinds of vector layers that have another name than their files."""

_ALL = "the-algorithms"
_SECTIONS = {
    "maps": "the-first-map",
    "measurements": "check-the-drive-test-first",
    "planning": "plan-with-the-maps",
}
"""Sections of the chapter about QGIS in the documentation, by group."""

_WARNINGS = ("warning:", "note:")

_ICONS = Path(__file__).resolve().parents[1] / "icons"


class RmGeoAlgorithm(QgsProcessingAlgorithm):
    """Base class of the algorithms; subclasses define the description and the job."""

    NAME = ""
    TITLE = ""
    GROUP: tuple[str, str] = ("", "")
    TAGS: tuple[str, ...] = ()
    SUMMARY = ""
    HELP = ""
    ICON = ""

    def __init__(self) -> None:
        super().__init__()
        self._finishers: list[LayerFinisher] = []
        self._loader: LayerLoader | None = None
        self._finished_cells: list[str] = []
        self._open_layers: OpenLayers | None = None

    def createInstance(self) -> QgsProcessingAlgorithm:
        """Create an instance for a run."""
        return type(self)()

    def name(self) -> str:
        """Return the name in scripts, after ``rm_geo:``."""
        return self.NAME

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return self.TITLE

    def group(self) -> str:
        """Return the group in the toolbox."""
        return self.GROUP[1]

    def groupId(self) -> str:
        """Return the group in scripts."""
        return self.GROUP[0]

    def tags(self) -> list[str]:
        """Return the search terms."""
        return ["rm_geo", "radio", "RSRP", *self.TAGS]

    def shortDescription(self) -> str:
        """Return the summary in one line."""
        return self.SUMMARY

    def shortHelpString(self) -> str:
        """Return the help text of the dialog."""
        return self.HELP

    def helpUrl(self) -> str:
        """Return the address of the section about the algorithm in the documentation."""
        home = homepage()
        return f"{home}/qgis.html#{_SECTIONS.get(self.groupId(), _ALL)}" if home else ""

    def icon(self) -> QIcon:
        """Return the icon in the toolbox."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """Return the file of the icon: that of the algorithm, or of its group."""
        return str(_ICONS / f"{self.ICON or self.groupId()}.svg")

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Check the input layers, and close those that are replaced; in QGIS's main thread."""
        self._finishers = []
        keep = getattr(self.provider(), "keep", None)
        if keep is not None:
            keep(self._finishers)
        self.check_inputs(parameters, context)
        targets = [
            path_of(parameters.get(definition.name()))
            for definition in self.destinationParameterDefinitions()
        ]
        self._open_layers = OpenLayers(context.project(), [path for path in targets if path])
        self._finished_cells = []
        self._loader = None
        if is_main_thread() and context.project() is not None:
            self._loader = LayerLoader(context.project(), self._open_layers)
            if keep is not None:
                keep([self._loader])
        return True

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check and store the input layers; for subclasses."""

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Run the algorithm; in a separate thread if run from the dialog."""
        try:
            with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
                run = Run(self, parameters, context, feedback, scratch)
                _ = run.loads_layers
                return self.carry_out(run)
        except WorkerCancelled:
            # Processing itself says that the run did not complete. An error would say more.
            context.setLayersToLoadOnCompletion({})
            words = "Cancelled; no incomplete files are left."
            if self._finished_cells:
                words += f" What is complete stays: cell {', '.join(self._finished_cells)}."
            feedback.pushInfo(words)
            return {}
        finally:
            if self._open_layers is not None:
                self._open_layers.reopen()

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job and return the outputs; for subclasses."""
        raise NotImplementedError

    def workers(self) -> WorkerKeeper | None:
        """Return what keeps a worker between runs; None for a new worker each time."""
        return getattr(self.provider(), "workers", None)

    def run_worker(
        self,
        request: Mapping[str, Any],
        feedback: QgsProcessingFeedback,
        share: tuple[float, float] = (0.0, 1.0),
        on_cell: Callable[[Event], None] | None = None,
    ) -> Event:
        """Run a job in a worker.

        Parameters
        ----------
        request : mapping
            The job; see ``rm_geo/worker/jobs.py``.
        feedback : QgsProcessingFeedback
            Shows the progress and can cancel.
        share : tuple of float
            Part of the whole progress that is this job's, from 0 to 1.
        on_cell : callable, optional
            Called with the event of each finished cell.

        Returns
        -------
        dict
            The ``result`` event.

        Raises
        ------
        QgsProcessingException
            If the job failed, with a message that says what to do.
        WorkerCancelled
            If the user cancelled it.
        """
        try:
            interpreter = current_interpreter()
            listener = FeedbackListener(feedback, interpreter, share, on_cell)
            workers = self.workers()
            run = run_job if workers is None else workers.run
            answer: Event = run(
                interpreter.path, request, listener, environment=worker_environment(os.environ)
            )
            return answer
        except WorkerError as error:
            raise QgsProcessingException(with_labels(str(error), error.parameter)) from None
        except NoInterpreterError as error:
            raise QgsProcessingException(str(error)) from None

    def finish(self, run: Run, layer: ResultLayer, *, load: bool) -> None:
        """Register name, style and group of a result for when Processing loads it."""
        finisher = register_finisher(run.context, layer, load=load)
        if finisher is not None:
            self._finishers.append(finisher)

    def check_outputs(self, run: Run, names: Iterable[str]) -> None:
        """Raise before the job if a single output cannot be written."""
        for name in names:
            target = run.layer_target(name)
            if target is not None:
                require_writable(target)
                definition = self.parameterDefinition(name)
                if isinstance(definition, QgsProcessingParameterVectorDestination):
                    _require_new_geopackage(target)

    def collect_outputs(
        self,
        run: Run,
        layers: list[ResultLayer],
        outputs: Mapping[str, str],
        *,
        loaded: Container[str] = (),
    ) -> dict[str, Any]:
        """Copy the requested single outputs, and load the other layers if requested.

        Parameters
        ----------
        run : Run
            Run with a parameter ``LOAD``; without one, no other layers are loaded.
        layers : list of ResultLayer
            Layers of the result, the cell with the most measurements first.
        outputs : mapping of str to str
            Kind of layer by output parameter.
        loaded : container of str
            Paths of layers that are in the project already.

        Returns
        -------
        dict
            Paths by output parameter.
        """
        found: dict[str, Any] = {}
        copied = set()
        for name, kind in outputs.items():
            first = next((layer for layer in layers if layer.kind == kind), None)
            target = run.layer_target(name)
            if first is None:
                if target is not None:
                    do_not_load(run.context, target)
                continue
            found[name] = first.path
            if target is not None:
                copy_file(first.path, target)
                if os.path.exists(first.path + _NAMES_ENDING):
                    copy_file(first.path + _NAMES_ENDING, target + _NAMES_ENDING)
                found[name] = target
                copied.add(first.path)
                self.finish(run, replace(first, path=target), load=False)
        load = run.loads_layers
        for layer in layers:
            wanted = load and not layer.is_empty and layer.path not in copied
            if layer.path not in loaded:
                self.finish(run, layer, load=wanted)
        return found


class MeasurementsAlgorithm(RmGeoAlgorithm):
    """Base class of the algorithms that read measurements, and optionally sites."""

    _input: VectorInput | None = None
    _sites: VectorInput | None = None
    _outlines: VectorInput | None = None

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check the layers of measurements, sites and known buildings."""
        self._input = vector_input(self, parameters, "INPUT", context, (POINTS, TABLE))
        if self.parameterDefinition("SITES") is not None:
            self._sites = vector_input(
                self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
            )
        if self.parameterDefinition("OUTLINES") is not None:
            self._outlines = vector_input(self, parameters, "OUTLINES", context, (POLYGONS,))

    @property
    def input_name(self) -> str:
        """Return the name of the layer of measurements."""
        return "" if self._input is None else self._input.name

    def group_of(self, what: str, **more: Any) -> RunGroup:
        """Return the group of a run in the layer tree, named by the measurements and ``what``."""
        return run_group(f"{self.input_name}: {what}", **more)

    def reading(self, run: Run) -> dict[str, Any]:
        """Return the part of the request that selects the measurements."""
        measurements = run.required_file_of(self._input)
        options = {
            "bbox": run.extent("EXTENT", self._input),
            "layer": measurements.layer,
            "rsrp_column": run.text("RSRP_FIELD"),
            "cell_column": run.text("CELL_FIELD"),
            **{option: run.option(name, option) for name, _, option in READING},
        }
        return {
            "measurements": measurements.path,
            "origin": {} if self._input is None else self._input.origin,
            "options": options,
        }

    def measured(self, run: Run) -> dict[str, Any]:
        """Return the part of the request with measurements, sites, buildings and grid."""
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
    """Shows the events of a worker in the progress bar and the log of a run."""

    def __init__(
        self,
        feedback: QgsProcessingFeedback,
        interpreter: Interpreter,
        share: tuple[float, float] = (0.0, 1.0),
        on_cell: Callable[[Event], None] | None = None,
    ) -> None:
        self._feedback = feedback
        self._on_cell = on_cell
        self._interpreter = interpreter
        self._share = share
        self._percent = 100.0 * share[0]

    def is_cancelled(self) -> bool:
        """Return whether the user pressed Cancel."""
        return bool(self._feedback.isCanceled())

    def beat(self) -> None:
        """Refresh the progress bar."""
        self._feedback.setProgress(self._percent)

    def hello(self, event: Event) -> None:
        """Log versions, interpreter and device, once for a run."""
        if self._share[0] > 0.0:
            return
        self._feedback.pushDebugInfo(
            f"rm_geo {event.get('version')}, Python {event.get('python')} of "
            f"{self._interpreter.path} (from {self._interpreter.origin}), "
            f"device {event.get('device')}"
        )

    def stage(self, label: str, total: int, unit: str) -> None:
        """Show the start of a stage."""
        self.progress(0, 1)
        self._feedback.setProgressText(f"{label}: {total} {unit}")

    def progress(self, done: int, total: int) -> None:
        """Set the progress bar."""
        begin, end = self._share
        percent = 100.0 * (begin + (end - begin) * min(done / max(total, 1), 1.0))
        # Of a part of the work, further stages do not begin again.
        is_part = self._share != (0.0, 1.0)
        self._percent = max(percent, self._percent) if is_part else percent
        self._feedback.setProgress(self._percent)

    def log(self, message: str) -> None:
        """Log a line."""
        log_message(message, self._feedback)

    def cell(self, event: Event) -> None:
        """Pass on a finished cell."""
        if self._on_cell is not None:
            self._on_cell(event)


def log_message(message: str, feedback: QgsProcessingFeedback) -> None:
    """Log a line of rm_geo; failures and warnings are highlighted.

    Parameters
    ----------
    message : str
        The line; warnings begin with ``Warning:``, ``warning:`` or ``Note:``.
    feedback : QgsProcessingFeedback
        Log of the run; options are named by their labels in the dialog.
    """
    text = with_labels(message)
    if message.startswith("Failed"):
        feedback.reportError(text)
    elif text.strip().lower().startswith(_WARNINGS):
        text = text.strip()
        feedback.pushWarning(text[:1].upper() + text[1:])
    else:
        feedback.pushInfo(text)


def result_layers(answer: Event, run: RunGroup | None = None) -> list[ResultLayer]:
    """Return the rasters and vector layers of a result.

    Parameters
    ----------
    answer : dict
        The ``result`` event.
    run : RunGroup, optional
        Group of the run in the layer tree.

    Returns
    -------
    list of ResultLayer
        Its layers.
    """
    vectors = [
        {**one, "kind": _AREAS.get(one["kind"], one["kind"])} for one in answer.get("vectors", [])
    ]
    return [
        ResultLayer(
            str(one["path"]),
            str(one["kind"]),
            str(one["cell"]),
            one.get("tags", {}),
            tuple(LayerClass(**each) for each in one.get("classes", ())),
            run,
            one.get("features") == 0,
        )
        for one in (*answer.get("rasters", []), *vectors)
    ]


def run_group(title: str, *, by_cell: bool = False, shown_cell: str | None = None) -> RunGroup:
    """Return a group for the layers of a run.

    Parameters
    ----------
    title : str
        Its name.
    by_cell, shown_cell
        As of :class:`RunGroup`.

    Returns
    -------
    RunGroup
        With a key of its own.
    """
    return RunGroup(uuid.uuid4().hex, title, by_cell, shown_cell)


def require_writable(target: str) -> None:
    """Raise if a file cannot be written, as far as this is known without writing it.

    Parameters
    ----------
    target : str
        Path of the file.

    Raises
    ------
    QgsProcessingException
        If it is a folder, or its folder is not writable.
    """
    folder = os.path.dirname(os.path.abspath(target))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise _cannot_write(target, "it is a folder, or its folder takes no files")


def _require_new_geopackage(target: str) -> None:
    """Raise if a vector output is not a GeoPackage, or one that is open."""
    if not target.lower().endswith(".gpkg"):
        raise QgsProcessingException(
            f"{target} is not the name of a GeoPackage.\nChoose a file that ends in .gpkg."
        )
    if any(os.path.exists(target + ending) for ending in ("-wal", "-journal")):
        raise _cannot_write(target, "a program has it open; in QGIS, remove its layer")


def _cannot_write(target: str, reason: str) -> QgsProcessingException:
    """Return the error of an output that cannot be written."""
    return QgsProcessingException(
        f"Cannot write {target}: {reason}.\nChoose another file: in a folder that you may write "
        "to, and not one that another program has open."
    )


def copy_file(source: str, target: str) -> None:
    """Copy a file; the target is replaced completely or not at all.

    Parameters
    ----------
    source, target : str
        Paths.

    Raises
    ------
    QgsProcessingException
        If the target cannot be written.
    """
    part = f"{target}.{os.getpid()}.part"
    try:
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        shutil.copyfile(source, part)
        os.replace(part, target)
    except OSError as error:
        if os.path.exists(part):
            os.unlink(part)
        raise _cannot_write(target, error.strerror or str(error)) from None


def do_not_load(context: QgsProcessingContext, path: str) -> None:
    """Remove a layer from those to load.

    Parameters
    ----------
    context : QgsProcessingContext
        Context of the run.
    path : str
        Path of the layer.
    """
    layers = context.layersToLoadOnCompletion()
    if layers.pop(path, None) is not None:
        context.setLayersToLoadOnCompletion(layers)
