"""Dry run: cells, tiles and estimated time of a run, without writing anything."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from rm_geo._util.console import duration
from rm_geo.errors import InputError, TooSmallError
from rm_geo.estimators.registry import require_accepts_buildings
from rm_geo.grid import Grid, Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.executor import TileExecutor
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import OpenMethod
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell_plan import CellPlan
from rm_geo.pipeline.method_weight import MethodWeightOptions, is_weighed
from rm_geo.pipeline.plan import Logs, RunPlan, plan_run, require_mappable_cell
from rm_geo.pipeline.predict import local_buildings, open_sites
from rm_geo.pipeline.unused_options import unused_options
from rm_geo.products.summary import skipped_message, titled
from rm_geo.progress import Progress, SilentProgress
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.selection import SiteChoice, choose_site

_NAME_WIDTH: Final = 24

_COVERED_PIXEL_S: Final = 0.3e-6
"""Core time of the map pass in seconds per pixel that a tile covers: 0.24 to 0.32 s per million
pixels, measured on areas of 4 and 16 million pixels with dense and with street-like sampling."""

_FURTHER_RASTER_S: Final = 0.2e-6
"""The same for each raster besides the radio map: 0.5 to 0.7 s per million pixels with
buildings."""

_EMPTY_PIXEL_S: Final = 0.08e-6
"""The same for a pixel that no tile covers, per raster: 12.6 s for 151 million pixels between two
distant clusters, 22.1 s with buildings."""


@dataclass(frozen=True)
class DryRun:
    """Result of a dry run.

    Attributes
    ----------
    run_plan : RunPlan
        Cells and grids, with the refusals of the run.
    tiles : dict of str to int
        Number of tiles with a measurement, by cell.
    seconds : float
        Estimated time of the run in this process, in seconds: the tile pass from the measured
        speed of one batch of the largest cell, the map pass from typical times per pixel.
    pixels : int
        Total number of pixels of the grids of all cells to map.
    tiles_per_s : float
        Measured speed in tiles per second.
    device : str
        Device of that measurement.
    """

    run_plan: RunPlan
    tiles: dict[str, int]
    seconds: float
    pixels: int
    tiles_per_s: float
    device: str

    def lines(self) -> list[str]:
        """Format cells, tiles and the expected time as a table.

        Returns
        -------
        list of str
            A line for each cell that is not too small, one for those that are, and the sum.
        """
        names = [titled(cell.cell, cell.label) for cell in self.run_plan.cells]
        width = max([_NAME_WIDTH, *(len(name) for name in names)])
        lines = [f"{'cell':<{width}}{'points':>10}{'pixels':>16}{'tiles':>8}"]
        small = []
        for name, cell in zip(names, self.run_plan.cells, strict=True):
            if isinstance(cell.refusal, TooSmallError):
                small.append(name)
                continue
            size = "-" if cell.grid is None else f"{cell.grid.shape[0]} x {cell.grid.shape[1]}"
            tiles = self.tiles.get(cell.cell, 0)
            lines.append(
                f"{name:<{width}}{len(cell.measurements):>10}{size:>16}{tiles:>8}"
                + (f"  refused: {cell.refusal}" if cell.refusal else "")
            )
        if small:
            lines.append(skipped_message(small))
        lines.append(
            f"{sum(self.tiles.values())} tiles on {self.device} at {self.tiles_per_s:.2g} tiles/s, "
            f"and {self.pixels:,} pixels to finish: about {duration(self.seconds)}. Nothing was "
            "written."
        )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Convert the result to values for JSON.

        Returns
        -------
        dict of str to object
            ``cells``, ``tiles`` (their sum), ``seconds``, ``pixels``, ``device`` and
            ``tiles_per_s``.
        """
        return {
            "cells": [
                {
                    "cell": cell.cell,
                    "cell_name": cell.label,
                    "measurements": len(cell.measurements),
                    "shape": None if cell.grid is None else cell.grid.shape,
                    "tiles": self.tiles.get(cell.cell, 0),
                    "refusal": None if cell.refusal is None else str(cell.refusal),
                }
                for cell in self.run_plan.cells
            ],
            "tiles": sum(self.tiles.values()),
            "seconds": self.seconds,
            "pixels": self.pixels,
            "device": self.device,
            "tiles_per_s": self.tiles_per_s,
        }


def dry_run(
    measurements: Logs,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
) -> DryRun:
    """Plan a run and estimate its time, without writing anything.

    Parameters
    ----------
    measurements : path-like, Measurements, or sequence of these
        As for :func:`rm_geo.predict`.
    options : PredictOptions, optional
        Options of the run.
    progress : Progress, optional
        Receives warnings, and may cancel the work.

    Returns
    -------
    DryRun
        Cells, tiles and estimated seconds.

    Raises
    ------
    RmGeoError
        Any error that would stop the run before its first tile, or keep it from all cells.

    Examples
    --------
    >>> import numpy as np
    >>> from pyproj import CRS
    >>> from rm_geo import Measurements
    >>> drive = Measurements(
    ...     x=500_000 + np.arange(40.0),
    ...     y=np.full(40, 5_000_000.0),
    ...     rsrp_dbm=np.full(40, -90.0, dtype="float32"),
    ...     cell=np.full(40, "7"),
    ...     crs=CRS.from_epsg(32633),
    ... )
    >>> plan = dry_run(drive, PredictOptions(method="idw", reach_m=20))
    >>> plan.tiles, plan.seconds > 0
    ({'7': 1}, True)
    """
    chosen = PredictOptions() if options is None else options
    run_plan = plan_run(measurements, chosen, progress)
    require_mappable_cell(run_plan)
    return dry_run_plan(run_plan, chosen, progress)


def dry_run_plan(
    run_plan: RunPlan,
    chosen: PredictOptions,
    progress: Progress | None = None,
    *,
    tile_executor: TileExecutor | None = None,
) -> DryRun:
    """Estimate the time of a planned run, without writing anything.

    Parameters
    ----------
    run_plan : RunPlan
        A plan made with these options, with at least one cell that is not refused.
    chosen : PredictOptions
        Options of the run.
    progress : Progress, optional
        As for :func:`rm_geo.pipeline.predict.predict`.
    tile_executor : TileExecutor, optional
        Executor of the run. It opens the method, and computes no tile.

    Returns
    -------
    DryRun

    Raises
    ------
    RmGeoError
        Any error that would stop the run before its first tile, or keep it from all cells.
    """
    if chosen.site.buildings is not None:
        require_accepts_buildings(chosen.method.name)
    listener = SilentProgress() if progress is None else progress
    open_sites(chosen, run_plan.measurements, listener)
    method = MethodRecipe.of(chosen).opened()
    for line in unused_options(chosen, method):
        listener.log(line)
    if tile_executor is not None:
        tile_executor.prepare(method, listener)
    tiles: dict[str, int] = {}
    speed, map_pass_s, pixels = 0.0, 0.0, 0
    cells: list[CellPlan] = []
    for cell in run_plan.cells:
        cells.append(cell)
        if cell.grid is None:
            continue
        sparse = bin_measurements(cell.measurements, cell.grid)
        try:
            sparse.require_pixels(chosen.grid.min_pixels, cell.description)
        except InputError as error:
            cells[-1] = replace(cell, refusal=error)
            continue
        chosen_tiles, _ = sparse.measured_tiles(chosen.grid.tile_size_px, chosen.grid.overlap_px)
        tiles[cell.cell] = len(chosen_tiles)
        map_pass_s += _map_pass_s(
            cell.grid, chosen_tiles, chosen, method, several=len(run_plan.cells) > 1
        )
        pixels += math.prod(cell.grid.shape)
        if speed == 0.0:
            with ExitStack() as places:
                site = choose_site(cell.measurements, None)
                if (buildings := local_buildings(chosen, places)) is not None:
                    site = site.with_buildings(buildings, cell.grid, chosen.site.buildings_layer)
                speed = _tiles_per_s(sparse, chosen_tiles, site, method)
    run_plan = replace(run_plan, cells=tuple(cells))
    require_mappable_cell(run_plan)
    repeated_tiles = _cross_validated_tiles(run_plan, tiles, chosen, method)
    seconds = (sum(tiles.values()) + repeated_tiles) / speed + map_pass_s
    return DryRun(run_plan, tiles, seconds, pixels, speed, method.device)


def _cross_validated_tiles(
    run_plan: RunPlan, tiles: Mapping[str, int], options: PredictOptions, method: OpenMethod
) -> int:
    """Count the tiles that the cross-validation of the method weight estimates in addition."""
    if not is_weighed(options.method, method):
        return 0
    shared = 0 if run_plan.log_weight is None else len(run_plan.log_weight)
    weighing = MethodWeightOptions.for_cells(max(shared, 1))
    counts = [min(count, weighing.max_tiles) for count in tiles.values()]
    return weighing.folds * (shared * max(counts) if shared else sum(counts))


def _map_pass_s(
    grid: Grid,
    tiles: Sequence[Tile],
    options: PredictOptions,
    method: OpenMethod,
    *,
    several: bool,
) -> float:
    """Estimate the time of the map pass of a cell in seconds."""
    pixels = math.prod(grid.shape)
    covered = min(len(tiles) * (options.grid.tile_size_px - options.grid.overlap_px) ** 2, pixels)
    further = int(method.estimator.maps_buildings) + int(options.output.uncertainty)
    further += int(options.output.reported and several)
    empty_s = (pixels - covered) * _EMPTY_PIXEL_S * (1 + further)
    return covered * (_COVERED_PIXEL_S + further * _FURTHER_RASTER_S) + empty_s


def _tiles_per_s(
    sparse: SparseRaster, tiles: Sequence[Tile], site: SiteChoice, method: OpenMethod
) -> float:
    """Measure the speed in tiles per second: the second estimate of one batch of the cell."""
    count = min(method.batch_size, len(tiles))
    batch = next(tile_batches(sparse, tiles, site.facts, count))
    method.estimator.estimate(batch)  # the first call allocates and compiles
    begun = time.perf_counter()
    method.estimator.estimate(batch)
    return count / max(time.perf_counter() - begun, 1e-6)
