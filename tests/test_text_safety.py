"""Texts from inputs do no harm in terminals, spreadsheets, logs and summaries."""

import csv
import io
import json

import pytest

from rm_geo._util.console import JsonConsole, PlainConsole, TerminalConsole
from rm_geo._util.csv_text import csv_text, text_of_csv
from rm_geo._util.error_report import explain
from rm_geo.cli.outcome import Failure
from rm_geo.distributed.batch_state import JobState, write_batch_summary
from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import FetchError, InputError, redacted
from rm_geo.products.summary import CellResult, write_summary
from rm_geo.report.sources import read_sources
from rm_geo.validation.tables import write_csv
from rm_geo.workflows.result_files import write_table

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e7\rhidden"
FORMULAS = ["=cmd|' /C calc'!A0", "+1+cmd", "-1+cmd", "@SUM(A1)", "\t=1", " =1"]


@pytest.mark.parametrize("kind", [PlainConsole, TerminalConsole])
def test_control_characters_do_not_reach_a_terminal(kind):
    log, result = io.StringIO(), io.StringIO()
    console = kind(log, result)
    console.log(f"cell {EVIL}")
    console.result({}, f"cell  {EVIL}\nend\tof it")
    written = log.getvalue() + result.getvalue()
    assert not set("\x1b\x07\x9b\u202e\r") & set(written)
    assert "\\x1b[2J" in written
    assert "\nend\tof it" in written


def test_control_characters_of_errors_and_json_are_escaped(capsys):
    Failure(EVIL, hint=EVIL, exit_code=1, kind="InputError", as_json=False).show()
    stream = io.StringIO()
    JsonConsole(stream).log(EVIL)
    assert not set("\x1b\x07\x9b\u202e\r") & set(capsys.readouterr().err + stream.getvalue())
    assert json.loads(stream.getvalue())["message"] == EVIL


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_text_in_every_table(tmp_path, text):
    write_summary([CellResult("7", "mapped", cell_name=text, warnings=(text,))], tmp_path)
    write_table(tmp_path / "plan.csv", [{"cell": text}])
    write_csv(tmp_path / "scores.csv", [CellResult("7", "mapped", cell_name=text)])
    for name, column in (("summary", "cell_name"), ("plan", "cell"), ("scores", "cell_name")):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert row[column] == f"'{text}"
        assert text_of_csv(row[column]) == text


def test_control_characters_are_escaped_in_every_table(tmp_path):
    name = "\x1b[31m7\r\u202e"
    write_summary([CellResult("7", "mapped", cell_name=name, warnings=(name,))], tmp_path)
    write_table(tmp_path / "plan.csv", [{"cell": name}])
    write_csv(tmp_path / "scores.csv", [CellResult("7", "mapped", cell_name=name)])
    for table in ("summary", "plan", "scores"):
        text = (tmp_path / f"{table}.csv").read_bytes().decode().replace("\r\n", "\n")
        assert not set("\x1b\r\u202e") & set(text)
        assert r"\x1b[31m7\r\u202e" in text


def test_numbers_and_other_texts_stay_as_they_are():
    for value in ("-90.5", "+1e3", "7", "a=b", "'quoted", 3.5, None):
        assert csv_text(value) == value
        assert not isinstance(value, str) or text_of_csv(csv_text(value)) == value


@pytest.mark.parametrize(
    "address",
    [
        "https://me:S3CRET@example.org/a.csv?X-Amz-Signature=S3CRET&X-Amz-Credential=S3CRET",
        "s3://me:S3CRET@bucket/a.csv?versionId=S3CRET",
        "https://me:p/S3CRET@example.org/a.csv",
        "https://example.blob.core.windows.net/a.csv?sv=1&sig=S3CRET#S3CRET",
        "/vsicurl/https://me:S3CRET@example.org/a.csv?sig=S3CRET",
        "/vsicurl?pc_url_signing=yes&url=https%3A%2F%2FS3CRET",
    ],
)
def test_credentials_are_in_no_message(address):
    for text in (address, f"'{address}' cannot be read", f"reading {address}: 403"):
        assert "S3CRET" not in redacted(text)
        error = FetchError(text, hint=text)
        assert "S3CRET" not in f"{error} {error.message} {error.hint} {error.args}"
        assert "S3CRET" not in explain(RuntimeError(text)).message
        log, result = io.StringIO(), io.StringIO()
        for console in (PlainConsole(log, result), JsonConsole(result)):
            console.log(text)
            console.result({"output": address, "jobs": [{"message": text}]}, text)
        assert "S3CRET" not in log.getvalue() + result.getvalue()


def test_a_batch_summary_has_neither_credentials_nor_absolute_paths(tmp_path):
    drives, output = tmp_path / "drives", tmp_path / "out"
    drives.mkdir()
    output.mkdir()
    (drives / "north.csv").write_text("lon,lat,rsrp\n13,52,-90\n")
    (job,) = read_jobs([drives], output)
    error = InputError(
        f"{drives / 'north.csv'} is damaged; see https://me:S3CRET@example.org/?a=1."
    )
    state = JobState(job, "key", message=str(error), lines={f"Warning: {job.output} is odd.": None})
    write_batch_summary([state], output)
    text = (output / "batch_summary.csv").read_text() + (output / "batch_summary.json").read_text()
    assert str(tmp_path) not in text
    assert "S3CRET" not in text
    assert "../drives/north.csv is damaged" in text


def test_a_report_reads_the_names_that_a_plan_wrote(tmp_path):
    write_summary([CellResult("7", "mapped", cell_name="=7")], tmp_path)
    assert read_sources(tmp_path).predict.cells[0].cell_name == "=7"
