"""Tiles of one cell computed by Dask workers.

A task carries its batch of measurements as an argument. Dask can therefore rerun the tasks of a
dead worker on another one, and no shared file system is needed. Estimates are returned in the
order of the batches, so that blending, journal and files are the same as in one process.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, Final

from rm_geo._version import __version__
from rm_geo.distributed.packing import PackedTiles
from rm_geo.distributed.pool import POLL_S, WorkerPool
from rm_geo.distributed.worker_methods import (
    MethodFacts,
    RemoteMethod,
    describe_remote,
    estimate_remotely,
    release_methods,
)
from rm_geo.errors import ClusterError, ClusterLostError, RmGeoError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress

_PER_THREAD: Final = 2
"""Submitted batches for each thread of the workers: one is computed, one is queued."""

_PRIORITY: Final = 10
"""Priority of tiles over whole jobs: begun cells are finished first."""


class DaskTiles:
    """Tile executor that computes on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
        A connected client with workers.
    options : PredictOptions
        Options of the run; the method is read from them.

    Examples
    --------
    >>> from rm_geo.distributed.cluster import open_cluster
    >>> with open_cluster(workers=2) as client, DaskTiles(client, options) as tiles:
    ...     predict("drive.csv", "maps", options, tile_executor=tiles)  # doctest: +SKIP
    """

    allows_onnx_export = True

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - distributed carries no types
        options: PredictOptions,
    ) -> None:
        self._client = client
        self._recipe = MethodRecipe.of(options)

    def __enter__(self) -> DaskTiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        release_workers(self._client, after=kind)

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Open the method on a worker, and take over its device and batch size.

        Parameters
        ----------
        method : OpenMethod
            The method as opened in this process.
        progress : Progress
            Polled while waiting.

        Returns
        -------
        OpenMethod
            With the device, batch size and provenance of the worker.

        Raises
        ------
        RmGeoError
            If the worker has another version of rm_geo, or cannot open the method.
        """
        worker_pool = WorkerPool(self._client)
        future = worker_pool.submit(describe_remote, self._recipe, priority=_PRIORITY)
        try:
            remote = _result(future, worker_pool, progress)
        finally:
            worker_pool.cancel([future])
        assert isinstance(remote, RemoteMethod)
        if remote.facts != MethodFacts.of(method):
            progress.log(
                f"The workers compute tiles on {remote.device}, which the tags of the maps state; "
                f"this process would use {method.device}."
            )
        return replace(
            method,
            device=remote.device,
            batch_size=remote.batch_size,
            remote_provenance=remote.facts.provenance,
        )

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches on the workers; see :func:`run_on_cluster`.

        Parameters
        ----------
        method : OpenMethod
            Method as :meth:`prepare` returns it.
        batches : iterable of TileBatch
            The batches.
        tiles : int
            Number of tiles of all batches.
        progress : Progress
            Receives the tiles that are done.
        clock : Clock
            Adds up the time of each stage.

        Returns
        -------
        generator of Estimate
            Estimates in the order of the batches.

        Raises
        ------
        ClusterLostError
            If the workers are lost and do not come back.
        """
        facts = MethodFacts.of(method)
        return run_on_cluster(self._client, self._recipe, facts, batches, progress, clock)


class NestedDaskTiles:
    """Tile executor for use inside a task: the tiles of large cells go to all workers.

    Meanwhile the task gives its thread to other tasks, so that one worker is enough.

    Parameters
    ----------
    options : PredictOptions
        Options of the run; the method is read from them.
    least_tiles : int
        Cells with fewer tiles are computed inside the task.
    """

    allows_onnx_export = False

    def __init__(self, options: PredictOptions, least_tiles: int) -> None:
        self._recipe = MethodRecipe.of(options)
        self._least_tiles = least_tiles

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Return the method unchanged: it was opened on a worker.

        Parameters
        ----------
        method : OpenMethod
            Method opened on a worker.
        progress : Progress
            Not used.

        Returns
        -------
        OpenMethod
            ``method``.
        """
        return method

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order, inside the task or on all workers.

        Parameters
        ----------
        method : OpenMethod
            Method as :meth:`prepare` returns it.
        batches : iterable of TileBatch
            The batches.
        tiles : int
            Number of tiles of all batches; few tiles are computed inside the task.
        progress : Progress
            Receives the tiles that are done.
        clock : Clock
            Adds up the time of each stage.

        Yields
        ------
        Estimate
            Estimates in the order of the batches.
        """
        if tiles < self._least_tiles or tiles <= method.batch_size:
            yield from run_tiles(method.estimator, batches, progress, clock)
            return
        distributed: Any = importlib.import_module("distributed")
        with distributed.worker_client() as client:
            yield from run_on_cluster(
                client, self._recipe, MethodFacts.of(method), batches, progress, clock
            )


def run_on_cluster(
    client: Any,  # noqa: ANN401
    recipe: MethodRecipe,
    facts: MethodFacts,
    batches: Iterable[TileBatch],
    progress: Progress,
    clock: Clock,
) -> Generator[Estimate, None, None]:
    """Estimate batches on a cluster, in order.

    Parameters
    ----------
    client : distributed.Client
        A connected client.
    recipe, facts : MethodRecipe, MethodFacts
        The method, and the properties that it must have on every worker.
    batches : iterable of TileBatch
        Consumed lazily: at most two batches for each thread of the workers are submitted.
    progress : Progress
        Advanced by the tiles of each estimate. Polled at least four times a second for a request
        to stop; all submitted tasks are cancelled then.
    clock : Clock
        Collects the time that the workers spend in the estimator.

    Yields
    ------
    Estimate
        One for each batch, in the order of the batches.

    Raises
    ------
    CancelledError
        If the caller asked for the work to stop.
    ClusterLostError
        If the scheduler is lost, or no worker is left.
    ClusterError
        If several workers die while they compute the same batch.
    RmGeoError
        An error on a worker, with the worker's address.
    """
    source = iter(batches)
    worker_pool = WorkerPool(client)
    running: deque[tuple[Any, int]] = deque()
    try:
        while True:
            while len(running) < _PER_THREAD * worker_pool.threads():
                if (batch := next(source, None)) is None:
                    break
                tiles = PackedTiles.of(batch)
                future = worker_pool.submit(
                    estimate_remotely, recipe, facts, tiles, priority=_PRIORITY
                )
                running.append((future, len(batch)))
            if not running:
                return
            progress.check()
            future, count = running[0]
            estimate, seconds = _result(future, worker_pool, progress)
            running.popleft()
            future.release()  # at once: the frame of a generator may live longer
            clock.forward_s += seconds
            clock.tiles += count
            progress.advance(count)
            yield estimate
    finally:
        worker_pool.cancel(future for future, _ in running)


def release_workers(
    client: Any,  # noqa: ANN401
    after: type[BaseException] | None = None,
    release: Callable[[Any], None] = release_methods,
) -> None:
    """Release resources on all workers of a client, if they still answer.

    Parameters
    ----------
    client : distributed.Client
        The client.
    after : type, optional
        Exception that ended the work. After a :class:`ClusterLostError` nothing is done, because
        a lost cluster might never answer.
    release : callable
        Called on each worker with Dask's worker object (default: close the open methods).
    """
    if after is not None and issubclass(after, ClusterLostError):
        return
    # A failure here must not replace the result of the work, or its error.
    with contextlib.suppress(Exception):
        if client.status == "running":
            client.run(release, on_error="ignore")


def _result(future: Any, worker_pool: WorkerPool, progress: Progress) -> Any:  # noqa: ANN401
    """Wait for a task while polling for cancellation; return its value or raise its error."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(POLL_S):
        progress.check()
        worker_pool.require_workers()
    try:
        result = worker_pool.result(future)
    except RmGeoError:
        raise
    except Exception as error:
        raise _explained(error) from error
    if isinstance(result, RmGeoError):
        raise result
    return result


def _explained(error: Exception) -> ClusterError:
    """Make the error for a task that failed."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return ClusterError(
            "Several workers died while they computed the same tiles.",
            hint="Most likely they ran out of memory: use a smaller `batch_size` or "
            "`tile_size_px`, or fewer workers on a machine.",
        )
    if isinstance(error, (ImportError, AttributeError)):
        return ClusterError(
            f"A worker cannot run rm_geo {__version__}: {error}.",
            hint="Install one version of rm_geo, with its extras, on all machines.",
        )
    return ClusterError(f"A worker failed with {kind}: {error}.", hint="See the log of the worker.")
