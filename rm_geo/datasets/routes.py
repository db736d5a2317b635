"""Drives along streets: in which order a measuring vehicle comes past the pixels."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray

_STEPS = tuple((dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0))
_MAX_DETOUR_PX = 120


def route_order(
    rng: np.random.Generator,
    roads: BoolArray,
    free: BoolArray,
    *,
    coverage: float = 0.06,
) -> NDArray[np.int32]:
    """Drive along the streets and number the pixels in the order of the first visit.

    The vehicle follows the streets' centre lines, turns at junctions at random, prefers
    streets not driven yet, turns back at dead ends, and keeps to one side of the street with
    a slow lateral wander, so that driving back adds a second lane. Where a part of the
    network is not connected within the map, it goes on in the nearest part, as if it had
    left the map and come back.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    roads : ndarray of bool, shape (H, W)
        Streets, as centre lines one pixel wide (as in RadioMapSeer) or as wider bands.
    free : ndarray of bool, shape (H, W)
        Pixels outdoors; the order never enters others.
    coverage : float
        The drive ends after about this share of the free pixels.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 at the first pixel, counting up without gaps; -1 where the drive never comes.
    """
    order = np.full(roads.shape, -1, dtype=np.int32)
    centre = _thinned(roads)
    # Lanes and wander overlap, so the way is somewhat longer than the pixels it gives.
    length_px = int(1.6 * coverage * np.count_nonzero(free)) + 16
    cells = _drive(rng, centre, length_px)
    if len(cells) == 0:
        return order
    rows, columns = _with_lateral_wander(rng, np.asarray(cells, dtype=np.float64))
    inside = (rows >= 0) & (rows < roads.shape[0]) & (columns >= 0) & (columns < roads.shape[1])
    visited = rows[inside] * roads.shape[1] + columns[inside]
    visited = visited[free.flat[visited]]
    pixels, first = np.unique(visited, return_index=True)
    order.flat[pixels[np.argsort(first)]] = np.arange(pixels.size, dtype=np.int32)
    return order


def _drive(rng: np.random.Generator, centre: BoolArray, length_px: int) -> list[tuple[int, int]]:
    """Walk over the centre lines, pixel by pixel, least visited pixels first."""
    rows, columns = np.nonzero(centre)
    if rows.size < 2:  # nowhere to go
        return list(zip(rows.tolist(), columns.tolist(), strict=True))
    neighbours = _neighbours(centre, rows, columns)
    positions = np.stack([rows, columns], axis=1)
    steps = list(zip(rows.tolist(), columns.tolist(), strict=True))
    noise = rng.gumbel(scale=0.35, size=(length_px, 8)).tolist()
    visits = [0] * rows.size
    here = int(rng.integers(rows.size))
    lap, heading = 0, (0.0, 0.0)
    visits[here] = 1
    left = rows.size - 1
    way = [steps[here]]

    def visit(cell: int) -> None:
        nonlocal left
        if visits[cell] <= lap:
            visits[cell] = lap + 1
            left -= 1

    while len(way) < length_px:
        if left == 0:
            lap, left = lap + 1, rows.size
            visit(here)
        fresh = [cell for cell in neighbours[here] if visits[cell] <= lap]
        if fresh:
            row, column = steps[here]
            gumbel = noise[len(way)]
            best, chosen = -9.0, fresh[0]
            for index, cell in enumerate(fresh):
                dr, dc = steps[cell][0] - row, steps[cell][1] - column
                ahead = (dr * heading[0] + dc * heading[1]) / (1.4142 if dr and dc else 1.0)
                if ahead + gumbel[index] > best:
                    best, chosen = ahead + gumbel[index], cell
            path = [chosen]
            # Corners of the raster's staircase are passed with it and are no streets.
            beside = set(neighbours[chosen])
            for cell in fresh:
                if cell in beside and cell != chosen:
                    visit(cell)
        else:
            path = _shortest_way(neighbours, here, visits, lap)
            if not path:
                unseen = np.flatnonzero(np.asarray(visits) <= lap)
                gap = np.abs(positions[unseen] - positions[here]).max(axis=1)
                path = [int(unseen[int(np.argmin(gap))])]
        for cell in path:
            row, column = steps[here]
            dr, dc = steps[cell][0] - row, steps[cell][1] - column
            if abs(dr) <= 1 and abs(dc) <= 1:
                heading = (0.75 * heading[0] + 0.25 * dr, 0.75 * heading[1] + 0.25 * dc)
            else:
                heading = (0.0, 0.0)
            here = cell
            visit(cell)
            way.append(steps[cell])
    return way[:length_px]


def _shortest_way(
    neighbours: list[list[int]], start: int, visits: list[int], lap: int
) -> list[int]:
    """Find the way to the nearest pixel not driven yet; empty if it is too far or none."""
    came_from = {start: start}
    queue = deque([(start, 0)])
    while queue:
        cell, length = queue.popleft()
        if visits[cell] <= lap:
            path = []
            while cell != start:
                path.append(cell)
                cell = came_from[cell]
            return path[::-1]
        if length < _MAX_DETOUR_PX:
            for following in neighbours[cell]:
                if following not in came_from:
                    came_from[following] = cell
                    queue.append((following, length + 1))
    return []


def _neighbours(
    centre: BoolArray, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> list[list[int]]:
    """List the numbers of the (up to 8) neighbours of each centre-line pixel."""
    number = np.full((centre.shape[0] + 2, centre.shape[1] + 2), -1, dtype=np.int64)
    number[rows + 1, columns + 1] = np.arange(rows.size)
    table = np.stack([number[rows + 1 + dr, columns + 1 + dc] for dr, dc in _STEPS], axis=1)
    return [[cell for cell in line if cell >= 0] for line in table.tolist()]


def _with_lateral_wander(
    rng: np.random.Generator, way: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Move a way of pixels (N, 2) to one lane with a slow wander, without breaking it."""
    jump = np.abs(np.diff(way, axis=0)).max(axis=1) > 1
    pieces = np.split(way, np.flatnonzero(jump) + 1)
    lane_px = rng.uniform(0.3, 1.6) * rng.choice((-1.0, 1.0))
    wander_px = rng.uniform(0.2, 0.6)
    moved = [_moved_sideways(rng, piece, lane_px, wander_px) for piece in pieces]
    cells = np.floor(np.concatenate(moved)).astype(np.int64)
    return cells[:, 0], cells[:, 1]


def _moved_sideways(
    rng: np.random.Generator, piece: NDArray[np.float64], lane_px: float, wander_px: float
) -> NDArray[np.float64]:
    """Smooth one unbroken piece, shift it along its normals, and fill it to half pixels."""
    centred = piece + 0.5
    if len(piece) < 5:
        return centred
    smooth = _smoothed(centred, 7)
    tangent = np.gradient(_smoothed(smooth, 7), axis=0)
    norm = np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / norm[:, None]
    knots = np.arange(0, len(piece) + 25, 25)
    wander = np.interp(np.arange(len(piece)), knots, rng.standard_normal(knots.size) * wander_px)
    shifted = smooth + normal * (lane_px + wander)[:, None]
    step = np.hypot(*np.diff(shifted, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    fine = np.arange(0.0, along[-1] + 1e-9, 0.5)
    return np.stack([np.interp(fine, along, shifted[:, axis]) for axis in (0, 1)], axis=1)


def _smoothed(points: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Average neighbouring points of a way (N, 2); its ends stay where they are."""
    half = min(width, len(points)) // 2
    padded = np.concatenate(
        [np.repeat(points[:1], half, 0), points, np.repeat(points[-1:], half, 0)]
    )
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(padded, axis=0)])
    size = 2 * half + 1
    return np.asarray((total[size:] - total[:-size]) / size)


def _thinned(roads: BoolArray) -> BoolArray:
    """Thin bands to centre lines (Zhang and Suen, CACM 27(3), 1984); lines stay as they are."""
    thick = roads[:-1, :-1] & roads[1:, :-1] & roads[:-1, 1:] & roads[1:, 1:]
    if np.count_nonzero(thick) < 0.2 * np.count_nonzero(roads):
        return roads
    image = np.pad(roads, 1).astype(np.int8)
    changed = True
    while changed:
        changed = False
        for odd in (False, True):
            n = image[:-2, 1:-1]
            e, s, w = image[1:-1, 2:], image[2:, 1:-1], image[1:-1, :-2]
            ring = (n, image[:-2, 2:], e, image[2:, 2:], s, image[2:, :-2], w, image[:-2, :-2])
            total = np.sum(ring, axis=0)
            rises = sum(
                ((ring[i] == 0) & (ring[(i + 1) % 8] == 1)).astype(np.int8) for i in range(8)
            )
            corner = (
                (n * e * w == 0) & (n * s * w == 0) if odd else (n * e * s == 0) & (e * s * w == 0)
            )
            drop = (image[1:-1, 1:-1] == 1) & (total >= 2) & (total <= 6) & (rises == 1) & corner
            if drop.any():
                image[1:-1, 1:-1][drop] = 0
                changed = True
    return np.asarray(image[1:-1, 1:-1] == 1)
