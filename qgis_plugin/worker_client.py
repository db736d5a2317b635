"""Client of the worker process of rm_geo; the process is ended in all cases.

The protocol is described in ``rm_geo/worker/service.py``. This module does not use QGIS.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from .interpreter import SETTING_HELP

PROTOCOL = 1
"""Version of the protocol that this plugin supports."""

_POLL_S = 0.05
_HELLO_S = 120.0  # a cold disk or a virus scanner can be slow
_END_S = 0.55  # a cancelled worker exits within 0.4 s
_TERMINATE_S = 0.15
_LAST_LINES = 30

Event = dict[str, Any]


class WorkerError(Exception):
    """A job failed, or the worker did.

    Parameters
    ----------
    message : str
        What was wrong.
    hint : str, optional
        What to do.
    kind : str
        Class of the error in rm_geo, or ``WorkerError``.
    parameter : str, optional
        The library's keyword of the invalid option, such as ``reach_m``.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        kind: str = "WorkerError",
        parameter: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.kind, self.parameter = message, hint, kind, parameter

    def __str__(self) -> str:
        return self.message if not self.hint else f"{self.message}\n{self.hint}"


class WorkerCancelled(Exception):  # noqa: N818 - no error
    """The listener cancelled the job."""


class Listener:
    """Receives the events of a worker; this base class ignores them and never cancels."""

    def is_cancelled(self) -> bool:
        """Return whether to cancel the job; called many times a second."""
        return False

    def beat(self) -> None:
        """Receive a sign of life; called many times a second."""

    def hello(self, event: Event) -> None:
        """Receive the ``hello`` event."""

    def stage(self, label: str, total: int, unit: str) -> None:
        """Receive the start of a stage of ``total`` units."""

    def progress(self, done: int, total: int) -> None:
        """Receive the number of units that are done."""

    def log(self, message: str) -> None:
        """Receive a line of text."""

    def cell(self, event: Event) -> None:
        """Receive the ``cell`` event: the files of a cell are complete."""


def run_job(
    python: str,
    request: Mapping[str, Any],
    listener: Listener | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    hello_timeout_s: float = _HELLO_S,
) -> Event:
    """Run one job in a new worker.

    Parameters
    ----------
    python : str
        Path of the interpreter with rm_geo.
    request : mapping
        The job; see ``rm_geo/worker/jobs.py``.
    listener : Listener, optional
        Receives the events and can cancel the job.
    environment : mapping, optional
        Environment variables of the worker.
    hello_timeout_s : float
        Time limit for the ``hello`` event in seconds.

    Returns
    -------
    dict
        The ``result`` event.

    Raises
    ------
    WorkerError
        If the interpreter cannot be run, has no rm_geo or one with another protocol version, if
        the job failed, or if the worker ended unexpectedly (with its last output).
    WorkerCancelled
        If the listener cancelled the job. The worker has ended, and incomplete files are removed.
    """
    chosen = Listener() if listener is None else listener
    worker = Worker(python, environment)
    try:
        worker.greet(chosen, hello_timeout_s)
        return worker.ask(request, chosen)
    finally:
        worker.end()


def _require_protocol(greeting: Event, python: str) -> None:
    """Raise if the worker has another version of the protocol."""
    version = greeting.get("protocol")
    if version == PROTOCOL:
        return
    newer = isinstance(version, int) and version > PROTOCOL
    hint = (
        "Update the plugin: run 'rm-geo qgis install' in that environment and restart QGIS."
        if newer
        else "Update rm_geo in that environment: pip install --upgrade rm-geo."
    )
    raise WorkerError(
        f"rm_geo {greeting.get('version', '?')} in {python} speaks version {version} of the "
        f"protocol, this plugin version {PROTOCOL}.",
        hint,
        "ProtocolError",
    )


class Worker:
    """A worker process, and the threads that read its output.

    Parameters
    ----------
    python : str
        Path of the interpreter with rm_geo.
    environment : mapping, optional
        Environment variables of the worker.

    Attributes
    ----------
    is_ready : bool
        Whether it can take another request: it has answered the last one, and in good order.
    has_begun : bool
        Whether the worker has sent an event for the last request.

    Raises
    ------
    WorkerError
        If the interpreter cannot be run.
    """

    def __init__(self, python: str, environment: Mapping[str, str] | None) -> None:
        self.is_ready = False
        self.has_begun = False
        self._python = python
        self._environment = None if environment is None else dict(environment)
        self._patience_s = _END_S
        self._package: tuple[str, int] | None = None
        self._greeting: Event = {}
        self._scratch: tuple[str, list[str]] = ("", [])
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._last_output: deque[str] = deque(maxlen=_LAST_LINES)
        # Windows: CREATE_NO_WINDOW. Elsewhere a new session, to end the process with its children.
        apart = {"creationflags": 0x08000000} if os.name == "nt" else {"start_new_session": True}
        home = os.path.expanduser("~")
        try:
            # The program is what the user chose as the interpreter; there is no shell.
            self._process = subprocess.Popen(  # nosec B603 # a list of arguments, none from data
                [python, "-I", "-m", "rm_geo.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd=home if os.path.isdir(home) else None,
                **apart,  # type: ignore[arg-type]
            )
        except OSError as error:
            raise WorkerError(
                f"{python} cannot be run: {error.strerror or error}.",
                f"Choose the Python of the environment in which rm_geo is installed in "
                f"{SETTING_HELP}.",
            ) from error
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def greet(self, listener: Listener, timeout_s: float = _HELLO_S) -> None:
        """Wait for the ``hello`` event.

        Parameters
        ----------
        listener : Listener
            Can cancel, and receives the event.
        timeout_s : float
            Time limit in seconds.

        Raises
        ------
        WorkerError
            If the worker does not answer or has another version of the protocol.
        WorkerCancelled
            If the listener cancelled.
        """
        self._greeting = self._wait(("hello",), listener, timeout_s)
        _require_protocol(self._greeting, self._python)
        self._package = _file_stamp(self._greeting.get("package"))
        self.is_ready = True
        listener.hello(self._greeting)

    def ask(self, request: Mapping[str, Any], listener: Listener) -> Event:
        """Run one job.

        Parameters
        ----------
        request : mapping
            The job; see ``rm_geo/worker/jobs.py``.
        listener : Listener
            Receives the events and can cancel the job.

        Returns
        -------
        dict
            The ``result`` event.

        Raises
        ------
        WorkerError
            If the job failed or the worker ended unexpectedly.
        WorkerCancelled
            If the listener cancelled.
        """
        self.is_ready = self.has_begun = False
        self._last_output.clear()
        self._send(request)
        try:
            answer = self._wait(("result", "error"), listener, None)
        except WorkerCancelled:
            self.is_ready = self._has_cancelled()
            raise
        self._scratch = ("", [])  # the worker has removed it
        self.is_ready = answer["event"] == "result" or bool(answer.get("expected"))
        if answer["event"] == "result":
            return answer
        if answer.get("class") == "CancelledError":
            raise WorkerCancelled
        raise WorkerError(
            str(answer.get("message", "")),
            answer.get("hint"),
            str(answer.get("class", "")),
            answer.get("parameter"),
        )

    def greet_again(self, listener: Listener) -> None:
        """Give another listener the ``hello`` event."""
        listener.hello(self._greeting)

    def is_current(self, python: str, environment: Mapping[str, str] | None) -> bool:
        """Return whether the worker is what a new one with these values would be.

        Parameters
        ----------
        python : str
            Path of the interpreter.
        environment : mapping, optional
            Environment variables.

        Returns
        -------
        bool
            Also false if rm_geo was installed again since the worker started.
        """
        wanted = None if environment is None else dict(environment)
        return (
            python == self._python
            and wanted == self._environment
            and self._package == _file_stamp(self._greeting.get("package"))
        )

    def exit_reason(self) -> str | None:
        """Return why the process has ended, or None while it runs."""
        code = self._process.poll()
        return None if code is None else _exit_reason(code)

    def _send(self, request: Mapping[str, Any]) -> None:
        """Send a request; :meth:`_wait` reports a worker that has ended."""
        line = json.dumps(request, ensure_ascii=True).encode("ascii") + b"\n"
        with contextlib.suppress(OSError):
            self._stdin.write(line)
            self._stdin.flush()

    @property
    def _stdin(self) -> IO[bytes]:
        """Pipe to the process."""
        return cast("IO[bytes]", self._process.stdin)

    def _has_cancelled(self) -> bool:
        """Cancel the job; return whether the worker stopped it and waits for the next one."""
        self._send({"request": "cancel"})
        deadline = time.monotonic() + self._patience_s
        self._patience_s = 0.0
        while (left_s := deadline - time.monotonic()) > 0.0:
            try:
                event = self._events.get(timeout=left_s)
            except queue.Empty:
                return False
            if event is None:  # it has ended
                return False
            if event["event"] in ("result", "error"):
                self._scratch, self._patience_s = ("", []), _END_S
                return True
            self._pass_on(event, Listener())
        return False

    def _wait(self, names: Sequence[str], listener: Listener, timeout_s: float | None) -> Event:
        """Process events until one of the named events."""
        begun = time.monotonic()
        while True:
            if listener.is_cancelled():
                raise WorkerCancelled
            listener.beat()
            try:
                event = self._events.get(timeout=_POLL_S)
            except queue.Empty:
                if timeout_s is not None and time.monotonic() - begun > timeout_s:
                    raise WorkerError(
                        f"{self._python} did not answer within {timeout_s:g} seconds.",
                        f"Is it the Python of the environment with rm_geo? See {SETTING_HELP}.",
                    ) from None
                continue
            if event is None:
                raise self._unexpected_end()
            self.has_begun = True
            if event.get("event") in names:
                return event
            self._pass_on(event, listener)

    def _pass_on(self, event: Event, listener: Listener) -> None:
        """Pass an intermediate event to the listener."""
        name = event.get("event")
        if name == "start":
            listener.stage(str(event["label"]), int(event["total"]), str(event["unit"]))
        elif name == "progress":
            listener.progress(int(event["done"]), int(event["total"]))
        elif name == "log":
            listener.log(str(event["message"]))
        elif name == "cell":
            listener.cell(event)
        elif name == "scratch":
            self._scratch = (str(event["path"]), [str(path) for path in event.get("made", [])])

    def end(self) -> None:
        """End the process, by force if necessary, and remove its incomplete files."""
        self.is_ready = False
        with contextlib.suppress(OSError):
            self._stdin.close()
        if not self._has_ended(self._patience_s):
            self._signal_all("SIGTERM")
            if not self._has_ended(_TERMINATE_S):
                self._signal_all("SIGKILL")
                self._process.wait()
        path, made = self._scratch
        if path:
            shutil.rmtree(path, ignore_errors=True)
        for folder in made:
            try:
                os.rmdir(folder)
            except OSError:
                break
        for reader in self._readers:
            reader.join(0.1)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None and not any(reader.is_alive() for reader in self._readers):
                stream.close()

    def _signal_all(self, name: str) -> None:
        """Send a signal to the process and its children; without signals, kill the process."""
        if not hasattr(os, "killpg"):  # Windows
            self._process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, getattr(signal, name))

    def _has_ended(self, seconds: float) -> bool:
        """Return whether the process ends within a time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read_events(self) -> None:
        """Put all events into the queue, and None at the end."""
        for line in cast("IO[bytes]", self._process.stdout):
            try:
                event = json.loads(line.decode("utf-8", "surrogatepass"))
            except ValueError:
                event = None
            if isinstance(event, dict) and "event" in event:
                self._events.put(event)
            else:
                self._last_output.append(line.decode("utf-8", "replace").rstrip())
        self._events.put(None)

    def _read_stderr(self) -> None:
        """Store the last lines of standard error."""
        for line in cast("IO[bytes]", self._process.stderr):
            self._last_output.append(line.decode("utf-8", "replace").rstrip())

    def _unexpected_end(self) -> WorkerError:
        """Return an error that says why the worker ended."""
        try:
            code: int | None = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            code = None
        self._readers[1].join(1.0)
        words = "\n".join(word for word in self._last_output if word)
        if "No module named" in words and "rm_geo" in words.rsplit("No module named", 1)[1]:
            return WorkerError(
                f"The Python interpreter {self._python} has no rm_geo, or one without a worker.",
                f"Install it there ({Path(self._python).name} -m pip install --upgrade rm-geo), or "
                f"choose another interpreter in {SETTING_HELP}.",
                "NoRmGeoError",
            )
        output = f" Its last output:\n{words}" if words else " It wrote no message."
        if not self._greeting:
            return WorkerError(
                f"rm_geo ended unexpectedly while it started ({_exit_reason(code)}).{output}",
                f"Is {self._python} the Python of the environment in which rm_geo is installed? "
                f"Choose it in {SETTING_HELP}.",
                "WorkerDiedError",
            )
        return WorkerError(
            f"The worker of rm_geo ended unexpectedly ({_exit_reason(code)}).{output}",
            "If it ran out of memory, use a coarser resolution or a smaller area. Otherwise run "
            "'Check environment', and report this message with its result.",
            "WorkerDiedError",
        )


def _file_stamp(path: object) -> tuple[str, int] | None:
    """Return what changes when a file is replaced, or None if there is no such file."""
    try:
        return str(path), os.stat(str(path)).st_mtime_ns
    except OSError:
        return None


def _exit_reason(code: int | None) -> str:
    """Describe how a process ended."""
    if code is None:
        return "it closed its output"
    if code < 0 and sys.platform != "win32":
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
