"""Paths in the vertical plane: line of sight over roofs, and taut strings across roof edges.

Around the antenna lies a fan of rays, each with the roof edges that it crosses. The string
pulled tight from the antenna over the edges of a ray is a convex hull; each edge remembers
the edge before it on that hull, so a pixel finds its own path in a step or two.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_TOUCH_M = 0.5  # an edge this far below the string between two others is still touched by it
_GRAZE_RAD = math.radians(1.0)  # from this turn on an edge is an interaction in full

# Columns of an edge: distance, height, +1 where a building begins and -1 where it ends.
_DISTANCE, _TOP, _ENTRY = 0, 1, 2
# Columns of a string up to an edge: its length, elevation of its last piece, turning loss of
# the edges before, departure elevation.
_LENGTH, _RISE, _LOSS, _DEPARTURE = 0, 1, 2, 3


@njit(cache=True, fastmath=True, nogil=True)
def cross_roofs(x: float, y: float, walls: F64, count: int) -> tuple[I64, F64]:
    """Find the wall tops that each of ``count`` rays around (x, y) crosses, near to far.

    Returns
    -------
    offsets : (count + 1,) int64
    edges : (M, 3) float64
        Distance, height, and 1 where a building begins or -1 where it ends.
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
            # Insert in order: the ray's edges so far are sorted.
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
    """Loss in dB of turning by an angle (radians)."""
    return per_radian * min(max(angle, 0.0), cap)


@njit(cache=True, fastmath=True, nogil=True)
def pull_strings(
    offsets: I64,
    edges: F64,
    antenna_z: float,
    cap: float,
    per_radian: float,
    each_db: float,
    graze_db: float,
) -> tuple[I64, F64]:
    """Pull a string from the antenna over the edges of each ray, edge by edge.

    An edge that turns the string costs ``each_db``, one that it merely touches ``graze_db``.

    Returns
    -------
    before : (M,) int64
        The edge before this one on its string, -1 for the antenna.
    strings : (M, 4) float64
        Length up to the edge, elevation (radians) of the last piece, loss in dB of all
        edges before it, elevation at the antenna.
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
    edges: F64,
    before: I64,
    antenna_z: float,
    distance: float,
    z: float,
    touch: float,
) -> int:
    """Last edge on the string from the antenna to a point, at or before edge k; -1 if none.

    Walks back along the hull of edge k and leaves out the edges that lie below the straight
    line past them; between edges, those that lie below it by more than ``touch``.
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
def edge_before(first: int, end: int, edges: F64, distance: float) -> int:
    """Last edge nearer than a point outside buildings; first - 1 if none.

    A nearest ray is not quite the point's own. Where it ends inside a building, the point
    lies before that building or behind it, whichever wall is nearer.
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
def clears(
    ray: int, offsets: I64, edges: F64, before: I64, antenna_z: float, distance: float, z: float
) -> bool:
    """Whether a point on a ray is in line of sight of the antenna."""
    k = offsets[ray + 1] - 1
    while k >= offsets[ray] and edges[k, _DISTANCE] >= distance:
        k -= 1
    return last_edge(k, offsets[ray], edges, before, antenna_z, distance, z, 0.0) < 0
