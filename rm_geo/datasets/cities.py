"""Procedurally generated cities: streets, footprints and heights without external data.

Straight streets divide a rectangle into blocks, the style of a quarter determines the buildings
of its blocks, and a smooth displacement of the plane makes streets curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from rm_geo._types import BoolArray
from rm_geo.datasets import blocks
from rm_geo.datasets.parcels import Parcel, Point
from rm_geo.errors import ConfigError

_BUILT = (0.15, 0.40)  # accepted fraction of built-up pixels
_ATTEMPTS = 12  # draws to reach that fraction
_MARGIN_M = 120.0  # blocks continue beyond the edges of the scene by this distance


@dataclass(frozen=True)
class City:
    """A generated city.

    Attributes
    ----------
    buildings : ndarray of bool, shape (H, W)
        Footprints.
    heights_m : ndarray of float32, shape (H, W)
        Height of the building in metres, 0 outdoors.
    roads : ndarray of bool, shape (H, W)
        Centre lines of the streets, one pixel wide, outside buildings.
    spacing_m : float
        Size of a pixel in metres.
    """

    buildings: BoolArray
    heights_m: NDArray[np.float32]
    roads: BoolArray
    spacing_m: float


@dataclass(frozen=True, slots=True)
class _Quarter:
    """Part of a city in one style, with its block size and the frequencies of block types."""

    seed: Point
    block_m: float
    fillers: tuple[blocks.BlockFiller, ...]
    weights: tuple[float, ...]


_FILLERS: tuple[blocks.BlockFiller, ...] = (
    blocks.perimeter_houses,
    blocks.slab_rows,
    blocks.detached_houses,
    blocks.towers,
    blocks.hall,
    blocks.park,
)

# Side of a block in metres, and weights of the fillers above.
_STYLES: tuple[tuple[tuple[float, float], tuple[float, ...]], ...] = (
    ((65.0, 95.0), (0.72, 0.05, 0.03, 0.03, 0.10, 0.07)),  # old centre
    ((65.0, 110.0), (0.02, 0.06, 0.82, 0.02, 0.04, 0.04)),  # houses
    ((85.0, 130.0), (0.08, 0.62, 0.06, 0.12, 0.08, 0.04)),  # post-war estate
    ((75.0, 115.0), (0.24, 0.22, 0.24, 0.08, 0.16, 0.06)),  # mixed
)


def generate_city(rng: np.random.Generator, shape: tuple[int, int], spacing_m: float = 1.0) -> City:
    """Generate a city.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator. The same state gives the same city.
    shape : (int, int)
        Rows and columns.
    spacing_m : float
        Size of a pixel in metres, above 0.

    Returns
    -------
    City
        City with 15 to 40 % of its area built up, unless 12 draws do not reach that.

    Raises
    ------
    ConfigError
        If the scene is smaller than one block (100 m) or ``spacing_m`` is not positive.

    Examples
    --------
    >>> city = generate_city(np.random.default_rng(0), (128, 128))
    >>> city.buildings.shape, bool((city.buildings & city.roads).any())
    ((128, 128), False)
    """
    if not spacing_m > 0 or min(shape) * spacing_m < 100.0:
        raise ConfigError(
            f"A city of {shape[0]} x {shape[1]} px of {spacing_m} m is smaller than a block.",
            hint="Set a size of at least 100 m.",
        )
    city = _draw_city(rng, shape, spacing_m)
    for _ in range(_ATTEMPTS):
        if _BUILT[0] <= city.buildings.mean() <= _BUILT[1]:
            break
        city = _draw_city(rng, shape, spacing_m)
    return city


def _draw_city(rng: np.random.Generator, shape: tuple[int, int], spacing_m: float) -> City:
    """Draw one city of any density."""
    height_m, width_m = shape[0] * spacing_m, shape[1] * spacing_m
    quarters = _draw_quarters(rng, width_m, height_m)
    parcels, streets = _draw_streets(rng, width_m, height_m, quarters)
    buildings: list[blocks.Building] = []
    for parcel in parcels:
        quarter = _quarter_at(quarters, parcel.centre)
        inner = parcel.inset()
        if inner is None or not _overlaps(inner, width_m, height_m):
            continue
        filler = quarter.fillers[int(rng.choice(len(quarter.fillers), p=quarter.weights))]
        if len(inner.corners) == 3 and rng.random() < 0.6:
            filler = blocks.park  # most triangular blocks are open spaces
        buildings += filler(rng, inner)
    bend = _Bend.draw(rng, max(width_m, height_m))
    to_world = Affine.scale(spacing_m)
    outlines = [
        ({"type": "Polygon", "coordinates": [_close_ring(bend.moved(corners))]}, top)
        for corners, top in buildings
    ]
    lines = [
        {"type": "LineString", "coordinates": bend.moved(_densify(line)).tolist()}
        for line in streets
    ]
    heights = np.zeros(shape, dtype=np.float32)
    if outlines:
        heights = rasterize(outlines, shape, transform=to_world, dtype="float32")
    roads = np.zeros(shape, dtype=np.bool_)
    if lines:
        roads = rasterize(lines, shape, transform=to_world, dtype="uint8").astype(np.bool_)
    heights[roads] = 0.0
    return City(heights > 0, heights, roads, float(spacing_m))


def _draw_quarters(rng: np.random.Generator, width_m: float, height_m: float) -> list[_Quarter]:
    """Draw quarters with a style each, about one per square of 350 m."""
    count = max(2, round(width_m * height_m / 350.0**2))
    quarters = []
    for _ in range(count):
        (low, high), weights = _STYLES[int(rng.integers(len(_STYLES)))]
        seed = (float(rng.uniform(0, width_m)), float(rng.uniform(0, height_m)))
        total = sum(weights)
        quarters.append(
            _Quarter(
                seed, rng.uniform(low, high), _FILLERS, tuple(weight / total for weight in weights)
            )
        )
    return quarters


def _draw_streets(
    rng: np.random.Generator, width_m: float, height_m: float, quarters: Sequence[_Quarter]
) -> tuple[list[Parcel], list[tuple[Point, Point]]]:
    """Divide the area into blocks: first by main roads and a diagonal, then by streets."""
    half = math.hypot(width_m, height_m) / 2 + _MARGIN_M
    angle = rng.uniform(0.0, math.pi)
    centre = (width_m / 2, height_m / 2)
    corners = tuple(
        (
            centre[0] + half * math.sqrt(2) * math.cos(angle + math.pi / 4 + quarter),
            centre[1] + half * math.sqrt(2) * math.sin(angle + math.pi / 4 + quarter),
        )
        for quarter in (0.0, math.pi / 2, math.pi, 1.5 * math.pi)
    )
    parcels = [Parcel(corners, (0.0,) * 4)]
    streets: list[tuple[Point, Point]] = []
    main_roads = [0, 1, 2] if width_m * height_m > 400.0**2 else [0, 2]
    for number in main_roads if rng.random() < 0.55 else main_roads[:-1]:
        skew = (0.0, math.pi / 2, rng.uniform(0.4, 1.1))[number]
        direction = (math.cos(angle + skew), math.sin(angle + skew))
        through = (rng.uniform(0.25, 0.75) * width_m, rng.uniform(0.25, 0.75) * height_m)
        at = through[0] * direction[0] + through[1] * direction[1]
        cut: list[Parcel] = []
        for parcel in parcels:
            below, above, line = parcel.cut(at, direction, rng.uniform(8.0, 13.0))
            cut += [part for part in (below, above) if part is not None]
            streets += [] if line is None else [line]
        parcels = cut
    done: list[Parcel] = []
    while parcels:
        parcel = parcels.pop()
        size_m = _quarter_at(quarters, parcel.centre).block_m
        cut_at = _next_cut(rng, parcel, size_m)
        if cut_at is None:
            done.append(parcel)
            continue
        at, direction, length_m = cut_at
        margin = rng.uniform(4.0, 6.5) + (2.0 if length_m > 4 * size_m else 0.0)
        below, above, line = parcel.cut(at, direction, margin)
        parcels += [part for part in (below, above) if part is not None]
        # Some cuts separate two blocks without a street for cars.
        if line is not None and not (length_m < 2.2 * size_m and rng.random() < 0.12):
            streets.append(line)
    return done, streets


def _next_cut(
    rng: np.random.Generator, parcel: Parcel, size_m: float
) -> tuple[float, Point, float] | None:
    """Return position, direction and extent of the next cut, None if the parcel is a block."""
    along = parcel.longest_direction()
    across = (-along[1], along[0])
    (low, high), (left, right) = parcel.extent(along), parcel.extent(across)
    long_m, wide_m = high - low, right - left
    if len(parcel.corners) == 3 and parcel.area_m2 > 0.8 * size_m**2:
        # A cut across a wedge gives two wedges, one along its longest side a wedge and a block.
        return right + (left - right) * rng.uniform(0.45, 0.55), across, wide_m
    if wide_m > long_m:
        along, low, long_m, wide_m = across, left, wide_m, long_m
    if long_m <= 1.75 * size_m and long_m * wide_m <= 2.4 * size_m**2:
        return None
    turn = rng.normal(0.0, 0.05)
    direction = (
        along[0] * math.cos(turn) - along[1] * math.sin(turn),
        along[0] * math.sin(turn) + along[1] * math.cos(turn),
    )
    low, high = parcel.extent(direction)
    return low + (high - low) * rng.uniform(0.36, 0.64), direction, high - low


def _quarter_at(quarters: Sequence[_Quarter], point: Point) -> _Quarter:
    """Return the quarter with the nearest seed."""
    return min(quarters, key=lambda quarter: math.dist(quarter.seed, point))


def _overlaps(parcel: Parcel, width_m: float, height_m: float) -> bool:
    """Whether a parcel may overlap the scene after the displacement."""
    (left, right), (low, high) = parcel.extent((1.0, 0.0)), parcel.extent((0.0, 1.0))
    slack = 40.0
    return right > -slack and left < width_m + slack and high > -slack and low < height_m + slack


@dataclass(frozen=True, slots=True)
class _Bend:
    """Smooth displacement of the plane, a sum of plane waves."""

    waves: NDArray[np.float64]  # (K, 5): wave vector, displacement vector, phase

    @classmethod
    def draw(cls, rng: np.random.Generator, size_m: float) -> _Bend:
        """Draw five waves with wavelengths between the sizes of a block and of the city."""
        waves = []
        for _ in range(5):
            wavelength = rng.uniform(300.0, max(700.0, min(size_m, 1500.0)))
            heading, push = rng.uniform(0.0, 2 * math.pi, 2)
            amplitude = 0.018 * wavelength * rng.uniform(0.4, 1.0)
            k = 2 * math.pi / wavelength
            waves.append(
                (
                    k * math.cos(heading),
                    k * math.sin(heading),
                    amplitude * math.cos(push),
                    amplitude * math.sin(push),
                    rng.uniform(0.0, 2 * math.pi),
                )
            )
        return cls(np.array(waves))

    def moved(self, points: Sequence[Point] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Displace points (N, 2)."""
        xy = np.asarray(points, dtype=np.float64)
        swing = np.sin(xy @ self.waves[:, :2].T + self.waves[:, 4])
        return np.asarray(xy + swing @ self.waves[:, 2:4])


def _densify(line: tuple[Point, Point]) -> NDArray[np.float64]:
    """Return points every 10 m along a line, so that the displacement can curve it."""
    count = max(2, math.ceil(math.dist(*line) / 10.0) + 1)
    return np.linspace(line[0], line[1], count)


def _close_ring(ring: NDArray[np.float64]) -> list[list[float]]:
    """Repeat the first point of a ring at its end."""
    return [*ring.tolist(), ring[0].tolist()]
