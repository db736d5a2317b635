"""Jobs of a batch: from a folder, files, or a table, checked before any work begins."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rm_geo.distributed.job_table import TableRow, is_table, read_table
from rm_geo.errors import ConfigError, InputError, RmGeoError
from rm_geo.inference.methods import check_method
from rm_geo.io.crs import parse_crs, require_metric
from rm_geo.io.metadata import exists, find, for_each
from rm_geo.io.object_store import remote_path, require_writable
from rm_geo.io.paths import Location, below, file_name, folder_of, identity, location_of, redacted
from rm_geo.options import PredictOptions
from rm_geo.pipeline.options_file import paths_below
from rm_geo.products.summary import BATCH_SUMMARY_NAMES, SUMMARY_NAMES

MEASUREMENT_SUFFIXES: Final = (
    ".shp",
    ".gpkg",
    ".geojson",
    ".parquet",
    ".geoparquet",
    ".fgb",
    ".csv",
    ".csv.gz",
    ".tsv",
)
_NO_MEASUREMENTS: Final = frozenset({*SUMMARY_NAMES, *BATCH_SUMMARY_NAMES})
"""What an earlier batch may have left in a folder that is mapped into itself."""


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
        One table of jobs (CSV, TSV or YAML), or folders, files and glob patterns of measurements;
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
        If the table has unknown columns, values that are none, names that are no folder's, or
        two jobs with one output.
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
    if len(sources) == 1 and is_table(first):
        base, table = folder_of(first), first
        jobs = [_job(row, base, output, options) for row in read_table(table)]
        if not jobs:
            raise InputError(f"{table} holds no jobs.", hint="Add a row for each file.")
    else:
        files = _files(sources)
        jobs = [
            Job(name, file, below(output, name), options)
            for name, file in zip(_names(files), files, strict=True)
        ]
    _require_files(jobs)
    _require_different(jobs)
    _require_meant(jobs)
    _require_storage(jobs, output)
    return jobs


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
                redacted(f"There are no measurements at {source}."),
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
    stems = [_stem(name) for name in names]
    full = [
        name if stems.count(stem) > 1 else stem for name, stem in zip(names, stems, strict=True)
    ]
    return [
        name if full.count(name) == 1 else f"{name}_{full[: index + 1].count(name)}"
        for index, name in enumerate(full)
    ]


def _stem(name: str) -> str:
    """Give the name of a file without its endings."""
    return name.split(".")[0] or name


def _job(row: TableRow, base: Location, output: Location, defaults: PredictOptions) -> Job:
    """Turn a row of a table into a job."""
    measurements = below(base, row.measurements)
    name = row.name or _stem(file_name(measurements))
    _require_name(name, row.where)
    try:
        options = defaults.replace(**paths_below(base, row.settings))
    except RmGeoError as error:
        raise ConfigError(
            f"{error.message.rstrip('.')} ({row.where}).",
            hint=error.hint,
            parameter=error.parameter,
        ) from error
    folder = below(output, name) if row.output is None else below(base, row.output)
    return Job(name, measurements, folder, options)


def _require_name(name: str, where: str) -> None:
    """Refuse a name that is none of a folder: a job stays below the output."""
    if name in {".", ".."} or not name.isprintable() or set(name) & {"/", "\\"}:
        raise ConfigError(
            f"{name!r} is no name for a job ({where}).",
            hint="It names a folder below the output. The column 'output' names one elsewhere.",
        )


def _require_files(jobs: Sequence[Job]) -> None:
    """Refuse a batch of which a file is missing."""
    users: dict[Location, Job] = {}
    for job in jobs:
        users.setdefault(job.measurements, job)
        for place in (job.options.site.sites, job.options.site.buildings):
            if place is not None:
                users.setdefault(location_of(place), job)
    missing = [
        file for file, there in zip(users, for_each(exists, users), strict=True) if not there
    ]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            redacted(f"{missing[0]} of job {users[missing[0]].name!r} does not exist{more}."),
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


def _require_meant(jobs: Sequence[Job]) -> None:
    """Refuse methods, models and CRS that are none, before workers are started for them."""
    checked: set[str] = set()  # by what they say: most jobs say the same
    for job in jobs:
        options = job.options
        crs = {name: value for name, value in options.flat().items() if name.endswith("crs")}
        known_buildings = options.site.buildings is not None
        method = (
            options.method.name,
            options.method.model,
            options.method.device,
            options.method.method_options,
            known_buildings,
        )
        if (text := repr((method, crs))) in checked:
            continue
        checked.add(text)
        try:
            for name, value in crs.items():
                if value is not None:
                    parsed = parse_crs(value, name)
                    if name == "target_crs":
                        require_metric(parsed)
            check_method(
                options.method.name,
                model=options.method.model,
                device=options.method.device,
                options=options.method.method_options,
                known_buildings=known_buildings,
            )
        except RmGeoError as error:
            raise ConfigError(
                f"{error.message.rstrip('.')} (job {job.name!r}).", hint=error.hint
            ) from error


def _require_storage(jobs: Sequence[Job], output: Location) -> None:
    """Refuse outputs in a storage that cannot be opened, before hours of work for it."""
    for place in (output, *(job.output for job in jobs)):
        if isinstance(place, str):
            remote_path(place)


def require_outputs(output: Location, jobs: Sequence[Job]) -> None:
    """Refuse a batch of which an output in object storage cannot be written.

    Folders of jobs below that of the batch are not tested separately.

    Parameters
    ----------
    output : Path or str
        Folder of the batch.
    jobs : sequence of Job
        Its jobs.

    Raises
    ------
    OutputError
        Naming the first of them.
    """
    whole = identity(output)
    apart = {
        job.output
        for job in jobs
        if isinstance(job.output, str) and not identity(job.output).startswith(f"{whole}/")
    }
    wanted = apart | {output} if isinstance(output, str) else apart
    for_each(require_writable, sorted(wanted))


def settings_text(options: PredictOptions) -> dict[str, str]:
    """Give all options as text, to detect changes of a job.

    Parameters
    ----------
    options : PredictOptions
        Options of a job.

    Returns
    -------
    dict of str to str
        Flat names and values.
    """
    return {name: repr(value) for name, value in options.flat().items()}
