"""Outlines of buildings as rings, and their construction from polygons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Ring = NDArray[np.float64]
"""(N, 2) corners (x, y) of an open ring. The building is to the left of each edge, with x read
as right and y as up: the signed area of an outer ring is positive, that of a court negative."""


def signed_area(ring: Ring) -> float:
    """Shoelace area of an open ring, positive if it runs anticlockwise (x right, y up)."""
    x, y = ring[:, 0], ring[:, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def orient(ring: Ring, *, court: bool) -> Ring:
    """Return the ring in the direction with the building to its left.

    Parameters
    ----------
    ring : ndarray of float64, shape (N, 2)
        Corners of a closed outline.
    court : bool
        Whether it is the edge of a courtyard.

    Returns
    -------
    ndarray of float64, shape (N, 2)
        The corners, in the same or the reverse order.
    """
    return ring[::-1].copy() if (signed_area(ring) < 0) != court else ring


def scene_outlines(
    polygons: Sequence[BaseGeometry],
    heights_m: NDArray[np.float64],
    origin: tuple[float, float],
    shape: tuple[int, int],
    spacing_m: float,
) -> tuple[list[Ring], list[tuple[Ring, float]], NDArray[np.float32]]:
    """Convert polygons to the coordinates of a scene, merge touching ones, rasterize the roofs.

    Parameters
    ----------
    polygons : sequence of shapely geometries
        Polygons or multipolygons in metres, y to the north. Other types are ignored.
    heights_m : (N,) ndarray of float64
        Height of each polygon in metres.
    origin : (float, float)
        Easting and northing of the north-west corner in metres.
    shape : (int, int)
        Rows and columns.
    spacing_m : float
        Size of a pixel in metres.

    Returns
    -------
    blocks : list of Ring
        Outlines of the union of all buildings, the obstacles at ground level.
    parts : list of (Ring, float)
        Outlines and heights of the unions of the buildings of one height, the obstacles above.
    roof_m : (H, W) ndarray of float32
        Height in metres of the highest building at the centre of each pixel, 0 outdoors.
    """
    rows, cols = shape
    size = max(rows, cols) * spacing_m
    # A path may leave the scene and return around a building outside it.
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
    # Terraced houses of one height share one roof: party walls do not diffract.
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
    """Yield the rings of all polygons in a geometry, with the building to their left."""
    for polygon in getattr(geometry, "geoms", [geometry]):
        if polygon.geom_type != "Polygon" or polygon.area < 0.1:
            continue
        for index, ring in enumerate([polygon.exterior, *polygon.interiors]):
            corners = np.asarray(shapely.remove_repeated_points(ring, 0.01).coords)[:-1, :2]
            if len(corners) >= 3:
                yield orient(np.ascontiguousarray(corners, dtype=np.float64), court=index > 0)
