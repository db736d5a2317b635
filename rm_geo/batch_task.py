"""One task of a batch, as a worker does it: a file of measurements, or one cell of it."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from rm_geo.atomic import prepare_output_folder
from rm_geo.cell_products import CellResult, failed
from rm_geo.errors import (
    CancelledError,
    ClusterError,
    ClusterLostError,
    DeviceError,
    OutputError,
    RmGeoError,
)
from rm_geo.jobs import Job
from rm_geo.progress import SilentProgress
from rm_geo.tile_spreading import TilesOfTask

_ENDING: Final = frozenset({"closing", "closed", "failed"})


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

    Dask drops what has not begun; of what runs, it only notes that nobody wants it. A worker
    whose scheduler was lost waits for its tasks before it ends: the same command, run again,
    would find their outputs in use.
    """

    def __init__(self) -> None:
        self._worker: Any = importlib.import_module("distributed").get_worker()
        self._key = self._worker.get_current_task()

    def check(self) -> None:
        """Stop once the task was cancelled, or its worker ends."""
        if self._worker.status.name in _ENDING:
            raise ClusterLostError("The connection to the scheduler was lost.")
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise CancelledError("The batch was stopped.")
