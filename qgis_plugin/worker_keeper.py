"""Keeps a worker for the next job, which then need not wait for its start and its imports.

This module does not use QGIS.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from typing import Any

from .worker_client import Event, Listener, Worker, WorkerError

IDLE_S = 600.0
"""Seconds after which a worker without a job is ended."""


class WorkerKeeper:
    """Runs jobs, and keeps at most one worker between them.

    Jobs may run at the same time in several threads; each has a worker of its own.

    Parameters
    ----------
    idle_s : float
        Seconds after which an idle worker is ended.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._idle: Worker | None = None
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def run(
        self,
        python: str,
        request: Mapping[str, Any],
        listener: Listener,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> Event:
        """Run one job in the idle worker, or in a new one.

        Parameters
        ----------
        python : str
            Path of the interpreter with rm_geo.
        request : mapping
            The job; see ``rm_geo/worker/jobs.py``.
        listener : Listener
            Receives the events and can cancel the job.
        environment : mapping, optional
            Environment variables of the worker.

        Returns
        -------
        dict
            The ``result`` event.

        Raises
        ------
        WorkerError, WorkerCancelled
            As :func:`~.worker_client.run_job`. After a crash the next job starts a new worker.
        """
        idle = self._take(python, environment, listener)
        if idle is not None:
            idle.greet_again(listener)
            try:
                return idle.ask(request, listener)
            except WorkerError:
                # The process may have ended after it was checked.
                reason = idle.exit_reason()
                if reason is None or idle.has_begun:
                    raise
                _warn(listener, reason)
            finally:
                self._put(idle)
        worker = Worker(python, environment)
        try:
            worker.greet(listener)
            return worker.ask(request, listener)
        finally:
            self._put(worker)

    def close(self) -> None:
        """End the idle worker; workers of running jobs end with their jobs."""
        with self._lock:
            self._is_closed = True
        self.end_idle()

    def end_idle(self) -> None:
        """End the idle worker, if there is one."""
        atexit.unregister(self.end_idle)
        worker = self._remove()
        if worker is not None:
            worker.end()

    def _take(
        self, python: str, environment: Mapping[str, str] | None, listener: Listener
    ) -> Worker | None:
        """Remove and return the idle worker if it can be used; end it otherwise."""
        worker = self._remove()
        if worker is None:
            return None
        reason = worker.exit_reason()
        if reason is None and worker.is_current(python, environment):
            return worker
        if reason is not None:
            _warn(listener, reason)
        worker.end()
        return None

    def _put(self, worker: Worker) -> None:
        """Keep a worker for the next job; end it if that is not possible."""
        with self._lock:
            is_kept = worker.is_ready and self._idle is None and not self._is_closed
            if is_kept:
                self._idle = worker
                self._timer = threading.Timer(self._idle_s, self._expire, (worker,))
                self._timer.daemon = True
                self._timer.start()
        if is_kept:
            # Python must not end while threads wait for the output of a worker.
            atexit.unregister(self.end_idle)
            atexit.register(self.end_idle)
        else:
            worker.end()

    def _expire(self, worker: Worker) -> None:
        """End a worker that was idle for too long."""
        with self._lock:
            if self._idle is not worker:
                return
            self._idle = self._timer = None
        worker.end()

    def _remove(self) -> Worker | None:
        """Remove and return the idle worker."""
        with self._lock:
            worker, timer = self._idle, self._timer
            self._idle = self._timer = None
        if timer is not None:
            timer.cancel()
        return worker


def _warn(listener: Listener, reason: str) -> None:
    """Say that the idle worker was lost."""
    listener.log(
        f"Warning: the idle worker of rm_geo ended unexpectedly ({reason}); a new one is started."
    )
