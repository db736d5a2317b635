"""Progress for people and for machines."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from rm_geo._util.console import (
    JsonConsole,
    Mode,
    PlainConsole,
    QuietConsole,
    TerminalConsole,
    choose_mode,
    duration,
    json_line,
    open_console,
)
from rm_geo.progress import Progress


def test_json_precedes_quiet_precedes_terminal():
    assert choose_mode(quiet=True, as_json=True, is_terminal=True) is Mode.JSON
    assert choose_mode(quiet=True, as_json=False, is_terminal=True) is Mode.QUIET
    assert choose_mode(quiet=False, as_json=False, is_terminal=True) is Mode.TERMINAL
    assert choose_mode(quiet=False, as_json=False, is_terminal=False) is Mode.PLAIN


def test_every_console_is_a_progress():
    stream = io.StringIO()
    for console in (
        JsonConsole(stream),
        PlainConsole(stream, stream),
        TerminalConsole(stream, stream),
        QuietConsole(),
    ):
        assert isinstance(console, Progress)


def test_json_lines_contain_every_event():
    stream = io.StringIO()
    console = JsonConsole(stream)
    console.start(3, "tiles", "cell 7")
    for _ in range(3):
        console.advance()
    console.log("half\nway")
    console.finish()
    console.result({"rows": 2, "path": Path("a/b")})
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert events[0] == {"event": "start", "total": 3, "unit": "tiles", "label": "cell 7"}
    progress = [event for event in events if event["event"] == "progress"]
    assert progress[-1] == {"event": "progress", "done": 3, "total": 3}
    assert events[-3] == {"event": "log", "message": "half\nway"}
    assert events[-1] == {"event": "result", "rows": 2, "path": "a/b"}


def test_json_is_strict_about_numbers_that_are_not_finite():
    line = json_line({"a": math.nan, "b": np.float32(1.5), "c": [np.int64(2), math.inf]})
    assert json.loads(line) == {"a": None, "b": 1.5, "c": [2, None]}


def test_plain_lines_report_start_and_end():
    log, result = io.StringIO(), io.StringIO()
    console = PlainConsole(log, result)
    console.start(2, "tiles", "cell 7")
    console.advance(2)
    console.finish()
    console.result({}, "the end")
    first, last = log.getvalue().splitlines()
    assert first == "cell 7: 2 tiles"
    assert last.startswith("cell 7: done in")
    assert result.getvalue() == "the end\n"


def test_plain_lines_report_rate_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("rm_geo._util.console.time.monotonic", lambda: now[0])
    log = io.StringIO()
    console = PlainConsole(log, io.StringIO())
    console.start(30, "tiles", "cell")
    now[0] += 20.0
    console.advance(10)
    assert "10/30 tiles, 0.5 tiles/s, 40 s left" in log.getvalue()


def test_progress_bar_restores_the_terminal_after_an_error():
    stream = io.StringIO()
    console = TerminalConsole(stream, stream)
    console.start(2, "tiles", "cell 7")
    console.advance()
    console.log("[not markup]")
    console.close()
    console.log("after")
    assert "[not markup]" in stream.getvalue()
    assert stream.getvalue().endswith("after\n")


def test_open_console_follows_the_stream():
    stream = io.StringIO()
    assert isinstance(open_console(log=stream, result=stream), PlainConsole)
    assert isinstance(open_console(quiet=True, log=stream, result=stream), QuietConsole)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3720, "1 h 2 min")]
)
def test_duration_format(seconds, text):
    assert duration(seconds) == text
