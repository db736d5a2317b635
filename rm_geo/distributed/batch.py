"""Batches of drive tests on a Dask cluster.

A job with one cell is one task; a job with several cells is one task for each cell. The tiles
of a large cell, or of a cell that would leave workers idle, are distributed over all workers. A
failed cell does not stop the batch. When the cells of a job are complete, one more task makes its
plan, and one the building map of its area. Complete cells are recorded at once, so that the same
command resumes an interrupted batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from rm_geo._util.locks import output_lock
from rm_geo.distributed.batch_state import (
    PLAN_DONE,
    STATE_NAME,
    BatchRecord,
    JobState,
    record_folder,
    write_batch_summary,
)
from rm_geo.distributed.batch_task import (
    TaskOutcome,
    run_area_task,
    run_plan_task,
    run_task,
)
from rm_geo.distributed.jobs import Job, require_outputs
from rm_geo.distributed.pool import POLL_S, WorkerPool
from rm_geo.distributed.tiles import release_workers
from rm_geo.errors import ClusterLostError, OutputError
from rm_geo.io.file_cache import release_copies
from rm_geo.io.metadata import for_each
from rm_geo.io.object_store import local, stored
from rm_geo.io.paths import Location
from rm_geo.products.area_buildings import FILE_NAME as AREA_BUILDINGS
from rm_geo.products.area_buildings import MASK_NAME as AREA_MASK
from rm_geo.products.area_buildings import building_files, remove_earlier
from rm_geo.products.summary import SUMMARY_NAMES, CellResult, skipped_line, write_summary
from rm_geo.progress import Progress, SilentProgress

SPREAD_TILES: Final = 64
"""Number of tiles from which a cell is distributed; it takes about a minute on a CPU."""

_SPREAD_SOONER: Final = 4
"""Factor by which smaller cells are distributed when workers would be idle otherwise."""


def run_batch(
    jobs: Sequence[Job],
    output: Location,
    client: Any,  # noqa: ANN401 - distributed carries no types
    *,
    retries: int = 1,
    fresh: bool = False,
    spread_tiles: int = SPREAD_TILES,
    progress: Progress | None = None,
) -> list[JobState]:
    """Map all jobs on a cluster.

    Parameters
    ----------
    jobs : sequence of Job
        The jobs, see :func:`rm_geo.distributed.jobs.read_jobs`.
    output : Path or str
        Local folder, or one in object storage, for ``batch_summary.csv`` and
        ``batch_summary.json``.
    client : distributed.Client
        A connected client, see :func:`rm_geo.distributed.cluster.open_cluster`.
    retries : int
        Number of further attempts of a task that failed for another reason than its input.
    fresh : bool
        Map also the cells that an earlier batch completed.
    spread_tiles : int
        Cells with at least this many tiles are computed by all workers; cells with a quarter of
        it, if fewer tasks than workers are left. 0 distributes no tiles.
    progress : Progress, optional
        Advanced by each job.

    Returns
    -------
    list of JobState
        One for each job, in order; failed ones included.

    Raises
    ------
    OutputError
        If the folder, or a job's folder in object storage, cannot be written, or another batch
        is writing it.
    CancelledError
        If the caller asked for the work to stop; complete cells are kept.
    ClusterLostError
        If the scheduler was lost, or there was no worker for a minute; complete cells are kept.

    Examples
    --------
    >>> from rm_geo.distributed.cluster import open_cluster
    >>> from rm_geo.distributed.jobs import read_jobs
    >>> jobs = read_jobs(["drives"], Path("maps"))  # doctest: +SKIP
    >>> with open_cluster() as client:  # doctest: +SKIP
    ...     states = run_batch(jobs, Path("maps"), client)
    """
    listener = SilentProgress() if progress is None else progress
    with (
        record_folder(output) as folder,
        output_lock(folder / ".rmgeo-batch-lock", f"the batch in {output}"),
    ):
        record = BatchRecord(folder / STATE_NAME, fresh=fresh)
        states = for_each(record.restored, jobs)
        listener.start(len(jobs), "jobs", "Batch")
        open_jobs = []
        for state in states:
            if state.skipped:
                listener.log(f"{state.job.name}: complete already")
                listener.advance()
            else:
                open_jobs.append(state)
        require_outputs(output, [state.job for state in open_jobs])
        with ExitStack() as after:
            after.push(lambda kind, *_: release_workers(client, kind, release_copies))
            if spread_tiles:
                after.push(lambda kind, *_: release_workers(client, kind))
            after.callback(record.write)
            _run_tasks(open_jobs, client, record, retries, spread_tiles, listener)
        listener.finish()
        write_batch_summary(states, folder)
        if all(state.status == "done" for state in states):
            record.path.unlink(missing_ok=True)
    return states


def _run_tasks(
    states: Sequence[JobState],
    client: Any,  # noqa: ANN401
    record: BatchRecord,
    retries: int,
    spread_tiles: int,
    progress: Progress,
) -> None:
    """Submit tasks, and those for the cells that they find, until all are done."""
    worker_pool = WorkerPool(client)
    waiting: deque[tuple[JobState, str | None, int]] = deque()
    running: dict[str, tuple[Any, JobState, str | None, int]] = {}
    stages: dict[str, _Stage] = {}  # of jobs whose cells are complete
    done: SimpleQueue[Any] = SimpleQueue()

    def submit() -> None:
        threads = worker_pool.threads()
        # A task that distributes its tiles gives its thread to the next task. Their number is
        # limited, so that their memory is.
        while waiting and (not spread_tiles or len(running) < threads):
            enough = len(waiting) + len(running) >= threads
            least = spread_tiles if enough else -(-spread_tiles // _SPREAD_SOONER)
            state, cell, attempt = waiting.popleft()
            if stage := stages.get(state.job.name):
                ordered = tuple(_ordered(state))
                future = worker_pool.submit(_DERIVATIONS[stage], state.job, ordered)
            else:
                future = worker_pool.submit(run_task, state.job, cell, least)
            running[future.key] = (future, state, cell, attempt)
            future.add_done_callback(done.put)

    for state in states:
        state.waiting = 1
        waiting.append((state, None, 0))
    try:
        submit()
        while running:
            progress.check()
            try:
                future = done.get(timeout=POLL_S)
            except Empty:
                worker_pool.require_workers()
                continue
            _, state, cell, attempt = running.pop(future.key)
            outcome = _outcome(future, worker_pool)
            state.seconds += outcome.seconds
            if outcome.may_pass and attempt < retries:
                state.attempts += 1
                progress.log(f"{_label(state, cell)}: trying again. {outcome.message}")
                waiting.append((state, cell, attempt + 1))
                submit()
                continue
            state.waiting -= 1
            stage = stages.get(state.job.name)
            if stage is _Stage.PLAN:
                state.plan = outcome.message or PLAN_DONE
                if outcome.message:
                    progress.log(f"{state.job.name}: the plan failed: {outcome.message}")
                outcome = replace(outcome, message="")
            for line in _add_outcome(state, cell, outcome):
                progress.log(f"{state.job.name}: {line.strip()}")
            for name in outcome.cells:
                if name not in state.results:
                    state.waiting += 1
                    waiting.append((state, name, 0))
            if state.waiting == 0 and (following := _next_stage(state, stage)):
                stages[state.job.name] = following
                state.waiting = 1
                waiting.append((state, None, 0))
            submit()
            if outcome.message:
                progress.log(f"{_label(state, cell)} failed: {outcome.message}")
            if state.waiting == 0:
                _close(state, progress)
            record.note(state)
    finally:
        worker_pool.cancel(future for future, *_ in running.values())


def _wants_plan(state: JobState) -> bool:
    """Whether planning products are to be derived from the maps of a job, which are complete."""
    mapped = any(result.is_mapped for result in state.results.values())
    return state.job.plan is not None and not state.plan and not state.message and mapped


class _Stage(Enum):
    """What is derived from the maps of a job, in this order."""

    PLAN = auto()
    AREA = auto()


_DERIVATIONS: Final = {_Stage.PLAN: run_plan_task, _Stage.AREA: run_area_task}


def _next_stage(state: JobState, stage: _Stage | None) -> _Stage | None:
    """Choose what is derived next from the maps of a job; None if it is complete."""
    if stage is None and _wants_plan(state):
        return _Stage.PLAN
    return _Stage.AREA if stage is not _Stage.AREA and _has_area(state) else None


def _has_area(state: JobState) -> bool:
    """Whether a job has building maps of several cells."""
    return not state.message and len(building_files(state.results.values(), Path())) > 1


def _ordered(state: JobState) -> list[CellResult]:
    """List the cells of a job as ``predict`` does, the largest first."""
    return sorted(state.results.values(), key=lambda result: (-result.measurements, result.cell))


def _label(state: JobState, cell: str | None) -> str:
    """Name a task."""
    return state.job.name if cell is None else f"{state.job.name}, cell {cell}"


def _add_outcome(state: JobState, cell: str | None, outcome: TaskOutcome) -> list[str]:
    """Add the outcome of a task to its job; returns the log lines that are new."""
    for result in outcome.results:
        state.results[result.cell] = result
    if outcome.message and cell is None:
        state.message = outcome.message
    elif outcome.message and cell is not None:
        state.results[cell] = CellResult(cell, "failed", message=outcome.message)
    new = [line for line in outcome.lines if line not in state.lines]
    state.lines.update(dict.fromkeys(new))
    return new


def _close(state: JobState, progress: Progress) -> None:
    """Write the summary of a complete job."""
    ordered = _ordered(state)
    if any(result.is_mapped for result in ordered):
        try:
            with ExitStack() as places:
                stand_in = partial(stored, names=SUMMARY_NAMES, part="summary")
                write_summary(ordered, local(state.job.output, places, stand_in))
            if isinstance(state.job.output, Path) and not _has_area(state):
                for name in (AREA_BUILDINGS, AREA_MASK):  # of an earlier batch
                    remove_earlier(state.job.output / name)
        except OutputError as error:
            state.message = str(error)
    if line := skipped_line(ordered):
        progress.log(f"{state.job.name}: {line}")
    progress.log(f"{state.job.name}: {state.status}")
    progress.advance()


def _outcome(future: Any, worker_pool: WorkerPool) -> TaskOutcome:  # noqa: ANN401
    """Get the outcome of a task; a lost worker is an outcome too."""
    try:
        outcome = worker_pool.result(future)
    except ClusterLostError:
        raise
    except Exception as error:  # the other jobs go on
        name = type(error).__name__
        if name == "KilledWorker":
            return TaskOutcome(message="Its worker died in every attempt.")
        return TaskOutcome(message=f"{name}: {error}", may_pass=True)
    assert isinstance(outcome, TaskOutcome)
    return outcome
