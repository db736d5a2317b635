"""Jobs of a batch: from a folder, files, or a table, checked before any work begins."""

from __future__ import annotations

import csv
import difflib
import glob
import io
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from rm_geo.cell_products import BATCH_SUMMARY_NAMES, SUMMARY_NAMES
from rm_geo.errors import ConfigError, InputError, RmGeoError
from rm_geo.locations import (
    Location,
    below,
    file_name,
    folder_of,
    identity,
    location_of,
    url_of,
)
from rm_geo.predict_options import PredictOptions
from rm_geo.remote import fetched, local, open_storage, require_writable
from rm_geo.stored_files import exists, find, for_each

MEASUREMENT_SUFFIXES: Final = (
    ".shp", ".gpkg", ".geojson", ".parquet", ".geoparquet", ".fgb", ".csv", ".csv.gz", ".tsv",
)  # fmt: skip
_TABLE_SUFFIXES: Final = (".csv", ".yaml", ".yml")
_OWN: Final = ("measurements", "output", "name")
_NO_MEASUREMENTS: Final = frozenset({*SUMMARY_NAMES, *BATCH_SUMMARY_NAMES})
"""What an earlier batch may have left in a folder that is mapped into itself."""
# As the options of ``rm-geo predict`` are called.
_SHORT_NAMES: Final = {
    "reach": "reach_m", "resolution": "resolution_m", "tile_size": "tile_size_px",
    "overlap": "overlap_px", "eirp": "eirp_dbm", "frequency": "frequency_mhz",
    "noise": "noise_db", "cell": "cells",
}  # fmt: skip
_YES: Final = frozenset({"yes", "true", "1", "on"})
_NO: Final = frozenset({"no", "false", "0", "off"})


@dataclass(frozen=True)
class Job:
    """One file of measurements, and what becomes of it.

    Attributes
    ----------
    name : str
        Unique in its batch.
    measurements : Path or str
        The file; text is an address in object storage.
    output : Path or str
        Folder of its maps.
    options : PredictOptions
        How.
    """

    name: str
    measurements: Location
    output: Location
    options: PredictOptions


def read_jobs(
    sources: Sequence[str | Path], output: Location, defaults: PredictOptions | None = None
) -> list[Job]:
    """Make jobs of a table, or of the measurement files that a folder or patterns name.

    Parameters
    ----------
    sources : sequence of str or Path
        One table of jobs (CSV or YAML), or folders, files and glob patterns of measurements;
        on this machine or in object storage.
    output : Path or str
        Folder under which each job gets one of its own, unless the table names another.
    defaults : PredictOptions, optional
        What holds where the table says nothing.

    Returns
    -------
    list of Job
        At least one; files that exist, outputs that differ.

    Raises
    ------
    ConfigError
        If the table has unknown columns, values that are none, or two jobs with one output.
    InputError
        If a table, a folder, a file of measurements or of sites is missing or empty.
    FetchError
        If a storage cannot be read.
    DependencyError
        If a package for a kind of storage is not installed.
    UsageError
        If an address cannot be meant.
    """
    options = defaults or PredictOptions()
    first = location_of(sources[0])
    if len(sources) == 1 and _is_table(first):
        base, table = folder_of(first), first
        jobs = [_job(row, where, base, output, options) for row, where in _rows(table)]
        if not jobs:
            raise InputError(f"{table} holds no jobs.", hint="Add a row for each file.")
    else:
        files = _files(sources)
        jobs = [Job(name, file, below(output, name), options)
                for name, file in zip(_names(files), files, strict=True)]  # fmt: skip
    _require_files(jobs)
    _require_different(jobs)
    _require_storage(jobs, output)
    return jobs


def _is_table(place: Location) -> bool:
    """Whether a place is a table of jobs by its name; a pattern of tables is one of files."""
    named = file_name(place).lower().endswith(_TABLE_SUFFIXES)
    return named and (not glob.has_magic(str(place)) or exists(place))


def _files(sources: Sequence[str | Path]) -> list[Location]:
    """Measurement files that folders, names and patterns stand for, each once, sorted."""
    found: dict[str, Location] = {}
    for source in sources:
        place = location_of(source)
        inside: Sequence[Location] = (
            _local_files(place) if isinstance(place, Path) else find(place, MEASUREMENT_SUFFIXES)
        )
        inside = [file for file in inside if file_name(file) not in _NO_MEASUREMENTS]
        if not inside:
            raise InputError(
                f"There are no measurements at {source}.",
                hint=f"Files end in {', '.join(MEASUREMENT_SUFFIXES)}.",
            )
        for file in inside:
            found.setdefault(identity(file), file)
    return sorted(found.values(), key=str)


def _local_files(path: Path) -> list[Path]:
    """Measurement files that a folder, a name or a pattern on this machine stands for."""
    if path.is_dir():
        return [file for file in path.iterdir() if file.name.lower().endswith(MEASUREMENT_SUFFIXES)]
    if path.exists():
        return [path]
    return [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute patterns


def _names(files: Sequence[Location]) -> list[str]:
    """Short names of files that are all different."""
    names = [file_name(file) for file in files]
    stems = [name.split(".")[0] or name for name in names]
    full = [
        name if stems.count(stem) > 1 else stem for name, stem in zip(names, stems, strict=True)
    ]
    return [
        name if full.count(name) == 1 else f"{name}_{full[: index + 1].count(name)}"
        for index, name in enumerate(full)
    ]


def _rows(table: Location) -> list[tuple[dict[str, Any], str]]:
    """Rows of a table, and where each is, for messages."""
    try:
        with ExitStack() as places:
            text = local(table, places, fetched).read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{table} does not exist.", hint="Check the path.") from None
    except (OSError, UnicodeError) as error:
        raise InputError(f"{table} cannot be read: {error}.", hint="Save it as UTF-8.") from error
    if file_name(table).lower().endswith(".csv"):
        rows = csv.DictReader(io.StringIO(text))
        if rows.fieldnames is None or "measurements" not in rows.fieldnames:
            raise ConfigError(
                f"{table} has no column 'measurements', so it is no table of jobs.",
                hint="To map one CSV file of measurements, use 'rm-geo predict'.",
            )
        parsed: list[tuple[dict[str, Any], str]] = []
        for row in rows:
            where = f"line {rows.line_num} of {table}"
            if None in row or None in row.values():
                raise ConfigError(f"There are more or fewer values than columns in {where}.")
            parsed.append(({k: v for k, v in row.items() if v.strip()}, where))
        return parsed
    return _yaml_rows(text, table)


def _yaml_rows(text: str, table: Location) -> list[tuple[dict[str, Any], str]]:
    """Jobs of a YAML document: a list, or a mapping with ``jobs`` and ``defaults``."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{table} is not YAML: {error}.") from error
    shared: dict[str, Any] = {}
    if isinstance(document, dict):
        unknown = [key for key in document if key not in {"jobs", "defaults"}]
        if unknown:
            raise ConfigError(
                f"{table} has an unknown key {unknown[0]!r}.", hint="Known are jobs and defaults."
            )
        shared, document = document.get("defaults") or {}, document.get("jobs")
    entries = document or []
    if not isinstance(entries, list) or not isinstance(shared, dict):
        raise ConfigError(f"The jobs of {table} are not a list.", hint="Begin each with a dash.")
    rows = []
    for number, entry in enumerate(entries, start=1):
        where = f"job {number} of {table}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where} is no mapping of names to values.")
        rows.append(({**shared, **entry}, where))
    return rows


def _job(
    row: Mapping[str, Any], where: str, base: Location, output: Location, defaults: PredictOptions
) -> Job:
    """Turn a row of a table into a job."""
    kinds = typing.get_type_hints(PredictOptions)
    settings: dict[str, Any] = {}
    for column, value in row.items():
        if column in _OWN:
            continue
        name = _SHORT_NAMES.get(column, column)
        if name not in kinds:
            raise ConfigError(
                f"The column {column!r} in {where} is not known.", hint=_suggestion(column, kinds)
            )
        settings[name] = _converted(value, kinds[name], f"{column!r} in {where}")
    if "measurements" not in row:
        raise ConfigError(f"There is no 'measurements' in {where}.")
    measurements = below(base, str(row["measurements"]))
    name = str(row.get("name", file_name(measurements).split(".")[0]))
    folder = below(base, str(row["output"])) if "output" in row else below(output, name)
    for beside in ("sites", "buildings"):
        if settings.get(beside) is not None:
            settings[beside] = below(base, settings[beside])
    try:
        options = replace(defaults, **settings)
    except RmGeoError as error:
        raise ConfigError(f"{error.message.rstrip('.')} ({where}).", hint=error.hint) from error
    return Job(name, measurements, folder, options)


def _suggestion(column: str, kinds: Mapping[str, Any]) -> str:
    """Name the columns that may have been meant."""
    known = [*_OWN, *_SHORT_NAMES, *kinds]
    close = difflib.get_close_matches(column, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(sorted(known))}."


def _converted(value: object, kind: Any, where: str) -> Any:  # noqa: ANN401 - any option's type
    """Read a value as the type of an option."""
    parts = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    listed = next((part for part in parts if typing.get_origin(part) is tuple), None)
    origin = typing.get_origin(kind)
    if value is None and type(None) in parts:
        return None
    text = str(value).strip()
    try:
        if listed is not None:
            items = value if isinstance(value, (list, tuple)) else text.replace(",", " ").split()
            number = typing.get_args(listed)[0] is float
            return tuple(float(item) if number else str(item) for item in items)
        if kind is bool:
            return _truth(text)
        if any(part is float for part in parts):
            return float(text)
        if any(part is int for part in parts) and str not in parts:
            return int(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no value for {where}.") from None
    if Path in parts and str not in parts:
        return Path(text)
    if isinstance(value, Mapping):
        return dict(value)
    if origin is not None and not isinstance(kind, types.UnionType):
        raise ConfigError(f"{text!r} is no value for {where}.", hint="Give a mapping, in YAML.")
    return text


def _truth(text: str) -> bool:
    """Read yes or no."""
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise ValueError(text)


def _require_files(jobs: Sequence[Job]) -> None:
    """Refuse a batch of which a file is missing."""
    users: dict[Location, Job] = {}
    for job in jobs:
        users.setdefault(job.measurements, job)
        for place in (job.options.sites, job.options.buildings):
            if place is not None:
                users.setdefault(location_of(place), job)
    missing = [
        file for file, there in zip(users, for_each(exists, users), strict=True) if not there
    ]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{missing[0]} of job {users[missing[0]].name!r} does not exist{more}.",
            hint="Paths in a table are relative to the table's folder.",
        )


def _require_different(jobs: Sequence[Job]) -> None:
    """Refuse two jobs with one name or one output folder."""
    seen: dict[object, Job] = {}
    checks: tuple[tuple[str, Callable[[Job], object]], ...] = (
        ("name", lambda job: ("name", job.name)),
        ("output folder", lambda job: ("output", identity(job.output))),
    )
    for what, key in checks:
        for job in jobs:
            other = seen.setdefault(key(job), job)
            if other is not job:
                raise ConfigError(
                    f"Two jobs have the same {what}: {other.measurements} and {job.measurements} "
                    f"({job.name}).",
                    hint=f"Give each its own {what}.",
                )


def _require_storage(jobs: Sequence[Job], output: Location) -> None:
    """Refuse outputs in a storage that cannot be opened, before hours of work for it."""
    for place in (output, *(job.output for job in jobs)):
        if isinstance(place, str):
            open_storage(url_of(place))


def require_outputs(output: Location, jobs: Sequence[Job]) -> None:
    """Refuse a batch of which an output in object storage cannot be written.

    The folders of jobs below that of the batch are as that one.

    Raises
    ------
    OutputError
        Naming the first of them.
    """
    whole = identity(output)
    apart = {
        job.output for job in jobs
        if isinstance(job.output, str) and not identity(job.output).startswith(f"{whole}/")
    }  # fmt: skip
    wanted = apart | {output} if isinstance(output, str) else apart
    for_each(require_writable, sorted(wanted))


def settings_text(options: PredictOptions) -> dict[str, str]:
    """Give all options as text, to tell whether a job changed."""
    return {field.name: repr(getattr(options, field.name)) for field in fields(options)}
