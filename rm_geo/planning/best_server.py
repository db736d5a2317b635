"""The strongest cell at each place: composite, best server, n-th best."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo._types import Float64Array, FloatArray
from rm_geo.io.features import FeatureTable
from rm_geo.planning.map_set import MapSetBand, RadioMapSet
from rm_geo.planning.outlines import class_polygons
from rm_geo.planning.product import PlanContext, Product, ProductResult, RasterLayer
from rm_geo.planning.ranking import Ranking, rank_cells
from rm_geo.products.colormap import Colour, hex_of

COMPOSITE_FILE: Final = "composite_rsrp.tif"
SERVER_FILE: Final = "best_server.tif"

_GOLDEN_RATIO: Final = 0.618033988749895


def server_numbers(ranking: Ranking, rank: int = 0, *, minimum_dbm: float) -> NDArray[np.int32]:
    """Give the number of the server of each pixel, as rasters of servers hold it.

    Parameters
    ----------
    ranking : Ranking
        The cells of a band by their levels.
    rank : int
        0 for the best server, 1 for the second.
    minimum_dbm : float
        Lowest level of a server.

    Returns
    -------
    ndarray of int32, shape (h, w)
        Position of the cell in ``RadioMapSet.cells`` plus one; 0 where none serves.

    Examples
    --------
    >>> level = np.array([[[-80.0, -140.0]], [[-70.0, np.nan]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 2), np.array([0, 1]), level)
    >>> server_numbers(rank_cells(band), minimum_dbm=-130.0)
    array([[2, 0]], dtype=int32)
    """
    with np.errstate(invalid="ignore"):
        serves = ranking.level_dbm[rank] >= minimum_dbm
    return np.where(serves, ranking.cell[rank] + 1, 0).astype(np.int32)


def server_with_hysteresis(
    maps: RadioMapSet,
    rows: slice,
    cols: slice,
    *,
    hysteresis_db: float,
    radius_px: int,
    minimum_dbm: float,
    min_reported: float = 0.0,
) -> NDArray[np.int32]:
    """Give the number of the server of each pixel, with fewer changes between neighbours.

    Of the cells that are at most ``hysteresis_db`` below the strongest, the one that is the
    strongest at most pixels of the surrounding square serves the pixel: a terminal that comes
    from there would not have left it (3GPP TS 36.331, event A3).

    Parameters
    ----------
    maps : RadioMapSet
        The maps.
    rows, cols : slice
        Part of the grid.
    hysteresis_db : float
        Largest difference from the strongest cell in dB.
    radius_px : int
        Half the side of the square in pixels.
    minimum_dbm : float
        Lowest level of a server.
    min_reported : float
        As of :func:`rm_geo.planning.ranking.rank_cells`.

    Returns
    -------
    ndarray of int32, shape (h, w)
        As :func:`server_numbers`; independent of how the grid is divided into parts.
    """
    shape = rows.stop - rows.start, cols.stop - cols.start
    height, width = maps.grid.shape
    around = (
        slice(max(rows.start - radius_px, 0), min(rows.stop + radius_px, height)),
        slice(max(cols.start - radius_px, 0), min(cols.stop + radius_px, width)),
    )
    band = maps.window(*around)
    if band is None:
        return np.zeros(shape, dtype=np.int32)
    ranking = rank_cells(band, 1, min_reported=min_reported)
    best = server_numbers(ranking, minimum_dbm=minimum_dbm)
    lowest = np.maximum(ranking.best_dbm - np.float32(hysteresis_db), np.float32(minimum_dbm))
    side = 2 * radius_px + 1
    most = np.zeros(best.shape, dtype=np.float32)
    server = best.copy()
    for place, cell in enumerate(band.cells):
        own = best == cell + 1
        if not own.any():
            continue
        votes = ndimage.uniform_filter(own.astype(np.float32), side, mode="constant")
        level = band.rsrp_dbm[place]
        with np.errstate(invalid="ignore"):
            candidate = (level >= lowest) & (votes > most + 1e-6)
        if ranking.counted is not None:
            candidate &= ranking.counted[place]
        most[candidate] = votes[candidate]
        server[candidate] = cell + 1
    inner = (
        slice(rows.start - around[0].start, rows.stop - around[0].start),
        slice(cols.start - around[1].start, cols.stop - around[1].start),
    )
    part: NDArray[np.int32] = server[inner]
    return part


def server_colours(count: int) -> dict[int, Colour]:
    """Choose colours of servers, neighbours in number far apart in hue.

    Parameters
    ----------
    count : int
        Number of cells.

    Returns
    -------
    dict of int to (red, green, blue)
        Colours of the numbers 1 to ``count``; the same for each number, however many there are.

    Examples
    --------
    >>> server_colours(1)
    {1: (83, 159, 208)}
    """
    colours = {}
    for number in range(1, count + 1):
        hue = (number * _GOLDEN_RATIO - 0.0525) % 1.0
        light, strength = (0.57, 0.57) if number % 2 else (0.45, 0.6)
        red, green, blue = colorsys.hls_to_rgb(hue, light, strength)
        colours[number] = (round(255 * red), round(255 * green), round(255 * blue))
    return colours


@dataclass
class LevelSums:
    """Number, sum and range of levels, collected band by band."""

    pixels: int = 0
    total: float = 0.0
    lowest: float = float("inf")
    highest: float = float("-inf")

    def add(self, values: FloatArray) -> None:
        """Add values; NaN is left out."""
        known = values[np.isfinite(values)]
        if known.size:
            self.pixels += int(known.size)
            self.total += float(known.sum(dtype=np.float64))
            self.lowest = min(self.lowest, float(known.min()))
            self.highest = max(self.highest, float(known.max()))

    def statistics(self, unit: str, pixel_m2: float) -> dict[str, Any]:
        """Give area, mean and range by name; the unit is part of the names.

        Parameters
        ----------
        unit : str
            Unit at the end of the names, such as ``dbm``.
        pixel_m2 : float
            Area of a pixel in square metres.

        Returns
        -------
        dict
            ``area_km2``, and mean, minimum and maximum where there is a pixel.
        """
        if not self.pixels:
            return {"area_km2": 0.0}
        return {
            "area_km2": self.pixels * pixel_m2 / 1e6,
            f"mean_{unit}": self.total / self.pixels,
            f"min_{unit}": self.lowest,
            f"max_{unit}": self.highest,
        }


@dataclass
class _Composite:
    """The composite in the making."""

    context: PlanContext
    sums: LevelSums = field(default_factory=LevelSums)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        self.sums.add(ranking.best_dbm)
        return {COMPOSITE_FILE: ranking.best_dbm}

    def finish(self) -> ProductResult:
        """Give the statistics."""
        return ProductResult(self.sums.statistics("dbm", self.context.grid.spacing_m**2))


class _Servers:
    """Best servers in the making."""

    def __init__(self, context: PlanContext) -> None:
        self.context = context
        self.files = _server_files(context)
        count = len(context.maps.cells) + 1
        self.pixels: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.sums: Float64Array = np.zeros(count)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        settings = self.context.settings.servers
        made = {
            file: server_numbers(ranking, rank, minimum_dbm=settings.minimum_dbm)
            for rank, file in enumerate(self.files)
        }
        if settings.hysteresis_db > 0.0:
            made[SERVER_FILE] = server_with_hysteresis(
                self.context.maps,
                band.rows,
                band.cols,
                hysteresis_db=settings.hysteresis_db,
                radius_px=max(1, round(settings.hysteresis_radius_m / self.context.grid.spacing_m)),
                minimum_dbm=settings.minimum_dbm,
                min_reported=settings.min_reported,
            )
        server = made[SERVER_FILE].ravel()
        self.pixels += np.bincount(server, minlength=self.pixels.size)
        level = np.nan_to_num(ranking.best_dbm).ravel()
        self.sums += np.bincount(server, level, minlength=self.sums.size)
        return made

    def finish(self) -> ProductResult:
        """Give the table of the cells."""
        served = int(self.pixels[1:].sum())
        pixel_km2 = self.context.grid.spacing_m**2 / 1e6
        rows = []
        for number, cell in enumerate(self.context.maps.cells, start=1):
            pixels = int(self.pixels[number])
            rows.append(
                {
                    "value": number,
                    "cell": cell.name,
                    "cell_name": cell.label,
                    "area_km2": pixels * pixel_km2,
                    "share": pixels / served if served else 0.0,
                    "mean_rsrp_dbm": self.sums[number] / pixels if pixels else None,
                }
            )
        silent = [str(row["cell"]) for row in rows if not row["area_km2"]]
        return ProductResult(
            {
                "served_area_km2": served * pixel_km2,
                "serving_cells": len(rows) - len(silent),
                "cells_that_serve_nowhere": silent,
            },
            {"best_server.csv": rows},
        )


def _server_files(context: PlanContext) -> list[str]:
    """Name the rasters of servers by rank."""
    ranks = context.settings.servers.ranks
    return [SERVER_FILE, *(f"best_server_{rank}.tif" for rank in range(2, ranks + 1))]


def _server_rasters(context: PlanContext) -> Sequence[RasterLayer]:
    """Describe the rasters of servers."""
    names = [cell.name for cell in context.maps.cells]
    return [
        RasterLayer(
            file,
            "best server" if rank == 1 else f"server {rank}",
            dtype="uint8" if len(names) < 255 else "uint16",
            nodata=0,
            resampling="mode",
            categories=dict(enumerate(names, start=1)),
            colours=server_colours(len(names)),
        )
        for rank, file in enumerate(_server_files(context), start=1)
    ]


def server_polygons(context: PlanContext) -> FeatureTable:
    """Outline the areas of the best servers.

    Parameters
    ----------
    context : PlanContext
        With the finished rasters ``best_server.tif`` and ``composite_rsrp.tif``.

    Returns
    -------
    FeatureTable
        One feature for each cell that serves somewhere: dissolved, simplified without gaps or
        overlaps, with ``cell``, ``area_m2``, ``mean_rsrp_dbm`` and ``colour``.
    """
    names = [cell.name for cell in context.maps.cells]
    return class_polygons(
        context,
        SERVER_FILE,
        "best_server",
        dict(enumerate(names, start=1)),
        name_column="cell",
        min_area_m2=context.settings.servers.min_area_m2,
        columns={"colour": {n: hex_of(c) for n, c in server_colours(len(names)).items()}},
    )


PRODUCTS: Final = (
    Product(
        "composite",
        "Level of the strongest cell at each pixel.",
        "RSRP (3GPP TS 36.214 5.1.1, TS 38.215 5.1.1) of the strongest cell at each pixel. Where "
        "the probability of being reported is known, cells below `servers.min_reported` are left "
        "out if another cell is above it.",
        (COMPOSITE_FILE,),
        unit="dBm",
        rasters=lambda _context: [RasterLayer(COMPOSITE_FILE, "RSRP of the best server", "dBm")],
        stream=_Composite,
    ),
    Product(
        "best_server",
        "Strongest cell at each pixel, and the area of each cell.",
        "Identity of the strongest cell at each pixel whose level is at least "
        "`servers.minimum_dbm`; with `servers.hysteresis_db`, of the cells within that margin the "
        "one that serves most places around. Values are the numbers of best_server.csv. The n-th "
        "best (`servers.ranks`) is the cell of that rank by level.",
        (SERVER_FILE, "best_server.csv", "best_server.gpkg"),
        needs=("composite",),
        rasters=_server_rasters,
        stream=_Servers,
        derive=lambda context: ProductResult(
            features={"best_server.gpkg": [server_polygons(context)]}
        ),
    ),
)
"""Products of this module."""
