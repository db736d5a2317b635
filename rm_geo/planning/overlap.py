"""Several cells at one place: number of servers, pilot pollution, dominance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo.planning.best_server import LevelSums
from rm_geo.planning.map_set import MapSetBand
from rm_geo.planning.outlines import class_polygons
from rm_geo.planning.product import PlanContext, Product, ProductResult, RasterLayer
from rm_geo.planning.ranking import Ranking, candidates
from rm_geo.products.colormap import Colour

SERVERS_FILE: Final = "servers.tif"
DOMINANCE_FILE: Final = "dominance.tif"

_MOST: Final = 255
_COLOURS: Final[tuple[Colour, ...]] = (
    (240, 240, 240),
    (166, 217, 106),
    (255, 255, 191),
    (253, 174, 97),
    (244, 109, 67),
    (215, 48, 39),
    (165, 0, 38),
    (103, 0, 31),
)


def count_servers(
    band: MapSetBand, ranking: Ranking, *, margin_db: float, floor_dbm: float
) -> NDArray[np.uint8]:
    """Count the cells that serve each pixel nearly as well as the best.

    Parameters
    ----------
    band : MapSetBand
        Levels of the cells.
    ranking : Ranking
        Their ranking.
    margin_db : float
        Largest difference from the best in dB.
    floor_dbm : float
        Lowest level of a cell that counts.

    Returns
    -------
    ndarray of uint8, shape (h, w)
        Number of cells, the best included; at most 254. 255 where no level is known.

    Examples
    --------
    >>> from rm_geo.planning.ranking import rank_cells
    >>> level = np.array([[[-80.0, -118.0]], [[-84.0, np.nan]], [[-90.0, np.nan]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 2), np.array([0, 1, 2]), level)
    >>> count_servers(band, rank_cells(band), margin_db=6.0, floor_dbm=-115.0)
    array([[2, 0]], dtype=uint8)
    """
    count = np.zeros(band.shape, dtype=np.uint16)
    for _, near in candidates(band, ranking, margin_db=margin_db, floor_dbm=floor_dbm):
        count += near
    known = np.isfinite(ranking.best_dbm)
    return np.where(known, np.minimum(count, _MOST - 1), _MOST).astype(np.uint8)


def dominance_db(ranking: Ranking) -> FloatArray:
    """Give the difference between the best and the second best level.

    Parameters
    ----------
    ranking : Ranking
        At least two ranks.

    Returns
    -------
    ndarray of float32, shape (h, w)
        dB; NaN where fewer than two cells are known.

    Examples
    --------
    >>> from rm_geo.planning.ranking import rank_cells
    >>> level = np.array([[[-80.0]], [[-84.0]]], np.float32)
    >>> band = MapSetBand(slice(0, 1), slice(0, 1), np.array([0, 1]), level)
    >>> dominance_db(rank_cells(band))
    array([[4.]], dtype=float32)
    """
    difference: FloatArray = ranking.level_dbm[0] - ranking.level_dbm[1]
    return difference


class _Overlap:
    """Numbers of servers in the making."""

    def __init__(self, context: PlanContext) -> None:
        self.context = context
        self.pixels: NDArray[np.int64] = np.zeros(_MOST + 1, dtype=np.int64)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        settings = self.context.settings.overlap
        count = count_servers(
            band, ranking, margin_db=settings.margin_db, floor_dbm=settings.floor_dbm
        )
        self.pixels += np.bincount(count.ravel(), minlength=_MOST + 1)
        return {SERVERS_FILE: count}

    def finish(self) -> ProductResult:
        """Give the shares of the area by number of servers."""
        counts = self.pixels[:_MOST]
        known = int(counts.sum())
        if not known:
            return ProductResult({"area_km2": 0.0})
        limit = self.context.settings.overlap.polluted_above
        pixel_km2 = self.context.grid.spacing_m**2 / 1e6
        return ProductResult(
            {
                "area_km2": known * pixel_km2,
                "share_by_servers": {
                    str(number): int(pixels) / known
                    for number, pixels in enumerate(counts)
                    if pixels
                },
                "mean_servers": float(np.dot(np.arange(_MOST), counts)) / known,
                "polluted_area_km2": int(counts[limit + 1 :].sum()) * pixel_km2,
                "polluted_share": int(counts[limit + 1 :].sum()) / known,
            }
        )


@dataclass
class _Dominance:
    """Dominance in the making."""

    context: PlanContext
    sums: LevelSums = field(default_factory=LevelSums)

    def add(self, band: MapSetBand, ranking: Ranking) -> Mapping[str, NDArray[Any]]:
        """Take a band."""
        difference = dominance_db(ranking)
        self.sums.add(difference)
        return {DOMINANCE_FILE: difference}

    def finish(self) -> ProductResult:
        """Give the statistics."""
        return ProductResult(self.sums.statistics("db", self.context.grid.spacing_m**2))


def _server_count_raster(context: PlanContext) -> RasterLayer:
    """Describe the raster of the number of servers."""
    numbers = range(min(len(context.maps.cells), _MOST - 1) + 1)
    return RasterLayer(
        SERVERS_FILE,
        "number of servers",
        dtype="uint8",
        nodata=_MOST,
        resampling="mode",
        categories={n: "1 server" if n == 1 else f"{n} servers" for n in numbers},
        colours={n: _COLOURS[min(n, len(_COLOURS) - 1)] for n in numbers},
    )


def _overlap_polygons(context: PlanContext) -> ProductResult:
    """Outline the places of two and more servers."""
    settings = context.settings.overlap
    largest = len(context.maps.cells)
    table = class_polygons(
        context,
        SERVERS_FILE,
        "overlap",
        {number: str(number) for number in range(largest + 1)},
        name_column="servers",
        min_area_m2=context.settings.servers.min_area_m2,
        columns={
            "polluted": {n: n > settings.polluted_above for n in range(largest + 1)},
        },
        lowest=2,
    )
    return ProductResult(features={"overlap.gpkg": [table]})


def _two_cells(context: PlanContext) -> str | None:
    """Refuse a single cell."""
    if len(context.maps.cells) < 2:
        return "there is only one cell; give the maps of two or more."
    return None


PRODUCTS: Final = (
    Product(
        "overlap",
        "Number of cells that serve each pixel nearly as well as the best.",
        "Number of cells whose level is at least `overlap.floor_dbm` and at most "
        "`overlap.margin_db` below the best, the best included; more than `overlap.polluted_above` "
        "is pilot pollution.",
        (SERVERS_FILE, "overlap.gpkg"),
        unit="cells",
        needs=("composite",),
        refusal=_two_cells,
        rasters=lambda context: [_server_count_raster(context)],
        stream=_Overlap,
        derive=_overlap_polygons,
    ),
    Product(
        "dominance",
        "Difference between the best and the second best level.",
        "Level of the strongest cell minus that of the second strongest at each pixel, in dB.",
        (DOMINANCE_FILE,),
        unit="dB",
        refusal=_two_cells,
        rasters=lambda _context: [RasterLayer(DOMINANCE_FILE, "dominance", "dB")],
        stream=_Dominance,
    ),
)
"""Products of this module."""
