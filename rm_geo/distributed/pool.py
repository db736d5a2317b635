"""The workers of a connected Dask client: submit tasks, wait for them, detect a lost cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from typing import Any, Final

from rm_geo.errors import ClusterLostError

POLL_S: Final = 0.25
"""Polling interval in seconds while waiting for a task."""

_COUNT_AGAIN_S: Final = 1.0
"""Interval in seconds between two counts of the workers."""

PATIENCE_S: Final = 60.0
"""Seconds without any worker, or without an answer of the scheduler, before giving up."""

_RESUME: Final = "What is finished is kept: the same command resumes this run."


class WorkerPool:
    """The workers of a client; their number is updated every second.

    Parameters
    ----------
    client : distributed.Client
        A connected client.

    Raises
    ------
    ClusterLostError
        If the connection to the scheduler is already lost.

    Examples
    --------
    >>> from rm_geo.distributed.cluster import open_cluster
    >>> with open_cluster(workers=1, device="cpu") as client:  # doctest: +SKIP
    ...     pool = WorkerPool(client)
    ...     pool.result(pool.submit(abs, -2))
    2
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - distributed carries no types
        self._client = client
        self._address = getattr(client.scheduler, "address", "")
        self._threads = 0
        self._counted_at = self._seen_at = time.monotonic()
        self._count()

    def threads(self) -> int:
        """Count the threads of all workers.

        Returns
        -------
        int
            At least 1, also while there is no worker.

        Raises
        ------
        ClusterLostError
            If the connection to the scheduler is lost.
        """
        if time.monotonic() - self._counted_at > _COUNT_AGAIN_S:
            self._count()
        return max(self._threads, 1)

    def require_workers(self) -> None:
        """Raise if waiting for a task has become pointless.

        Raises
        ------
        ClusterLostError
            If the connection to the scheduler is lost, or there has been no worker for a minute.
        """
        self.threads()
        if not self._threads and time.monotonic() - self._seen_at > PATIENCE_S:
            raise ClusterLostError(
                f"There has been no worker for {PATIENCE_S:.0f} seconds.",
                hint=f"Start some with 'dask worker'. {_RESUME}",
            )

    def submit(self, function: Any, *arguments: object, priority: int = 0) -> Any:  # noqa: ANN401
        """Submit a task.

        Parameters
        ----------
        function : callable
            Called on a worker; must be picklable.
        *arguments : object
            Its arguments; must be picklable.
        priority : int
            Tasks with a higher number run first.

        Returns
        -------
        distributed.Future
            Pending result.

        Raises
        ------
        ClusterLostError
            If the connection to the scheduler is lost.
        """
        try:
            return self._client.submit(function, *arguments, pure=False, priority=priority)
        except Exception as error:  # Dask has no single error for a disconnected client
            raise self.lost() from error

    def result(self, future: Any) -> Any:  # noqa: ANN401
        """Fetch the return value of a finished task; an exception of the task is raised here.

        Parameters
        ----------
        future : distributed.Future
            A finished task.

        Returns
        -------
        object
            Its return value.

        Raises
        ------
        ClusterLostError
            If the scheduler, and with it the result, is lost.
        """
        try:
            return future.result(timeout=PATIENCE_S)  # the scheduler passes it on
        except Exception as error:
            # Only status "error" means that the task itself raised.
            if future.status != "error":
                raise self.lost() from error
            raise

    def cancel(self, futures: Iterable[Any]) -> None:
        """Cancel tasks; does nothing if the connection to the scheduler is lost.

        Parameters
        ----------
        futures : iterable of distributed.Future
            Tasks, finished or not.
        """
        submitted = list(futures)
        with contextlib.suppress(Exception):
            if submitted and self._client.status == "running":
                self._client.cancel(submitted)

    def lost(self) -> ClusterLostError:
        """Make the error for a lost connection to the scheduler.

        Returns
        -------
        ClusterLostError
            With the address of the scheduler.
        """
        return ClusterLostError(
            f"The connection to the scheduler at {self._address} was lost.",
            hint=f"Start it again ('dask scheduler'), and its workers. {_RESUME}",
        )

    def _count(self) -> None:
        # A disconnected client tries for seconds to reconnect; its tasks are lost even if it
        # succeeds.
        if self._client.status != "running":
            raise self.lost()
        try:
            # As client.nthreads(), but with a timeout: a scheduler may hang.
            ncores = self._client.scheduler.ncores
            found = self._client.sync(ncores, callback_timeout=PATIENCE_S)
            self._threads = sum(found.values())
        except Exception as error:
            raise self.lost() from error
        self._counted_at = time.monotonic()
        if self._threads:
            self._seen_at = self._counted_at
