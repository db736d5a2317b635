"""Dry run on a cluster: the plan of the run and its workers; no tile is computed."""

from __future__ import annotations

from dataclasses import dataclass

from rm_geo.distributed.cluster import local_workers, open_cluster
from rm_geo.distributed.tiles import DaskTiles
from rm_geo.options import PredictOptions
from rm_geo.pipeline.dry_run import DryRun, dry_run_plan
from rm_geo.pipeline.plan import Logs, plan_run, require_mappable_cell
from rm_geo.progress import Progress


@dataclass(frozen=True)
class WorkerSummary:
    """The workers that would compute the tiles.

    Attributes
    ----------
    workers : int
        Number of processes.
    threads : int
        Number of batches of tiles that are computed at the same time.
    where : str
        Description of the workers for a person.
    """

    workers: int
    threads: int
    where: str


def dry_run_on_cluster(
    measurements: Logs,
    options: PredictOptions,
    progress: Progress,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
) -> tuple[DryRun, WorkerSummary]:
    """Plan a run on a cluster, without computing or writing anything.

    The scheduler must answer, and one of its workers must be able to open the method. Local
    workers are not started.

    Parameters
    ----------
    measurements, options, progress
        As of :func:`rm_geo.pipeline.dry_run.dry_run`.
    scheduler, workers
        As of :func:`rm_geo.distributed.cluster.open_cluster`.

    Returns
    -------
    run : DryRun
        The plan.
    workers : WorkerSummary
        The workers.

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or a worker has another version of rm_geo.
    RmGeoError
        Any other error that would stop the run before its first tile.
    """
    run_plan = plan_run(measurements, options, progress)
    require_mappable_cell(run_plan)
    if scheduler is None:
        found = local_workers(workers, options.method.device)
        gpus = f", {_several(found.gpus, 'GPU')} for all" if found.gpus else ""
        share = f"{_several(found.cores, 'core')} for each{gpus}"
        where = f"{_several(found.number, 'worker')} on this machine, {share}"
        return dry_run_plan(run_plan, options, progress), WorkerSummary(
            found.number, found.number, where
        )
    with open_cluster(scheduler, progress=progress) as client, DaskTiles(client, options) as tiles:
        run = dry_run_plan(run_plan, options, progress, tile_executor=tiles)
        threads = client.nthreads()
    number, all_threads = len(threads), sum(threads.values())
    where = (
        f"{_several(number, 'worker')} with {_several(all_threads, 'thread')} in total, of the "
        f"scheduler at {scheduler}, which answers"
    )
    return run, WorkerSummary(number, all_threads, where)


def _several(number: int, what: str) -> str:
    """Write a number with its noun in singular or plural."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
