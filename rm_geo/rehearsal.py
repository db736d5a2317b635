"""What a run would do and how long it would take, without writing anything."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rm_geo.cell_run import _require_pixels as require_pixels  # what the run itself says
from rm_geo.cell_run import tiles_of, told_buildings
from rm_geo.errors import InputError
from rm_geo.estimators.registry import require_building_reader
from rm_geo.grid import Tile
from rm_geo.idle_options import idle_options
from rm_geo.measurements import Measurements
from rm_geo.methods import OpenMethod
from rm_geo.pipeline import local_buildings, open_sites, open_wanted_method
from rm_geo.predict_options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.rasterize import bin_measurements
from rm_geo.site_choice import SiteChoice, choose_site
from rm_geo.sparse import SparseRaster
from rm_geo.survey import CellPlan, Survey, read_survey, require_one_possible
from rm_geo.tile_batches import tile_batches
from rm_geo.tile_computers import TileComputer


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes
    ----------
    survey : Survey
        Cells and grids; with the refusals of cells that the run would refuse.
    tiles : dict of str to int
        Tiles of each cell that hold a measurement.
    seconds : float
        Estimated time of this process alone, from a tile of the largest cell computed for the
        purpose.
    tiles_per_s : float
        Speed of that tile.
    device : str
        Where it ran.
    """

    survey: Survey
    tiles: dict[str, int]
    seconds: float
    tiles_per_s: float
    device: str


def dry_run(
    measurements: str | os.PathLike[str] | Measurements,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
) -> DryRun:
    """Find out what a run would do and how long it would take, writing nothing.

    Parameters
    ----------
    measurements, options, progress
        As of :func:`rm_geo.pipeline.predict`.

    Raises
    ------
    RmGeoError
        Whatever would stop the run before its first tile.
    """
    chosen = PredictOptions() if options is None else options
    survey = read_survey(measurements, chosen, progress)
    require_one_possible(survey)
    return rehearse(survey, chosen, progress)


def rehearse(
    survey: Survey,
    chosen: PredictOptions,
    progress: Progress | None = None,
    *,
    tile_computer: TileComputer | None = None,
) -> DryRun:
    """Find out how long a run over cells would take of which one can be mapped.

    Parameters
    ----------
    survey : Survey
        Laid out for the options.
    chosen, progress
        As of :func:`rm_geo.pipeline.predict`.
    tile_computer : TileComputer, optional
        Who would compute the tiles: is asked to open the method, and for no tile.

    Raises
    ------
    RmGeoError
        Whatever would stop the run before its first tile, or keep it from all cells.
    """
    if chosen.buildings is not None:
        require_building_reader(chosen.method)
    listener = SilentProgress() if progress is None else progress
    open_sites(chosen, survey.measurements, listener)
    method = open_wanted_method(chosen)
    for line in idle_options(chosen, method):
        listener.log(line)
    if tile_computer is not None:
        tile_computer.prepare(method, listener)
    tiles: dict[str, int] = {}
    speed = 0.0
    cells: list[CellPlan] = []
    for cell in survey.cells:
        cells.append(cell)
        if cell.grid is None:
            continue
        sparse = bin_measurements(cell.measurements, cell.grid)
        try:
            require_pixels(cell, sparse, chosen)
        except InputError as error:
            cells[-1] = replace(cell, refusal=error)
            continue
        chosen_tiles, _ = tiles_of(sparse, chosen)
        tiles[cell.cell] = len(chosen_tiles)
        if speed == 0.0:
            with ExitStack() as places:
                site = told_buildings(
                    choose_site(cell.measurements, None),
                    local_buildings(chosen, places),
                    cell.grid,
                    chosen.buildings_layer,
                )
                speed = _speed(sparse, chosen_tiles, site, method)
    survey = replace(survey, cells=tuple(cells))
    require_one_possible(survey)
    seconds = sum(tiles.values()) / speed
    return DryRun(survey, tiles, seconds, speed, method.device)


def _speed(
    sparse: SparseRaster, tiles: Sequence[Tile], site: SiteChoice, method: OpenMethod
) -> float:
    """Tiles per second, from a batch of a cell's own tiles computed twice."""
    count = min(method.batch_size, len(tiles))
    batch = next(tile_batches(sparse, tiles, site.facts, count))
    method.estimator.estimate(batch)  # the first pass allocates and compiles
    begun = time.perf_counter()
    method.estimator.estimate(batch)
    return count / max(time.perf_counter() - begun, 1e-6)
