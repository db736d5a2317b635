"""What simulated scenes consist of: each recipe drafts scene number i, always the same way.

A draft is everything but the path gains: buildings, streets, drives and antennas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo._types import BoolArray
from rm_geo.datasets.cities import generate_city
from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.routes import route_order
from rm_geo.datasets.simulated import ANTENNA_COLUMNS
from rm_geo.errors import ConfigError

_FIELD_FREQUENCIES_MHZ = (800.0, 1800.0, 2100.0, 2600.0, 3500.0, 5900.0)


@dataclass(frozen=True)
class SceneDraft:
    """A scene before its gains are computed.

    Attributes
    ----------
    buildings, roads : ndarray of bool, shape (H, W)
    heights_m : ndarray of uint8, shape (H, W)
        0 outside buildings.
    orders : ndarray of int16, shape (R, H, W)
    antennas : ndarray of float32, shape (T, K)
        See :data:`rm_geo.datasets.simulated.ANTENNA_COLUMNS`.
    footprint_offset_px : (float, float)
        Shift (x, y) of the walls that the waves meet against ``buildings``.
    gains_db : ndarray of float16, shape (T, H, W), optional
        Path gains, where they need not be simulated.
    """

    buildings: BoolArray
    roads: BoolArray
    heights_m: NDArray[np.uint8]
    orders: NDArray[np.int16]
    antennas: NDArray[np.float32]
    footprint_offset_px: tuple[float, float] = (0.0, 0.0)
    gains_db: NDArray[np.float16] | None = None


class Recipe(Protocol):
    """What every recipe offers; recipes are plain values and can be sent to workers."""

    @property
    def name(self) -> str:
        """Name on the command line and in manifests."""

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """Names of the scenes that the recipe drafts."""

    @property
    def transmitters(self) -> int:
        """Antennas in each scene."""

    @property
    def drives(self) -> int:
        """Drives in each scene."""

    @property
    def is_simulated(self) -> bool:
        """Whether gains are simulated; otherwise the drafts bring them."""

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of each scene."""

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Numbers of the maps that scene ``index`` is made of."""

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Draft scene ``index``."""


@dataclass(frozen=True, slots=True)
class FieldRecipe:
    """Scenes as drive tests meet them: wider, uneven roofs, real sites.

    Four maps lie side by side, each turned or mirrored at random; each building has its
    own height; antennas stand at street level, on masts and on roofs, anywhere in the
    scene, with sectors. Crops of such a scene have their transmitter outside.

    Attributes
    ----------
    maps : tuple of int
        Map numbers to draw from.
    scenes : int
        Number of scenes.
    transmitters, drives, seed : int
        As for :class:`PaperRecipe`.
    side_maps : int
        Maps along each side of a scene.
    """

    maps: tuple[int, ...]
    scenes: int = 300
    transmitters: int = 12
    drives: int = 3
    seed: int = 0
    side_maps: int = 2
    name: str = "field"

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``field_<index>`` for each scene."""
        return tuple(f"field_{index:04d}" for index in range(self.scenes))

    @property
    def is_simulated(self) -> bool:
        """They are."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a scene."""
        rows, columns = required_maps(maps).shape
        if rows != columns:
            raise ConfigError("Maps must be square to be turned and set side by side.")
        return rows * self.side_maps, columns * self.side_maps

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the maps of the scene, by rows."""
        drawn = self._rng(index).choice(self.maps, self.side_maps**2, replace=False)
        return tuple(int(number) for number in drawn)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Draft scene ``index``."""
        archive, rng = required_maps(maps), self._rng(index)
        numbers = rng.choice(self.maps, self.side_maps**2, replace=False)
        turns = rng.integers(8, size=numbers.size)
        buildings = self._side_by_side([archive.buildings(int(n)) for n in numbers], turns)
        roads = self._side_by_side([archive.roads(int(n)) for n in numbers], turns)
        heights_m = _draw_heights(rng, buildings)
        return SceneDraft(
            buildings=buildings,
            roads=roads,
            heights_m=heights_m,
            orders=draw_drives(rng, roads, ~buildings, self.drives),
            antennas=draw_field_antennas(rng, heights_m, self.transmitters),
        )

    def _rng(self, index: int) -> np.random.Generator:
        """Return the scene's own source of randomness."""
        return np.random.default_rng([self.seed, 2, index])

    def _side_by_side(self, masks: list[BoolArray], turns: NDArray[np.int64]) -> BoolArray:
        """Turn each mask by one of the square's symmetries and join them."""
        turned = [
            np.rot90(mask.T if turn >= 4 else mask, int(turn) % 4)
            for mask, turn in zip(masks, turns, strict=True)
        ]
        side = self.side_maps
        return np.block([turned[row * side : (row + 1) * side] for row in range(side)])


@dataclass(frozen=True, slots=True)
class CityRecipe:
    """Procedurally generated cities with real sites: needs no data from elsewhere.

    Attributes
    ----------
    scenes, transmitters, drives, seed : int
        As for :class:`FieldRecipe`.
    side_px : int
        Rows and columns of a scene, a multiple of 8.
    """

    scenes: int = 50
    transmitters: int = 8
    drives: int = 3
    seed: int = 0
    side_px: int = 512
    name: str = "city"

    def __post_init__(self) -> None:
        if self.side_px % 8:
            raise ConfigError(f"A side of {self.side_px} px is no multiple of 8.")

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``city_<index>`` for each scene."""
        return tuple(f"city_{index:04d}" for index in range(self.scenes))

    @property
    def is_simulated(self) -> bool:
        """They are."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a scene."""
        return self.side_px, self.side_px

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return no map at all."""
        return ()

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Draft scene ``index``."""
        rng = np.random.default_rng([self.seed, 3, index])
        city = generate_city(rng, (self.side_px, self.side_px))
        heights_m = np.clip(np.round(city.heights_m), 0, 255).astype(np.uint8)
        return SceneDraft(
            buildings=city.buildings,
            roads=city.roads,
            heights_m=heights_m,
            orders=draw_drives(rng, city.roads, ~city.buildings, self.drives),
            antennas=draw_field_antennas(rng, heights_m, self.transmitters),
        )


def draw_field_antennas(
    rng: np.random.Generator, heights_m: NDArray[np.uint8], count: int
) -> NDArray[np.float32]:
    """Draw sites as operators build them.

    Three in ten stand at street level (1.5 to 10 m, mostly omnidirectional), two in ten on
    masts (15 to 40 m), the rest on roofs (2 to 6 m above). Masts and roofs mostly carry
    sectors with the 65 degree beam of 3GPP TR 38.901.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    heights_m : ndarray of uint8, shape (H, W)
        Heights of the buildings, 0 outdoors. Without buildings, masts replace roofs.
    count : int
        Number of antennas.

    Returns
    -------
    ndarray of float32, shape (count, K)
        See :data:`rm_geo.datasets.simulated.ANTENNA_COLUMNS`.
    """
    outdoors, roofs = np.flatnonzero(heights_m == 0), np.flatnonzero(heights_m)
    antennas = antenna_table(count)
    for antenna in antennas:
        kind = rng.choice(3, p=(0.3, 0.2, 0.5))
        if kind == 2 and roofs.size:
            place = int(rng.choice(roofs))
            height_m = float(heights_m.flat[place]) + rng.uniform(2.0, 6.0)
        else:
            place = int(rng.choice(outdoors))
            low, high = (1.5, 10.0) if kind == 0 else (15.0, 40.0)
            height_m = rng.uniform(low, high)
        antenna[column("row")], antenna[column("col")] = divmod(place, heights_m.shape[1])
        antenna[column("height_m")] = height_m
        antenna[column("frequency_mhz")] = rng.choice(_FIELD_FREQUENCIES_MHZ)
        if rng.random() < (0.2 if kind == 0 else 0.75):
            antenna[column("azimuth_deg")] = rng.uniform(0.0, 360.0)
            antenna[column("downtilt_deg")] = rng.uniform(0.0, 12.0)
            antenna[column("beamwidth_deg")] = 65.0
            # The table's element is 65 degrees tall; a column of them is narrower.
            antenna[column("vertical_beamwidth_deg")] = rng.choice((65.0, 20.0, 10.0))
            antenna[column("max_gain_dbi")] = 8.0
            antenna[column("sector")] = 1.0
    return antennas


def _draw_heights(rng: np.random.Generator, buildings: BoolArray) -> NDArray[np.uint8]:
    """Give each building its own height: log-normal around the quarter's, 8 to 40 m."""
    labels, count = ndimage.label(buildings)
    median_m = rng.uniform(10.0, 22.0)
    heights = np.exp(rng.normal(np.log(median_m), rng.uniform(0.1, 0.5), count + 1))
    heights = np.round(np.clip(heights, 8.0, 40.0))
    heights[0] = 0.0
    return np.asarray(heights[labels], dtype=np.uint8)


def draw_drives(
    rng: np.random.Generator, roads: BoolArray, free: BoolArray, drives: int
) -> NDArray[np.int16]:
    """Draw several drives; 16 bits hold the 6 % of pixels of any scene up to 700 px."""
    orders = [route_order(rng, roads, free) for _ in range(drives)]
    limit = np.iinfo(np.int16).max
    stack = np.stack(orders) if orders else np.empty((0, *roads.shape), dtype=np.int32)
    return np.where(stack > limit, -1, stack).astype(np.int16)


def antenna_table(count: int) -> NDArray[np.float32]:
    """Make a table of omnidirectional antennas without a place."""
    antennas = np.full((count, len(ANTENNA_COLUMNS)), np.nan, dtype=np.float32)
    antennas[:, column("sector")] = 0.0
    antennas[:, column("max_gain_dbi")] = 0.0
    antennas[:, column("transmitter")] = -1.0
    return antennas


def column(name: str) -> int:
    """Index of a column of the antenna table."""
    return ANTENNA_COLUMNS.index(name)


def required_maps(maps: CityMaps | None) -> CityMaps:
    """Return the maps, or say that the recipe cannot do without."""
    if maps is None:
        raise ConfigError("This recipe is made of maps.", hint="Give the archive of maps.")
    return maps
