"""Many drive tests at once: jobs and their cells spread over workers.

A file with one cell is one task; of a file with several, each cell is. The tiles of a large
cell, or of one that would leave workers idle, are spread by its task. Whatever fails is noted
and the rest goes on; what is complete is written down as it happens, so that the same command
goes on where a batch was interrupted.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rm_geo._version import __version__
from rm_geo.atomic import prepare_output_folder, replacing
from rm_geo.cell_products import CellResult, failed, write_summary
from rm_geo.errors import CancelledError, ClusterError, DeviceError, OutputError, RmGeoError
from rm_geo.jobs import Job, settings_text
from rm_geo.output_lock import output_lock
from rm_geo.progress import Progress, SilentProgress
from rm_geo.tile_spreading import TilesOfTask, release_workers

STATE_NAME: Final = "batch_state.json"

SPREAD_TILES: Final = 64
"""A cell of so many tiles takes a minute on a CPU: worth sending its measurements around."""

_SPREAD_SOONER: Final = 4
"""Where workers would be idle otherwise, this much smaller cells are spread too."""


@dataclass(frozen=True)
class TaskOutcome:
    """What a worker says of a task.

    Attributes
    ----------
    results : tuple of CellResult
        Cells that were mapped, or failed.
    cells : tuple of str
        Instead of results: the cells of the file, each to be a task of its own.
    message : str
        Why the whole job failed; empty otherwise.
    may_pass : bool
        Whether another try may succeed.
    seconds : float
        Time on the worker.
    """

    results: tuple[CellResult, ...] = ()
    cells: tuple[str, ...] = ()
    message: str = ""
    may_pass: bool = False
    seconds: float = 0.0


@dataclass
class JobState:
    """How far a job is.

    Attributes
    ----------
    job : Job
        Which.
    waiting : int
        Tasks that are not finished.
    results : dict of str to CellResult
        By cell.
    message : str
        Why the job as a whole failed.
    attempts : int
        Tasks that were tried again.
    seconds : float
        Time on workers.
    skipped : bool
        Whether an earlier batch had completed it.
    """

    job: Job
    waiting: int = 0
    results: dict[str, CellResult] = field(default_factory=dict)
    message: str = ""
    attempts: int = 0
    seconds: float = 0.0
    skipped: bool = False

    @property
    def status(self) -> str:
        """``done``, ``partly`` (some cells failed) or ``failed``."""
        mapped = [cell for cell in self.results.values() if cell.is_mapped]
        if self.message or not mapped:
            return "failed"
        return "done" if len(mapped) == len(self.results) else "partly"

    @property
    def reason(self) -> str:
        """Why the job, or its first failed cell, failed."""
        failures = [cell.message for cell in self.results.values() if not cell.is_mapped]
        return self.message or (failures[0] if failures else "")


def run_batch(
    jobs: Sequence[Job],
    output: Path,
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
        What to do.
    output : Path
        Folder of ``batch_summary.csv`` and ``batch_summary.json``.
    client : distributed.Client
        Whose workers do it.
    retries : int
        How often a task is tried again that failed by no fault of its input.
    fresh : bool
        Do also what an earlier batch completed.
    spread_tiles : int
        The tiles of cells with at least so many are computed by all workers; of cells with a
        quarter as many where fewer tasks are left than workers. 0 spreads none.
    progress : Progress, optional
        Told of every job.

    Returns
    -------
    list of JobState
        In the order of the jobs; failed ones included.

    Raises
    ------
    OutputError
        If the folder cannot be written, or another batch is writing it.
    CancelledError
        If the caller asked for the work to stop; complete cells stay.
    """
    listener = SilentProgress() if progress is None else progress
    folder = prepare_output_folder(output)
    with output_lock(folder / ".rmgeo-batch-lock", f"the batch in {folder}"):
        record = _Record(folder / STATE_NAME, fresh=fresh)
        states = [record.restored(job) for job in jobs]
        listener.start(len(jobs), "jobs", "Batch")
        open_jobs = []
        for state in states:
            if state.skipped:
                listener.log(f"{state.job.name}: complete already")
                listener.advance()
            else:
                open_jobs.append(state)
        try:
            _work_off(open_jobs, client, record, retries, spread_tiles, listener)
        finally:
            if spread_tiles:
                release_workers(client)
        listener.finish()
        _write_batch_summary(states, folder)
        if all(state.status == "done" for state in states):
            record.path.unlink(missing_ok=True)
    return states


def _work_off(
    states: Sequence[JobState],
    client: Any,  # noqa: ANN401
    record: _Record,
    retries: int,
    spread_tiles: int,
    progress: Progress,
) -> None:
    """Hand out tasks, and more tasks for what they find, until nothing is left."""
    waiting: deque[tuple[JobState, str | None, int]] = deque()
    meant: dict[str, tuple[Any, JobState, str | None, int]] = {}
    running: Any = importlib.import_module("distributed").as_completed(loop=client.loop)

    def submit() -> None:
        threads = max(1, sum(client.nthreads().values()))
        # A task whose tiles are spread leaves its place on the worker to the next task: only
        # so many may be under way that their memory is bounded.
        while waiting and (not spread_tiles or len(meant) < threads):
            enough = len(waiting) + len(meant) >= threads
            least = spread_tiles if enough else -(-spread_tiles // _SPREAD_SOONER)
            state, cell, attempt = waiting.popleft()
            future = client.submit(run_task, state.job, cell, least, pure=False)
            meant[future.key] = (future, state, cell, attempt)
            running.add(future)

    for state in states:
        state.waiting = 1
        waiting.append((state, None, 0))
    try:
        submit()
        for future in running:
            progress.check()
            _, state, cell, attempt = meant.pop(future.key)
            outcome = _outcome(future)
            state.seconds += outcome.seconds
            if outcome.may_pass and attempt < retries:
                state.attempts += 1
                progress.log(f"{_label(state, cell)}: trying again. {outcome.message}")
                waiting.append((state, cell, attempt + 1))
                submit()
                continue
            state.waiting -= 1
            _take(state, cell, outcome)
            for name in outcome.cells:
                if name not in state.results:
                    state.waiting += 1
                    waiting.append((state, name, 0))
            submit()
            record.note(state)
            if outcome.message:
                progress.log(f"{_label(state, cell)} failed: {outcome.message}")
            if state.waiting == 0:
                _close(state, progress)
    finally:
        client.cancel([future for future, *_ in meant.values()])


def _label(state: JobState, cell: str | None) -> str:
    """Name a task."""
    return state.job.name if cell is None else f"{state.job.name}, cell {cell}"


def _take(state: JobState, cell: str | None, outcome: TaskOutcome) -> None:
    """Add what a task found to its job."""
    for result in outcome.results:
        state.results[result.cell] = result
    if outcome.message and cell is None:
        state.message = outcome.message
    elif outcome.message and cell is not None:
        state.results[cell] = CellResult(cell, "failed", message=outcome.message)


def _close(state: JobState, progress: Progress) -> None:
    """Write a complete job's own summary."""
    if any(result.is_mapped for result in state.results.values()):
        ordered = sorted(state.results.values(), key=lambda r: (-r.measurements, r.cell))
        try:
            write_summary(ordered, state.job.output)
        except OutputError as error:
            state.message = str(error)
    progress.log(f"{state.job.name}: {state.status}")
    progress.advance()


def _outcome(future: Any) -> TaskOutcome:  # noqa: ANN401
    """Give what a task returned, or what became of its worker."""
    try:
        outcome = future.result()
    except Exception as error:  # whatever it is, the other jobs go on
        name = type(error).__name__
        if name == "KilledWorker":
            return TaskOutcome(message="Its workers died, each time that it was tried.")
        return TaskOutcome(message=f"{name}: {error}", may_pass=True)
    assert isinstance(outcome, TaskOutcome)
    return outcome


def run_task(job: Job, cell: str | None, spread_tiles: int = 0) -> TaskOutcome:
    """Map one cell of a job, or find its cells; runs on a worker.

    Parameters
    ----------
    job : Job
        The job.
    cell : str or None
        Which cell; None reads the file, and maps it if it has one cell only.
    spread_tiles : int
        Cells with at least so many tiles are computed by all workers; 0 for none.
    """
    from rm_geo.pipeline import predict
    from rm_geo.survey import read_survey, require_one_possible

    begun = time.perf_counter()
    options = job.options if cell is None else replace(job.options, cells=(cell,))
    try:
        prepare_output_folder(job.output)
        survey = read_survey(job.measurements, options)
        require_one_possible(survey)
        if len(survey.cells) > 1:
            refused = tuple(
                failed(plan.cell, len(plan.measurements), plan.refusal)
                for plan in survey.cells if plan.refusal is not None
            )  # fmt: skip
            cells = tuple(plan.cell for plan in survey.cells if plan.refusal is None)
            return TaskOutcome(refused, cells, seconds=time.perf_counter() - begun)
        results = predict(
            survey, job.output, options, _TaskProgress(), summary=False,
            tile_computer=TilesOfTask(options, spread_tiles) if spread_tiles else None,
        )  # fmt: skip
        return TaskOutcome(tuple(results), seconds=time.perf_counter() - begun)
    except RmGeoError as error:
        return TaskOutcome(
            message=str(error),
            may_pass=isinstance(error, (ClusterError, DeviceError, OutputError)),
            seconds=time.perf_counter() - begun,
        )


class _TaskProgress(SilentProgress):
    """Stops a task on a worker whose batch no longer waits for it.

    Dask drops what has not begun; of what runs, it only notes that nobody wants it.
    """

    def __init__(self) -> None:
        self._worker: Any = importlib.import_module("distributed").get_worker()
        self._key = self._worker.get_current_task()

    def check(self) -> None:
        """Stop once the task was cancelled."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise CancelledError("The batch was stopped.")


class _Record:
    """What a batch has completed so far, in a file beside its outputs."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self._jobs: dict[str, dict[str, Any]] = {}
        if not fresh and path.exists():
            try:
                self._jobs = dict(json.loads(path.read_text("utf-8"))["jobs"])
            except (OSError, ValueError, KeyError, TypeError):
                self._jobs = {}

    def restored(self, job: Job) -> JobState:
        """Give the state of a job, as far as an earlier batch came with it."""
        state = JobState(job)
        noted = self._jobs.get(job.name)
        if noted is None or noted.get("key") != _key(job):
            self._jobs.pop(job.name, None)
            return state
        for values in noted["cells"]:
            result = CellResult.restored(values)
            there = all((job.output / name).is_file() for name in result.files)
            if result.is_mapped and there:
                state.results[result.cell] = result
        state.skipped = bool(noted["complete"]) and len(state.results) == len(noted["cells"])
        return state

    def note(self, state: JobState) -> None:
        """Write down how far a job is."""
        self._jobs[state.job.name] = {
            "key": _key(state.job),
            "complete": state.waiting == 0 and state.status == "done",
            "cells": [asdict(result) for result in state.results.values()],
        }
        with replacing(self.path) as part:
            part.write_text(json.dumps({"jobs": self._jobs}, indent=1), "utf-8")


def _key(job: Job) -> str:
    """Tell whether a job is the same as before: its file, its options, the version."""
    status = job.measurements.stat()
    text = json.dumps(
        [__version__, str(job.measurements.resolve()), str(job.output.resolve()), status.st_size,
         status.st_mtime_ns, settings_text(replace(job.options, fresh=False))]
    )  # fmt: skip
    return hashlib.sha256(text.encode()).hexdigest()


def _write_batch_summary(states: Sequence[JobState], folder: Path) -> None:
    """Write ``batch_summary.csv`` and ``batch_summary.json``, one row for each job."""
    rows = [
        {
            "job": state.job.name,
            "status": state.status,
            "message": state.reason,
            "measurements": str(state.job.measurements),
            "output": str(state.job.output),
            "cells": len(state.results),
            "cells_mapped": sum(result.is_mapped for result in state.results.values()),
            "tries_again": state.attempts,
            "seconds": round(state.seconds, 1),
            "skipped": state.skipped,
        }
        for state in states
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replacing(folder / "batch_summary.csv") as part:
        part.write_text(table.getvalue(), "utf-8", newline="")
    with replacing(folder / "batch_summary.json") as part:
        part.write_text(json.dumps({"jobs": rows}, indent=2, ensure_ascii=False) + "\n", "utf-8")
