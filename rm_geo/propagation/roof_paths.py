"""Paths over one roof that leave the vertical plane of transmitter and receiver.

Behind a long wall the path of least loss may enter a roof at one edge and leave it at another
one beside the straight line. Each wall has nodes, and a path runs from the antenna over a node
and another node of the same building to a pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rm_geo._types import Float64Array, FloatArray, IndexArray
from rm_geo.propagation.outlines import Ring, signed_area
from rm_geo.propagation.paths import pattern_db
from rm_geo.propagation.profile import in_line_of_sight, turn_loss
from rm_geo.propagation.visibility import CLEARANCE_M, cast_rays, visible_runs

REACH_M = 150.0  # beyond this distance from a node, the path in the vertical plane is as good
_PIECE_M = 30.0  # largest length of wall per node
_MIN_WALL_M = 2.5


def roof_nodes(parts: list[tuple[Ring, float]]) -> Float64Array:
    """Place nodes at the centres of walls, several on a long wall.

    Parameters
    ----------
    parts : list of (Ring, float)
        Outlines and heights of the buildings, each followed by its courts.

    Returns
    -------
    (K, 6) ndarray of float64
        x, y, outward normal (2), height, number of the building (ascending).
    """
    nodes = []
    building = -1
    for ring, height in parts:
        building += signed_area(ring) > 0  # courts follow the outline of their building
        along = np.roll(ring, -1, axis=0) - ring
        for start, wall in zip(ring, along, strict=True):
            length = float(np.hypot(*wall))
            if length < _MIN_WALL_M:
                continue
            pieces = math.ceil(length / _PIECE_M)
            for k in range(pieces):
                x, y = start + wall * (k + 0.5) / pieces
                nodes.append((x, y, wall[1] / length, -wall[0] / length, height, building))
    return np.array(nodes, dtype=np.float64).reshape(-1, 6)


@njit(cache=True, fastmath=True, nogil=True)
def node_visibility(
    nodes: Float64Array,
    walls: Float64Array,
    shape: tuple[int, int],
    spacing: float,
    ray_step: float,
) -> tuple[IndexArray, NDArray[np.int16]]:
    """Find the pixels in front of the wall of each node that are visible from the node.

    Returns
    -------
    offsets : (K + 1,) ndarray of int64
        Runs of node v are ``runs[offsets[v]:offsets[v + 1]]``.
    runs : (R, 3) ndarray of int16
        Row, first column, end column.
    """
    offsets = np.zeros(nodes.shape[0] + 1, np.int64)
    runs = np.empty((1024, 3), np.int16)
    used = 0
    count = math.ceil(math.pi / ray_step) + 1
    rays = np.empty((count, 3))
    for v in range(nodes.shape[0]):
        x = nodes[v, 0] + CLEARANCE_M * nodes[v, 2]
        y = nodes[v, 1] + CLEARANCE_M * nodes[v, 3]
        start = math.atan2(nodes[v, 3], nodes[v, 2]) - math.pi / 2
        cast_rays(x, y, start, math.pi / (count - 1), walls, REACH_M, rays)
        runs, used = visible_runs(x, y, rays, shape, spacing, runs, used)
        offsets[v + 1] = used
    return offsets, runs[:used].copy()


@njit(cache=True, fastmath=True, nogil=True)
def paths_to_nodes(
    x: float,
    y: float,
    z: float,
    nodes: Float64Array,
    offsets: IndexArray,
    edges: Float64Array,
    before: IndexArray,
    law: Float64Array,
    pattern: Float64Array,
) -> Float64Array:
    """Find the path of least loss from the antenna to each node.

    Returns
    -------
    (K, 5) ndarray of float64
        Length in metres (0 if there is no path), loss in dB, unit direction (3) of the last
        segment.
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
        if not in_line_of_sight(ray, offsets, edges, before, z, far - 0.3, nodes[a, 4]):
            continue
        whole = math.hypot(far, dz)
        sent = pattern_db(pattern, math.atan2(dy, dx) + math.pi / 2, math.atan2(dz, far))
        if facing >= 0:  # visible over its own roof: no other edge is crossed
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
def paths_from_nodes(
    ways: Float64Array,
    nodes: Float64Array,
    run_offsets: IndexArray,
    runs: NDArray[np.int16],
    spacing: float,
    law: Float64Array,
    length: FloatArray,
) -> None:
    """Lower the equivalent ``length`` of the pixels that have a shorter path over a node."""
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
