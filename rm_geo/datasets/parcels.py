"""Convex parcels bounded by streets: cutting and insetting."""

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
        Corners (x, y) in metres.
    margins_m : tuple of float
        Width in metres that the street along each edge (from corner i to i + 1) takes from the
        parcel.

    Examples
    --------
    >>> parcel = rectangle((0.0, 0.0), (1.0, 0.0), 30.0, 20.0)
    >>> parcel.area_m2, parcel.inset(5.0).area_m2
    (600.0, 200.0)
    """

    corners: tuple[Point, ...]
    margins_m: tuple[float, ...]

    @property
    def area_m2(self) -> float:
        """Area in square metres."""
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
        """Return the smallest and the largest coordinate along a unit vector."""
        along = [x * direction[0] + y * direction[1] for x, y in self.corners]
        return min(along), max(along)

    def cut(
        self, at: float, direction: Point, margin_m: float
    ) -> tuple[Parcel | None, Parcel | None, tuple[Point, Point] | None]:
        """Cut the parcel along a line.

        Parameters
        ----------
        at : float
            Coordinate of the cut along ``direction`` in metres.
        direction : (float, float)
            Unit vector, normal to the cut.
        margin_m : float
            Margin in metres of the new edge, on both sides.

        Returns
        -------
        below, above : Parcel or None
            Parts on both sides of the cut, None if empty.
        line : ((float, float), (float, float)) or None
            End points of the cut, None if it does not cross the parcel.
        """
        below = self._clip(at, direction, 1.0, margin_m)
        above = self._clip(at, direction, -1.0, margin_m)
        if below is None or above is None:
            return below, above, None
        ends = [
            corner
            for corner in below.corners
            if abs(corner[0] * direction[0] + corner[1] * direction[1] - at) < 1e-6
        ]
        return below, above, (ends[0], ends[1]) if len(ends) == 2 else None

    def _clip(self, at: float, direction: Point, sign: float, margin_m: float) -> Parcel | None:
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
                # Where the boundary leaves the kept side, it continues along the cut.
                margins.append(margin_m if side[i] <= 0 else self.margins_m[i])
        if len(corners) < 3:
            return None
        kept = Parcel(tuple(corners), tuple(margins))
        return kept if kept.area_m2 > 1e-6 else None

    def inset(self, extra_m: float = 0.0) -> Parcel | None:
        """Return the parcel without its margins and ``extra_m`` metres more, None if empty."""
        result: Parcel | None = Parcel(self.corners, (0.0,) * len(self.corners))
        for margin, ((x0, y0), (x1, y1)) in zip(self.margins_m, _edges(self.corners), strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            if length < 1e-9 or result is None:
                continue
            outward = ((y1 - y0) / length, (x0 - x1) / length)
            edge = x0 * outward[0] + y0 * outward[1]
            result = result._clip(edge - margin - extra_m, outward, 1.0, 0.0)
        return result


def rectangle(centre: Point, direction: Point, length_m: float, width_m: float) -> Parcel:
    """Return a rectangle with its length along a unit vector, without margins.

    Parameters
    ----------
    centre : (float, float)
        Centre (x, y) in metres.
    direction : (float, float)
        Unit vector along the length.
    length_m, width_m : float
        Sides in metres.

    Returns
    -------
    Parcel
        The rectangle.

    Examples
    --------
    >>> rectangle((0.0, 0.0), (1.0, 0.0), 4.0, 2.0).corners
    ((-2.0, -1.0), (2.0, -1.0), (2.0, 1.0), (-2.0, 1.0))
    """
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
