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
import time
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any, Final

from rm_geo._version import __version__
from rm_geo.engine import Clock, run_tiles
from rm_geo.errors import ClusterError, RmGeoError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.method_recipe import MethodRecipe
from rm_geo.methods import OpenMethod
from rm_geo.packed_tiles import PackedTiles
from rm_geo.predict_options import PredictOptions
from rm_geo.progress import Progress
from rm_geo.remote_methods import (
    MethodFacts,
    RemoteMethod,
    describe_remote,
    estimate_remotely,
    release_methods,
)

_PER_THREAD: Final = 2
"""Batches under way for each thread of a worker: one is computed, the next has arrived."""

_POLL_S: Final = 0.25
_COUNT_AGAIN_S: Final = 1.0
"""Workers come and go; so often they are counted."""

_PATIENCE_S: Final = 60.0
"""So long a cluster may be without any worker."""

_PRIORITY: Final = 10
"""Tiles go before whole jobs: what was begun is finished first."""


class SpreadTiles:
    """Computes tiles on the workers of a client.

    Parameters
    ----------
    client : distributed.Client
        Connected, with workers.
    options : PredictOptions
        Which method.
    """

    may_export = True

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - distributed carries no types
        options: PredictOptions,
    ) -> None:
        self._client = client
        self._recipe = MethodRecipe.of(options)

    def __enter__(self) -> SpreadTiles:
        return self

    def __exit__(self, *_: object) -> None:
        release_workers(self._client)

    def prepare(self, method: OpenMethod, progress: Progress) -> OpenMethod:
        """Open the method on a worker, and take its device and its batches.

        Raises
        ------
        RmGeoError
            If the worker has another rm_geo, or cannot open the method.
        """
        future = _submit(self._client, describe_remote, self._recipe)
        try:
            remote = _result(future, _Crew(self._client), progress)
        finally:
            _cancel(self._client, [future])
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


class TilesOfTask:
    """Computes tiles from within a task on a worker: large cells on all workers.

    The task leaves its place to others meanwhile, so that one worker alone suffices.

    Parameters
    ----------
    options : PredictOptions
        Which method.
    least_tiles : int
        Cells with fewer tiles are computed here.
    """

    may_export = False

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
    ClusterError
        If the scheduler is lost, no worker is left, or a batch takes one worker after another
        with it.
    RmGeoError
        What a worker met, with its address.
    """
    source = iter(batches)
    crew = _Crew(client)
    running: deque[tuple[Any, int]] = deque()
    try:
        while True:
            while len(running) < _PER_THREAD * crew.threads():
                if (batch := next(source, None)) is None:
                    break
                tiles = PackedTiles.of(batch)
                future = _submit(client, estimate_remotely, recipe, facts, tiles)
                running.append((future, len(batch)))
            if not running:
                return
            progress.check()
            future, count = running[0]
            estimate, seconds = _result(future, crew, progress)
            running.popleft()
            future.release()  # now, whoever holds on to this frame
            clock.forward_s += seconds
            clock.tiles += count
            progress.advance(count)
            yield estimate
    finally:
        _cancel(client, [future for future, _ in running])


def release_workers(client: Any) -> None:  # noqa: ANN401
    """Close what the workers of a client keep open, if they still answer."""
    # Whatever comes of it: the work is done, or its own error is on the way.
    with contextlib.suppress(Exception):
        if client.status == "running":
            client.run(release_methods, on_error="ignore")


class _Crew:
    """The workers there are, counted now and then."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._client = client
        self._threads = 0
        self._counted_at = self._seen_at = time.monotonic()
        self._count()

    def threads(self) -> int:
        """Threads of all workers together, at least one."""
        if time.monotonic() - self._counted_at > _COUNT_AGAIN_S:
            self._count()
        return max(self._threads, 1)

    def require(self) -> None:
        """Refuse to wait any longer for workers that do not come back."""
        self.threads()
        if not self._threads and time.monotonic() - self._seen_at > _PATIENCE_S:
            raise ClusterError(
                f"There has been no worker for {_PATIENCE_S:.0f} seconds.",
                hint="Start some with 'dask worker'; the same command goes on from here.",
            )

    def _count(self) -> None:
        try:
            self._threads = sum(self._client.nthreads().values())
        except Exception as error:
            raise _scheduler_lost() from error
        self._counted_at = time.monotonic()
        if self._threads:
            self._seen_at = self._counted_at


def _submit(client: Any, function: Any, *arguments: object) -> Any:  # noqa: ANN401
    """Hand out a task."""
    try:
        return client.submit(function, *arguments, pure=False, priority=_PRIORITY)
    except Exception as error:  # Dask has no error of its own for a client that was cut off
        raise _scheduler_lost() from error


def _result(future: Any, crew: _Crew, progress: Progress) -> Any:  # noqa: ANN401
    """Wait for a task, ready to stop; give what it returned, or its error in words."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    while not done.wait(_POLL_S):
        progress.check()
        crew.require()
    try:
        result = future.result()
    except Exception as error:
        raise _explained(error, future.status) from error
    if isinstance(result, RmGeoError):
        raise result
    return result


def _explained(error: Exception, status: str) -> ClusterError:
    """Say what became of a task that has no result."""
    kind = type(error).__name__
    if status in {"cancelled", "lost"}:
        return _scheduler_lost()
    if kind == "KilledWorker":
        return ClusterError(
            "One worker after another died while it computed the same tiles.",
            hint="Most likely memory: use a smaller --batch-size or --tile-size, or fewer workers "
            "on a machine.",
        )
    if isinstance(error, (ImportError, AttributeError)):
        return ClusterError(
            f"A worker cannot run rm_geo {__version__}: {error}.",
            hint="Install one version of rm_geo, with its extras, on all machines.",
        )
    return ClusterError(f"A worker failed with {kind}: {error}.", hint="Its log says more.")


def _scheduler_lost() -> ClusterError:
    """Say that nobody coordinates the workers any more."""
    return ClusterError(
        "The connection to the scheduler was lost.",
        hint="Start it again ('dask scheduler'); the same command goes on from here.",
    )


def _cancel(client: Any, futures: list[Any]) -> None:  # noqa: ANN401
    """Take back what was handed out; without a scheduler there is nothing to take back."""
    if not futures:
        return
    with contextlib.suppress(Exception):
        if client.status == "running":
            client.cancel(futures)
