"""Convex polygons whose edges lie on streets: cutting them up and drawing them in."""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A convex polygon, counter-clockwise in (x, y), metres.

    Attributes
    ----------
    corners : tuple of (float, float)
    margins_m : tuple of float
        How far the street along each edge (from corner i to i + 1) reaches into the parcel.
    """

    corners: tuple[Point, ...]
    margins_m: tuple[float, ...]

    @property
    def area_m2(self) -> float:
        """Area by the shoelace formula."""
        return 0.5 * sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _edges(self.corners))

    @property
    def centre(self) -> Point:
        """Mean of the corners."""
        count = len(self.corners)
        return (
            sum(x for x, _ in self.corners) / count,
            sum(y for _, y in self.corners) / count,
        )

    def longest_direction(self) -> Point:
        """Return the unit vector along the longest edge."""
        best, direction = 0.0, (1.0, 0.0)
        for (x0, y0), (x1, y1) in _edges(self.corners):
            length = math.hypot(x1 - x0, y1 - y0)
            if length > best:
                best, direction = length, ((x1 - x0) / length, (y1 - y0) / length)
        return direction

    def extent(self, direction: Point) -> tuple[float, float]:
        """Least and greatest coordinate along a unit vector."""
        along = [x * direction[0] + y * direction[1] for x, y in self.corners]
        return min(along), max(along)

    def cut(
        self, at: float, direction: Point, margin_m: float
    ) -> tuple[Parcel | None, Parcel | None, tuple[Point, Point] | None]:
        """Cut across a unit vector.

        Parameters
        ----------
        at : float
            Coordinate of the cut along ``direction``.
        direction : (float, float)
            Unit vector, normal to the cut.
        margin_m : float
            Margin of the new edge, on both sides.

        Returns
        -------
        below, above : Parcel or None
            The parts, None where there is nothing left.
        line : ((float, float), (float, float)) or None
            The cut itself.
        """
        below = self._kept(at, direction, 1.0, margin_m)
        above = self._kept(at, direction, -1.0, margin_m)
        if below is None or above is None:
            return below, above, None
        ends = [
            corner
            for corner in below.corners
            if abs(corner[0] * direction[0] + corner[1] * direction[1] - at) < 1e-6
        ]
        return below, above, (ends[0], ends[1]) if len(ends) == 2 else None

    def _kept(self, at: float, direction: Point, sign: float, margin_m: float) -> Parcel | None:
        """Keep the side of a cut where ``sign * (coordinate - at)`` is not above 0."""
        corners: list[Point] = []
        margins: list[float] = []
        count = len(self.corners)
        side = [sign * (x * direction[0] + y * direction[1] - at) for x, y in self.corners]
        for i, (x0, y0) in enumerate(self.corners):
            j = (i + 1) % count
            if side[i] <= 0:
                corners.append((x0, y0))
                margins.append(self.margins_m[i])
            if (side[i] <= 0) != (side[j] <= 0):
                x1, y1 = self.corners[j]
                share = side[i] / (side[i] - side[j])
                corners.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
                # Leaving the kept side, the polygon goes on along the cut.
                margins.append(margin_m if side[i] <= 0 else self.margins_m[i])
        if len(corners) < 3:
            return None
        kept = Parcel(tuple(corners), tuple(margins))
        return kept if kept.area_m2 > 1e-6 else None

    def inset(self, extra_m: float = 0.0) -> Parcel | None:
        """Take off the margins and ``extra_m`` all round; None if nothing is left."""
        result: Parcel | None = Parcel(self.corners, (0.0,) * len(self.corners))
        for margin, ((x0, y0), (x1, y1)) in zip(self.margins_m, _edges(self.corners), strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            if length < 1e-9 or result is None:
                continue
            outward = ((y1 - y0) / length, (x0 - x1) / length)
            edge = x0 * outward[0] + y0 * outward[1]
            result = result._kept(edge - margin - extra_m, outward, 1.0, 0.0)
        return result


def rectangle(centre: Point, direction: Point, length_m: float, width_m: float) -> Parcel:
    """Make a rectangle, its length along a unit vector."""
    (cx, cy), (ux, uy) = centre, direction
    ax, ay = ux * length_m / 2, uy * length_m / 2
    bx, by = -uy * width_m / 2, ux * width_m / 2
    corners = (
        (cx - ax - bx, cy - ay - by),
        (cx + ax - bx, cy + ay - by),
        (cx + ax + bx, cy + ay + by),
        (cx - ax + bx, cy - ay + by),
    )
    return Parcel(corners, (0.0,) * 4)


def _edges(corners: tuple[Point, ...]) -> zip[tuple[Point, Point]]:
    """Pairs of neighbouring corners."""
    return zip(corners, corners[1:] + corners[:1], strict=True)
