"""Visibility from convex building corners, by ray casting.

A path diffracts around a corner only if it arrives and leaves within one of two sectors, those
in which both walls of the corner lie on the same side of the path. Rays are cast over each
sector up to the first wall. The polygon of their end points, filled row by row, is the set of
pixels that a path from this corner can reach. It is stored as runs (row, first column, end
column), which take about a tenth of the memory of a list of pixels.

Lengths are metres, x to the east, y to the south, with (0, 0) at the north-west corner of the
scene. A corner is a row of :attr:`rm_geo.propagation.scene.Scene.corners`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rm_geo._types import Float64Array, IndexArray

CLEARANCE_M = 0.1  # distance of a viewpoint in front of its building
_SEEN_M = 0.3  # a corner up to this far behind the end of a ray is visible: it lies on that wall
_GRAZING = 0.02  # sine of the angle by which a path along a wall may lie outside its sector


@njit(cache=True, fastmath=True, nogil=True)
def sector(corner: Float64Array, side: int) -> tuple[float, float]:
    """Return the first direction and the width of a sector of a corner, in radians.

    A path of side 0 has the building on its left (x read as right, y as up), one of side 1 on
    its right.
    """
    to_next = math.atan2(corner[3], corner[2])
    to_previous = math.atan2(corner[5], corner[4])
    interior = (to_previous - to_next) % (2 * math.pi)
    width = math.pi - interior
    return (to_previous - math.pi if side == 0 else to_previous), width


@njit(cache=True, fastmath=True, nogil=True)
def passing_side(corner: Float64Array, ux: float, uy: float) -> int:
    """Side (0 or 1) of a path that passes a corner in direction (ux, uy); -1 if it cannot."""
    ahead = ux * corner[3] - uy * corner[2]
    behind = ux * corner[5] - uy * corner[4]
    if ahead >= -_GRAZING and behind >= -_GRAZING:
        return 0
    if ahead <= _GRAZING and behind <= _GRAZING:
        return 1
    return -1


@njit(cache=True, fastmath=True, nogil=True)
def cast_rays(
    x: float,
    y: float,
    start: float,
    step: float,
    walls: Float64Array,
    reach: float,
    rays: Float64Array,
) -> None:
    """Fill ``rays`` (K, 3) with directions x, y and the distance to the first wall in metres."""
    count = rays.shape[0]
    for k in range(count):
        rays[k, 0] = math.cos(start + k * step)
        rays[k, 1] = math.sin(start + k * step)
        rays[k, 2] = reach
    c0, s0 = rays[0, 0], rays[0, 1]
    c1, s1 = rays[count - 1, 0], rays[count - 1, 1]
    for w in range(walls.shape[0]):
        ax, ay = walls[w, 0] - x, walls[w, 1] - y
        bx, by = walls[w, 2] - x, walls[w, 3] - y
        cross = ax * by - ay * bx
        if cross >= -1e-9:  # the back of the wall, or its edge
            continue
        if cross * cross > reach * reach * ((bx - ax) ** 2 + (by - ay) ** 2):
            continue
        # Skip a wall with both ends outside one border of the (convex) sector.
        if c0 * ay - s0 * ax < 0 and c0 * by - s0 * bx < 0:
            continue
        if ax * s1 - ay * c1 < 0 and bx * s1 - by * c1 < 0:
            continue
        first = (math.atan2(by, bx) - start) % (2 * math.pi)
        span = math.atan2(-cross, ax * bx + ay * by)
        ex, ey = bx - ax, by - ay
        for turn in range(2):
            lo = first - 2 * math.pi * turn
            k0 = max(0, math.ceil(lo / step))
            k1 = min(count - 1, math.floor((lo + span) / step))
            for k in range(k0, k1 + 1):
                across = rays[k, 0] * ey - rays[k, 1] * ex
                if abs(across) > 1e-12:
                    distance = (ax * ey - ay * ex) / across
                    if 0 < distance < rays[k, 2]:
                        rays[k, 2] = distance


@njit(cache=True, fastmath=True, nogil=True)
def visible_runs(
    x: float,
    y: float,
    rays: Float64Array,
    shape: tuple[int, int],
    spacing: float,
    runs: NDArray[np.int16],
    used: int,
) -> tuple[NDArray[np.int16], int]:
    """Append the runs of pixels whose centres the rays cover, enlarging ``runs`` as needed."""
    count = rays.shape[0]
    height, width = shape
    px = np.empty(count + 1)
    py = np.empty(count + 1)
    px[count] = x / spacing - 0.5
    py[count] = y / spacing - 0.5
    for k in range(count):
        px[k] = px[count] + rays[k, 2] * rays[k, 0] / spacing
        py[k] = py[count] + rays[k, 2] * rays[k, 1] / spacing
    filled = np.zeros(height + 1, np.int64)
    for k in range(count + 1):
        ya, yb = py[k - 1], py[k]
        if ya > yb:
            ya, yb = yb, ya
        for row in range(max(0, math.ceil(ya)), min(height, math.ceil(yb))):
            filled[row + 1] += 1
    for row in range(height):
        filled[row + 1] += filled[row]
    cuts = np.empty(filled[height])
    at = filled[:height].copy()
    for k in range(count + 1):
        xa, ya, xb, yb = px[k - 1], py[k - 1], px[k], py[k]
        if ya > yb:
            xa, ya, xb, yb = xb, yb, xa, ya
        lean = (xb - xa) / (yb - ya) if yb > ya else 0.0
        for row in range(max(0, math.ceil(ya)), min(height, math.ceil(yb))):
            cuts[at[row]] = xa + (row - ya) * lean
            at[row] += 1
    if used + cuts.shape[0] > runs.shape[0]:
        larger = np.empty((2 * (used + cuts.shape[0]), 3), np.int16)
        larger[:used] = runs[:used]
        runs = larger
    for row in range(height):
        lo, hi = filled[row], filled[row + 1]
        for k in range(lo + 1, hi):  # insertion sort: a row has few cuts
            value = cuts[k]
            j = k - 1
            while j >= lo and cuts[j] > value:
                cuts[j + 1] = cuts[j]
                j -= 1
            cuts[j + 1] = value
        for k in range(lo, hi - 1, 2):
            first = max(0, math.ceil(cuts[k]))
            end = min(width, math.ceil(cuts[k + 1]))
            if end > first:
                runs[used, 0] = row
                runs[used, 1] = first
                runs[used, 2] = end
                used += 1
    return runs, used


@njit(cache=True, fastmath=True, nogil=True)
def corner_visibility(
    corners: Float64Array,
    walls: Float64Array,
    shape: tuple[int, int],
    spacing: float,
    ray_step: float,
    reach: float,
) -> tuple[IndexArray, NDArray[np.int16], NDArray[np.uint8]]:
    """Find the pixels and the other corners visible from each corner.

    Returns
    -------
    offsets : (2 N + 1,) ndarray of int64
        Runs of corner v on side s are ``runs[offsets[2 v + s]:offsets[2 v + s + 1]]``.
    runs : (R, 3) ndarray of int16
        Row, first column, end column.
    seen : (N, N) ndarray of uint8
        0 if not visible, else 1 + 2 (side at the first corner) + 4 (side at the second).
    """
    n = corners.shape[0]
    offsets = np.zeros(2 * n + 1, np.int64)
    runs = np.empty((1024, 3), np.int16)
    used = 0
    seen = np.zeros((n, n), np.uint8)
    for v in range(n):
        x, y = viewpoint(corners[v])
        for side in range(2):
            start, width = sector(corners[v], side)
            count = max(2, math.ceil(width / ray_step) + 1)
            step = width / (count - 1)
            rays = np.empty((count, 3))
            cast_rays(x, y, start, step, walls, reach, rays)
            runs, used = visible_runs(x, y, rays, shape, spacing, runs, used)
            offsets[2 * v + side + 1] = used
            for w in range(n):
                dx, dy = corners[w, 0] - corners[v, 0], corners[w, 1] - corners[v, 1]
                far = math.hypot(dx, dy)
                if far < 1e-6 or passing_side(corners[v], dx / far, dy / far) != side:
                    continue
                arriving = passing_side(corners[w], dx / far, dy / far)
                if arriving < 0:
                    continue
                ox, oy = viewpoint(corners[w])
                turn = (math.atan2(oy - y, ox - x) - start + math.pi) % (2 * math.pi) - math.pi
                k = min(max(round(turn / step), 0), count - 1)
                open_to = max(rays[max(k - 1, 0), 2], rays[k, 2], rays[min(k + 1, count - 1), 2])
                if math.hypot(ox - x, oy - y) <= open_to + _SEEN_M:
                    seen[v, w] = 1 + 2 * side + 4 * arriving
    for v in range(n):
        for w in range(v + 1, n):
            if seen[v, w] == 0 or seen[w, v] == 0:
                seen[v, w] = 0
                seen[w, v] = 0
    return offsets, runs[:used].copy(), seen


@njit(cache=True, fastmath=True, nogil=True)
def viewpoint(corner: Float64Array) -> tuple[float, float]:
    """Point just in front of a corner, from which its rays are cast."""
    bx, by = corner[2] + corner[4], corner[3] + corner[5]
    size = math.hypot(bx, by) + 1e-9
    return corner[0] - CLEARANCE_M * bx / size, corner[1] - CLEARANCE_M * by / size


@njit(cache=True, nogil=True)
def visibility_graph(
    corners: Float64Array, seen: NDArray[np.uint8]
) -> tuple[IndexArray, IndexArray, Float64Array]:
    """Convert mutual visibility to adjacency lists of the states (corner, side).

    Returns
    -------
    offsets : (2 N + 1,) ndarray of int64
        Edges of state k are ``targets[offsets[k]:offsets[k + 1]]``.
    targets : (M,) ndarray of int64
        State 2 w + side that an edge leads to.
    steps : (M, 3) ndarray of float64
        Unit direction and length in metres of each edge.
    """
    n = corners.shape[0]
    offsets = np.zeros(2 * n + 1, np.int64)
    total = np.count_nonzero(seen)
    targets = np.empty(total, np.int64)
    steps = np.empty((total, 3))
    m = 0
    for v in range(n):
        for side in range(2):
            for w in range(n):
                code = seen[v, w]
                if code > 0 and ((code >> 1) & 1) == side:
                    dx, dy = corners[w, 0] - corners[v, 0], corners[w, 1] - corners[v, 1]
                    far = math.hypot(dx, dy)
                    targets[m] = 2 * w + ((code >> 2) & 1)
                    steps[m, 0] = dx / far
                    steps[m, 1] = dy / far
                    steps[m, 2] = far
                    m += 1
            offsets[2 * v + side + 1] = m
    return offsets, targets, steps
