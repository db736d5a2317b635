"""Recipes of simulated scenes. A recipe drafts scene number i deterministically.

A draft contains all parts of a scene except the path gains: buildings, streets, drives and
antennas.
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
    """Scene before its path gains are computed.

    Attributes
    ----------
    buildings, roads : ndarray of bool, shape (H, W)
        Masks of buildings and streets.
    heights_m : ndarray of uint8, shape (H, W)
        Height of the buildings in metres, 0 outdoors.
    orders : ndarray of int16, shape (R, H, W)
        Drives, see :func:`rm_geo.datasets.routes.route_order`.
    antennas : ndarray of float32, shape (T, K)
        See :data:`rm_geo.datasets.simulated.ANTENNA_COLUMNS`.
    footprint_offset_px : (float, float)
        Shift (x, y) in pixels of the simulated walls against ``buildings``.
    gains_db : ndarray of float16, shape (T, H, W), optional
        Path gains in dB, if they are not to be simulated.
    """

    buildings: BoolArray
    roads: BoolArray
    heights_m: NDArray[np.uint8]
    orders: NDArray[np.int16]
    antennas: NDArray[np.float32]
    footprint_offset_px: tuple[float, float] = (0.0, 0.0)
    gains_db: NDArray[np.float16] | None = None


class Recipe(Protocol):
    """Protocol of recipes. Recipes are plain values that can be sent to worker processes."""

    @property
    def name(self) -> str:
        """Name on the command line and in manifests."""

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """Names of the scenes."""

    @property
    def transmitters(self) -> int:
        """Number of antennas in each scene."""

    @property
    def drives(self) -> int:
        """Number of drives in each scene."""

    @property
    def is_simulated(self) -> bool:
        """Whether gains are simulated. Otherwise the drafts contain them."""

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Return rows and columns of each scene."""

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the numbers of the maps in scene ``index``.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Archive of the maps; None for recipes that need none.

        Returns
        -------
        tuple of int
            Numbers of the RadioMapSeer maps in the scene, in row-major order.
        """

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Return the draft of scene ``index``.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Archive of the maps; None for recipes that need none.

        Returns
        -------
        SceneDraft
            Buildings, roads, drives and antennas; the same for the same index.
        """


@dataclass(frozen=True, slots=True)
class FieldRecipe:
    """Recipe for scenes like those of drive tests: larger, with varying heights and real sites.

    A scene is a mosaic of maps, each rotated or mirrored at random. Each building has its own
    height. Antennas are placed at street level, on masts and on roofs anywhere in the scene, and
    most have a sector pattern. The transmitter may lie outside a crop of such a scene.

    Attributes
    ----------
    maps : tuple of int
        Map numbers to draw from.
    scenes : int
        Number of scenes.
    transmitters, drives, seed : int
        Antennas and drives per scene, and the seed of the random generator.
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
        """Gains are simulated."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Return rows and columns of a scene."""
        rows, columns = require_maps(maps).shape
        if rows != columns:
            raise ConfigError(
                f"Maps of {rows} x {columns} px cannot be rotated and joined: they must be square."
            )
        return rows * self.side_maps, columns * self.side_maps

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the maps of the scene in row-major order.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Not used.

        Returns
        -------
        tuple of int
            ``side_maps**2`` numbers.
        """
        drawn = self._rng(index).choice(self.maps, self.side_maps**2, replace=False)
        return tuple(int(number) for number in drawn)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Return the draft of scene ``index``.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Archive of the maps; required.

        Returns
        -------
        SceneDraft
            Buildings, roads, drives and antennas.

        Raises
        ------
        ConfigError
            If there is no archive, or the scene cannot be made from its maps.
        """
        archive, rng = require_maps(maps), self._rng(index)
        numbers = rng.choice(self.maps, self.side_maps**2, replace=False)
        turns = rng.integers(8, size=numbers.size)
        buildings = self._mosaic([archive.buildings(int(n)) for n in numbers], turns)
        roads = self._mosaic([archive.roads(int(n)) for n in numbers], turns)
        heights_m = _draw_heights(rng, buildings)
        return SceneDraft(
            buildings=buildings,
            roads=roads,
            heights_m=heights_m,
            orders=draw_drives(rng, roads, ~buildings, self.drives),
            antennas=draw_field_antennas(rng, heights_m, self.transmitters),
        )

    def _rng(self, index: int) -> np.random.Generator:
        """Return the random generator of one scene."""
        return np.random.default_rng([self.seed, 2, index])

    def _mosaic(self, masks: list[BoolArray], turns: NDArray[np.int64]) -> BoolArray:
        """Apply one of the 8 symmetries of the square to each mask and join the masks."""
        turned = [
            np.rot90(mask.T if turn >= 4 else mask, int(turn) % 4)
            for mask, turn in zip(masks, turns, strict=True)
        ]
        side = self.side_maps
        return np.block([turned[row * side : (row + 1) * side] for row in range(side)])


@dataclass(frozen=True, slots=True)
class CityRecipe:
    """Recipe for procedurally generated cities with realistic sites, without external data.

    Attributes
    ----------
    scenes, transmitters, drives, seed : int
        Number of scenes, antennas and drives per scene, and the seed of the random generator.
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
            raise ConfigError(
                f"The side of a scene must be a multiple of 8 px, not {self.side_px}."
            )

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``city_<index>`` for each scene."""
        return tuple(f"city_{index:04d}" for index in range(self.scenes))

    @property
    def is_simulated(self) -> bool:
        """Gains are simulated."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Return rows and columns of a scene."""
        return self.side_px, self.side_px

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return an empty tuple, since the scene contains no map.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Not used.

        Returns
        -------
        tuple of int
            Empty.
        """
        return ()

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Return the draft of scene ``index``.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Not used.

        Returns
        -------
        SceneDraft
            Buildings, roads, drives and antennas.
        """
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
    """Draw sites with the distribution of real networks.

    30 % are at street level (1.5 to 10 m, mostly omnidirectional), 20 % on masts (15 to 40 m) and
    50 % on roofs (2 to 6 m above). Most antennas on masts and roofs are sectors with the 65 degree
    beam of 3GPP TR 38.901.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    heights_m : ndarray of uint8, shape (H, W)
        Heights of the buildings in metres, 0 outdoors. Without buildings, masts replace roofs.
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
            # One element has a vertical beamwidth of 65 degrees, a column of elements less.
            antenna[column("vertical_beamwidth_deg")] = rng.choice((65.0, 20.0, 10.0))
            antenna[column("max_gain_dbi")] = 8.0
            antenna[column("sector")] = 1.0
    return antennas


def _draw_heights(rng: np.random.Generator, buildings: BoolArray) -> NDArray[np.uint8]:
    """Draw the height of each building, log-normal around one median, 8 to 40 m."""
    labels, count = ndimage.label(buildings)
    median_m = rng.uniform(10.0, 22.0)
    heights = np.exp(rng.normal(np.log(median_m), rng.uniform(0.1, 0.5), count + 1))
    heights = np.round(np.clip(heights, 8.0, 40.0))
    heights[0] = 0.0
    return np.asarray(heights[labels], dtype=np.uint8)


def draw_drives(
    rng: np.random.Generator, roads: BoolArray, free: BoolArray, drives: int
) -> NDArray[np.int16]:
    """Draw drives through a scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random generator.
    roads : ndarray of bool, shape (H, W)
        Pixels of roads.
    free : ndarray of bool, shape (H, W)
        Pixels that may be sampled.
    drives : int
        Number of drives, R.

    Returns
    -------
    ndarray of int16, shape (R, H, W)
        Order of the pixels in each drive; -1 where it does not pass. 16 bits hold 6 % of the
        pixels of scenes up to 700 px a side.
    """
    orders = [route_order(rng, roads, free) for _ in range(drives)]
    limit = np.iinfo(np.int16).max
    stack = np.stack(orders) if orders else np.empty((0, *roads.shape), dtype=np.int32)
    return np.where(stack > limit, -1, stack).astype(np.int16)


def antenna_table(count: int) -> NDArray[np.float32]:
    """Return a table (count, K) of omnidirectional antennas without positions."""
    antennas = np.full((count, len(ANTENNA_COLUMNS)), np.nan, dtype=np.float32)
    antennas[:, column("sector")] = 0.0
    antennas[:, column("max_gain_dbi")] = 0.0
    antennas[:, column("transmitter")] = -1.0
    return antennas


def column(name: str) -> int:
    """Return the index of a column of the antenna table."""
    return ANTENNA_COLUMNS.index(name)


def require_maps(maps: CityMaps | None) -> CityMaps:
    """Return the maps, or raise ConfigError if there are none."""
    if maps is None:
        raise ConfigError("This recipe needs maps.", hint="Name the archive of maps.")
    return maps
