"""One task of a batch, as a worker does it: a file of measurements, or one cell of it."""

from __future__ import annotations

import importlib
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import prepare_output_folder
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
    with_known_paths,
)
from rm_geo.io.file_cache import worker_file_cache
from rm_geo.io.object_store import local, stored
from rm_geo.io.paths import location_of, redacted
from rm_geo.options import PredictOptions
from rm_geo.pipeline.plan import RunPlan, plan_run, require_mappable_cell
from rm_geo.products.summary import CellResult, failed, skipped
from rm_geo.progress import SilentProgress

_ENDING: Final = frozenset({"closing", "closed", "failed"})


@dataclass(frozen=True)
class TaskOutcome:
    """What a worker says of a task.

    Attributes
    ----------
    results : tuple of CellResult
        Cells that were mapped, skipped, or failed.
    cells : tuple of str
        Instead of results: the cells of the file, each to be a task of its own.
    message : str
        Why the whole job failed; empty otherwise.
    may_pass : bool
        Whether another try may succeed.
    seconds : float
        Time on the worker.
    lines : tuple of str
        What the task said on its way; mostly of the reading.
    """

    results: tuple[CellResult, ...] = ()
    cells: tuple[str, ...] = ()
    message: str = ""
    may_pass: bool = False
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


def run_task(job: Job, cell: str | None, spread_tiles: int = 0) -> TaskOutcome:
    """Map one cell of a job, or find its cells; runs on a worker.

    What lies in object storage is fetched by the first task of a worker that wants it, and
    kept for the others. Its maps are stored there when they are complete, those of each cell by
    its own task.

    Parameters
    ----------
    job : Job
        The job.
    cell : str or None
        Which cell; None reads the file, and maps it if it has one cell only.
    spread_tiles : int
        Cells with at least so many tiles are computed by all workers; 0 for none.
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
    """Map the one cell that there is, or name those that there are."""
    from rm_geo.pipeline.predict import predict

    if isinstance(job.output, Path):
        prepare_output_folder(job.output)
    copies = worker_file_cache()
    source = local(job.measurements, places, copies.copy_of)
    if options.site.sites is not None:
        sites = local(location_of(options.site.sites), places, copies.copy_of)
        options = options.replace(sites=sites)
    if options.site.buildings is not None:
        buildings = local(location_of(options.site.buildings), places, copies.copy_of)
        options = options.replace(buildings=buildings)
    progress.call(source, job)
    run_plan = plan_run(source, options, progress)
    require_mappable_cell(run_plan)
    if len(run_plan.cells) > 1:
        cells = tuple(plan.cell for plan in run_plan.cells if plan.refusal is None)
        return TaskOutcome(_refused(run_plan, source, job), cells)
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
        results = [_called(small, source, job)]
    names += (name for result in results for name in result.files)
    return TaskOutcome(tuple(results))


def _refused(run_plan: RunPlan, source: Path, job: Job) -> tuple[CellResult, ...]:
    """Cells that cannot be mapped; the reasons name the job's file, not its copy."""
    results = (
        failed(plan.cell, plan.label, len(plan.measurements), plan.refusal)
        for plan in run_plan.cells
        if plan.refusal is not None
    )
    return tuple(_called(result, source, job) for result in results)


def _called(result: CellResult, source: Path, job: Job) -> CellResult:
    """Name the job's file in a result's message, not its copy."""
    return replace(
        result,
        message=with_known_paths(result.message, {str(source): redacted(str(job.measurements))}),
    )


class _TaskProgress(SilentProgress):
    """Stops a task on a worker whose batch no longer waits for it.

    Dask drops what has not begun; of what runs, it only notes that nobody wants it. A worker
    whose scheduler was lost waits for its tasks before it ends: the same command, run again,
    would find their outputs in use. What is logged is kept for the batch to tell.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        self._worker: Any = importlib.import_module("distributed").get_worker()
        self._key = self._worker.get_current_task()

    def call(self, copy: Path, job: Job) -> None:
        """Call a file by the name that its job has for it."""
        self._names[str(copy)] = redacted(str(job.measurements))

    def log(self, message: str) -> None:
        """Keep a line."""
        self.lines.append(with_known_paths(message, self._names))

    def check(self) -> None:
        """Stop once the task was cancelled, or its worker ends."""
        if self._worker.status.name in _ENDING:
            raise ClusterLostError("The connection to the scheduler was lost.")
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise CancelledError("The batch was stopped.")
