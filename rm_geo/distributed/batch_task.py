"""One task of a batch on a worker: the measurements of a job, or one cell of them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import prepare_output_folder
from rm_geo._util.tempdirs import owned_folder
from rm_geo.devices import choose_device
from rm_geo.distributed.jobs import Job
from rm_geo.distributed.tiles import NestedDaskTiles
from rm_geo.errors import (
    CancelledError,
    ClusterError,
    ClusterLostError,
    DeviceError,
    FetchError,
    OutputError,
    RmGeoError,
    TooSmallError,
    redacted,
    with_known_paths,
)
from rm_geo.io.file_cache import worker_file_cache
from rm_geo.io.object_store import fetch, local, stored
from rm_geo.io.paths import location_of
from rm_geo.options import PredictOptions
from rm_geo.pipeline.area_buildings import map_area_buildings
from rm_geo.pipeline.plan import RunPlan, plan_run, require_mappable_cell
from rm_geo.pipeline.predict import open_sites, predict
from rm_geo.products.area_buildings import BUILDINGS_ENDING
from rm_geo.products.area_buildings import FILE_NAME as AREA_BUILDINGS
from rm_geo.products.area_buildings import MASK_NAME as AREA_MASK
from rm_geo.products.summary import CellResult, failed, skipped
from rm_geo.progress import SilentProgress
from rm_geo.workflows.predicted_plan import plan_predicted

_ENDING: Final = frozenset({"closing", "closed", "failed"})


@dataclass(frozen=True)
class TaskOutcome:
    """Outcome of a task.

    Attributes
    ----------
    results : tuple of CellResult
        Cells that were mapped, skipped, or failed.
    cells : tuple of str
        For measurements of several cells: the cells to submit as tasks of their own.
    message : str
        Why the whole job failed; empty otherwise.
    may_pass : bool
        Whether another attempt may succeed.
    seconds : float
        Time on the worker in seconds.
    lines : tuple of str
        Log lines of the task.
    """

    results: tuple[CellResult, ...] = ()
    cells: tuple[str, ...] = ()
    message: str = ""
    may_pass: bool = False
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


def run_task(job: Job, cell: str | None, spread_tiles: int = 0) -> TaskOutcome:
    """Map one cell of a job, or list its cells; runs on a worker.

    Inputs in object storage are fetched once for each worker. The maps of a cell are uploaded by
    its task when they are complete.

    Parameters
    ----------
    job : Job
        The job.
    cell : str or None
        Cell to map; None reads the files, and maps the cell if there is one only.
    spread_tiles : int
        Cells with at least this many tiles are computed by all workers; 0 for none.

    Returns
    -------
    TaskOutcome
        Errors of rm_geo are part of it, and are not raised.
    """
    begun = time.perf_counter()
    progress = _TaskProgress()
    options = job.options if cell is None else job.options.replace(cells=(cell,))
    try:
        with ExitStack() as places:
            outcome = _mapped(job, cell, options, spread_tiles, places, progress)
    except RmGeoError as error:
        outcome = TaskOutcome(
            message=str(error),
            may_pass=isinstance(error, (ClusterError, DeviceError, FetchError, OutputError)),
        )
    seconds = time.perf_counter() - begun
    return replace(outcome, seconds=seconds, lines=tuple(progress.lines))


def _mapped(
    job: Job,
    cell: str | None,
    options: PredictOptions,
    spread_tiles: int,
    places: ExitStack,
    progress: _TaskProgress,
) -> TaskOutcome:
    """Map the only cell of a job, or list its cells."""
    if isinstance(job.output, Path):
        prepare_output_folder(job.output)
    sources, options, names_of_copies = _local_inputs(job, options, places)
    progress.name_copies(names_of_copies)
    run_plan = plan_run(sources, options, progress)
    require_mappable_cell(run_plan)
    if len(run_plan.cells) > 1:
        cells = tuple(plan.cell for plan in run_plan.cells if plan.refusal is None)
        return TaskOutcome(_refused(run_plan, names_of_copies), cells)
    part, names = f"cell {run_plan.cells[0].cell}", list[str]()
    output = local(job.output, places, partial(stored, names=names, part=part))
    try:
        results = predict(
            run_plan,
            output,
            options,
            progress,
            summary=False,
            tile_executor=NestedDaskTiles(options, spread_tiles) if spread_tiles else None,
        )
    except TooSmallError as error:
        if cell is None:  # the only cell of the job
            raise
        (plan,) = run_plan.cells
        small = skipped(plan.cell, plan.label, len(plan.measurements), error)
        results = [_with_source_names(small, names_of_copies)]
    names += (name for result in results for name in result.files)
    return TaskOutcome(tuple(results))


def _local_inputs(
    job: Job, options: PredictOptions, places: ExitStack
) -> tuple[list[Path], PredictOptions, dict[str, str]]:
    """Return local files of the measurements, options with local files, and names of copies."""
    copies = worker_file_cache()
    sources = [local(file, places, copies.copy_of) for file in job.measurements]
    names_of_copies = {
        str(copy): redacted(str(file)) for copy, file in zip(sources, job.measurements, strict=True)
    }
    if options.site.sites is not None:
        sites = local(location_of(options.site.sites), places, copies.copy_of)
        options = options.replace(sites=sites)
    if options.site.buildings is not None:
        buildings = local(location_of(options.site.buildings), places, copies.copy_of)
        options = options.replace(buildings=buildings)
    return sources, options, names_of_copies


def run_area_task(job: Job, results: tuple[CellResult, ...]) -> TaskOutcome:
    """Map the buildings of the area of a job whose cells are complete; runs on a worker.

    Parameters
    ----------
    job : Job
        The job.
    results : tuple of CellResult
        Its cells.

    Returns
    -------
    TaskOutcome
        Errors of rm_geo are part of it, and are not raised.
    """
    return _derived(_map_area, job, results)


def _map_area(
    job: Job, results: tuple[CellResult, ...], places: ExitStack, progress: _TaskProgress
) -> None:
    """Map the buildings of the area as :func:`rm_geo.pipeline.predict.predict` does."""
    sources, options, names_of_copies = _local_inputs(job, job.options, places)
    progress.name_copies(names_of_copies)
    run_plan = plan_run(sources, options, progress)
    folder = _local_maps(job, results, places, ending=BUILDINGS_ENDING)
    target = local(
        job.output, places, partial(stored, names=(AREA_BUILDINGS, AREA_MASK), part="buildings")
    )
    map_area_buildings(
        folder,
        results,
        run_plan.cells,
        open_sites(options, run_plan.measurements, progress),
        options,
        target / AREA_BUILDINGS,
        device=choose_device(options.method.device),
        progress=progress,
    )


def run_plan_task(job: Job, results: tuple[CellResult, ...]) -> TaskOutcome:
    """Derive the planning products of a job whose cells are complete; runs on a worker.

    Parameters
    ----------
    job : Job
        The job, with thresholds.
    results : tuple of CellResult
        Its cells.

    Returns
    -------
    TaskOutcome
        Errors of rm_geo are part of it, and are not raised.
    """
    return _derived(_planned, job, results)


def _derived(
    derive: Callable[[Job, tuple[CellResult, ...], ExitStack, _TaskProgress], None],
    job: Job,
    results: tuple[CellResult, ...],
) -> TaskOutcome:
    """Derive products from the maps of complete cells."""
    begun = time.perf_counter()
    progress = _TaskProgress()
    message, may_pass = "", False
    try:
        with ExitStack() as places:
            derive(job, results, places, progress)
    except RmGeoError as error:
        message, may_pass = str(error), isinstance(error, (FetchError, OutputError))
    seconds = time.perf_counter() - begun
    return TaskOutcome(
        message=message, may_pass=may_pass, seconds=seconds, lines=tuple(progress.lines)
    )


def _planned(
    job: Job, results: tuple[CellResult, ...], places: ExitStack, progress: _TaskProgress
) -> None:
    """Derive the planning products; maps in object storage are fetched."""
    assert job.plan is not None
    copies = worker_file_cache()
    sources = [local(file, places, copies.copy_of) for file in job.measurements]
    plan_predicted(
        results,
        _local_maps(job, results, places, ending=".tif"),
        job.output,
        job.plan,
        job.options,
        sources,
        places,
        progress,
        local_file=copies.copy_of,
    )


def _local_maps(
    job: Job, results: tuple[CellResult, ...], places: ExitStack, *, ending: str
) -> Path:
    """Return a local folder of the maps of a job; those in object storage are fetched."""
    if isinstance(job.output, Path):
        return job.output
    maps = places.enter_context(owned_folder())
    for result in results:
        for name in result.files if result.is_mapped else ():
            if name.endswith(ending):
                fetch(f"{job.output.rstrip('/')}/{name}", maps)
    return maps


def _refused(run_plan: RunPlan, names: Mapping[str, str]) -> tuple[CellResult, ...]:
    """Results of the cells that cannot be mapped."""
    results = (
        failed(plan.cell, plan.label, len(plan.measurements), plan.refusal)
        for plan in run_plan.cells
        if plan.refusal is not None
    )
    return tuple(_with_source_names(result, names) for result in results)


def _with_source_names(result: CellResult, names: Mapping[str, str]) -> CellResult:
    """Replace the paths of local copies in a message by the job's own paths."""
    return replace(result, message=with_known_paths(result.message, names))


class _TaskProgress(SilentProgress):
    """Progress of a task: stops it when it is cancelled, and collects its log lines.

    Dask cancels only tasks that have not begun. A worker that has lost its scheduler waits for
    its running tasks before it ends; without the check in this class the same command, run again,
    would find their outputs in use.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        self._worker: Any = importlib.import_module("distributed").get_worker()
        self._key = self._worker.get_current_task()

    def name_copies(self, names: Mapping[str, str]) -> None:
        """Have log lines name the job's files instead of their local copies."""
        self._names.update(names)

    def log(self, message: str) -> None:
        """Keep a line."""
        self.lines.append(with_known_paths(message, self._names))

    def check(self) -> None:
        """Raise if the task was cancelled, or its worker is closing."""
        if self._worker.status.name in _ENDING:
            raise ClusterLostError("The connection to the scheduler was lost.")
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise CancelledError("The batch was stopped.")
