"""The workers of a cluster as whoever hands them work sees them: they come, go and get lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any, Final

from rm_geo.errors import ClusterLostError

POLL_S: Final = 0.25
"""So often who waits for a task asks whether to go on waiting."""

_COUNT_AGAIN_S: Final = 1.0
"""Workers come and go; so often they are counted."""

_PATIENCE_S: Final = 60.0
"""So long a cluster may be without any worker, and a scheduler without an answer."""

_RESUME: Final = "What is finished is kept: the same command goes on from here."


class WorkerPool:
    """The workers of a client, counted now and then.

    Parameters
    ----------
    client : distributed.Client
        Connected.

    Raises
    ------
    ClusterLostError
        If the scheduler is gone already.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - distributed carries no types
        self._client = client
        self._address = getattr(client.scheduler, "address", "")
        self._threads = 0
        self._counted_at = self._seen_at = time.monotonic()
        self._count()

    def threads(self) -> int:
        """Threads of all workers together, at least one.

        Raises
        ------
        ClusterLostError
            If the scheduler is gone.
        """
        if time.monotonic() - self._counted_at > _COUNT_AGAIN_S:
            self._count()
        return max(self._threads, 1)

    def require(self) -> None:
        """Refuse to wait any longer for workers that do not come back.

        Raises
        ------
        ClusterLostError
            If the scheduler is gone, or there has been no worker for a minute.
        """
        self.threads()
        if not self._threads and time.monotonic() - self._seen_at > _PATIENCE_S:
            raise ClusterLostError(
                f"There has been no worker for {_PATIENCE_S:.0f} seconds.",
                hint=f"Start some with 'dask worker'. {_RESUME}",
            )

    def submit(self, function: Any, *arguments: object, priority: int = 0) -> Any:  # noqa: ANN401
        """Hand out a task; gives its future.

        Raises
        ------
        ClusterLostError
            If the scheduler is gone.
        """
        try:
            return self._client.submit(function, *arguments, pure=False, priority=priority)
        except Exception as error:  # Dask has no error of its own for a client that was cut off
            raise self.lost() from error

    def result(self, future: Any) -> Any:  # noqa: ANN401
        """Give what a task that is done returned; raises what it raised.

        Raises
        ------
        ClusterLostError
            If nobody knows any more what became of it.
        """
        try:
            return future.result(timeout=_PATIENCE_S)  # it comes by way of the scheduler
        except Exception as error:
            # What is not the task's own error befell its future, or its result on the way here.
            if future.status != "error":
                raise self.lost() from error
            raise

    def take_back(self, futures: Iterable[Any]) -> None:
        """Cancel what was handed out; without a scheduler there is nothing to cancel."""
        given = list(futures)
        with contextlib.suppress(Exception):
            if given and self._client.status == "running":
                self._client.cancel(given)

    def lost(self) -> ClusterLostError:
        """Say that nobody coordinates the workers any more."""
        return ClusterLostError(
            f"The connection to the scheduler at {self._address} was lost.",
            hint=f"Start it again ('dask scheduler'), and its workers. {_RESUME}",
        )

    def _count(self) -> None:
        # A client that was cut off would try for seconds to connect again; what it had handed
        # out is lost even where it succeeds.
        if self._client.status != "running":
            raise self.lost()
        try:
            # As client.nthreads(), which would wait for ever for a scheduler that hangs.
            ncores = self._client.scheduler.ncores
            found = self._client.sync(ncores, callback_timeout=_PATIENCE_S)
            self._threads = sum(found.values())
        except Exception as error:
            raise self.lost() from error
        self._counted_at = time.monotonic()
        if self._threads:
            self._seen_at = self._counted_at
