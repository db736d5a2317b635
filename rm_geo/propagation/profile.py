"""Paths in the vertical plane: line of sight over roofs, and taut strings over roof edges.

Rays leave the antenna in all directions, each with the profile of roof edges that it crosses.
The taut string from the antenna over the edges of a profile is an upper convex hull. Each edge
stores its predecessor on that hull, so that the string to a pixel is found in one or two steps.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rm_geo._types import Float64Array, IndexArray

_TOUCH_M = 0.5  # an edge up to this far below the string between its neighbours is on it
_GRAZE_RAD = math.radians(1.0)  # from this turning angle on, an edge has the full loss

# Columns of an edge: distance, height, +1 at the start of a building and -1 at its end.
_DISTANCE, _TOP, _ENTRY = 0, 1, 2
# Columns of a string up to an edge: length, elevation of the last segment, loss of the edges
# before, elevation at departure.
_LENGTH, _RISE, _LOSS, _DEPARTURE = 0, 1, 2, 3


@njit(cache=True, fastmath=True, nogil=True)
def roof_profiles(
    x: float, y: float, walls: Float64Array, count: int
) -> tuple[IndexArray, Float64Array]:
    """Find the wall tops that each of ``count`` rays around (x, y) crosses, near to far.

    Returns
    -------
    offsets : (count + 1,) ndarray of int64
        Edges of ray k are ``edges[offsets[k]:offsets[k + 1]]``.
    edges : (M, 3) ndarray of float64
        Distance and height in metres, and 1 at the start of a building or -1 at its end.
    """
    step = 2 * math.pi / count
    n = walls.shape[0]
    lows = np.empty(n, np.int64)
    highs = np.empty(n, np.int64)
    offsets = np.zeros(count + 1, np.int64)
    for w in range(n):
        ax, ay = walls[w, 0] - x, walls[w, 1] - y
        bx, by = walls[w, 2] - x, walls[w, 3] - y
        cross = ax * by - ay * bx
        if cross < 0:
            first = math.atan2(by, bx) % (2 * math.pi)
        else:
            first = math.atan2(ay, ax) % (2 * math.pi)
        span = math.atan2(abs(cross), ax * bx + ay * by)
        lows[w] = math.ceil(first / step - 0.5)
        highs[w] = math.floor((first + span) / step - 0.5)
        for k in range(lows[w], highs[w] + 1):
            offsets[k % count + 1] += 1
    for k in range(count):
        offsets[k + 1] += offsets[k]
    at = offsets[:count].copy()
    edges = np.empty((offsets[count], 3))
    cosines = np.cos((np.arange(count) + 0.5) * step)
    sines = np.sin((np.arange(count) + 0.5) * step)
    for w in range(n):
        ax, ay = walls[w, 0] - x, walls[w, 1] - y
        ex, ey = walls[w, 2] - walls[w, 0], walls[w, 3] - walls[w, 1]
        cross = ax * ey - ay * ex
        entry = 1.0 if cross < 0 else -1.0
        for j in range(lows[w], highs[w] + 1):
            k = j % count
            across = cosines[k] * ey - sines[k] * ex
            distance = cross / across if abs(across) > 1e-12 else 1e9
            # Insertion sort by distance.
            m = at[k]
            while m > offsets[k] and edges[m - 1, _DISTANCE] > distance:
                edges[m] = edges[m - 1]
                m -= 1
            edges[m, _DISTANCE] = max(distance, 1e-3)
            edges[m, _TOP] = walls[w, 4]
            edges[m, _ENTRY] = entry
            at[k] += 1
    return offsets, edges


@njit(cache=True, fastmath=True, nogil=True)
def turn_loss(angle: float, cap: float, per_radian: float) -> float:
    """Loss in dB of a turn by an angle in radians, constant from ``cap`` on."""
    return per_radian * min(max(angle, 0.0), cap)


@njit(cache=True, fastmath=True, nogil=True)
def taut_strings(
    offsets: IndexArray,
    edges: Float64Array,
    antenna_z: float,
    cap: float,
    per_radian: float,
    each_db: float,
    graze_db: float,
) -> tuple[IndexArray, Float64Array]:
    """Compute the taut string from the antenna to each edge of each ray.

    An edge that turns the string costs ``each_db``, one that the string only touches
    ``graze_db``.

    Returns
    -------
    before : (M,) ndarray of int64
        Previous edge on the string, -1 for the antenna.
    strings : (M, 4) ndarray of float64
        Length in metres up to the edge, elevation in radians of the last segment, loss in dB of
        all edges before, elevation in radians at the antenna.
    """
    total = edges.shape[0]
    before = np.empty(total, np.int64)
    strings = np.empty((total, 4))
    for ray in range(offsets.shape[0] - 1):
        for k in range(offsets[ray], offsets[ray + 1]):
            distance, top = edges[k, _DISTANCE], edges[k, _TOP]
            j = last_edge(k - 1, offsets[ray], edges, before, antenna_z, distance, top, _TOUCH_M)
            before[k] = j
            if j < 0:
                rise = math.atan2(top - antenna_z, distance)
                strings[k, _LENGTH] = math.hypot(distance, top - antenna_z)
                strings[k, _LOSS] = 0.0
                strings[k, _DEPARTURE] = rise
            else:
                run = max(distance - edges[j, _DISTANCE], 1e-6)
                rise = math.atan2(top - edges[j, _TOP], run)
                strings[k, _LENGTH] = strings[j, _LENGTH] + math.hypot(run, top - edges[j, _TOP])
                turn = max(strings[j, _RISE] - rise, 0.0)
                touch = graze_db + (each_db - graze_db) * min(turn / _GRAZE_RAD, 1.0)
                strings[k, _LOSS] = strings[j, _LOSS] + touch + turn_loss(turn, cap, per_radian)
                strings[k, _DEPARTURE] = strings[j, _DEPARTURE]
            strings[k, _RISE] = rise
    return before, strings


@njit(cache=True, fastmath=True, nogil=True)
def last_edge(
    k: int,
    first: int,
    edges: Float64Array,
    before: IndexArray,
    antenna_z: float,
    distance: float,
    z: float,
    touch: float,
) -> int:
    """Last edge on the string from the antenna to a point, at or before edge k; -1 if none.

    Follows the hull of edge k backwards and skips edges below the straight line past them; on
    the line between two edges, only those that are lower by more than ``touch``.
    """
    j = k if k >= first else -1
    while j >= 0:
        up = before[j]
        if up < 0:
            start_d, start_z, slack = 0.0, antenna_z, 0.0
        else:
            start_d, start_z, slack = edges[up, _DISTANCE], edges[up, _TOP], touch
        part = (edges[j, _DISTANCE] - start_d) / max(distance - start_d, 1e-6)
        if edges[j, _TOP] > start_z + (z - start_z) * part - slack:
            break
        j = up
    return j


@njit(cache=True, fastmath=True, nogil=True)
def edge_before(first: int, end: int, edges: Float64Array, distance: float) -> int:
    """Last edge nearer than a point outside buildings; first - 1 if none.

    The nearest ray does not pass exactly through the point. If it ends inside a building, the
    point is taken to lie on the side of the nearer wall.
    """
    lo, hi = first, end
    while lo < hi:
        mid = (lo + hi) // 2
        if edges[mid, _DISTANCE] < distance:
            lo = mid + 1
        else:
            hi = mid
    k = lo - 1
    if k >= first and edges[k, _ENTRY] > 0:
        if lo < end and edges[lo, _DISTANCE] - distance < distance - edges[k, _DISTANCE]:
            return lo
        return k - 1
    return k


@njit(cache=True, fastmath=True, nogil=True)
def in_line_of_sight(
    ray: int,
    offsets: IndexArray,
    edges: Float64Array,
    before: IndexArray,
    antenna_z: float,
    distance: float,
    z: float,
) -> bool:
    """Whether a point on a ray, at height ``z``, is in line of sight of the antenna."""
    k = offsets[ray + 1] - 1
    while k >= offsets[ray] and edges[k, _DISTANCE] >= distance:
        k -= 1
    return last_edge(k, offsets[ray], edges, before, antenna_z, distance, z, 0.0) < 0
