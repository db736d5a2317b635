"""How far the jobs of a batch are, written down beside their outputs."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import prepare_output_folder, replacing
from rm_geo._version import __version__
from rm_geo.distributed.jobs import Job, settings_text
from rm_geo.errors import RmGeoError
from rm_geo.estimators.registry import method_info
from rm_geo.io.metadata import exists, file_sizes, version_of
from rm_geo.io.object_store import fetched, remove, stored
from rm_geo.io.paths import Location, identity, location_of, redacted
from rm_geo.measurements.cleaning import worth_a_look
from rm_geo.products.summary import BATCH_SUMMARY_NAMES, CellResult
from rm_geo.zoo.catalog import find_model, list_models, verify_model

STATE_NAME: Final = "batch_state.json"


@dataclass
class JobState:
    """How far a job is.

    Attributes
    ----------
    job : Job
        Which.
    key : str
        Changes with its measurements, its site table, its buildings, its model's weights, its
        options and the version.
    waiting : int
        Tasks that are not finished.
    results : dict of str to CellResult
        By cell.
    message : str
        Why the job as a whole failed.
    attempts : int
        Tasks that were tried again.
    seconds : float
        Time on workers.
    skipped : bool
        Whether an earlier batch had completed it.
    lines : dict of str to None
        What its tasks said, each once, in order.
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

    @property
    def warnings(self) -> list[str]:
        """What a person should look at: rows that were left out, and doubts about cells."""
        of_cells = [
            f"cell {cell.cell}: {warning}"
            for cell in self.results.values()
            for warning in cell.warnings
        ]
        return worth_a_look(self.lines) + of_cells

    @property
    def status(self) -> str:
        """``done``, ``partly`` (some cells failed) or ``failed``; skipped cells are no failures."""
        if self.message or not any(cell.is_mapped for cell in self.results.values()):
            return "failed"
        return "partly" if any(cell.is_failed for cell in self.results.values()) else "done"

    @property
    def reason(self) -> str:
        """Why the job, or its first failed cell, failed."""
        if self.message or self.status == "done":
            return self.message
        # Of a job whose cells are all too small, that is the reason.
        unmapped = [cell for cell in self.results.values() if not cell.is_mapped]
        unmapped.sort(key=lambda cell: (cell.is_skipped, -cell.measurements))
        return unmapped[0].message if unmapped else ""


_PAUSE: Final = 20.0
"""Times the time that writing took: writing is a twentieth of a batch at most."""


class BatchRecord:
    """What a batch has completed so far, in a file beside its outputs."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self._jobs: dict[str, dict[str, Any]] = {}
        self._due_s = 0.0
        self._weights: dict[str, str] = {}  # by method and model: most jobs share theirs
        if not fresh and path.exists():
            try:
                self._jobs = dict(json.loads(path.read_text("utf-8"))["jobs"])
            except (OSError, ValueError, KeyError, TypeError):
                self._jobs = {}

    def restored(self, job: Job) -> JobState:
        """Give the state of a job, as far as an earlier batch came with it."""
        state = JobState(job, _key(job, self._weights_of(job)))
        noted = self._jobs.get(job.name)
        try:
            if noted is None or noted["key"] != state.key or job.options.output.fresh:
                raise KeyError(job.name)
            results = [CellResult.restored(values) for values in noted["cells"]]
            complete = bool(noted["complete"])
            lines = dict.fromkeys(str(line) for line in noted.get("lines", ()))
        except (AttributeError, KeyError, TypeError):  # of another job or form, or not wanted
            self._jobs.pop(job.name, None)
            return state
        state.lines = lines
        there = file_sizes(job.output)
        for result in results:
            if result.is_skipped or (result.is_mapped and result.is_whole(there)):
                state.results[result.cell] = result
        state.skipped = complete and len(state.results) == len(results)
        return state

    def _weights_of(self, job: Job) -> str:
        """Tell which weights a job computes with."""
        about = f"{job.options.method.name} {job.options.method.model}"
        if about not in self._weights:
            self._weights[about] = weights_version(
                job.options.method.name, job.options.method.model
            )
        return self._weights[about]

    def note(self, state: JobState) -> None:
        """Write down how far a job is; at once, unless writing takes a share of the time.

        The file is written whole, and so takes longer the more jobs it holds. What a batch that
        is killed had not written yet is done again, to the same bytes.
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
        """Write down all that was noted."""
        began_s = time.monotonic()
        with replacing(self.path) as part:
            part.write_text(json.dumps({"jobs": self._jobs}), "utf-8")
        ended_s = time.monotonic()
        self._due_s = ended_s + _PAUSE * (ended_s - began_s)


def weights_version(method: str, model: Path | str | None) -> str:
    """Tell weights from others: a checksum, of all listed ones where a method's default counts.

    Empty where there are none, or none that can be read: the job itself will say why.
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
    """Tell whether a job is the same as before: files, weights, options, and the version."""
    beside = [
        None if place is None else version_of(location_of(place))
        for place in (job.options.site.sites, job.options.site.buildings)
    ]
    text = json.dumps(
        [
            __version__,
            identity(job.measurements),
            identity(job.output),
            version_of(job.measurements),
            *beside,
            weights,
            settings_text(job.options.replace(fresh=False)),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def record_folder(output: Location) -> Iterator[Path]:
    """Give the folder of a batch's record and summary for the length of a block.

    Of an output in object storage it is one of this machine: an interrupted batch finds its
    record there, one that ended with failures finds it in the storage.

    Raises
    ------
    OutputError
        If the folder, or the storage in the end, cannot be written.
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


def write_batch_summary(states: Sequence[JobState], folder: Path) -> None:
    """Write ``batch_summary.csv`` and ``batch_summary.json``, one row for each job."""
    rows = [
        {
            "job": state.job.name,
            "status": state.status,
            "message": state.reason,
            "measurements": redacted(str(state.job.measurements)),
            "output": redacted(str(state.job.output)),
            "cells": len(state.results),
            "cells_mapped": sum(result.is_mapped for result in state.results.values()),
            "cells_skipped": sum(result.is_skipped for result in state.results.values()),
            "tries_again": state.attempts,
            "seconds": round(state.seconds, 1),
            "skipped": state.skipped,
            "warnings": "; ".join(state.warnings),
        }
        for state in states
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replacing(folder / "batch_summary.csv") as part:
        part.write_text(table.getvalue(), "utf-8", newline="")
    with replacing(folder / "batch_summary.json") as part:
        part.write_text(json.dumps({"jobs": rows}, indent=2, ensure_ascii=False) + "\n", "utf-8")
