"""Plan of one cell: its measurements and the grid of its maps."""

from __future__ import annotations

from dataclasses import dataclass

from rm_geo.errors import RmGeoError
from rm_geo.grid import Grid
from rm_geo.measurements.model import CellPart, Measurements
from rm_geo.options import PredictOptions
from rm_geo.raster.tile_limit import check_area


@dataclass(frozen=True)
class CellPlan:
    """Plan of one cell.

    Attributes
    ----------
    cell : str
        Name of the cell in file names.
    measurements : Measurements
        Measurements of the cell.
    grid : Grid or None
        Grid of its maps; None if the cell is refused.
    refusal : RmGeoError or None
        Error of a cell that cannot be mapped.
    original : str or None
        Name in the measurements, where it differs from ``cell``; see :attr:`label`.
    """

    cell: str
    measurements: Measurements
    grid: Grid | None
    refusal: RmGeoError | None = None
    original: str | None = None

    @property
    def label(self) -> str:
        """Name of the cell in the measurements; ``cell`` if they have none."""
        return self.cell if self.original is None else self.original

    @property
    def description(self) -> str:
        """The cell and the file of its measurements, as messages name them."""
        source = self.measurements.source_label
        return f"Cell {self.cell}{'' if source is None else f' of {source}'}"


def plan_cell(
    name: str, everything: Measurements, part: CellPart, options: PredictOptions
) -> CellPlan:
    """Define the grid of a cell, or record its refusal.

    Parameters
    ----------
    name : str
        Name of the cell in file names.
    everything : Measurements
        Measurements of the log, grouped by cell.
    part : CellPart
        Rows of the cell.
    options : PredictOptions
        Options of the run: the group ``grid``.

    Returns
    -------
    CellPlan
    """
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
