"""Scenes: buildings with heights, and the visibility geometry that all transmitters share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.errors import ConfigError, InputError
from rm_geo.propagation.compiled import import_compiled

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from rm_geo.propagation.outlines import Ring

DEFAULT_BUILDING_HEIGHT_M = 25.0
_RAY_SPACING_PX = 0.4  # largest distance of neighbouring rays at the far corner of the scene
_MIN_RAYS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Buildings on flat ground with their precomputed visibility. Build one per area.

    Build a scene with :meth:`from_mask` or :meth:`from_polygons`. Treat it as immutable: all
    transmitters of a scene share its arrays. Coordinates are metres from the north-west corner
    of the scene, x to the east and y to the south.

    Attributes
    ----------
    indoor : (H, W) ndarray of bool
        Pixels inside buildings. They get the gain floor.
    roof_m : (H, W) ndarray of float32
        Height of the building at each pixel in metres, 0 outdoors.
    spacing_m : float
        Size of a pixel in metres.
    solid : (H, W) ndarray of bool
        Pixels whose centres lie inside the straightened outlines. Differs from ``indoor``
        only at walls.
    walls : (S, 5) ndarray of float64
        x0, y0, x1, y1 and height in metres. The building is on the left of a wall, with x read
        as right and y as up.
    corners : (N, 7) ndarray of float64
        Convex corners: x, y, vector to the next corner, vector to the previous corner, height.
    run_offsets, runs, link_offsets, targets, steps : ndarray
        Pixels and corners visible from each corner; see
        :mod:`rm_geo.propagation.visibility`.
    nodes, node_offsets, node_runs : ndarray
        Nodes on roof edges and the pixels visible from them; see
        :mod:`rm_geo.propagation.roof_paths`.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((40, 60))
    >>> mask[10:20, 15:30] = 1
    >>> scene = Scene.from_mask(mask, heights_m=12.0)
    >>> scene.shape, len(scene.walls), float(scene.roof_m.max())
    ((40, 60), 4, 12.0)
    """

    indoor: NDArray[np.bool_]
    roof_m: NDArray[np.float32]
    spacing_m: float
    solid: NDArray[np.bool_]
    walls: NDArray[np.float64]
    corners: NDArray[np.float64]
    run_offsets: NDArray[np.int64]
    runs: NDArray[np.int16]
    link_offsets: NDArray[np.int64]
    targets: NDArray[np.int64]
    steps: NDArray[np.float64]
    nodes: NDArray[np.float64]
    node_offsets: NDArray[np.int64]
    node_runs: NDArray[np.int16]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return (int(self.indoor.shape[0]), int(self.indoor.shape[1]))

    @property
    def ray_count(self) -> int:
        """Number of rays around a transmitter; see :func:`rays_around`."""
        return rays_around(self.shape)

    @classmethod
    def from_mask(
        cls,
        mask: ArrayLike,
        heights_m: ArrayLike = DEFAULT_BUILDING_HEIGHT_M,
        *,
        spacing_m: float = 1.0,
        offset_px: tuple[float, float] = (0.0, 0.0),
        height_step_m: float = 1.0,
    ) -> Scene:
        """Build a scene from a building mask.

        Parameters
        ----------
        mask : (H, W) array_like
            Non-zero inside buildings. At most 32,767 pixels a side.
        heights_m : float or (H, W) array_like
            Building heights in metres, above 0. An array is read inside the mask and rounded
            to ``height_step_m``; each connected region of one height is one building.
        spacing_m : float
            Size of a pixel in metres, above 0.
        offset_px : (float, float)
            Shift (x, y) of the footprints against the mask in pixels. The gain maps of
            RadioMapSeer were computed with footprints at (+0.45, -0.45).
        height_step_m : float
            Step in metres to which an array of heights is rounded.

        Returns
        -------
        Scene

        Raises
        ------
        InputError
            If the mask is not two-dimensional, is too large, or does not match the heights, or
            if a height is not finite and above 0 m.
        ConfigError
            If the spacing is not above 0 m.
        DependencyError
            If numba is not installed.
        """
        building = np.asarray(mask) != 0
        if building.ndim != 2 or 0 in building.shape or max(building.shape) > 32767:
            raise InputError(
                f"A scene cannot be built from a mask of shape {building.shape}.",
                hint="Give a two-dimensional array of at most 32767 pixels a side.",
            )
        if not spacing_m > 0:
            raise ConfigError(f"The pixel spacing must be above 0 m, not {spacing_m}.")
        given = np.asarray(heights_m, dtype=np.float32)
        if given.ndim and given.shape != building.shape:
            raise InputError(
                f"Heights of shape {given.shape} do not match a mask of shape {building.shape}."
            )
        if given.ndim:
            given = np.maximum(np.round(given / height_step_m) * height_step_m, height_step_m)
        roof = np.where(building, given, 0).astype(np.float32)
        if not np.isfinite(roof).all() or (roof[building] <= 0).any():
            raise InputError("Building heights must be finite and above 0 m.")
        footprints = import_compiled("footprints")
        shift = np.asarray(offset_px, dtype=np.float64)
        parts = [
            ((ring + shift) * spacing_m, height)
            for ring, height in footprints.trace_footprints(roof)
        ]
        if given.ndim and len(np.unique(roof[building])) > 1:
            # At ground level, touching buildings of different heights form one obstacle.
            blocks = [
                (ring + shift) * spacing_m
                for ring, _ in footprints.trace_footprints(building.astype(np.float32))
            ]
        else:
            blocks = [ring for ring, _ in parts]
        shifted = bool(np.any(shift))
        return _assemble(roof, spacing_m, blocks, parts, indoor=None if shifted else building)

    @classmethod
    def from_polygons(
        cls,
        polygons: Sequence[BaseGeometry],
        heights_m: float | Sequence[float] = DEFAULT_BUILDING_HEIGHT_M,
        *,
        origin: tuple[float, float],
        shape: tuple[int, int],
        spacing_m: float = 1.0,
    ) -> Scene:
        """Build a scene from building polygons.

        Parameters
        ----------
        polygons : sequence of shapely polygons or multipolygons
            In a projected CRS in metres, y to the north. Polygons may overlap or touch. Those
            further outside the scene than its longer side are ignored.
        heights_m : float or sequence of float
            One height in metres for all polygons, or one for each.
        origin : (float, float)
            Easting and northing of the north-west corner of the scene in metres.
        shape : (int, int)
            Number of rows and columns.
        spacing_m : float
            Size of a pixel in metres.

        Returns
        -------
        Scene

        Raises
        ------
        InputError
            If a height is not finite and above 0 m.
        DependencyError
            If numba is not installed.
        """
        from rm_geo.propagation.outlines import scene_outlines

        tops = np.broadcast_to(np.asarray(heights_m, dtype=np.float64), (len(polygons),))
        if not np.isfinite(tops).all() or (tops <= 0).any():
            raise InputError("Building heights must be finite and above 0 m.")
        import_compiled("footprints")
        blocks, parts, roof = scene_outlines(polygons, tops, origin, shape, spacing_m)
        return _assemble(roof, spacing_m, blocks, parts, indoor=roof > 0)


def rays_around(shape: tuple[int, int]) -> int:
    """Return the number of rays for a full circle in a scene.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the scene.

    Returns
    -------
    int
        At least 4096, and enough that neighbouring rays are less than half a pixel apart at
        a distance of the diagonal.
    """
    return max(_MIN_RAYS, math.ceil(2 * math.pi * math.hypot(*shape) / _RAY_SPACING_PX))


def _assemble(
    roof: NDArray[np.float32],
    spacing_m: float,
    blocks: list[Ring],
    parts: list[tuple[Ring, float]],
    *,
    indoor: NDArray[np.bool_] | None,
) -> Scene:
    """Compute the geometry shared by all transmitters; ``indoor`` None: from the outlines."""
    visibility = import_compiled("visibility")
    shape = (int(roof.shape[0]), int(roof.shape[1]))
    reach = 2.0 * spacing_m * math.hypot(*shape)
    ground = list_walls([(ring, 0.0) for ring in blocks])
    walls = list_walls(parts)
    corners = convex_corners(blocks, roof, spacing_m)
    ray_step = 2 * math.pi / rays_around(shape)
    run_offsets, runs, seen = visibility.corner_visibility(
        corners, ground, shape, spacing_m, ray_step, reach
    )
    link_offsets, targets, steps = visibility.visibility_graph(corners, seen)
    roof_paths = import_compiled("roof_paths")
    nodes = roof_paths.roof_nodes(parts)
    node_offsets, node_runs = roof_paths.node_visibility(
        nodes, ground, shape, spacing_m, 2.0 * ray_step
    )
    solid = _rasterize(blocks, shape, spacing_m)
    return Scene(
        indoor=solid if indoor is None else indoor,
        roof_m=roof,
        spacing_m=float(spacing_m),
        solid=solid,
        walls=walls,
        corners=corners,
        run_offsets=run_offsets,
        runs=runs,
        link_offsets=link_offsets,
        targets=targets,
        steps=steps,
        nodes=nodes,
        node_offsets=node_offsets,
        node_runs=node_runs,
    )


def list_walls(rings: Sequence[tuple[Ring, float]]) -> NDArray[np.float64]:
    """Return the walls of rings with heights: (S, 5) float64 x0, y0, x1, y1, height."""
    rows = [
        np.column_stack([ring, np.roll(ring, -1, axis=0), np.full(len(ring), height)])
        for ring, height in rings
    ]
    return np.ascontiguousarray(np.concatenate(rows)) if rows else np.empty((0, 5))


def convex_corners(
    rings: Sequence[Ring], roof: NDArray[np.float32], spacing_m: float
) -> NDArray[np.float64]:
    """Find the corners of rings that paths can turn around.

    Parameters
    ----------
    rings : sequence of ndarray of float64, shape (n, 2)
        Outlines with the building to their left, in metres.
    roof : ndarray of float32, shape (H, W)
        Height of the roofs in metres.
    spacing_m : float
        Side of a pixel in metres.

    Returns
    -------
    ndarray of float64, shape (N, 7)
        Convex corners; see :class:`Scene` for the columns.
    """
    found = []
    for ring in rings:
        following = np.roll(ring, -1, axis=0) - ring
        previous = np.roll(ring, 1, axis=0) - ring
        cross = previous[:, 1] * following[:, 0] - previous[:, 0] * following[:, 1]
        sizes = np.hypot(*following.T) * np.hypot(*previous.T)
        convex = cross > 0.02 * sizes  # flatter corners do not turn a path
        found.append(np.column_stack([ring, following, previous])[convex])
    corners = np.concatenate(found) if found else np.empty((0, 6))
    # Read the height from a pixel inside the building, on the bisector of the corner.
    bisector = corners[:, 2:4] / _norm(corners[:, 2:4]) + corners[:, 4:6] / _norm(corners[:, 4:6])
    inside = (corners[:, :2] + bisector / _norm(bisector) * 1.5 * spacing_m) / spacing_m
    rows = np.clip(inside[:, 1].astype(int), 0, roof.shape[0] - 1)
    cols = np.clip(inside[:, 0].astype(int), 0, roof.shape[1] - 1)
    tops = roof[rows, cols].astype(np.float64)
    if len(tops):
        tops[tops <= 0] = roof.max()
    return np.ascontiguousarray(np.column_stack([corners, tops]))


def _norm(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of vectors as a column, at least 1e-9."""
    return np.asarray(np.maximum(np.hypot(vectors[:, 0], vectors[:, 1]), 1e-9)[:, None])


def _rasterize(rings: list[Ring], shape: tuple[int, int], spacing_m: float) -> NDArray[np.bool_]:
    """Mask of the pixels whose centres lie inside the rings, by the even-odd rule."""
    height, width = shape
    flips = np.zeros((height, width + 1), dtype=np.int32)
    for ring in rings:
        x, y = ring[:, 0] / spacing_m - 0.5, ring[:, 1] / spacing_m - 0.5
        for xa, ya, xb, yb in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
            rows = np.arange(max(0, math.ceil(min(ya, yb))), min(height, math.ceil(max(ya, yb))))
            if rows.size:
                cut = xa + (rows - ya) * (xb - xa) / (yb - ya)
                np.add.at(flips, (rows, np.clip(np.ceil(cut), 0, width).astype(int)), 1)
    return np.asarray(np.cumsum(flips, axis=1)[:, :width] % 2 == 1)
