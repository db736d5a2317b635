"""What a run would do and how long it would take, without writing anything."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from rm_geo.errors import InputError
from rm_geo.estimators.registry import require_accepts_buildings
from rm_geo.grid import Grid, Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.executor import TileExecutor
from rm_geo.inference.methods import OpenMethod
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell import require_pixels, tiles_of, with_known_buildings
from rm_geo.pipeline.method_weight import MethodWeightOptions
from rm_geo.pipeline.plan import CellPlan, RunPlan, plan_run, require_mappable_cell
from rm_geo.pipeline.predict import local_buildings, open_sites, open_wanted_method
from rm_geo.pipeline.unused_options import unused_options
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.selection import SiteChoice, choose_site

_FINISHING_S: Final = 0.3e-6
"""Of one core for a pixel that tiles speak of, in the second pass: 0.24 to 0.32 s a million,
measured on areas of 4 and 16 million pixels that were driven densely and along streets."""

_FURTHER_RASTER_S: Final = 0.2e-6
"""The same for each raster beside the radio map: 0.5 to 0.7 s a million with buildings."""

_EMPTY_S: Final = 0.08e-6
"""The same for a pixel far from all tiles and each raster: 12.6 s for 151 million pixels between
two far clusters, 22.1 s with buildings."""


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes
    ----------
    run_plan : RunPlan
        Cells and grids; with the refusals of cells that the run would refuse.
    tiles : dict of str to int
        Tiles of each cell that hold a measurement.
    seconds : float
        Estimated time of this process alone: that of the tiles, from one of the largest cell
        computed for the purpose, and of finishing the pixels, from what these usually take.
    pixels : int
        Of the rasters of all cells that would be mapped.
    tiles_per_s : float
        Speed of that tile.
    device : str
        Where it ran.
    """

    run_plan: RunPlan
    tiles: dict[str, int]
    seconds: float
    pixels: int
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
        As of :func:`rm_geo.pipeline.predict.predict`.

    Raises
    ------
    RmGeoError
        Whatever would stop the run before its first tile.
    """
    chosen = PredictOptions() if options is None else options
    run_plan = plan_run(measurements, chosen, progress)
    require_mappable_cell(run_plan)
    return rehearse(run_plan, chosen, progress)


def rehearse(
    run_plan: RunPlan,
    chosen: PredictOptions,
    progress: Progress | None = None,
    *,
    tile_executor: TileExecutor | None = None,
) -> DryRun:
    """Find out how long a run over cells would take of which one can be mapped.

    Parameters
    ----------
    run_plan : RunPlan
        Laid out for the options.
    chosen, progress
        As of :func:`rm_geo.pipeline.predict.predict`.
    tile_executor : TileExecutor, optional
        Who would compute the tiles: is asked to open the method, and for no tile.

    Raises
    ------
    RmGeoError
        Whatever would stop the run before its first tile, or keep it from all cells.
    """
    if chosen.site.buildings is not None:
        require_accepts_buildings(chosen.method.name)
    listener = SilentProgress() if progress is None else progress
    open_sites(chosen, run_plan.measurements, listener)
    method = open_wanted_method(chosen)
    for line in unused_options(chosen, method):
        listener.log(line)
    if tile_executor is not None:
        tile_executor.prepare(method, listener)
    tiles: dict[str, int] = {}
    speed, judged, finishing_s, pixels = 0.0, 0, 0.0, 0
    cells: list[CellPlan] = []
    for cell in run_plan.cells:
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
        judged += _judged(len(chosen_tiles), chosen, method)
        finishing_s += _finishing_s(cell.grid, chosen_tiles, chosen, method)
        pixels += math.prod(cell.grid.shape)
        if speed == 0.0:
            with ExitStack() as places:
                site = with_known_buildings(
                    choose_site(cell.measurements, None),
                    local_buildings(chosen, places),
                    cell.grid,
                    chosen.site.buildings_layer,
                )
                speed = _speed(sparse, chosen_tiles, site, method)
    run_plan = replace(run_plan, cells=tuple(cells))
    require_mappable_cell(run_plan)
    seconds = (sum(tiles.values()) + judged) / speed + finishing_s
    return DryRun(run_plan, tiles, seconds, pixels, speed, method.device)


def _judged(tiles: int, options: PredictOptions, method: OpenMethod) -> int:
    """Count the tiles that are computed again to judge how far a network is to be believed."""
    if (
        options.method.method_weight is not None
        or not options.method.assimilate
        or not method.is_network
    ):
        return 0
    cross_validation = MethodWeightOptions()
    return cross_validation.folds * min(tiles, cross_validation.max_tiles)


def _finishing_s(
    grid: Grid, tiles: Sequence[Tile], options: PredictOptions, method: OpenMethod
) -> float:
    """Estimate the time of the second pass over a cell, most of which no tile tells."""
    pixels = math.prod(grid.shape)
    own = min(len(tiles) * (options.grid.tile_size_px - options.grid.overlap_px) ** 2, pixels)
    further = int(method.estimator.maps_buildings) + int(options.output.uncertainty)
    empty_s = (pixels - own) * _EMPTY_S * (1 + further)
    return own * (_FINISHING_S + further * _FURTHER_RASTER_S) + empty_s


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
