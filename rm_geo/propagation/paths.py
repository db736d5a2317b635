"""Paths of least loss from one antenna to all pixels.

Losses without line of sight are stored as the *equivalent length* ``E`` in metres, defined by
``loss = nlos_exponent_db * log10(E)``. A turn then is a factor, and one logarithm per pixel is
taken at the end.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rm_geo._types import Float64Array, FloatArray, IndexArray
from rm_geo.propagation.profile import edge_before, in_line_of_sight, last_edge, turn_loss
from rm_geo.propagation.visibility import passing_side, viewpoint

UNREACHED_M = np.float32(1e30)
"""Equivalent length of a pixel without a path."""


@njit(cache=True, fastmath=True, nogil=True)
def pattern_db(pattern: NDArray[np.float64], azimuth: float, elevation: float) -> float:
    """Gain of a sector antenna in dBi towards a direction in radians; 0 for an empty pattern.

    Compiled, scalar form of :meth:`rm_geo.propagation.antenna.SectorPattern.gain_dbi`: the path
    loops call it once per path, and numba cannot call the method of a Python object.
    """
    if pattern.shape[0] == 0:
        return 0.0
    turn = math.degrees(azimuth) - pattern[0]
    turn -= 360.0 * math.floor((turn + 180.0) / 360.0)
    rise = math.degrees(elevation) + pattern[1]
    across = min(12.0 * (turn / pattern[2]) ** 2, pattern[4])
    upright = min(12.0 * (rise / pattern[3]) ** 2, pattern[4])
    return float(pattern[5] - min(across + upright, pattern[4]))


@njit(cache=True, fastmath=True, nogil=True)
def vertical_plane_paths(
    x: float,
    y: float,
    z: float,
    indoor: NDArray[np.bool_],
    spacing: float,
    offsets: IndexArray,
    edges: Float64Array,
    before: IndexArray,
    strings: Float64Array,
    law: Float64Array,
    pattern: Float64Array,
    gain: FloatArray,
    length: FloatArray,
) -> None:
    """Compute the path in the vertical plane to each outdoor pixel.

    In line of sight, ``gain`` is set to the path gain relative to 1 m and ``length`` to 0. In
    other pixels ``length`` is set to the equivalent length of the taut string over the roofs.
    """
    los, nlos, first_db, _, per_radian, cap, receiver_z, near, _ = law
    count = offsets.shape[0] - 1
    scale = count / (2 * math.pi)
    for row in range(indoor.shape[0]):
        dy = (row + 0.5) * spacing - y
        for col in range(indoor.shape[1]):
            if indoor[row, col]:
                continue
            dx = (col + 0.5) * spacing - x
            distance = math.sqrt(dx * dx + dy * dy)
            angle = math.atan2(dy, dx)
            ray = int((angle if angle >= 0 else angle + 2 * math.pi) * scale)
            if ray >= count:
                ray = 0
            k = edge_before(offsets[ray], offsets[ray + 1], edges, distance)
            j = last_edge(k, offsets[ray], edges, before, z, distance, receiver_z, 0.0)
            azimuth = angle + math.pi / 2
            if j < 0:
                whole = max(math.sqrt(distance * distance + (z - receiver_z) ** 2), near)
                rise = math.atan2(receiver_z - z, distance)
                gain[row, col] = pattern_db(pattern, azimuth, rise) - los * math.log10(whole)
                length[row, col] = 0.0
                continue
            run = max(distance - edges[j, 0], 1e-6)
            fall = math.atan2(receiver_z - edges[j, 1], run)
            whole = strings[j, 0] + math.hypot(run, receiver_z - edges[j, 1])
            loss = (
                strings[j, 2]
                + first_db
                + turn_loss(strings[j, 1] - fall, cap, per_radian)
                - pattern_db(pattern, azimuth, strings[j, 3])
            )
            length[row, col] = max(whole, near) * 10.0 ** (loss / nlos)


@njit(cache=True, fastmath=True, nogil=True)
def start_at_corners(
    x: float,
    y: float,
    z: float,
    corners: Float64Array,
    offsets: IndexArray,
    edges: Float64Array,
    before: IndexArray,
    law: Float64Array,
    pattern: Float64Array,
) -> Float64Array:
    """Compute the first segments of paths, to the corners visible from the antenna.

    Returns
    -------
    starts : (2 N, 4) ndarray of float64
        For each state (corner, side): horizontal length in metres (0 if not visible), unit
        direction (2), factor of the antenna gain on the equivalent length.
    """
    nlos = law[1]
    count = offsets.shape[0] - 1
    scale = count / (2 * math.pi)
    starts = np.zeros((2 * corners.shape[0], 4))
    for v in range(corners.shape[0]):
        dx, dy = corners[v, 0] - x, corners[v, 1] - y
        far = math.hypot(dx, dy)
        if far < 1e-3:
            continue
        side = passing_side(corners[v], dx / far, dy / far)
        if side < 0:
            continue
        # Aim at the top of the corner, at most at the height of the antenna.
        aim = min(corners[v, 6], z)
        ox, oy = viewpoint(corners[v])
        ray = int((math.atan2(oy - y, ox - x) % (2 * math.pi)) * scale)
        close = math.hypot(ox - x, oy - y) - 0.3
        seen = False
        for shift in range(-1, 2):
            seen = seen or in_line_of_sight(
                (ray + shift) % count, offsets, edges, before, z, close, aim
            )
        if seen:
            rise = math.atan2(aim - z, far)
            boost = pattern_db(pattern, math.atan2(dy, dx) + math.pi / 2, rise)
            starts[2 * v + side, 0] = far
            starts[2 * v + side, 1] = dx / far
            starts[2 * v + side, 2] = dy / far
            starts[2 * v + side, 3] = 10.0 ** (-boost / nlos)
    return starts


@njit(cache=True, fastmath=True, nogil=True)
def corner_paths(
    starts: Float64Array,
    climb: float,
    corners: Float64Array,
    link_offsets: IndexArray,
    targets: IndexArray,
    steps: Float64Array,
    run_offsets: IndexArray,
    runs: NDArray[np.int16],
    spacing: float,
    law: Float64Array,
    max_interactions: int,
    limit: float,
    length: FloatArray,
) -> None:
    """Lower the equivalent ``length`` of the pixels that have a shorter path around corners.

    Dijkstra's algorithm over states (corner, side), each with the direction of its best path.
    ``climb`` is the height difference of the two ends in metres. Height changes linearly along
    the unfolded path.
    """
    nlos, first_db, next_db, per_radian, cap = law[1], law[2], law[3], law[4], law[5]
    first_factor = 10.0 ** (first_db / nlos)
    next_factor = 10.0 ** (next_db / nlos)
    per_turn = per_radian / nlos * math.log(10.0)
    climb2 = climb * climb
    total = starts.shape[0]
    best = np.full(total, np.inf)
    plan = np.zeros(total)
    factor = np.zeros(total)
    ux = np.zeros(total)
    uy = np.zeros(total)
    hops = np.zeros(total, np.int64)
    done = np.zeros(total, np.bool_)
    queue = [(0.0, -1)]
    for state in range(total):
        if starts[state, 0] > 0:
            plan[state] = starts[state, 0]
            ux[state], uy[state] = starts[state, 1], starts[state, 2]
            factor[state] = starts[state, 3]
            hops[state] = 1
            best[state] = math.sqrt(plan[state] ** 2 + climb2) * factor[state]
            heapq.heappush(queue, (best[state], state))
    while len(queue) > 0:
        cost, state = heapq.heappop(queue)
        if state < 0 or done[state]:
            continue
        if cost > limit:
            break
        done[state] = True
        v = state >> 1
        sign = 1.0 if (state & 1) == 0 else -1.0
        vx, vy = ux[state], uy[state]
        so_far = plan[state]
        times = factor[state] * (first_factor if hops[state] == 1 else next_factor)
        for q in range(run_offsets[state], run_offsets[state + 1]):
            row = runs[q, 0]
            py = (row + 0.5) * spacing - corners[v, 1]
            for col in range(runs[q, 1], runs[q, 2]):
                px = (col + 0.5) * spacing - corners[v, 0]
                plan_length = so_far + math.sqrt(px * px + py * py)
                here = math.sqrt(plan_length * plan_length + climb2) * times
                if here >= length[row, col]:
                    continue
                across = (vx * py - vy * px) * sign
                along = vx * px + vy * py
                # A shaded pixel just inside the lit side is an effect of rounding at the wall.
                if across < 0 and (across < -spacing or along < 0):
                    continue
                turn = min(math.atan2(max(across, 0.0), along), cap)
                here *= math.exp(per_turn * turn)
                if here < length[row, col]:
                    length[row, col] = here
        if hops[state] >= max_interactions:
            continue
        for q in range(link_offsets[state], link_offsets[state + 1]):
            target = targets[q]
            if done[target]:
                continue
            gx, gy, far = steps[q, 0], steps[q, 1], steps[q, 2]
            across = (vx * gy - vy * gx) * sign
            along = vx * gx + vy * gy
            if across < -1e-3 or (across <= 0 and along < 0):
                continue
            turn = min(math.atan2(max(across, 0.0), along), cap)
            longer = so_far + far
            new_factor = times * math.exp(per_turn * turn)
            new_cost = math.sqrt(longer * longer + climb2) * new_factor
            if new_cost < best[target]:
                best[target] = new_cost
                plan[target] = longer
                factor[target] = new_factor
                ux[target], uy[target] = gx, gy
                hops[target] = hops[state] + 1
                heapq.heappush(queue, (new_cost, target))
