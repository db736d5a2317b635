"""RadioMapSeer's published maps as a set of scenes: unpacked once, read without decoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.radiomapseer import RadioMapSeer, marked_gains_db
from rm_geo.datasets.radiomapseer_names import SIMULATIONS, GreyScale
from rm_geo.datasets.recipes import SceneDraft
from rm_geo.datasets.street_scenes import street_draft
from rm_geo.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class RadioMapSeerRecipe:
    """Genuine gains beside the buildings, streets and drives of each map.

    Attributes
    ----------
    root : str
        The data set's folder.
    maps : tuple of int
        Map numbers, one scene each.
    numbers : tuple of int
        Transmitters of each map, 0..79.
    simulation : str
        One of :data:`rm_geo.datasets.radiomapseer_names.SIMULATIONS`.
    scale : {"published", "noise-floor"}
        How gains are coded in grey.
    drives, seed : int
        Drives per scene, and what they are drawn from.
    """

    root: str
    maps: tuple[int, ...]
    numbers: tuple[int, ...] = tuple(range(80))
    simulation: str = "DPM"
    scale: GreyScale = "published"
    drives: int = 3
    seed: int = 0
    name: str = "radiomapseer"

    def __post_init__(self) -> None:
        if self.simulation not in SIMULATIONS:
            raise ConfigError(
                f"There is no simulation {self.simulation!r}.",
                hint=f"Use {', '.join(SIMULATIONS)}.",
            )
        if self.scale not in ("published", "noise-floor"):
            raise ConfigError(
                f"There is no grey scale {self.scale!r}.", hint="Use published or noise-floor."
            )

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``map_<number>`` for each map."""
        return tuple(f"map_{number}" for number in self.maps)

    @property
    def transmitters(self) -> int:
        """Antennas in each scene."""
        return len(self.numbers)

    @property
    def is_simulated(self) -> bool:
        """They are read."""
        return False

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self._opened().shape

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the one map of the scene."""
        return (self.maps[index],)

    def require_complete(self) -> None:
        """Look for every file, and at every image's size, before any work.

        Raises
        ------
        InputError
            If files are missing, or sizes mixed.
        """
        source = self._opened()
        lacking = set(self.maps) - set(source.map_ids)
        if lacking:
            raise InputError(
                f"{self.root} lacks {len(lacking)} maps: {_listed(lacking)}.",
                hint="Unpack the data set again, or leave these maps out.",
            )
        source.require(self.maps, self.numbers, self.simulation)
        source.require_one_size(self.maps, self.numbers, self.simulation)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Read scene ``index``; grey 0, a building or no signal, is no gain at all."""
        source, number = self._opened(), self.maps[index]
        rng = np.random.default_rng([self.seed, 4, number])
        buildings, roads = source.buildings(number), source.roads(number)
        places = source.transmitters(number)[list(self.numbers)]
        gains = np.stack([source.gain_db(number, t, self.simulation) for t in self.numbers])
        marked = marked_gains_db(gains, self.scale)
        return street_draft(
            rng, buildings, roads, places, np.array(self.numbers), self.drives, marked
        )

    def _opened(self) -> RadioMapSeer:
        """Open the data set's folder."""
        return RadioMapSeer.open(Path(self.root), self.scale)


def maps_on_disk(root: str | Path, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Give those of the wanted maps that a folder has, or ought to have.

    The folder's own table of maps says which ought to be there; without it, so does the range
    of those that are: a gap in it is a hole, not a choice.
    """
    source = RadioMapSeer.open(root)
    present = source.map_ids
    if (Path(root) / "dataset.csv").is_file():
        promised = set(source.index())
    else:
        promised = set(range(present[0], present[-1] + 1))
    return tuple(number for number in wanted if number in promised)


def _listed(numbers: set[int]) -> str:
    """Name the first few."""
    shown = sorted(numbers)[:5]
    return ", ".join(map(str, shown)) + (", ..." if len(numbers) > 5 else "")
