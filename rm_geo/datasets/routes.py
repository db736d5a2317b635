"""Simulated drives along streets: the order in which a measurement vehicle visits pixels."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray

_STEPS = tuple((dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0))
_MAX_DETOUR_PX = 120  # longest way over streets already driven to one that is not


def route_order(
    rng: np.random.Generator,
    roads: BoolArray,
    free: BoolArray,
    *,
    coverage: float = 0.06,
) -> NDArray[np.int32]:
    """Simulate a drive along streets and number the pixels in the order of their first visit.

    The vehicle follows the centre lines of the streets, turns at random at junctions, prefers
    streets not driven before and turns back at dead ends. It keeps to one side of the street
    with a slow lateral wander, so that the way back adds a second lane. From a part of the
    network that is not connected to the rest within the map, it jumps to the nearest other part.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    roads : ndarray of bool, shape (H, W)
        Streets, as centre lines one pixel wide (as in RadioMapSeer) or as wider bands.
    free : ndarray of bool, shape (H, W)
        Outdoor pixels. Only these are numbered.
    coverage : float
        Approximate fraction of the free pixels that the drive visits, 0..1.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Numbers from 0 on without gaps; -1 for pixels that are not visited.

    Examples
    --------
    >>> roads = np.zeros((32, 32), dtype=bool)
    >>> roads[16] = True
    >>> order = route_order(np.random.default_rng(0), roads, np.ones_like(roads))
    >>> int(order.min()), int(order.max()) + 1 == int((order >= 0).sum())
    (-1, True)
    """
    order = np.full(roads.shape, -1, dtype=np.int32)
    centre = _thin(roads)
    # Lanes and wander overlap, so a path visits fewer pixels than its length.
    length_px = int(1.6 * coverage * np.count_nonzero(free)) + 16
    cells = _drive(rng, centre, length_px)
    if len(cells) == 0:
        return order
    rows, columns = _add_lateral_wander(rng, np.asarray(cells, dtype=np.float64))
    inside = (rows >= 0) & (rows < roads.shape[0]) & (columns >= 0) & (columns < roads.shape[1])
    visited = rows[inside] * roads.shape[1] + columns[inside]
    visited = visited[free.flat[visited]]
    pixels, first = np.unique(visited, return_index=True)
    order.flat[pixels[np.argsort(first)]] = np.arange(pixels.size, dtype=np.int32)
    return order


def _drive(rng: np.random.Generator, centre: BoolArray, length_px: int) -> list[tuple[int, int]]:
    """Walk along the centre lines pixel by pixel, to the least visited pixels first."""
    rows, columns = np.nonzero(centre)
    if rows.size < 2:  # no neighbour to walk to
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
            # Pixels at corners of the raster staircase are visited with it; they are no streets.
            beside = set(neighbours[chosen])
            for cell in fresh:
                if cell in beside and cell != chosen:
                    visit(cell)
        else:
            path = _shortest_path(neighbours, here, visits, lap)
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


def _shortest_path(
    neighbours: list[list[int]], start: int, visits: list[int], lap: int
) -> list[int]:
    """Return the path to the nearest pixel not driven before, empty if there is none in reach."""
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
    """Return the numbers of the up to 8 neighbours of each centre-line pixel."""
    number = np.full((centre.shape[0] + 2, centre.shape[1] + 2), -1, dtype=np.int64)
    number[rows + 1, columns + 1] = np.arange(rows.size)
    table = np.stack([number[rows + 1 + dr, columns + 1 + dc] for dr, dc in _STEPS], axis=1)
    return [[cell for cell in line if cell >= 0] for line in table.tolist()]


def _add_lateral_wander(
    rng: np.random.Generator, way: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shift a path of pixels (N, 2) to one lane with a slow wander, keeping it connected."""
    jump = np.abs(np.diff(way, axis=0)).max(axis=1) > 1
    pieces = np.split(way, np.flatnonzero(jump) + 1)
    lane_px = rng.uniform(0.3, 1.6) * rng.choice((-1.0, 1.0))
    wander_px = rng.uniform(0.2, 0.6)
    moved = [_shift_sideways(rng, piece, lane_px, wander_px) for piece in pieces]
    cells = np.floor(np.concatenate(moved)).astype(np.int64)
    return cells[:, 0], cells[:, 1]


def _shift_sideways(
    rng: np.random.Generator, piece: NDArray[np.float64], lane_px: float, wander_px: float
) -> NDArray[np.float64]:
    """Smooth a connected section, shift it along its normals and resample it to half pixels."""
    centred = piece + 0.5
    if len(piece) < 5:
        return centred
    smooth = _smooth(centred, 7)
    tangent = np.gradient(_smooth(smooth, 7), axis=0)
    norm = np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-6)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / norm[:, None]
    knots = np.arange(0, len(piece) + 25, 25)
    wander = np.interp(np.arange(len(piece)), knots, rng.standard_normal(knots.size) * wander_px)
    shifted = smooth + normal * (lane_px + wander)[:, None]
    step = np.hypot(*np.diff(shifted, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    fine = np.arange(0.0, along[-1] + 1e-9, 0.5)
    return np.stack([np.interp(fine, along, shifted[:, axis]) for axis in (0, 1)], axis=1)


def _smooth(points: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Apply a moving average to a path (N, 2), with its ends repeated as padding."""
    half = min(width, len(points)) // 2
    padded = np.concatenate(
        [np.repeat(points[:1], half, 0), points, np.repeat(points[-1:], half, 0)]
    )
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(padded, axis=0)])
    size = 2 * half + 1
    return np.asarray((total[size:] - total[:-size]) / size)


def _thin(roads: BoolArray) -> BoolArray:
    """Thin bands to centre lines (Zhang and Suen, CACM 27(3), 1984); keep lines unchanged."""
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
