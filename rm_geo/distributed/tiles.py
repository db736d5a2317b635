"""The side of the driver: the tiles of one cell spread over Dask workers.

Batches go out with their measurements in the call itself, not as data on a worker: what a dead
worker had is handed to another one without the driver's help, and no shared file system is
needed. Estimates come back in the batches' order, so that blending, journal and files are those
of one process.
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
"""Batches under way for each thread of a worker: one is computed, the next has arrived."""

_PRIORITY: Final = 10
"""Tiles go before whole jobs: what was begun is finished first."""


class DaskTiles:
    """Computes tiles on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    options : PredictOptions
        Which method.
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
        """Open the method on a worker, and take its device and its batches.

        Raises
        ------
        RmGeoError
            If the worker has another rm_geo, or cannot open the method.
        """
        worker_pool = WorkerPool(self._client)
        future = worker_pool.submit(describe_remote, self._recipe, priority=_PRIORITY)
        try:
            remote = _result(future, worker_pool, progress)
        finally:
            worker_pool.take_back([future])
        assert isinstance(remote, RemoteMethod)
        if remote.facts != MethodFacts.of(method):
            progress.log(
                f"Tiles are computed on {remote.device} by the workers, as the maps' tags say; "
                f"here it would have been {method.device}."
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
        """Estimate batches in order, wherever there is a free worker."""
        return spread(self._client, self._recipe, MethodFacts.of(method), batches, progress, clock)


class NestedDaskTiles:
    """Computes tiles from within a task on a worker: large cells on all workers.

    The task leaves its place to others meanwhile, so that one worker alone suffices.

    Parameters
    ----------
    options : PredictOptions
        Which method.
    least_tiles : int
        Cells with fewer tiles are computed here.
    """

    allows_onnx_export = False

    def __init__(self, options: PredictOptions, least_tiles: int) -> None:
        self._recipe = MethodRecipe.of(options)
        self._least_tiles = least_tiles

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Give the method as it is: it was opened on a worker."""
        return method

    def estimates(
        self,
        method: OpenMethod,
        batches: Iterable[TileBatch],
        tiles: int,
        progress: Progress,
        clock: Clock,
    ) -> Generator[Estimate, None, None]:
        """Estimate batches in order, here or by all workers."""
        if tiles < self._least_tiles or tiles <= method.batch_size:
            yield from run_tiles(method.estimator, batches, progress, clock)
            return
        distributed: Any = importlib.import_module("distributed")
        with distributed.worker_client() as client:
            yield from spread(
                client, self._recipe, MethodFacts.of(method), batches, progress, clock
            )


def spread(
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
        Whose workers do it.
    recipe, facts : MethodRecipe, MethodFacts
        The method, and what it must be on every worker.
    batches : iterable of TileBatch
        Consumed lazily: never more are under way than two for each thread of the workers.
    progress : Progress
        Advanced by the tiles of each estimate, and asked at least four times a second whether
        the work is to stop; nothing is left on the scheduler then.
    clock : Clock
        Filled with the workers' time inside the estimator.

    Yields
    ------
    Estimate
        One for each batch, in the batches' order.

    Raises
    ------
    CancelledError
        If the caller asked for the work to stop.
    ClusterLostError
        If the scheduler is lost, or no worker is left.
    ClusterError
        If a batch takes one worker after another with it.
    RmGeoError
        What a worker met, with its address.
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
            future.release()  # now, whoever holds on to this frame
            clock.forward_s += seconds
            clock.tiles += count
            progress.advance(count)
            yield estimate
    finally:
        worker_pool.take_back(future for future, _ in running)


def release_workers(
    client: Any,  # noqa: ANN401
    after: type[BaseException] | None = None,
    release: Callable[[Any], None] = release_methods,
) -> None:
    """Close what the workers of a client keep open, if they still answer.

    Parameters
    ----------
    client : distributed.Client
        Whose workers.
    after : type, optional
        What ended the work. A cluster that was lost is not asked: it might never answer.
    release : callable
        Given a worker, closes what it keeps.
    """
    if after is not None and issubclass(after, ClusterLostError):
        return
    # Whatever comes of it: the work is done, or its own error is on the way.
    with contextlib.suppress(Exception):
        if client.status == "running":
            client.run(release, on_error="ignore")


def _result(future: Any, worker_pool: WorkerPool, progress: Progress) -> Any:  # noqa: ANN401
    """Wait for a task, ready to stop; give what it returned, or its error in words."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(POLL_S):
        progress.check()
        worker_pool.require()
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
    """Say what became of a task that has no result."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return ClusterError(
            "One worker after another died while it computed the same tiles.",
            hint="Most likely memory: use a smaller `batch_size` or `tile_size_px`, or fewer "
            "workers "
            "on a machine.",
        )
    if isinstance(error, (ImportError, AttributeError)):
        return ClusterError(
            f"A worker cannot run rm_geo {__version__}: {error}.",
            hint="Install one version of rm_geo, with its extras, on all machines.",
        )
    return ClusterError(f"A worker failed with {kind}: {error}.", hint="Its log says more.")
