"""Scenes like RadioMapSeer's: 25 m buildings, omnidirectional antennas at street level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.recipes import SceneDraft, antenna_table, column, draw_drives, required_maps
from rm_geo.errors import ConfigError

FREQUENCY_MHZ: Final = 5900.0
BUILDING_HEIGHT_M: Final = 25.0
ANTENNA_HEIGHT_M: Final = 1.5
FOOTPRINT_OFFSET_PX: Final = (0.45, -0.45)
"""How far (x to the east, y to the south) the walls of RadioMapSeer's gain maps lie from its
building images, as measured on its dominant path maps."""


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """RadioMapSeer's maps as they are: 25 m buildings, omnidirectional antennas at 1.5 m.

    Attributes
    ----------
    maps : tuple of int
        Map numbers, one scene each.
    transmitters : int
        Antennas per scene, chosen at random among the published ones that stand outdoors.
    drives : int
        Drives per scene.
    seed : int
        Same seed, same set.
    """

    maps: tuple[int, ...]
    transmitters: int = 16
    drives: int = 3
    seed: int = 0
    name: str = "paper"

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``map_<number>`` for each map."""
        return tuple(f"map_{number}" for number in self.maps)

    @property
    def is_simulated(self) -> bool:
        """They are."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a map."""
        return required_maps(maps).shape

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the one map of the scene."""
        return (self.maps[index],)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Draft scene ``index``."""
        archive, number = required_maps(maps), self.maps[index]
        rng = np.random.default_rng([self.seed, 1, number])
        buildings, roads = archive.buildings(number), archive.roads(number)
        places = archive.transmitters[number].astype(np.int64)
        outdoors = np.flatnonzero(~buildings[places[:, 0], places[:, 1]])
        if outdoors.size < self.transmitters:
            raise ConfigError(
                f"Map {number} has {outdoors.size} transmitters outdoors, "
                f"{self.transmitters} are asked for."
            )
        chosen = np.sort(rng.choice(outdoors, self.transmitters, replace=False))
        return street_draft(rng, buildings, roads, places[chosen], chosen, self.drives)


def street_draft(
    rng: np.random.Generator,
    buildings: BoolArray,
    roads: BoolArray,
    places: NDArray[np.integer],
    numbers: NDArray[np.integer],
    drives: int,
    gains_db: NDArray[np.float16] | None = None,
) -> SceneDraft:
    """Draft a scene of one map.

    Parameters
    ----------
    rng : Generator
        What the drives are drawn from.
    buildings, roads : ndarray of bool, shape (H, W)
        Masks.
    places : ndarray of int, shape (T, 2)
        Row and column of the transmitters.
    numbers : ndarray of int, shape (T,)
        RadioMapSeer's numbers of them.
    drives : int
        Drives to draw.
    gains_db : ndarray of float16, shape (T, H, W), optional
        Path gains, where they need not be simulated.
    """
    antennas = antenna_table(len(numbers))
    antennas[:, column("row")] = places[:, 0]
    antennas[:, column("col")] = places[:, 1]
    antennas[:, column("height_m")] = ANTENNA_HEIGHT_M
    antennas[:, column("frequency_mhz")] = FREQUENCY_MHZ
    antennas[:, column("transmitter")] = numbers
    return SceneDraft(
        buildings=buildings,
        roads=roads,
        heights_m=(buildings * BUILDING_HEIGHT_M).astype(np.uint8),
        orders=draw_drives(rng, roads, ~buildings, drives),
        antennas=antennas,
        footprint_offset_px=FOOTPRINT_OFFSET_PX,
        gains_db=gains_db,
    )
