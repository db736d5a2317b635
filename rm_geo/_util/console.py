"""Progress and results on a terminal, in a log file, or as JSON lines for programs.

Consoles with one interface: a progress bar with the rate and the time left, plain lines for
output that is not a terminal, JSON lines, and no output at all. :func:`open_console` chooses.

The JSON lines are objects with an ``event``: ``start`` (total, unit, label), ``progress``
(done, total), ``log`` (message), ``finish``, ``result`` (the values of the command) and
``error`` (message, hint, exit_code, type).
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

from rm_geo.errors import redacted
from rm_geo.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

# C0 and C1 controls but tab and line feed, and the marks of bidirectional text.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_PLAIN_INTERVAL_S: Final = 10.0
_JSON_INTERVAL_S: Final = 0.2


class Mode(Enum):
    """Form of the output."""

    TERMINAL = "terminal"
    PLAIN = "plain"
    QUIET = "quiet"
    JSON = "json"


class Console(Progress, Protocol):
    """A progress listener that also writes the result of a command."""

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Write the result of a command.

        Parameters
        ----------
        values : mapping of str to object
            The result for programs.
        text : str
            The result for a person; may be empty.
        """


class QuietConsole(SilentProgress):
    """Writes nothing; errors are written by the command line.

    Examples
    --------
    >>> QuietConsole().result({"path": "map.tif"}, "map.tif")
    """

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Ignore the result.

        Parameters
        ----------
        values : mapping of str to object
            Ignored.
        text : str
            Ignored.
        """


class PlainConsole:
    r"""One line at the start and end of a stage, and one every ten seconds between.

    Parameters
    ----------
    log_stream, result_stream : text file
        Streams of progress and of results.
    wording : callable
        Translates the options that messages name, see :mod:`rm_geo.errors`.

    Examples
    --------
    >>> import io
    >>> log = io.StringIO()
    >>> console = PlainConsole(log, sys.stdout)
    >>> console.start(3, "tiles", "Mapping")
    >>> console.advance()
    >>> log.getvalue()
    'Mapping: 3 tiles\n'
    >>> console.result({"path": "map.tif"}, "Wrote map.tif.")
    Wrote map.tif.
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
        self._begun = self._reported = 0.0

    def start(self, total: int, unit: str, label: str) -> None:
        """Begin a stage and write one line.

        Parameters
        ----------
        total : int
            Units of work in the stage.
        unit : str
            Name of the unit.
        label : str
            Name of the stage.
        """
        self._total, self._done, self._unit, self._label = total, 0, unit, label
        self._begun = self._reported = time.monotonic()
        self.log(f"{label}: {total} {unit}")

    def advance(self, amount: int = 1) -> None:
        """Count finished units; write a line if the last one is ten seconds old.

        Parameters
        ----------
        amount : int
            Units finished since the last call.
        """
        self._done += amount
        now = time.monotonic()
        if now - self._reported < _PLAIN_INTERVAL_S or self._done >= self._total:
            return
        self._reported = now
        rate = self._done / (now - self._begun)
        left_s = (self._total - self._done) / rate
        self.log(
            f"{self._label}: {self._done}/{self._total} {self._unit}, "
            f"{rate:.2g} {self._unit}/s, {duration(left_s)} left"
        )

    def log(self, message: str) -> None:
        """Write one line.

        Parameters
        ----------
        message : str
            The line.
        """
        print(shown(self._wording(message)), file=self._log_stream, flush=True)

    def check(self) -> None:
        """Do nothing: Ctrl-C cancels a command on a terminal."""

    def finish(self) -> None:
        """End a stage and write one line."""
        self.log(f"{self._label}: done in {duration(time.monotonic() - self._begun)}")

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Print the text.

        Parameters
        ----------
        values : mapping of str to object
            Ignored.
        text : str
            The result for a person; nothing is printed if it is empty.
        """
        if text:
            print(shown(self._wording(text)), file=self._result_stream, flush=True)


class TerminalConsole:
    """A progress bar with the rate and the time left.

    Parameters
    ----------
    log_stream, result_stream : text file
        Streams of the bar and of results.
    wording : callable
        Translates the options that messages name, see :mod:`rm_geo.errors`.

    Examples
    --------
    >>> console = TerminalConsole(sys.stderr, sys.stdout)
    >>> console.result({"path": "map.tif"}, "Wrote map.tif.")
    Wrote map.tif.
    """

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
        """Show the bar.

        Parameters
        ----------
        total : int
            Units of work in the stage.
        unit : str
            Name of the unit.
        label : str
            Name of the stage.
        """
        from rich.console import Console as RichConsole
        from rich.markup import escape
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
        self._task = self._bar.add_task(escape(printable(label)), total=total, rate=unit)

    def advance(self, amount: int = 1) -> None:
        """Move the bar.

        Parameters
        ----------
        amount : int
            Units finished since the last call.
        """
        if self._bar is None or self._task is None:
            return
        self._bar.advance(self._task, amount)
        speed = self._bar.tasks[0].finished_speed or self._bar.tasks[0].speed
        if speed:
            self._bar.update(self._task, rate=f"{speed:.2g} {self._unit}/s")

    def log(self, message: str) -> None:
        """Write one line above the bar.

        Parameters
        ----------
        message : str
            The line.
        """
        if self._bar is None:
            print(shown(self._wording(message)), file=self._log_stream, flush=True)
        else:
            self._bar.console.print(
                shown(self._wording(message)),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def check(self) -> None:
        """Do nothing: Ctrl-C cancels."""

    def finish(self) -> None:
        """Remove the bar."""
        self.close()

    def close(self) -> None:
        """Remove the bar and restore the terminal, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Remove the bar and print the text.

        Parameters
        ----------
        values : mapping of str to object
            Ignored.
        text : str
            The result for a person; nothing is printed if it is empty.
        """
        self.close()
        if text:
            print(shown(self._wording(text)), file=self._result_stream, flush=True)


class JsonConsole:
    """JSON lines, one object each, flushed at once.

    Parameters
    ----------
    stream : text file
        Stream of all events.
    wording : callable
        Translates the options that messages name, see :mod:`rm_geo.errors`.

    Examples
    --------
    >>> console = JsonConsole(sys.stdout)
    >>> console.start(2, "tiles", "Mapping")
    {"event": "start", "total": 2, "unit": "tiles", "label": "Mapping"}
    >>> console.advance(2)
    {"event": "progress", "done": 2, "total": 2}
    """

    def __init__(self, stream: TextIO, wording: Callable[[str], str] = str) -> None:
        self._stream, self._wording = stream, wording
        self._total = self._done = 0
        self._reported = 0.0

    def start(self, total: int, unit: str, label: str) -> None:
        """Write the event ``start``.

        Parameters
        ----------
        total : int
            Units of work in the stage.
        unit : str
            Name of the unit.
        label : str
            Name of the stage.
        """
        self._total, self._done, self._reported = total, 0, 0.0
        self._emit("start", total=total, unit=unit, label=label)

    def advance(self, amount: int = 1) -> None:
        """Write ``progress``, at most five times a second, and always for the last unit.

        Parameters
        ----------
        amount : int
            Units finished since the last call.
        """
        self._done += amount
        now = time.monotonic()
        if now - self._reported >= _JSON_INTERVAL_S or self._done >= self._total:
            self._reported = now
            self._emit("progress", done=self._done, total=self._total)

    def log(self, message: str) -> None:
        """Write the event ``log``.

        Parameters
        ----------
        message : str
            The message.
        """
        self._emit("log", message=redacted(self._wording(message)))

    def check(self) -> None:
        """Do nothing: these events do not cancel."""

    def finish(self) -> None:
        """Write the event ``finish``."""
        self._emit("finish")

    def result(self, values: Mapping[str, Any], text: str = "") -> None:
        """Write the event ``result``.

        Parameters
        ----------
        values : mapping of str to object
            Fields of the event.
        text : str
            Ignored.
        """
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
    """Choose the console by the options and the kind of the log stream.

    Parameters
    ----------
    quiet, as_json : bool
        Options of the command: no output; JSON lines.
    log, result : text file, optional
        Streams of progress and of results (default: standard error and standard output).
    wording : callable
        Translates the options that log lines and results name, see :mod:`rm_geo.errors`.

    Returns
    -------
    Console
        A progress listener that also writes results.

    Examples
    --------
    >>> type(open_console(quiet=True)).__name__
    'QuietConsole'
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
    """Choose the form of the output: JSON has precedence over quiet.

    Parameters
    ----------
    quiet, as_json : bool
        Options of the command.
    is_terminal : bool
        Whether the log stream is a terminal.

    Returns
    -------
    Mode

    Examples
    --------
    >>> choose_mode(quiet=False, as_json=False, is_terminal=False).value
    'plain'
    """
    if as_json:
        return Mode.JSON
    if quiet:
        return Mode.QUIET
    return Mode.TERMINAL if is_terminal else Mode.PLAIN


def json_line(value: Mapping[str, Any]) -> str:
    """Write one line of strict JSON; numbers that are not finite become null.

    Parameters
    ----------
    value : mapping of str to object
        May contain paths, numpy scalars, lists, tuples and mappings; addresses lose their
        credentials.

    Returns
    -------
    str
        JSON without a line break.

    Examples
    --------
    >>> json_line({"rmse_db": float("nan"), "count": 3})
    '{"rmse_db": null, "count": 3}'
    """
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """Convert paths, numpy scalars and other values to types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return redacted(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    return redacted(str(value))


def shown(text: str) -> str:
    """Give a text as a terminal and a log show it: no credentials, no control characters.

    Parameters
    ----------
    text : str
        A message or a table.

    Returns
    -------
    str

    Examples
    --------
    >>> shown("Reading s3://key:secret@bucket/a.csv")
    'Reading s3://bucket/a.csv'
    """
    return printable(redacted(text))


def printable(text: str) -> str:
    r"""Replace the control characters of a text, which a terminal would obey.

    Parameters
    ----------
    text : str
        A message or a table, with names from the input.

    Returns
    -------
    str
        With escapes such as ``\x1b`` in place of control characters, and of characters that
        change the direction of writing; line breaks and tabs stay.

    Examples
    --------
    >>> print(printable("cell \x1b[2J7"))
    cell \x1b[2J7
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def duration(seconds: float) -> str:
    """Format a duration.

    Parameters
    ----------
    seconds : float
        Duration in seconds.

    Returns
    -------
    str
        Seconds, minutes and seconds, or hours and minutes.

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
