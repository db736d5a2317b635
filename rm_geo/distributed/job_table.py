"""Tables of jobs: CSV and its relatives, or YAML."""

from __future__ import annotations

import csv
import glob
import io
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from rm_geo.errors import ConfigError, UsageError, redacted
from rm_geo.io.metadata import exists, head_of
from rm_geo.io.object_store import fetched, local
from rm_geo.io.paths import Location, file_name
from rm_geo.io.tables.delimited import SEPARATORS, is_preamble
from rm_geo.io.yaml_file import parse_yaml, read_text
from rm_geo.options import option_named

_SUFFIXES: Final = (".csv", ".yaml", ".yml")
_HEAD_BYTES: Final = 1 << 16
_NEEDED: Final = "measurements"
_OWN: Final = (_NEEDED, "output", "name", "plan", "plan_settings")
_YES: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True)
class TableRow:
    """One job of a table.

    Attributes
    ----------
    where : str
        Line or number of the row, for messages.
    measurements : tuple of str
        The files, as the table names them: paths, URLs or patterns.
    name, output : str or None
        Name and folder of the job, if the table states them.
    settings : mapping of str to object
        Options by their flat names, as the table has them; those that are not blank.
    plan : bool or None
        Whether planning products are derived; None if the table does not say.
    plan_settings : str or None
        File of their thresholds.
    """

    where: str
    measurements: tuple[str, ...]
    name: str | None
    output: str | None
    settings: Mapping[str, Any]
    plan: bool | None = None
    plan_settings: str | None = None


def is_table(place: Location) -> bool:
    """Tell whether a file is a table of jobs, by its name.

    A glob pattern is not a table. A ``.tsv`` file is a table only if it has the column
    ``measurements``, since most such files are measurements.

    Parameters
    ----------
    place : Path or str
        A file, folder or pattern, on this machine or in object storage.

    Returns
    -------
    bool
        Whether it is a table.

    Raises
    ------
    FetchError
        If the storage cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> is_table(Path("jobs.yaml")), is_table(Path("drive.gpkg"))
    (True, False)
    """
    name = file_name(place).lower()
    if not name.endswith((*_SUFFIXES, ".tsv")) or (
        glob.has_magic(str(place)) and not exists(place)
    ):
        return False
    return not name.endswith(".tsv") or lists_jobs(place)


def lists_jobs(place: Location) -> bool:
    """Tell whether a file that may be a table of jobs is one: YAML, or with a column of files.

    Parameters
    ----------
    place : Path or str
        The file.

    Returns
    -------
    bool
        False if there is no such file.

    Raises
    ------
    FetchError
        If the storage cannot be read.
    """
    if not exists(place):
        return False
    if not file_name(place).lower().endswith((".csv", ".tsv")):
        return True
    text = head_of(place, _HEAD_BYTES).decode("utf-8-sig", errors="replace")
    return _separator(text.splitlines()) is not None


def read_table(table: Location) -> list[TableRow]:
    """Read a table of jobs.

    Parameters
    ----------
    table : Path or str
        CSV, TSV or YAML, on this machine or in object storage.

    Returns
    -------
    list of TableRow
        One for each job.

    Raises
    ------
    ConfigError
        If a column is unknown, or a row has no measurements.
    InputError
        If it is missing, or is not text.
    FetchError
        If a storage cannot be read.
    """
    return [_table_row(row, where) for row, where in _rows(table)]


def _rows(table: Location) -> list[tuple[dict[str, Any], str]]:
    """Rows of a table, each with its line or number for messages."""
    with ExitStack() as places:
        text = read_text(local(table, places, fetched), redacted(str(table)))
    if not file_name(table).lower().endswith((".csv", ".tsv")):
        return _yaml_rows(text, table)
    if "\0" in text:  # which Python 3.10 refuses with an error of its own
        raise ConfigError(
            f"{table} contains a NUL character, so it is damaged.", hint="Save it again as text."
        )
    try:
        return _delimited_rows(text, table)
    except csv.Error as error:
        raise ConfigError(f"{table} cannot be read: {error}.", hint="Check its quotes.") from None


def _separator(lines: list[str]) -> tuple[int, str] | None:
    """Find the line of the header and the separator; None if the text is not a table of jobs."""
    start = next(
        (k for k, line in enumerate(lines) if line.strip() and not is_preamble(line)), None
    )
    if start is None:
        return None
    for separator in SEPARATORS:
        if _NEEDED in _fields(lines[start], separator):
            return start, separator
    return None


def _fields(line: str, separator: str) -> list[str]:
    """Names of the columns of a header."""
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _delimited_rows(text: str, table: Location) -> list[tuple[dict[str, Any], str]]:
    """Rows of a delimited text; empty fields are left out."""
    found = _separator(text.splitlines())
    if found is None:
        raise ConfigError(
            f"{table} has no column {_NEEDED!r}, so it is not a table of jobs.",
            hint="To map one CSV file of measurements, use 'rm-geo predict'.",
        )
    start, separator = found
    lines = io.StringIO(text, newline="")
    for _ in range(start):
        lines.readline()
    names = _fields(lines.readline(), separator)
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{table} has two columns {repeated!r}.", hint="Remove one of them.")
    reader = csv.reader(lines, delimiter=separator)
    parsed: list[tuple[dict[str, Any], str]] = []
    for row in reader:
        where = f"line {start + 1 + reader.line_num} of {table}"
        if not row:
            continue
        if len(row) != len(names):
            raise ConfigError(f"The number of values differs from that of the columns in {where}.")
        pairs = zip(names, row, strict=True)
        parsed.append(({name: value.strip() for name, value in pairs if value.strip()}, where))
    return parsed


def _yaml_rows(text: str, table: Location) -> list[tuple[dict[str, Any], str]]:
    """Rows of a YAML document: a list, or a mapping with ``jobs`` and ``defaults``."""
    document: Any = parse_yaml(text, redacted(str(table)))
    shared: dict[str, Any] = {}
    if isinstance(document, dict):
        unknown = [key for key in document if key not in {"jobs", "defaults"}]
        if unknown:
            raise ConfigError(
                f"{table} has an unknown key {unknown[0]!r}.", hint="Known keys: jobs, defaults."
            )
        shared, document = document.get("defaults") or {}, document.get("jobs")
    entries = document or []
    if not isinstance(entries, list) or not isinstance(shared, dict):
        raise ConfigError(
            f"The jobs of {table} are not a list.", hint="Begin each job with a dash."
        )
    rows = []
    for number, entry in enumerate(entries, start=1):
        where = f"job {number} of {table}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where} is not a mapping of names to values.")
        values = {**shared, **entry}
        # null is the same as an empty field of CSV.
        rows.append(({key: value for key, value in values.items() if value is not None}, where))
    return rows


def _table_row(row: Mapping[str, Any], where: str) -> TableRow:
    """Sort the columns of a row into the job's own and options."""
    settings: dict[str, Any] = {}
    for column, value in row.items():
        if column in _OWN:
            continue
        try:
            settings[option_named(str(column), _OWN).name] = value
        except UsageError as error:
            raise ConfigError(
                f"The column {column!r} in {where} is not known.", hint=error.hint
            ) from None
    given = row.get(_NEEDED, "")
    listed = given if isinstance(given, list) else [given]
    measurements = tuple("" if text is None else str(text).strip() for text in listed)
    if not measurements or not all(measurements):
        raise ConfigError(f"There is no {_NEEDED!r} in {where}.")
    name, output = (str(row.get(own, "")).strip() for own in ("name", "output"))
    plan = str(row.get("plan", "")).strip().lower()
    if plan and plan not in _YES:
        raise ConfigError(f"The plan {plan!r} in {where} is not known.", hint="Write yes or no.")
    thresholds = str(row.get("plan_settings", "")).strip()
    return TableRow(
        where,
        measurements,
        name or None,
        output or None,
        settings,
        _YES.get(plan),
        thresholds or None,
    )
