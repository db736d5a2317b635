"""Scenes as in RadioMapSeer: 25 m buildings, omnidirectional antennas at street level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.recipes import SceneDraft, antenna_table, column, draw_drives, require_maps
from rm_geo.errors import ConfigError

FREQUENCY_MHZ: Final = 5900.0
BUILDING_HEIGHT_M: Final = 25.0
ANTENNA_HEIGHT_M: Final = 1.5
FOOTPRINT_OFFSET_PX: Final = (0.45, -0.45)
"""Offset (x to the east, y to the south) in pixels of the walls in RadioMapSeer's gain maps from
its building images, measured on its dominant path maps."""


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """Recipe for maps of RadioMapSeer with 25 m buildings and omnidirectional antennas at 1.5 m.

    Attributes
    ----------
    maps : tuple of int
        Map numbers, one scene each.
    transmitters : int
        Antennas per scene, drawn from the published outdoor ones.
    drives : int
        Simulated drives per scene.
    seed : int
        Seed of the random generator; the same seed gives the same set.
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
        """Gains are simulated."""
        return True

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Return rows and columns of a map."""
        return require_maps(maps).shape

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the one map of the scene.

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Not used.

        Returns
        -------
        tuple of int
            One number.
        """
        return (self.maps[index],)

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
        archive, number = require_maps(maps), self.maps[index]
        rng = np.random.default_rng([self.seed, 1, number])
        buildings, roads = archive.buildings(number), archive.roads(number)
        places = archive.transmitters[number].astype(np.int64)
        outdoors = np.flatnonzero(~buildings[places[:, 0], places[:, 1]])
        if outdoors.size < self.transmitters:
            raise ConfigError(
                f"Map {number} has {outdoors.size} transmitters outdoors, but "
                f"{self.transmitters} are requested."
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
    """Draft a scene from one map.

    Parameters
    ----------
    rng : Generator
        Random generator for the drives.
    buildings, roads : ndarray of bool, shape (H, W)
        Masks of buildings and streets.
    places : ndarray of int, shape (T, 2)
        Rows and columns of the transmitters.
    numbers : ndarray of int, shape (T,)
        Numbers of the transmitters in RadioMapSeer.
    drives : int
        Number of drives to draw.
    gains_db : ndarray of float16, shape (T, H, W), optional
        Path gains in dB, if they are not to be simulated.

    Returns
    -------
    SceneDraft
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
