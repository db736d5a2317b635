"""Composite and coverage of a run of predict of which no plan was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.grid import Grid
from rm_geo.planning.map_set import RadioMapSet
from rm_geo.planning.product import PlanContext
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.registry import chosen_products
from rm_geo.planning.settings import PlanSettings
from rm_geo.progress import Progress


@dataclass(frozen=True)
class QuickPlan:
    """What a report shows of maps without a plan.

    Attributes
    ----------
    settings : PlanSettings
        The classes.
    coverage, servers : tuple of mapping
        Rows of ``coverage.csv`` and ``best_server.csv``.
    statistics : mapping of str to mapping
        Statistics by product, as in ``plan.json``.
    level_dbm : ndarray of float32, shape (h, w)
        Every n-th pixel of the level of the strongest cell; NaN where unknown.
    grid : Grid
        The pixels that these stand for.
    """

    settings: PlanSettings
    coverage: tuple[Mapping[str, object], ...]
    servers: tuple[Mapping[str, object], ...]
    statistics: Mapping[str, Mapping[str, Any]]
    level_dbm: FloatArray
    grid: Grid


def quick_plan(maps: RadioMapSet, longest_px: int, progress: Progress) -> QuickPlan:
    """Rank the cells of maps, band by band, and count their coverage.

    Parameters
    ----------
    maps : RadioMapSet
        The maps.
    longest_px : int
        Longest side of the reduced composite.
    progress : Progress
        Asked whether to stop.

    Returns
    -------
    QuickPlan
    """
    settings = PlanSettings()
    context = PlanContext(maps, settings, progress=progress)
    products = chosen_products(["composite", "best_server", "coverage"])
    streams = {one.name: one.stream(context) for one in products if one.stream is not None}
    height, width = maps.grid.shape
    step = max(1, math.ceil(max(height, width) / longest_px))
    shape = (-(-height // step), -(-width // step))
    level = np.full(shape, np.nan, dtype=np.float32)
    for band in maps.bands(layers=["reported_probability"]):
        progress.check()
        ranking = rank_cells(band, min_reported=settings.servers.min_reported)
        for stream in streams.values():
            stream.add(band, ranking)
        rows = np.arange(-(-band.rows.start // step) * step, band.rows.stop, step)
        cols = np.arange(-(-band.cols.start // step) * step, band.cols.stop, step)
        part = ranking.best_dbm[np.ix_(rows - band.rows.start, cols - band.cols.start)]
        level[np.ix_(rows // step, cols // step)] = part
    results = {name: stream.finish() for name, stream in streams.items()}
    west, _, _, north = maps.grid.bounds
    return QuickPlan(
        settings,
        tuple(results["coverage"].tables["coverage.csv"]),
        tuple(results["best_server"].tables["best_server.csv"]),
        {name: result.statistics for name, result in results.items()},
        level,
        Grid.create(west, north, shape, maps.grid.spacing_m * step, maps.grid.crs),
    )
