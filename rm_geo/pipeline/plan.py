"""A drive test before it is mapped: read, cleaned, split by cell, each cell's grid laid out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rm_geo._util.memory import release_arrow_pool, trim_malloc
from rm_geo.errors import InputError, RmGeoError, UsageError
from rm_geo.grid import Grid
from rm_geo.measurements.model import CellPart, Measurements
from rm_geo.measurements.reader import read_selected
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.tile_limit import check_area


@dataclass(frozen=True)
class CellPlan:
    """What one cell needs.

    Attributes
    ----------
    cell : str
        Name, as in the file names.
    measurements : Measurements
        Those of the cell.
    grid : Grid or None
        Where its maps lie; None if the cell was refused.
    refusal : RmGeoError or None
        Why the cell cannot be mapped.
    original : str or None
        Name in the measurements, where that cannot be a file's; see :attr:`label`.
    """

    cell: str
    measurements: Measurements
    grid: Grid | None
    refusal: RmGeoError | None = None
    original: str | None = None

    @property
    def label(self) -> str:
        """Name as in the measurements, where they name it."""
        return self.cell if self.original is None else self.original


@dataclass(frozen=True)
class RunPlan:
    """A drive test that was read, cleaned and split, and where each cell's maps will lie.

    Attributes
    ----------
    measurements : Measurements
        All of them, in metres; the rows of each cell together.
    dropped : int
        Rows of the file that could not be used.
    cells : tuple of CellPlan
        Those that are to be mapped, the largest first.
    """

    measurements: Measurements
    dropped: int
    cells: tuple[CellPlan, ...]


def plan_run(
    measurements: str | os.PathLike[str] | Measurements,
    options: PredictOptions,
    progress: Progress | None = None,
) -> RunPlan:
    """Read measurements and lay out each cell's grid, allocating no raster.

    Raises
    ------
    RmGeoError
        If the file cannot be used, or a cell that was asked for is not in it.
    """
    listener = SilentProgress() if progress is None else progress
    points, dropped = _read(measurements, options, listener)
    points, parts = points.grouped()
    if len(parts) == 1 and points.cell.present() == [None]:
        # A file that names no cell is one map.
        parts = {"all": CellPart(slice(0, len(points)), None)}
    cells = tuple(
        _plan_cell(name, points, parts[name], options) for name in _wanted(parts, options)
    )
    return RunPlan(points, dropped, cells)


def _wanted(parts: Mapping[str, CellPart], options: PredictOptions) -> list[str]:
    """Names of the cells that are to be mapped, in their order.

    They may be asked for by the names of their files, which tasks of a batch are given, or by
    those that the measurements have.

    Raises
    ------
    UsageError
        If one that was asked for is not there.
    """
    if not options.reading.cells:
        return list(parts)
    named = {part.original: name for name, part in parts.items() if part.original is not None}
    asked = {cell: cell if cell in parts else named.get(cell) for cell in options.reading.cells}
    if missing := [cell for cell, name in asked.items() if name is None]:
        known = [part.original or name for name, part in parts.items()]
        raise UsageError(
            f"There is no cell {missing[0]!r} in the measurements.",
            hint=f"Cells: {', '.join(known[:20])}.",
        )
    chosen = set(asked.values())
    return [name for name in parts if name in chosen]


def require_mappable_cell(run_plan: RunPlan) -> None:
    """Raise the first refusal if no cell at all can be mapped.

    Raises
    ------
    RmGeoError
        Why the largest cell cannot be mapped.
    """
    refusals = [cell.refusal for cell in run_plan.cells]
    if refusals and refusals[0] is not None and all(refusals):
        raise refusals[0]


def _read(
    measurements: str | os.PathLike[str] | Measurements,
    options: PredictOptions,
    progress: Progress,
) -> tuple[Measurements, int]:
    """Read a file, or take measurements as they are; with the number of rows dropped."""
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


def _plan_cell(
    name: str, everything: Measurements, part: CellPart, options: PredictOptions
) -> CellPlan:
    """Lay out the grid of a cell, or say why it cannot be."""
    points = everything.select(part.rows)
    try:
        check_area(
            points,
            max_tiles=options.grid.max_tiles,
            tile_size=options.grid.tile_size_px,
            overlap=options.grid.overlap_px,
            spacing_m=options.grid.resolution_m,
            margin_m=options.grid.reach_m,
        )
    except RmGeoError as error:
        return CellPlan(name, points, None, error, part.original)
    west, south, east, north = points.bounds
    grid = Grid.covering(
        (west, east),
        (south, north),
        points.crs,
        spacing_m=options.grid.resolution_m,
        margin_m=options.grid.reach_m,
    )
    return CellPlan(name, points, grid, None, part.original)
