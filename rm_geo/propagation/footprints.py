"""Building outlines with straight walls, traced from a building mask.

The outline of a mask is a staircase, and each of its steps would diffract. Straight runs are
found by the Douglas-Peucker algorithm, a line is fitted to the steps of each run, and
neighbouring lines are intersected, which locates corners to a fraction of a pixel.
"""

from __future__ import annotations

import numpy as np
import rasterio.features
from affine import Affine
from numba import njit
from numpy.typing import NDArray

from rm_geo.propagation.outlines import Ring, orient, signed_area

TOLERANCE_PX = 1.3  # a staircase of any slope stays within 1; features of 2 pixels are kept
_BEVEL_PX = 2.3  # an edge up to this length between long ones is a corner cut off by one pixel
_HOOK_PX = 1.0  # a shorter edge results from two walls that cross beside their corner
_REACH_PX = 2.0  # largest distance of an intersection from its corner


@njit(cache=True, nogil=True)
def _split_run(
    points: Ring, first: int, last: int, tolerance: float, keep: NDArray[np.bool_]
) -> None:
    """Mark the points that the Douglas-Peucker algorithm keeps between two kept ones."""
    stack = [(first, last)]
    while len(stack) > 0:
        a, b = stack.pop()
        if b - a < 2:
            continue
        ex = points[b, 0] - points[a, 0]
        ey = points[b, 1] - points[a, 1]
        length = np.hypot(ex, ey)
        worst = -1.0
        at = a
        for k in range(a + 1, b):
            qx = points[k, 0] - points[a, 0]
            qy = points[k, 1] - points[a, 1]
            off = abs(qx * ey - qy * ex) / length if length > 0 else np.hypot(qx, qy)
            if off > worst:
                worst = off
                at = k
        if worst > tolerance:
            keep[at] = True
            stack.append((a, at))
            stack.append((at, b))


@njit(cache=True, nogil=True)
def _fit_line(points: Ring, a: int, b: int) -> tuple[float, float, float, float]:
    """Fit a line to the mid-points of the unit steps a..b; return a point and its direction."""
    ex = points[b, 0] - points[a, 0]
    ey = points[b, 1] - points[a, 1]
    length = max(np.hypot(ex, ey), 1e-9)
    lo, hi = a, b
    if b - a >= 6:  # the steps at the corners belong to both walls
        lo, hi = a + 1, b - 1
    count = hi - lo
    if count < 4 or length < 3.0:
        return (
            (points[a, 0] + points[b, 0]) / 2,
            (points[a, 1] + points[b, 1]) / 2,
            ex / length,
            ey / length,
        )
    mx = my = 0.0
    for k in range(lo, hi):
        mx += (points[k, 0] + points[k + 1, 0]) / 2
        my += (points[k, 1] + points[k + 1, 1]) / 2
    mx /= count
    my /= count
    sxx = sxy = syy = 0.0
    for k in range(lo, hi):
        qx = (points[k, 0] + points[k + 1, 0]) / 2 - mx
        qy = (points[k, 1] + points[k + 1, 1]) / 2 - my
        sxx += qx * qx
        sxy += qx * qy
        syy += qy * qy
    turn = 0.5 * np.arctan2(2 * sxy, sxx - syy)
    dx = np.cos(turn)
    dy = np.sin(turn)
    if dx * ex + dy * ey < 0:
        dx, dy = -dx, -dy
    return mx, my, dx, dy


@njit(cache=True, nogil=True)
def _straighten(points: Ring, tolerance: float) -> Ring:
    """Convert a closed ring of unit steps (first point repeated) to a ring of walls."""
    n = points.shape[0] - 1
    keep = np.zeros(n + 1, np.bool_)
    keep[0] = keep[n] = True
    far = 0
    reach = -1.0
    for k in range(n):
        d = (points[k, 0] - points[0, 0]) ** 2 + (points[k, 1] - points[0, 1]) ** 2
        if d > reach:
            reach = d
            far = k
    keep[far] = True
    _split_run(points, 0, far, tolerance, keep)
    _split_run(points, far, n, tolerance, keep)
    kept = np.flatnonzero(keep)
    m = kept.shape[0] - 1
    if m < 3:
        return np.empty((0, 2))
    lines = np.empty((m, 4))
    for j in range(m):
        lines[j] = _fit_line(points, kept[j], kept[j + 1])
    out = np.empty((m, 2))
    for j in range(m):
        px, py, pdx, pdy = lines[j - 1]
        qx, qy, qdx, qdy = lines[j]
        out[j] = points[kept[j]]
        sine = pdx * qdy - pdy * qdx
        if abs(sine) > 0.3:
            t = ((qx - px) * qdy - (qy - py) * qdx) / sine
            x = px + t * pdx
            y = py + t * pdy
            if np.hypot(x - out[j, 0], y - out[j, 1]) < _REACH_PX:
                out[j, 0] = x
                out[j, 1] = y
    return out


@njit(cache=True, nogil=True)
def _close_bevels(ring: Ring) -> Ring:
    """Replace bevels of one pixel, and hooks where walls cross, by their corners."""
    changed = True
    while changed and ring.shape[0] > 4:
        changed = False
        n = ring.shape[0]
        for j in range(n):
            b = ring[j]
            c = ring[(j + 1) % n]
            short = np.hypot(c[0] - b[0], c[1] - b[1])
            if short > _BEVEL_PX:
                continue
            a = ring[j - 1]
            d = ring[(j + 2) % n]
            ux, uy = b[0] - a[0], b[1] - a[1]
            vx, vy = d[0] - c[0], d[1] - c[1]
            before = np.hypot(ux, uy)
            after = np.hypot(vx, vy)
            cross = ux * vy - uy * vx
            if before < short or after < short or abs(cross) < 0.35 * before * after:
                continue
            t = ((c[0] - a[0]) * vy - (c[1] - a[1]) * vx) / cross
            x, y = a[0] + t * ux, a[1] + t * uy
            crossed = t < 1 or (x - c[0]) * vx + (y - c[1]) * vy > 0
            if crossed and short >= _HOOK_PX:
                continue  # a step in the wall
            if max(np.hypot(x - b[0], y - b[1]), np.hypot(x - c[0], y - c[1])) > _REACH_PX:
                continue
            out = np.empty((n - 1, 2))
            gone = (j + 1) % n
            m = 0
            for k in range(n):
                if k == gone:
                    continue
                out[m] = ring[k]
                if k == j:
                    out[m, 0] = x
                    out[m, 1] = y
                m += 1
            ring = out
            changed = True
            break
    return ring


def _unit_steps(ring: Ring) -> Ring:
    """Split a rectilinear closed ring into steps of one pixel, from an extreme corner on."""
    lengths = np.abs(np.diff(ring, axis=0)).sum(axis=1).round().astype(int)
    t = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(t[-1])
    points = np.stack([np.interp(at, t, ring[:, 0]), np.interp(at, t, ring[:, 1])], axis=1)
    # An extreme point is a corner; a first point within a wall would be kept as a false corner.
    points = np.roll(points, -int(np.argmax(points @ np.array([1.0, 0.37]))), axis=0)
    return np.ascontiguousarray(np.vstack([points, points[:1]]))


def trace_footprints(
    values: NDArray[np.float32], *, tolerance_px: float = TOLERANCE_PX
) -> list[tuple[Ring, float]]:
    """Trace the outlines of all connected regions of equal positive value.

    Parameters
    ----------
    values : (H, W) ndarray of float32
        Height of the building in metres, 0 outside buildings.
    tolerance_px : float
        Largest distance in pixels of a staircase from its straight wall.

    Returns
    -------
    list of (Ring, float)
        Outer rings and courts in pixels, with (0, 0) at the north-west corner of the first
        pixel, each with the value of its region.
    """
    rings: list[tuple[Ring, float]] = []
    shapes = rasterio.features.shapes(
        values, mask=values > 0, connectivity=4, transform=Affine.identity()
    )
    for geometry, value in shapes:
        for index, coordinates in enumerate(geometry["coordinates"]):
            steps = _unit_steps(np.asarray(coordinates, dtype=np.float64))
            ring = _close_bevels(_straighten(steps, tolerance_px))
            if len(ring) >= 3 and abs(signed_area(ring)) >= 0.3:
                rings.append((orient(ring, court=index > 0), float(value)))
    return rings
