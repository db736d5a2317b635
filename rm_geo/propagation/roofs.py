"""Paths over a roof that leave the vertical plane: across its edges at nodes of their own.

Where a long wall hides what lies beside the straight line, the best way over a building
enters its roof at one edge and leaves it at another, off the straight line. Each wall carries
nodes; a path goes antenna -> node -> node of the same building -> pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rm_geo.propagation.fans import CLEARANCE_M, cast_fan, fill_fan
from rm_geo.propagation.patterns import pattern_db
from rm_geo.propagation.profile import clears, turn_loss
from rm_geo.propagation.rings import Ring, signed_area

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

REACH_M = 150.0  # further down, the descent is flat and the straight line is as good
_PIECE_M = 30.0  # longest piece of wall with one node
_LEAST_WALL_M = 2.5


def roof_nodes(parts: list[tuple[Ring, float]]) -> F64:
    """Set nodes on the middles of walls, long walls in pieces.

    Returns
    -------
    (K, 6) ndarray of float64
        x, y, outward normal, height, number of the building (ascending).
    """
    nodes = []
    building = -1
    for ring, height in parts:
        building += signed_area(ring) > 0  # courts follow the outline that they belong to
        along = np.roll(ring, -1, axis=0) - ring
        for start, wall in zip(ring, along, strict=True):
            length = float(np.hypot(*wall))
            if length < _LEAST_WALL_M:
                continue
            pieces = math.ceil(length / _PIECE_M)
            for k in range(pieces):
                x, y = start + wall * (k + 0.5) / pieces
                nodes.append((x, y, wall[1] / length, -wall[0] / length, height, building))
    return np.array(nodes, dtype=np.float64).reshape(-1, 6)


@njit(cache=True, fastmath=True, nogil=True)
def look_down(
    nodes: F64, walls: F64, shape: tuple[int, int], spacing: float, ray_step: float
) -> tuple[I64, NDArray[np.int16]]:
    """Find the pixels that each node sees in front of its wall: offsets and runs, as corners'."""
    offsets = np.zeros(nodes.shape[0] + 1, np.int64)
    runs = np.empty((1024, 3), np.int16)
    used = 0
    count = math.ceil(math.pi / ray_step) + 1
    rays = np.empty((count, 3))
    for v in range(nodes.shape[0]):
        x = nodes[v, 0] + CLEARANCE_M * nodes[v, 2]
        y = nodes[v, 1] + CLEARANCE_M * nodes[v, 3]
        start = math.atan2(nodes[v, 3], nodes[v, 2]) - math.pi / 2
        cast_fan(x, y, start, math.pi / (count - 1), walls, REACH_M, rays)
        runs, used = fill_fan(x, y, rays, shape, spacing, runs, used)
        offsets[v + 1] = used
    return offsets, runs[:used].copy()


@njit(cache=True, fastmath=True, nogil=True)
def climb_roofs(
    x: float,
    y: float,
    z: float,
    nodes: F64,
    offsets: I64,
    edges: F64,
    before: I64,
    law: F64,
    pattern: F64,
) -> F64:
    """Best way from the antenna to each node that a path may leave a roof by.

    Returns
    -------
    (K, 5) ndarray of float64
        Length (0 where there is none), loss in dB so far, unit direction of the last piece.
    """
    next_db, per_radian, cap, nlos = law[8], law[4], law[5], law[1]
    scale = (offsets.shape[0] - 1) / (2 * math.pi)
    count = nodes.shape[0]
    ways = np.zeros((count, 5))
    costs = np.full(count, np.inf)
    first = 0
    for a in range(count):
        while nodes[first, 5] < nodes[a, 5]:
            first += 1
        dx, dy, dz = nodes[a, 0] - x, nodes[a, 1] - y, nodes[a, 4] - z
        far = math.hypot(dx, dy)
        facing = dx * nodes[a, 2] + dy * nodes[a, 3]
        if far < 0.5 or (facing >= 0 and dz >= 0):
            continue
        ray = int((math.atan2(dy, dx) % (2 * math.pi)) * scale) % (offsets.shape[0] - 1)
        if not clears(ray, offsets, edges, before, z, far - 0.3, nodes[a, 4]):
            continue
        whole = math.hypot(far, dz)
        sent = pattern_db(pattern, math.atan2(dy, dx) + math.pi / 2, math.atan2(dz, far))
        if facing >= 0:  # seen over its own roof: it is the only edge
            cost = nlos * math.log10(whole) - sent
            if cost < costs[a]:
                costs[a] = cost
                ways[a] = np.array([whole, -sent, dx / whole, dy / whole, dz / whole])
            continue
        b = first
        while b < count and nodes[b, 5] == nodes[a, 5]:
            gx, gy = nodes[b, 0] - nodes[a, 0], nodes[b, 1] - nodes[a, 1]
            inwards = gx * nodes[a, 2] + gy * nodes[a, 3] < 0
            if inwards and gx * nodes[b, 2] + gy * nodes[b, 3] > 0:
                across = math.hypot(gx, gy)
                turn = math.acos(min(max((dx * gx + dy * gy) / (whole * across), -1.0), 1.0))
                loss = next_db + turn_loss(turn, cap, per_radian) - sent
                cost = nlos * math.log10(whole + across) + loss
                if cost < costs[b]:
                    costs[b] = cost
                    ways[b] = np.array([whole + across, loss, gx / across, gy / across, 0.0])
            b += 1
    return ways


@njit(cache=True, fastmath=True, nogil=True)
def descend(
    ways: F64,
    nodes: F64,
    run_offsets: I64,
    runs: NDArray[np.int16],
    spacing: float,
    law: F64,
    length: F32,
) -> None:
    """Lower the equivalent ``length`` of pixels that a node lights better."""
    nlos, first_db, per_radian, cap, receiver_z = law[1], law[2], law[4], law[5], law[6]
    per_turn = per_radian / nlos * math.log(10.0)
    for v in range(nodes.shape[0]):
        so_far, loss, ux, uy, uz = ways[v]
        dz = receiver_z - nodes[v, 4]
        if so_far <= 0 or dz >= 0:
            continue
        factor = 10.0 ** ((loss + first_db) / nlos)
        for q in range(run_offsets[v], run_offsets[v + 1]):
            row = runs[q, 0]
            py = (row + 0.5) * spacing - nodes[v, 1]
            for col in range(runs[q, 1], runs[q, 2]):
                px = (col + 0.5) * spacing - nodes[v, 0]
                far = math.sqrt(px * px + py * py + dz * dz)
                here = (so_far + far) * factor
                if here >= length[row, col]:
                    continue
                turn = math.acos(min(max((ux * px + uy * py + uz * dz) / far, -1.0), 1.0))
                here *= math.exp(per_turn * min(turn, cap))
                if here < length[row, col]:
                    length[row, col] = here
