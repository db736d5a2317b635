"""From building polygons to the outlines and the roofs that a scene is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from rm_geo.propagation.rings import Ring, oriented


def outlines_of(
    polygons: Sequence[BaseGeometry],
    heights_m: NDArray[np.float64],
    origin: tuple[float, float],
    shape: tuple[int, int],
    spacing_m: float,
) -> tuple[list[Ring], list[tuple[Ring, float]], NDArray[np.float32]]:
    """Move polygons into a scene's frame, join what touches, and draw the roofs.

    Parameters
    ----------
    polygons : sequence of shapely geometries
        Polygons or multipolygons in metres, y to the north; others are left out.
    heights_m : (N,) ndarray of float64
        Height of each.
    origin : (float, float)
        Easting and northing of the north-west corner.
    shape : (int, int)
        Rows and columns.
    spacing_m : float
        Size of a pixel.

    Returns
    -------
    blocks : list of Ring
        Outlines of all buildings joined: what stands on the ground.
    parts : list of (Ring, float)
        Outline and height of each polygon: what stands above it.
    roof_m : (H, W) ndarray of float32
        Height of the highest building at each pixel's centre, 0 outdoors.
    """
    rows, cols = shape
    size = max(rows, cols) * spacing_m
    # A path may leave the scene and come back around a building next to it.
    frame = shapely.box(-size, -size, cols * spacing_m + size, rows * spacing_m + size)
    local: list[BaseGeometry] = []
    tops: list[float] = []
    for polygon, top in zip(polygons, heights_m, strict=True):
        moved = shapely.transform(
            shapely.force_2d(polygon),
            lambda xy: np.column_stack([xy[:, 0] - origin[0], origin[1] - xy[:, 1]]),
        )
        if moved.geom_type in ("Polygon", "MultiPolygon") and moved.intersects(frame):
            local.append(moved if moved.is_valid else shapely.make_valid(moved))
            tops.append(float(top))
    blocks = list(_rings_of(shapely.union_all(local))) if local else []
    # Terraced houses of one height are one roof: their party walls diffract nothing.
    by_height: dict[float, list[BaseGeometry]] = {}
    for polygon, top in zip(local, tops, strict=True):
        by_height.setdefault(top, []).append(polygon)
    parts = [
        (ring, top)
        for top, joined in by_height.items()
        for ring in _rings_of(shapely.union_all(joined))
    ]
    lowest_first = sorted(zip(local, tops, strict=True), key=lambda pair: pair[1])
    roof = (
        rasterio.features.rasterize(
            lowest_first,
            out_shape=shape,
            transform=Affine.scale(spacing_m),
            dtype="float32",
        )
        if lowest_first
        else np.zeros(shape, dtype=np.float32)
    )
    return blocks, parts, roof


def _rings_of(geometry: BaseGeometry) -> Iterator[Ring]:
    """List the rings of all polygons in a geometry, buildings to their left."""
    for polygon in getattr(geometry, "geoms", [geometry]):
        if polygon.geom_type != "Polygon" or polygon.area < 0.1:
            continue
        for index, ring in enumerate([polygon.exterior, *polygon.interiors]):
            corners = np.asarray(shapely.remove_repeated_points(ring, 0.01).coords)[:-1, :2]
            if len(corners) >= 3:
                yield oriented(np.ascontiguousarray(corners, dtype=np.float64), court=index > 0)
