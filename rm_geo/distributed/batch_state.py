"""Progress of the jobs of a batch, recorded beside their outputs."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import prepare_output_folder, replacing
from rm_geo._util.checksummed import from_line, to_line
from rm_geo._util.csv_text import csv_text
from rm_geo._util.own_folder import OwnFolder
from rm_geo._version import __version__
from rm_geo.distributed.jobs import Job, settings_text
from rm_geo.errors import RmGeoError, redacted, with_known_paths
from rm_geo.estimators.registry import method_info
from rm_geo.io.metadata import exists, file_sizes, version_of
from rm_geo.io.object_store import fetched, remove, stored
from rm_geo.io.paths import Location, identity, location_of
from rm_geo.measurements.cleaning import notable_lines
from rm_geo.products.summary import BATCH_SUMMARY_NAMES, CellResult
from rm_geo.zoo.catalog import find_model, list_models, verify_model

STATE_NAME: Final = "batch_state.txt"
_PURPOSE: Final = "job of a batch"
_LARGEST_BYTES: Final = 1 << 30

PLAN_DONE: Final = "done"
"""State of complete planning products."""


@dataclass
class JobState:
    """Progress of a job.

    Attributes
    ----------
    job : Job
        The job.
    key : str
        Fingerprint of its measurements, site table, buildings, model weights, options and the
        version of rm_geo.
    waiting : int
        Number of unfinished tasks.
    results : dict of str to CellResult
        Results by cell.
    message : str
        Why the job as a whole failed; empty otherwise.
    attempts : int
        Number of repeated attempts of its tasks.
    seconds : float
        Time on workers in seconds.
    skipped : bool
        Whether an earlier batch had completed it.
    lines : dict of str to None
        Log lines of its tasks, each once, in order.
    plan : str
        ``done`` if the planning products are complete, else why they are not; empty if none are
        asked for, or before they are made.
    """

    job: Job
    key: str
    waiting: int = 0
    results: dict[str, CellResult] = field(default_factory=dict)
    message: str = ""
    attempts: int = 0
    seconds: float = 0.0
    skipped: bool = False
    lines: dict[str, None] = field(default_factory=dict)
    plan: str = ""

    @property
    def has_open_plan(self) -> bool:
        """Whether planning products are asked for, and not complete."""
        return self.job.plan is not None and self.plan != PLAN_DONE

    @property
    def warnings(self) -> list[str]:
        """Warnings of its tasks and cells, such as rows that were left out."""
        of_cells = [
            f"cell {cell.cell}: {warning}"
            for cell in self.results.values()
            for warning in cell.warnings
        ]
        return notable_lines(self.lines) + of_cells

    @property
    def status(self) -> str:
        """``done``, ``partly`` (some cells or the plan failed) or ``failed``.

        Skipped cells are no failures.
        """
        if self.message or not any(cell.is_mapped for cell in self.results.values()):
            return "failed"
        if self.has_open_plan or any(cell.is_failed for cell in self.results.values()):
            return "partly"
        return "done"

    @property
    def reason(self) -> str:
        """Why the job, the first of its failed cells, or its plan failed; empty if none did."""
        if self.message or self.status == "done":
            return self.message
        if self.status == "partly" and not any(cell.is_failed for cell in self.results.values()):
            return f"Plan: {self.plan}"
        # Failed cells before those that are only too small.
        unmapped = [cell for cell in self.results.values() if not cell.is_mapped]
        unmapped.sort(key=lambda cell: (cell.is_skipped, -cell.measurements))
        return unmapped[0].message if unmapped else ""


_PAUSE: Final = 20.0
"""Pause after writing, in multiples of the time it took: at most 5 % of a batch is writing."""


class BatchRecord:
    """Record of the complete cells of a batch, in a file beside the outputs.

    Parameters
    ----------
    path : Path
        The file, one line with a checksum for each job; it is read if it exists.
    fresh : bool
        Ignore an existing file.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self._jobs: dict[str, dict[str, Any]] = {}
        self._due_s = 0.0
        self._weights: dict[str, str] = {}  # by method and model: most jobs share theirs
        if not fresh:
            self._jobs = dict(_recorded_jobs(path))

    def restored(self, job: Job) -> JobState:
        """Restore the state of a job from an earlier batch.

        Parameters
        ----------
        job : Job
            The job.

        Returns
        -------
        JobState
            Holds the complete cells whose files still exist, if nothing has changed since.
        """
        state = JobState(job, _key(job, self._weights_of(job)))
        recorded = self._jobs.get(job.name)
        try:
            if recorded is None or recorded["key"] != state.key or job.options.output.fresh:
                raise KeyError(job.name)
            results = [CellResult.restored(values) for values in recorded["cells"]]
            complete = bool(recorded["complete"])
            lines = dict.fromkeys(str(line) for line in recorded.get("lines", ()))
        except (AttributeError, KeyError, TypeError):  # of another job or version, or not wanted
            self._jobs.pop(job.name, None)
            return state
        state.lines = lines
        there = file_sizes(job.output)
        for result in results:
            if result.is_skipped or (result.is_mapped and result.is_whole(there)):
                state.results[result.cell] = result
        state.skipped = complete and len(state.results) == len(results)
        if state.skipped and job.plan is not None:
            state.plan = PLAN_DONE
        return state

    def _weights_of(self, job: Job) -> str:
        """Version of the weights of a job's model."""
        about = f"{job.options.method.name} {job.options.method.model}"
        if about not in self._weights:
            self._weights[about] = weights_version(
                job.options.method.name, job.options.method.model
            )
        return self._weights[about]

    def note(self, state: JobState) -> None:
        """Record the progress of a job.

        The whole file is written each time. It is not written immediately if writing would take
        more than 5 % of the time: cells that were not recorded when a batch is killed are mapped
        again, with the same result.

        Parameters
        ----------
        state : JobState
            The job.
        """
        self._jobs[state.job.name] = {
            "key": state.key,
            "complete": state.waiting == 0 and state.status == "done",
            "cells": [asdict(result) for result in state.results.values()],
            "lines": list(state.lines),
        }
        if time.monotonic() >= self._due_s:
            self.write()

    def write(self) -> None:
        """Write the file."""
        began_s = time.monotonic()
        with replacing(self.path) as part, part.open("wb") as file:
            file.writelines(to_line([name, job], _PURPOSE) for name, job in self._jobs.items())
        ended_s = time.monotonic()
        self._due_s = ended_s + _PAUSE * (ended_s - began_s)


def _recorded_jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the jobs of a record; damaged lines count as absent."""
    try:
        lines = OwnFolder(path.parent).read(path.name, _LARGEST_BYTES).splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            name, job = from_line(line, _PURPOSE)
            yield str(name), dict(job)


def weights_version(method: str, model: Path | str | None) -> str:
    """Compute a text that changes with the weights of a method.

    Parameters
    ----------
    method : str
        Name of the method.
    model : Path, str or None
        Name or file of the model; None for the default of the method.

    Returns
    -------
    str
        Checksum of the model, or of the whole index for a default. Empty for a method without
        weights, and if they cannot be read: the job will report that.
    """
    with contextlib.suppress(RmGeoError):
        if not method_info(method).is_network:
            return ""
        if model is not None:
            return verify_model(find_model(model))
        listed = [f"{record.name} {record.sha256}" for record in list_models()]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()
    return ""


def _key(job: Job, weights: str) -> str:
    """Fingerprint of a job: its files, weights, options, and the version of rm_geo."""
    beside = [
        None if place is None else version_of(location_of(place))
        for place in (job.options.site.sites, job.options.site.buildings)
    ]
    text = json.dumps(
        [
            __version__,
            [identity(file) for file in job.measurements],
            identity(job.output),
            [version_of(file) for file in job.measurements],
            *beside,
            weights,
            settings_text(job.options.replace(fresh=False)),
            None if job.plan is None else job.plan.model_dump_json(),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def record_folder(output: Location) -> Iterator[Path]:
    """Open the folder for the record and the summary of a batch.

    For an output in object storage it is a local folder. An interrupted batch finds its record
    there; a batch that ended with failures finds it in the storage.

    Parameters
    ----------
    output : Path or str
        Output of the batch.

    Yields
    ------
    Path
        A local folder; uploaded at the end if the output is in object storage.

    Raises
    ------
    OutputError
        If the folder or the storage cannot be written.
    """
    if not isinstance(output, str):
        yield prepare_output_folder(output)
        return
    record = f"{output.rstrip('/')}/{STATE_NAME}"
    with stored(output, (STATE_NAME, *BATCH_SUMMARY_NAMES), part="batch") as folder:
        if not (folder / STATE_NAME).exists() and exists(record):
            with fetched(record) as copy, replacing(folder / STATE_NAME) as part:
                shutil.copyfile(copy, part)
        yield folder
        complete = not (folder / STATE_NAME).exists()
    if complete:
        remove(record)


def _relative(place: Location, folder: Path) -> str:
    """Name a file relative to a folder; an address without its credentials."""
    if isinstance(place, str):
        return redacted(place)
    try:
        return Path(os.path.relpath(place, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return place.name


def _portable(text: str, job: Job, folder: Path) -> str:
    """Name the files of a job relative to a folder in a text."""
    beside = (job.options.site.sites, job.options.site.buildings)
    places = [*job.measurements, job.output, *(location_of(p) for p in beside if p is not None)]
    names = {str(p): _relative(p, folder) for p in places if isinstance(p, Path)}
    longest_first = dict(sorted(names.items(), key=lambda item: -len(item[0])))
    return redacted(with_known_paths(text, longest_first))


def write_batch_summary(states: Sequence[JobState], folder: Path) -> None:
    """Write ``batch_summary.csv`` and ``batch_summary.json``, one row for each job.

    Parameters
    ----------
    states : sequence of JobState
        The jobs; at least one.
    folder : Path
        Folder of the two files.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    rows = [
        {
            "job": state.job.name,
            "status": state.status,
            "message": _portable(state.reason, state.job, folder),
            "measurements": ", ".join(_relative(p, folder) for p in state.job.measurements),
            "output": _relative(state.job.output, folder),
            "cells": len(state.results),
            "cells_mapped": sum(result.is_mapped for result in state.results.values()),
            "cells_skipped": sum(result.is_skipped for result in state.results.values()),
            "tries_again": state.attempts,
            "seconds": round(state.seconds, 1),
            "plan": _portable(state.plan, state.job, folder),
            "skipped": state.skipped,
            "warnings": _portable("; ".join(state.warnings), state.job, folder),
        }
        for state in states
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows({key: csv_text(value) for key, value in row.items()} for row in rows)
    with replacing(folder / "batch_summary.csv") as part:
        part.write_text(table.getvalue(), "utf-8", newline="")
    with replacing(folder / "batch_summary.json") as part:
        part.write_text(json.dumps({"jobs": rows}, indent=2, ensure_ascii=False) + "\n", "utf-8")
