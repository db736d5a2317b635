"""Limit of the number of tiles of an area, checked before rasters are allocated."""

from __future__ import annotations

import math

from rm_geo.errors import AreaTooLargeError
from rm_geo.grid import Grid, tile_count
from rm_geo.measurements.model import Measurements


def check_area(
    area: Measurements | Grid,
    *,
    max_tiles: int,
    tile_size: int = 256,
    overlap: int = 32,
    spacing_m: float = 1.0,
    margin_m: float = 0.0,
) -> int:
    """Count the tiles of an area, and refuse too large an area before rasters are allocated.

    Parameters
    ----------
    area : Measurements or Grid
        Area to cover. A grid has its own spacing and no margin.
    max_tiles : int
        Maximum number of tiles.
    tile_size, overlap : int
        Side of a tile and overlap of neighbours in pixels, as in :meth:`Grid.tiles`.
    spacing_m, margin_m : float
        Side of a pixel and margin around measurements in metres, as in :meth:`Grid.covering`.

    Returns
    -------
    int
        The number of tiles.

    Raises
    ------
    AreaTooLargeError
        If there are more than ``max_tiles``.

    Examples
    --------
    >>> check_area(Grid.create(0, 0, (256, 512), 1.0, 32633), max_tiles=10)
    3
    """
    if isinstance(area, Grid):
        spacing_m, shape, source = area.spacing_m, area.shape, None
    else:
        west, south, east, north = area.bounds
        width, height = east - west + 2 * margin_m, north - south + 2 * margin_m
        shape = math.floor(height / spacing_m) + 1, math.floor(width / spacing_m) + 1
        source = area.source_label
    tiles = math.prod(tile_count(length, tile_size, overlap) for length in shape)
    if tiles <= max_tiles:
        return tiles
    height_km, width_km = (length * spacing_m / 1000.0 for length in shape)
    of = "" if source is None else f" of {source}"
    raise AreaTooLargeError(
        f"The area{of} is {width_km:,.1f} km x {height_km:,.1f} km: {tiles:,} tiles of "
        f"{tile_size * spacing_m:g} m, and {max_tiles:,} are allowed.",
        hint="Look for stray positions, cut the area with a bounding box, take coarser "
        "pixels (`resolution_m`) or allow more (`max_tiles`).",
    )
