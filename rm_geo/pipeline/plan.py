"""Plan of a run: measurements read, cleaned and split by cell, and the grid of each cell."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from rm_geo._util.memory import release_arrow_pool, trim_malloc
from rm_geo.errors import InputError, UsageError
from rm_geo.io.provenance import describe_inputs
from rm_geo.measurements.joining import join_measurements, joining_notes
from rm_geo.measurements.model import CellPart, Measurements
from rm_geo.measurements.reader import read_selected, read_with_options, selection_of
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell_plan import CellPlan, plan_cell
from rm_geo.pipeline.log_weight import MAX_PLANNED, LogWeight
from rm_geo.progress import Progress, SilentProgress

Log: TypeAlias = str | os.PathLike[str] | Measurements
"""A file of measurements, or measurements in memory."""

Logs: TypeAlias = Log | Sequence[Log]
"""One log, or several of one area that are mapped together."""


@dataclass(frozen=True)
class RunPlan:
    """Plan of a run.

    Attributes
    ----------
    measurements : Measurements
        All measurements, in a projected CRS in metres, grouped by cell.
    dropped : int
        Number of rows of the files that could not be used.
    cells : tuple of CellPlan
        The requested cells, the largest first.
    log_weight : LogWeight or None
        Weight of a network in all maps of the log, estimated by its largest cells, requested or
        not; None where each cell has a weight of its own.
    origin : mapping of str to str
        Tags about the origin of the measurements, beside or in place of those of the files, such
        as the layer from which a file was exported.
    """

    measurements: Measurements
    dropped: int
    cells: tuple[CellPlan, ...]
    log_weight: LogWeight | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    def input_tags(self) -> dict[str, str]:
        """Return the provenance tags of the measurements.

        Returns
        -------
        dict of str to str
            Of :func:`rm_geo.io.provenance.describe_inputs`, and of ``origin``.

        Raises
        ------
        InputError
            If a file cannot be read, or changed since it was opened.
        """
        return {**describe_inputs(self.measurements.inputs), **self.origin}


def plan_run(
    measurements: Logs,
    options: PredictOptions,
    progress: Progress | None = None,
) -> RunPlan:
    """Read measurements and define the grid of each cell, without allocating rasters.

    Parameters
    ----------
    measurements : path-like, Measurements, or sequence of these
        A file of measurements, or measurements in memory. Several logs of one area are joined
        (:func:`rm_geo.measurements.joining.join_measurements`).
    options : PredictOptions
        Options of the run. Those of reading apply to each file, those of selection to the joined
        logs; none of them to measurements in memory alone.
    progress : Progress, optional
        Receives the reports of the reader.

    Returns
    -------
    RunPlan
        A cell with too large an area has a refusal instead of a grid.

    Raises
    ------
    RmGeoError
        If a file cannot be used, the logs cannot be joined, or a requested cell is in none.

    Examples
    --------
    >>> import numpy as np
    >>> from pyproj import CRS
    >>> drive = Measurements(
    ...     x=500_000 + np.arange(40.0),
    ...     y=np.full(40, 5_000_000.0),
    ...     rsrp_dbm=np.full(40, -90.0, dtype="float32"),
    ...     cell=np.full(40, "7"),
    ...     crs=CRS.from_epsg(32633),
    ... )
    >>> (cell,) = plan_run(drive, PredictOptions(method="idw", reach_m=20)).cells
    >>> cell.cell, cell.grid.spacing_m, cell.refusal
    ('7', 1.0, None)
    """
    listener = SilentProgress() if progress is None else progress
    points, dropped = read_logs(measurements, options, listener)
    points, parts = points.grouped()
    if len(parts) == 1 and points.cell.present() == [None]:
        # A file that names no cell is one map.
        parts = {"all": CellPart(slice(0, len(points)), None)}
    cells = {
        name: plan_cell(name, points, parts[name], options)
        for name in requested_cells(parts, options.reading.cells)
    }
    log_weight = None
    if options.method.joint and len(parts) > 1:
        log_weight = LogWeight(
            cells.get(name) or plan_cell(name, points, parts[name], options)
            for name in itertools.islice(parts, MAX_PLANNED)
        )
    return RunPlan(points, dropped, tuple(cells.values()), log_weight)


def requested_cells(parts: Mapping[str, CellPart], names: Sequence[str]) -> list[str]:
    """Return the names of the cells to map, in the order of the parts.

    Parameters
    ----------
    parts : mapping of str to CellPart
        Cells of the measurements.
    names : sequence of str
        Requested cells, named as in file names or as in the measurements; empty for all.

    Returns
    -------
    list of str
        Keys of ``parts``.

    Raises
    ------
    UsageError
        If a requested cell is not in the measurements.
    """
    if not names:
        return list(parts)
    named = {part.original: name for name, part in parts.items() if part.original is not None}
    asked = {cell: cell if cell in parts else named.get(cell) for cell in names}
    if missing := [cell for cell, name in asked.items() if name is None]:
        known = [part.original or name for name, part in parts.items()]
        raise UsageError(
            f"There is no cell {missing[0]!r} in the measurements.",
            hint=f"Cells: {', '.join(known[:20])}.",
            parameter="cells",
        )
    chosen = set(asked.values())
    return [name for name in parts if name in chosen]


def require_mappable_cell(run_plan: RunPlan) -> None:
    """Require at least one cell without a refusal.

    Parameters
    ----------
    run_plan : RunPlan
        The plan.

    Raises
    ------
    RmGeoError
        The refusal of the largest cell, if all cells are refused.
    """
    refusals = [cell.refusal for cell in run_plan.cells]
    if refusals and refusals[0] is not None and all(refusals):
        raise refusals[0]


def read_logs(
    measurements: Logs, options: PredictOptions, progress: Progress
) -> tuple[Measurements, int]:
    """Read files, or use measurements as they are; several logs are joined.

    Parameters
    ----------
    measurements : path-like, Measurements, or sequence of these
        As for :func:`plan_run`.
    options : PredictOptions
        Options of reading and selection, for files.
    progress : Progress
        Receives the reports of the reader.

    Returns
    -------
    measurements : Measurements
        At least one row.
    dropped : int
        Number of rows of the files that could not be used.

    Raises
    ------
    RmGeoError
        If a file cannot be used, or the logs cannot be joined.
    """
    if not isinstance(measurements, (str, os.PathLike, Measurements)):
        if len(measurements) != 1:
            return _read_together(measurements, options, progress)
        (measurements,) = measurements
    if isinstance(measurements, Measurements):
        if len(measurements) == 0:
            raise InputError("There are no measurements.")
        return measurements, 0
    points, report = read_selected(measurements, options)
    for line in report.lines():
        progress.log(line)
    release_arrow_pool()
    trim_malloc()
    return points, report.dropped_total


def _read_together(
    logs: Sequence[Log], options: PredictOptions, progress: Progress
) -> tuple[Measurements, int]:
    """Read several logs in the CRS of the first one, join them, and select rows."""
    files = [log for log in logs if not isinstance(log, Measurements)]
    known: set[Path] = set()
    for file in files:
        if (path := Path(file).resolve()) in known:
            raise InputError(f"{file} is given twice.", hint="Give each log once.", path=path)
        known.add(path)
    dropped = 0
    parts: list[Measurements] = []
    for log in logs:
        if isinstance(log, Measurements):
            parts.append(log)
            continue
        points, report = read_with_options(log, options, parts[0].crs if parts else None)
        for line in report.lines():
            progress.log(line)
        dropped += report.dropped_total
        parts.append(points)
        progress.check()
    joined = join_measurements(parts)
    for note in joining_notes(joined, len(parts)):
        progress.log(note)
    parts.clear()
    if files:
        joined, notes = selection_of(options).apply(joined)
        for note in notes:
            progress.log(f"  {note}")
    release_arrow_pool()
    trim_malloc()
    return joined, dropped
