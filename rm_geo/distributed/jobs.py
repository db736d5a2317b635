"""Jobs of a batch, from a folder, files or a table; checked before any work begins."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rm_geo.distributed.job_table import TableRow, is_table, lists_jobs, read_table
from rm_geo.errors import ConfigError, InputError, RmGeoError, UsageError, redacted
from rm_geo.inference.methods import check_method
from rm_geo.io.crs import parse_crs, require_metric
from rm_geo.io.metadata import exists, find, for_each
from rm_geo.io.object_store import fetched, local, remote_path, require_writable
from rm_geo.io.paths import Location, below, file_name, folder_of, identity, location_of
from rm_geo.options import PredictOptions
from rm_geo.pipeline.options_file import paths_below
from rm_geo.planning.settings import PlanSettings, read_plan_settings
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
TOGETHER: Final = "together"
"""Name of the job of all files."""

_NO_MEASUREMENTS: Final = frozenset({*SUMMARY_NAMES, *BATCH_SUMMARY_NAMES})
"""Outputs of an earlier batch that are not measurements, if input and output folder are one."""


@dataclass(frozen=True)
class Job:
    """One or several files of measurements with their output folder and options.

    Attributes
    ----------
    name : str
        Unique in its batch.
    measurements : tuple of (Path or str)
        The files, logs of one area if there are several; a str is a URL in object storage.
    output : Path or str
        Folder of the maps.
    options : PredictOptions
        Options of the run.
    plan : PlanSettings or None
        Thresholds of the planning products that are derived from the maps; None for none.
    """

    name: str
    measurements: tuple[Location, ...]
    output: Location
    options: PredictOptions
    plan: PlanSettings | None = None

    @property
    def source_label(self) -> str:
        """The files in messages and tables, without credentials."""
        return redacted(", ".join(str(place) for place in self.measurements))


def read_jobs(
    sources: Sequence[str | Path],
    output: Location,
    defaults: PredictOptions | None = None,
    *,
    together: bool = False,
    plan: PlanSettings | None = None,
) -> list[Job]:
    """Read jobs from a table, or make one for each measurement file of folders and patterns.

    Parameters
    ----------
    sources : sequence of str or Path
        One table of jobs (CSV, TSV or YAML), or folders, files and glob patterns of measurements;
        on this machine or in object storage.
    output : Path or str
        Parent of the jobs' folders, unless the table states another folder.
    defaults : PredictOptions, optional
        Options that the table does not state.
    together : bool
        Make one job of all files, which are logs of one area: folders, files and patterns only.
    plan : PlanSettings, optional
        Thresholds of the plans of jobs for which a table states nothing else; no plans if not
        given. A plan reads the uncertainty of the maps, so that it is written too.

    Returns
    -------
    list of Job
        At least one; the files exist, the outputs differ.

    Raises
    ------
    ConfigError
        If the table has unknown columns, invalid values or names, or two jobs with the same
        output.
    InputError
        If a table, a folder, or a file of measurements, sites or buildings is missing or empty.
    FetchError
        If a storage cannot be read.
    DependencyError
        If a package for a kind of storage is not installed.
    UsageError
        If a URL is invalid, or the files of a table are asked for together.

    Examples
    --------
    >>> jobs = read_jobs(["drives", "more/*.gpkg"], Path("maps"))  # doctest: +SKIP
    >>> jobs[0].measurements  # doctest: +SKIP
    (PosixPath('drives/monday.csv'),)
    """
    options = defaults or PredictOptions()
    first = location_of(sources[0])
    if together and is_table(first) and lists_jobs(first):
        raise UsageError(
            f"{redacted(str(first))} is a table of jobs, and `together` makes one job of files.",
            parameter="together",
            hint="In a YAML table a job may list several files as its measurements.",
        )
    if together:
        name = TOGETHER
        jobs = [Job(name, tuple(_files(sources)), below(output, name), options, plan)]
    elif len(sources) == 1 and is_table(first):
        base, table = folder_of(first), first
        jobs = [_job(row, base, output, options, plan) for row in read_table(table)]
        if not jobs:
            raise InputError(f"{table} has no jobs.", hint="Add a row for each file.")
    else:
        files = _files(sources)
        jobs = [
            Job(name, (file,), below(output, name), options, plan)
            for name, file in zip(_names(files), files, strict=True)
        ]
    jobs = [
        job if job.plan is None else replace(job, options=job.options.replace(uncertainty=True))
        for job in jobs
    ]
    _require_files(jobs)
    _require_different(jobs)
    _require_valid(jobs)
    _require_storage(jobs, output)
    return jobs


def _files(sources: Sequence[str | Path]) -> list[Location]:
    """Measurement files of folders, names and patterns, each once, sorted."""
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
    """Measurement files of a local folder, name or pattern."""
    if path.is_dir():
        return [file for file in path.iterdir() if file.name.lower().endswith(MEASUREMENT_SUFFIXES)]
    if path.exists():
        return [path]
    return [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute patterns


def _names(files: Sequence[Location]) -> list[str]:
    """Short unique names of files."""
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
    """Name of a file without its extensions."""
    return name.split(".")[0] or name


def _job(
    row: TableRow,
    base: Location,
    output: Location,
    defaults: PredictOptions,
    plan: PlanSettings | None,
) -> Job:
    """Make a job of a row of a table."""
    measurements = tuple(
        file for text in row.measurements for file in _listed_files(below(base, text))
    )
    name = row.name or _stem(file_name(measurements[0]))
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
    return Job(name, measurements, folder, options, _plan_of(row, base, plan))


def _plan_of(row: TableRow, base: Location, default: PlanSettings | None) -> PlanSettings | None:
    """Thresholds of the plan of a row; None for none."""
    if row.plan is False:
        return None
    if row.plan_settings is not None:
        with ExitStack() as places:
            return read_plan_settings(local(below(base, row.plan_settings), places, fetched))
    return PlanSettings() if row.plan and default is None else default


def _listed_files(place: Location) -> list[Location]:
    """Files of an entry of a table, which may be a pattern."""
    if glob.has_magic(str(place)) and not exists(place):
        return _files([place])
    return [place]


def _require_name(name: str, where: str) -> None:
    """Raise for a name that cannot be that of a folder below the output."""
    if name in {".", ".."} or not name.isprintable() or set(name) & {"/", "\\"}:
        raise ConfigError(
            f"{name!r} cannot be the name of a job ({where}).",
            hint="It names a folder below the output. The column 'output' takes any other folder.",
        )


def _require_files(jobs: Sequence[Job]) -> None:
    """Raise if an input file is missing."""
    users: dict[Location, Job] = {}
    for job in jobs:
        for file in job.measurements:
            users.setdefault(file, job)
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
    """Raise if two jobs have the same name or output folder."""
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
                    f"Two jobs have the same {what}: {other.source_label} and {job.source_label} "
                    f"({job.name}).",
                    hint=f"Give each its own {what}.",
                )


def _require_valid(jobs: Sequence[Job]) -> None:
    """Raise for invalid methods, models and CRS, before workers are started."""
    checked: set[str] = set()  # most jobs have the same
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
    """Raise if the storage of an output cannot be opened, before any work."""
    for place in (output, *(job.output for job in jobs)):
        if isinstance(place, str):
            remote_path(place)


def require_outputs(output: Location, jobs: Sequence[Job]) -> None:
    """Raise if an output in object storage cannot be written.

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
        For the first output that cannot be written.
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
