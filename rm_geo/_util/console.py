"""Progress and results on a terminal, in a log file, or as JSON lines for machines.

Three listeners with one interface: a bar with units per second and the time left, plain lines
where nobody watches a terminal, and JSON lines. :func:`open_console` chooses.

The JSON lines are objects with an ``event``: ``start`` (total, unit, label), ``progress``
(done, total), ``log`` (message), ``finish``, ``result`` (whatever the command found) and
``error`` (message, hint, exit_code, type).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from rm_geo.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PLAIN_INTERVAL_S: Final = 10.0
_JSON_INTERVAL_S: Final = 0.2


class Mode(Enum):
    """Who reads the output."""

    TERMINAL = "terminal"
    PLAIN = "plain"
    QUIET = "quiet"
    JSON = "json"


class Console(Progress, Protocol):
    """A progress listener that can also hand over a result."""

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Give the result: ``values`` to machines, ``text`` to people."""


class QuietConsole(SilentProgress):
    """Says nothing; errors are told by the command line."""

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Ignore the result: the files are written."""


class PlainConsole:
    """One line at the start and end of a stage, and every ten seconds between.

    Parameters
    ----------
    log_stream, result_stream : text file
        Where progress and where results go (standard error and output by default).
    wording : callable
        Translates the options that messages name.
    """

    def __init__(
        self,
        log_stream: TextIO,
        result_stream: TextIO,
        wording: Callable[[str], str] = str,
    ) -> None:
        self._wording = wording
        self._log_stream, self._result_stream = log_stream, result_stream
        self._total, self._done, self._unit, self._label = 0, 0, "", ""
        self._begun = self._told = 0.0

    def start(self, total: int, unit: str, label: str) -> None:
        """Begin a stage with one line."""
        self._total, self._done, self._unit, self._label = total, 0, unit, label
        self._begun = self._told = time.monotonic()
        self.log(f"{label}: {total} {unit}")

    def advance(self, amount: int = 1) -> None:
        """Count, and say so every ten seconds."""
        self._done += amount
        now = time.monotonic()
        if now - self._told < _PLAIN_INTERVAL_S or self._done >= self._total:
            return
        self._told = now
        rate = self._done / (now - self._begun)
        left_s = (self._total - self._done) / rate
        self.log(
            f"{self._label}: {self._done}/{self._total} {self._unit}, "
            f"{rate:.2g} {self._unit}/s, {duration(left_s)} left"
        )

    def log(self, message: str) -> None:
        """Write one line."""
        print(self._wording(message), file=self._log_stream, flush=True)

    def check(self) -> None:
        """Never cancel: on a terminal, Ctrl-C does."""

    def finish(self) -> None:
        """End a stage with one line."""
        self.log(f"{self._label}: done in {duration(time.monotonic() - self._begun)}")

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Print the text."""
        if text:
            print(self._wording(text), file=self._result_stream, flush=True)


class TerminalConsole:
    """A bar with units per second and the time left."""

    def __init__(
        self,
        log_stream: TextIO,
        result_stream: TextIO,
        wording: Callable[[str], str] = str,
    ) -> None:
        self._wording = wording
        self._log_stream, self._result_stream = log_stream, result_stream
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._unit = ""

    def start(self, total: int, unit: str, label: str) -> None:
        """Show the bar."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.close()
        self._unit = unit
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=RichConsole(file=self._log_stream),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(label, total=total, rate=unit)

    def advance(self, amount: int = 1) -> None:
        """Move the bar."""
        if self._bar is None or self._task is None:
            return
        self._bar.advance(self._task, amount)
        speed = self._bar.tasks[0].finished_speed or self._bar.tasks[0].speed
        if speed:
            self._bar.update(self._task, rate=f"{speed:.2g} {self._unit}/s")

    def log(self, message: str) -> None:
        """Write one line above the bar."""
        if self._bar is None:
            print(self._wording(message), file=self._log_stream, flush=True)
        else:
            self._bar.console.print(
                self._wording(message), markup=False, highlight=False, soft_wrap=True
            )

    def check(self) -> None:
        """Never cancel: Ctrl-C does."""

    def finish(self) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Print the text."""
        self.close()
        if text:
            print(self._wording(text), file=self._result_stream, flush=True)


class JsonConsole:
    """JSON lines, one object each, flushed at once."""

    def __init__(self, stream: TextIO, wording: Callable[[str], str] = str) -> None:
        self._stream, self._wording = stream, wording
        self._total = self._done = 0
        self._told = 0.0

    def start(self, total: int, unit: str, label: str) -> None:
        """Emit ``start``."""
        self._total, self._done, self._told = total, 0, 0.0
        self._emit("start", total=total, unit=unit, label=label)

    def advance(self, amount: int = 1) -> None:
        """Emit ``progress``, five times a second at most, and always for the last unit."""
        self._done += amount
        now = time.monotonic()
        if now - self._told >= _JSON_INTERVAL_S or self._done >= self._total:
            self._told = now
            self._emit("progress", done=self._done, total=self._total)

    def log(self, message: str) -> None:
        """Emit ``log``."""
        self._emit("log", message=self._wording(message))

    def check(self) -> None:
        """Never cancel."""

    def finish(self) -> None:
        """Emit ``finish``."""
        self._emit("finish")

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Emit ``result``."""
        self._emit("result", **values)

    def _emit(self, event: str, **values: Any) -> None:  # noqa: ANN401 - JSON
        """Write one object on one line."""
        self._stream.write(json_line({"event": event, **values}) + "\n")
        self._stream.flush()


def open_console(
    *,
    quiet: bool = False,
    as_json: bool = False,
    log: TextIO | None = None,
    result: TextIO | None = None,
    wording: Callable[[str], str] = str,
) -> Console:
    """Choose the console for the options and for what standard error is connected to.

    Parameters
    ----------
    quiet, as_json : bool
        What the user asked for.
    log, result : text file, optional
        Where progress and results go; standard error and output if not given.
    wording : callable
        Translates the options that log lines and results name, see :mod:`rm_geo.errors`.

    Returns
    -------
    Console
        A progress listener that also writes results.
    """
    log_stream = sys.stderr if log is None else log
    result_stream = sys.stdout if result is None else result
    mode = choose_mode(quiet=quiet, as_json=as_json, is_terminal=log_stream.isatty())
    if mode is Mode.JSON:
        return JsonConsole(result_stream, wording)
    if mode is Mode.QUIET:
        return QuietConsole()
    kind = TerminalConsole if mode is Mode.TERMINAL else PlainConsole
    return kind(log_stream, result_stream, wording)


def choose_mode(*, quiet: bool, as_json: bool, is_terminal: bool) -> Mode:
    """JSON before quiet before what the stream is."""
    if as_json:
        return Mode.JSON
    if quiet:
        return Mode.QUIET
    return Mode.TERMINAL if is_terminal else Mode.PLAIN


def json_line(value: Mapping[str, Any]) -> str:
    """One line of strict JSON: numbers that are not finite become null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Reduce paths, numpy scalars and the like to what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(7.2), duration(75), duration(7500)
    ('7 s', '1 min 15 s', '2 h 5 min')
    """
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 5 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
