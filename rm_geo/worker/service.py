"""Worker process: JSON lines over standard input and output.

``python -I -m rm_geo.worker`` writes a ``hello`` event, reads requests and answers each with
events. Requests and events are JSON objects, one per line:

``hello``
    ``protocol`` (integer), ``version``, ``python``, ``executable``, ``package`` (a file of rm_geo,
    which an update replaces), ``device`` (a guess, see :mod:`rm_geo.devices`), ``models`` and
    ``methods``.
``start``, ``progress``, ``finish``
    Start of a stage with ``label``, ``total`` and ``unit``; the number ``done``; end of the stage.
``log``
    ``message``, a line of text for the user.
``scratch``
    ``path`` of the folder in which results are written, and ``made``, the folders that were
    created for it, innermost first. A client that kills the worker has to remove them.
``cell``
    Files of one cell are complete and in the output folder, where they stay whatever becomes of
    the job: ``cell``, its name, ``cells``, the number of cells of the run, and ``rasters`` as in
    the result, which has them again.
``result``
    Result of the job: all output files in ``files``, and ``rasters`` and ``vectors`` with ``path``,
    ``kind``, ``cell`` and ``tags``, those of planning also with ``classes`` (see
    :mod:`rm_geo.worker.layers`). Last event of a successful request.
``error``
    ``class``, ``message``, ``hint``, ``parameter``, the invalid option or null, and ``expected``:
    false for a fault of rm_geo, of a library or of the machine, after which a new worker is
    better than this one. Messages name options by the library's keywords in backticks, see
    :mod:`rm_geo.errors`. Last event of a failed request.

A request has the name of a job under ``request`` (see :mod:`rm_geo.worker.jobs`) and the arguments
of the job. Jobs that write files need ``output``, the output folder. A worker answers any number of
requests, one after the other, so that only the first of them waits for imports.

The request ``cancel`` cancels the running job and those that wait; the last event of each is then
an ``error`` of the class ``CancelledError``. Without a job it has no effect. A job that does not
stop in time ends the worker. The end of standard input cancels in the same way and ends the worker,
so that it never outlives the program that started it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import queue
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import rm_geo
from rm_geo._util.console import JsonConsole, json_line
from rm_geo._util.error_report import explain
from rm_geo._util.json_text import parse_json
from rm_geo._util.memory import release_memory, tune_gc
from rm_geo._version import __version__
from rm_geo.devices import likely_device
from rm_geo.errors import (
    CancelledError,
    DeviceError,
    ModelError,
    RmGeoError,
    UsageError,
    with_known_paths,
)
from rm_geo.io.gdal_environment import gdal_environment
from rm_geo.worker.jobs import JOBS, WITHOUT_FILES
from rm_geo.worker.staging import Staging

PROTOCOL: Final = 1
"""Version of the protocol; incremented by changes that older clients cannot read."""

_GRACE_S: Final = 0.4
"""Seconds that a cancelled job has to stop before the process exits."""

_READ_BYTES: Final = 1 << 16


class WorkerProgress(JsonConsole):
    """Progress as JSON lines; cancels the job if the client closes the pipe.

    Parameters
    ----------
    stream : text file
        Receives the lines.
    cancelled : Event
        Set when the job is cancelled.

    Attributes
    ----------
    staging : Staging or None
        Files of the running job.
    """

    def __init__(self, stream: TextIO, cancelled: threading.Event) -> None:
        super().__init__(stream)
        self._cancelled = cancelled
        self._write_lock = threading.Lock()
        self.staging: Staging | None = None

    def start(self, total: int, unit: str, label: str) -> None:
        """Emit ``start``; raise if the job is cancelled."""
        self.check()
        super().start(total, unit, label)

    def advance(self, amount: int = 1) -> None:
        """Emit ``progress``; raise if the job is cancelled."""
        self.check()
        super().advance(amount)

    def check(self) -> None:
        """Raise if the job is cancelled."""
        if self._cancelled.is_set():
            raise CancelledError("Cancelled; nothing is left behind.")

    def share(
        self, cell: str, cells: int, files: Sequence[str], rasters: Sequence[Mapping[str, Any]]
    ) -> None:
        """Put the files of a cell into the output folder, and emit ``cell``.

        Parameters
        ----------
        cell : str
            The cell.
        cells : int
            Number of cells of the job.
        files : sequence of str
            Names of its files in the staging folder.
        rasters : sequence of mapping
            Its rasters, each with the name of its file.

        Raises
        ------
        UsageError
            If the job writes no files.
        """
        staging = self.staging
        if staging is None:
            raise UsageError("This job writes no files.")
        staging.share(files)
        self._emit("cell", cell=cell, cells=cells, rasters=_with_paths(rasters, staging.folder))

    def event(self, name: str, **values: Any) -> None:  # noqa: ANN401 - JSON
        """Emit an event of the worker.

        Parameters
        ----------
        name : str
            Name of the event.
        **values : object
            Values that JSON can express.

        Raises
        ------
        CancelledError
            If the pipe is closed.
        """
        self._emit(name, **values)

    def _emit(self, event: str, **values: Any) -> None:  # noqa: ANN401 - JSON
        """Write one object on one line; cancel the job if the pipe is closed."""
        line = json_line({"event": event, **values}) + "\n"
        try:
            with self._write_lock:
                self._stream.write(line)
                self._stream.flush()
        except (BrokenPipeError, OSError, ValueError) as error:
            self._cancelled.set()
            raise CancelledError("The output of the worker is closed.") from error


class Worker:
    """Reads requests and runs them one after the other.

    Parameters
    ----------
    requests : int
        File descriptor of the requests.
    answers : text file
        Receives the events.
    """

    def __init__(self, requests: int, answers: TextIO) -> None:
        self._requests = requests
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._progress = WorkerProgress(answers, self._cancelled)
        self._staging: Staging | None = None
        # All below is changed under the lock.
        self._state_lock = threading.Lock()
        self._unanswered = 0
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._is_closed = False

    def serve(self) -> None:
        """Emit ``hello`` and answer requests until the end of input."""
        threading.Thread(target=self._listen, name="requests", daemon=True).start()
        with contextlib.suppress(CancelledError):
            self._progress.event("hello", **hello())
            while (line := self._lines.get()) is not None:
                self._answer(line)
                self._note_answer()
                release_memory()

    def _listen(self) -> None:
        """Read requests; at the end of input, cancel the job and end the process."""
        for line in _lines_of(self._requests):
            if _is_cancel(line):
                self._cancel()
                continue
            with self._state_lock:
                self._unanswered += 1
                self._is_idle.clear()
            self._lines.put(line)
        with self._state_lock:
            self._is_closed = True
        self._lines.put(None)
        self._cancel()

    def _cancel(self) -> None:
        """Cancel the running job; end the process if it does not stop in time."""
        with self._state_lock:
            if self._is_idle.is_set():
                return
            self._cancelled.set()
        if self._is_idle.wait(_GRACE_S):
            return
        # The job is inside a long call that does not check for cancellation.
        if self._staging is not None:
            self._staging.discard()
        os._exit(CancelledError.exit_code)

    def _note_answer(self) -> None:
        """Count an answered request; after the last one, jobs are no longer cancelled."""
        with self._state_lock:
            self._unanswered -= 1
            if self._unanswered == 0:
                if not self._is_closed:
                    self._cancelled.clear()
                self._is_idle.set()

    def _answer(self, line: bytes) -> None:
        """Run one request; every exception becomes an ``error`` event."""
        try:
            self._carry_out(_parse(line))
        except Exception as error:  # internal errors are reported too
            self._fail(error)

    def _carry_out(self, values: Mapping[str, Any]) -> None:
        """Run a job in a staging folder and move its files to the output folder."""
        name = values.get("request")
        job = JOBS.get(str(name))
        if job is None:
            raise UsageError(f"There is no job {name!r}.", hint=f"Known: {', '.join(JOBS)}.")
        if name in WITHOUT_FILES:
            self._progress.result(job(values, Path(), self._progress))
            return
        output = values.get("output")
        if not isinstance(output, str):
            raise UsageError("The request names no folder as its 'output'.")
        staging = self._staging = self._progress.staging = Staging(output)
        try:
            self._progress.event("scratch", path=staging.hidden, made=staging.made)
            found = job(values, staging.path, self._progress)
            self._progress.check()
            files = staging.publish(obsolete=found.pop("obsolete", ()))
        finally:
            staging.discard()
        layers = {
            kind: _with_paths(found.pop(kind, ()), staging.folder)
            for kind in ("rasters", "vectors")
        }
        self._progress.result({"files": files, **layers, **found})

    def _fail(self, error: BaseException) -> None:
        """Emit ``error``, with output paths instead of staging paths."""
        if os.environ.get("RM_GEO_DEBUG", "") not in {"", "0"}:
            traceback.print_exception(error)
        staging = self._staging
        names = {} if staging is None else {str(staging.path): str(staging.folder)}
        explanation = explain(error)
        self._progress.event(
            "error",
            **{"class": explanation.kind},
            message=with_known_paths(explanation.message, names),
            hint=explanation.hint and with_known_paths(explanation.hint, names),
            parameter=explanation.parameter,
            expected=isinstance(error, RmGeoError) and not isinstance(error, DeviceError),
        )


def hello() -> dict[str, Any]:
    """Describe this installation for ``hello``, without heavy imports.

    Returns
    -------
    dict
        Protocol, versions, interpreter, device, models and methods.
    """
    from rm_geo.estimators.registry import list_methods
    from rm_geo.zoo.catalog import list_models

    problem = None
    try:
        records = list_models()
    except ModelError as error:
        records, problem = [], str(error)
    models = [
        {"name": r.name, "kind": r.kind, "scale": r.scale, "summary": r.summary} for r in records
    ]
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "package": rm_geo.__file__,
        "device": likely_device(),
        "models": models,
        "models_problem": problem,
        "methods": [{"name": m.name, "summary": m.summary} for m in list_methods()],
    }


def _with_paths(layers: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Add the paths of layers in the output folder."""
    return [{**one, "path": folder / one["file"]} for one in layers]


def _is_cancel(line: bytes) -> bool:
    """Return whether a request is to cancel the running job."""
    try:
        return _parse(line).get("request") == "cancel"
    except UsageError:
        return False


def _parse(line: bytes) -> dict[str, Any]:
    """Read one request."""
    try:
        values = parse_json(line)
    except ValueError as error:
        raise UsageError(f"A request is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise UsageError("A request is not a JSON object.")
    return values


def _lines_of(descriptor: int) -> Iterator[bytes]:
    """Yield the complete lines of a descriptor; an incomplete last line is dropped.

    Reads the descriptor itself: a thread that waits in a buffered file at exit aborts the
    interpreter.
    """
    rest = b""
    while True:
        try:
            block = os.read(descriptor, _READ_BYTES)
        except OSError:
            return
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        yield from (line for line in lines if line.strip())


def _claim_stdout() -> TextIO:
    """Reserve standard output for the protocol; redirect all other output to standard error."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogatepass", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def main() -> None:
    """Serve standard input and output."""
    tune_gc()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    answers = _claim_stdout()
    with gdal_environment():
        Worker(0, answers).serve()
    with contextlib.suppress(OSError, ValueError):
        answers.close()


if __name__ == "__main__":
    main()
