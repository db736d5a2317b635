"""Generators of the buildings of one city block, by type of development."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rm_geo.datasets.parcels import Parcel, Point, rectangle

Building = tuple[tuple[Point, ...], float]
"""Corners (x, y) and height of a building, in metres."""

BlockFiller = Callable[[np.random.Generator, Parcel], list[Building]]
"""Function that draws the buildings of a block from a random generator and its parcel."""


def perimeter_houses(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Place attached houses along the edges around a courtyard, with some lots empty.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    outer = block.inset(rng.uniform(1.0, 4.0))
    depth = rng.uniform(10.0, 14.0)
    if outer is None:
        return []
    court = Parcel(outer.corners, (depth,) * len(outer.corners)).inset()
    storey_m = rng.uniform(12.0, 22.0)
    if court is None or len(court.corners) != len(outer.corners) or court.area_m2 < 150.0:
        return solid_block(rng, block) if block.area_m2 < 1800.0 else hall(rng, block)
    buildings: list[Building] = []
    count = len(outer.corners)
    # Both rings start at the same edge, so that each edge gives a strip with mitred ends.
    for i in range(count):
        j = (i + 1) % count
        strip = (outer.corners[i], outer.corners[j], court.corners[j], court.corners[i])
        length = math.dist(strip[0], strip[1])
        houses = max(1, round(length / rng.uniform(14.0, 24.0)))
        for house in range(houses):
            if houses > 2 and 0 < house < houses - 1 and rng.random() < 0.14:
                continue
            a, b = house / houses, (house + 1) / houses
            back = 1.0 if rng.random() < 0.7 else rng.uniform(0.75, 1.0)
            near_a, near_b = _between(strip[0], strip[1], a), _between(strip[0], strip[1], b)
            far_a, far_b = _between(strip[3], strip[2], a), _between(strip[3], strip[2], b)
            corners = (near_a, near_b, _between(near_b, far_b, back), _between(near_a, far_a, back))
            buildings.append((corners, storey_m + rng.choice((-3.0, 0.0, 0.0, 3.0))))
    if court.area_m2 > 900.0 and rng.random() < 0.6:
        side = rng.uniform(0.25, 0.45) * math.sqrt(court.area_m2)
        rear = rectangle(court.centre, court.longest_direction(), side * 1.5, side * 0.6)
        buildings.append((rear.corners, rng.uniform(4.0, 12.0)))
    return buildings


def slab_rows(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Place parallel slab blocks, with their ends or their fronts to the street.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(rng.uniform(3.0, 7.0))
    if ground is None:
        return []
    along = ground.longest_direction()
    if rng.random() < 0.5:
        along = (-along[1], along[0])
    across = (-along[1], along[0])
    width, gap = rng.uniform(10.0, 13.0), rng.uniform(14.0, 24.0)
    height_m = rng.uniform(12.0, 28.0)
    low, high = ground.extent(across)
    buildings: list[Building] = []
    rows = max(1, int((high - low + gap) / (width + gap)))
    pitch = (high - low + gap) / rows
    for row in range(rows):
        at = low + row * pitch + (pitch - gap) / 2
        strip = _strip(ground, across, at - width / 2, at + width / 2)
        if strip is None:
            continue
        start, end = strip.extent(along)
        start, end = start + rng.uniform(0.0, 6.0), end - rng.uniform(0.0, 6.0)
        pieces = max(1, round((end - start) / rng.uniform(35.0, 75.0)))
        for piece in range(pieces):
            first = start + (end - start) * piece / pieces
            last = start + (end - start) * (piece + 1) / pieces - (8.0 if pieces > 1 else 0.0)
            if last - first > 12.0:
                centre = _at(along, (first + last) / 2, across, at)
                slab = rectangle(centre, along, last - first, width)
                buildings.append((slab.corners, height_m))
    return buildings


def detached_houses(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Place one house on each lot.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(rng.uniform(2.0, 4.5))
    if ground is None:
        return []
    lot_m2 = rng.uniform(260.0, 480.0)
    dense = rng.uniform(0.55, 0.85)
    buildings: list[Building] = []
    for lot in _lots(rng, ground, lot_m2):
        if len(lot.corners) == 3 or rng.random() < 0.07:
            continue
        along = lot.longest_direction()
        across = (-along[1], along[0])
        (low, high), (left, right) = lot.extent(along), lot.extent(across)
        length = min((high - low) * dense * rng.uniform(0.85, 1.1), 20.0)
        width = min((right - left) * dense * rng.uniform(0.85, 1.1), 16.0)
        if min(length, width) < 5.0:
            continue
        cx, cy = lot.centre
        centre = (cx + rng.uniform(-1.5, 1.5), cy + rng.uniform(-1.5, 1.5))
        height_m = rng.uniform(5.0, 12.0)
        house = rectangle(centre, along, length, width)
        if all(_inside(lot, corner, 1.0) for corner in house.corners):
            buildings.append((house.corners, height_m))
        else:
            fitted = lot.inset((1.0 - dense) * 0.4 * min(high - low, right - left))
            if fitted is not None and fitted.area_m2 > 40.0:
                buildings.append((fitted.corners, height_m))
        if rng.random() < 0.3:  # a wing that gives an L shape
            wing = rectangle(
                (centre[0] + along[0] * length * 0.3, centre[1] + along[1] * length * 0.3),
                along,
                length * 0.35,
                width * rng.uniform(1.2, 1.5),
            )
            if all(_inside(lot, corner, 0.5) for corner in wing.corners):
                buildings.append((wing.corners, height_m))
    return buildings


def towers(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Place widely spaced high-rise buildings, some with a low annex.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(5.0)
    if ground is None:
        return []
    buildings: list[Building] = []
    for lot in _lots(rng, ground, rng.uniform(1300.0, 2200.0)):
        along = lot.longest_direction()
        side = rng.uniform(0.4, 0.55) * math.sqrt(lot.area_m2)
        tower = rectangle(lot.centre, along, side * rng.uniform(1.0, 1.6), side)
        if all(_inside(lot, corner, 0.0) for corner in tower.corners):
            buildings.append((tower.corners, rng.uniform(30.0, 65.0)))
            if rng.random() < 0.4:
                x, y = tower.corners[1]
                annex = rectangle((x, y), along, side * 0.8, side * 0.7)
                if all(_inside(ground, corner, 0.0) for corner in annex.corners):
                    buildings.append((annex.corners, rng.uniform(4.0, 8.0)))
    return buildings


def hall(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Place one or two large low buildings, such as a market hall, a school or a factory.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(rng.uniform(5.0, 10.0))
    if ground is None:
        return []
    buildings: list[Building] = []
    for lot in _lots(rng, ground, max(2500.0, ground.area_m2 * rng.uniform(0.5, 1.0))):
        along = lot.longest_direction()
        across = (-along[1], along[0])
        (low, high), (left, right) = lot.extent(along), lot.extent(across)
        length = (high - low) * rng.uniform(0.6, 0.8)
        width = (right - left) * rng.uniform(0.35, 0.55)
        height_m = rng.uniform(7.0, 15.0)
        cx, cy = lot.centre
        shift = (right - left) * rng.uniform(-0.12, 0.12)
        parts = [rectangle((cx + across[0] * shift, cy + across[1] * shift), along, length, width)]
        for end in (-0.38, 0.0, 0.38):  # wings that give an E, L or T shape
            if rng.random() < 0.5:
                wing = (cx + along[0] * length * end, cy + along[1] * length * end)
                parts.append(rectangle(wing, along, length * 0.2, width * rng.uniform(1.4, 1.9)))
        for part in parts:
            if all(_inside(ground, corner, 0.0) for corner in part.corners):
                buildings.append((part.corners, height_m))
    return buildings


def solid_block(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Cover a small block except its pavement with one building.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(rng.uniform(2.0, 4.0))
    if ground is None or ground.area_m2 < 60.0:
        return []
    return [(ground.corners, rng.uniform(9.0, 22.0))]


def park(rng: np.random.Generator, block: Parcel) -> list[Building]:
    """Leave the block open, in half of the cases with a pavilion.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    block : Parcel
        The block between streets.

    Returns
    -------
    list of (corners, height)
        Corners in metres, and height in metres, of each building; empty if none fits.
    """
    ground = block.inset(10.0)
    if ground is None or ground.area_m2 < 400.0 or rng.random() < 0.5:
        return []
    house = rectangle(ground.centre, ground.longest_direction(), *rng.uniform(8.0, 18.0, 2))
    return [(house.corners, rng.uniform(4.0, 6.0))]


def _lots(rng: np.random.Generator, ground: Parcel, area_m2: float) -> list[Parcel]:
    """Bisect a parcel across its longer side until the lots have about the requested area."""
    waiting, lots = [ground], []
    while waiting:
        lot = waiting.pop()
        if lot.area_m2 < 1.5 * area_m2:
            lots.append(lot)
            continue
        along = lot.longest_direction()
        across = (-along[1], along[0])
        (low, high), (left, right) = lot.extent(along), lot.extent(across)
        if right - left > high - low:
            along, low, high = across, left, right
        below, above, _ = lot.cut(low + (high - low) * rng.uniform(0.44, 0.56), along, 0.0)
        waiting += [part for part in (below, above) if part is not None]
    return lots


def _strip(ground: Parcel, direction: Point, low: float, high: float) -> Parcel | None:
    """Return the strip of a parcel between two coordinates along a unit vector."""
    _, upper, _ = ground.cut(low, direction, 0.0)
    return None if upper is None else upper.cut(high, direction, 0.0)[0]


def _inside(parcel: Parcel, point: Point, margin_m: float) -> bool:
    """Whether a point lies in a parcel, at least ``margin_m`` from its edges."""
    corners = parcel.corners
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        cross = (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)
        if cross < margin_m * math.hypot(x1 - x0, y1 - y0):
            return False
    return True


def _between(a: Point, b: Point, share: float) -> Point:
    """Point on the segment from a to b, at ``share`` of its length."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)


def _at(along: Point, u: float, across: Point, v: float) -> Point:
    """Point with coordinates u, v along two unit vectors at right angles."""
    return (along[0] * u + across[0] * v, along[1] * u + across[1] * v)
