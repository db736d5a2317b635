"""Gain images of single transmitters as a set of scenes, and the same scenes simulated.

Who has some of RadioMapSeer's gains, not all of them, judges with these what a model that learnt
from simulated gains is worth on genuine ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.radiomapseer import grey_to_gain_db, marked_gains_db, read_grey
from rm_geo.datasets.radiomapseer_names import GreyScale
from rm_geo.datasets.recipes import SceneDraft, required_maps
from rm_geo.datasets.street_scenes import street_draft
from rm_geo.errors import ConfigError, InputError

_HINT: Final = "Name a folder of whole images <map>_<transmitter>.png."

_NAME: Final = re.compile(r"(0|[1-9]\d*)_(0|[1-9]\d*)\.png")


@dataclass(frozen=True, slots=True)
class ReferencesRecipe:
    """One scene for each gain image: a map of an archive, and one of its transmitters.

    Attributes
    ----------
    folder : str
        Folder of ``<map>_<transmitter>.png``.
    pairs : tuple of (int, int)
        Map and transmitter of each scene.
    scale : {"published", "noise-floor"}
        How gains are coded in grey.
    is_simulated : bool
        Whether the gains are simulated for these transmitters instead of read: what the
        images are to be compared with.
    drives, seed : int
        Drives per scene, and what they are drawn from: scenes of one map have the same.
    """

    folder: str
    pairs: tuple[tuple[int, int], ...]
    scale: GreyScale = "published"
    is_simulated: bool = False
    drives: int = 3
    seed: int = 0
    name: str = "references"

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``map_<number>_<transmitter>``."""
        return tuple(f"map_{number}_{transmitter}" for number, transmitter in self.pairs)

    @property
    def transmitters(self) -> int:
        """One antenna in each scene."""
        return 1

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a map."""
        return required_maps(maps).shape

    def map_ids(self, index: int, maps: CityMaps | None) -> tuple[int, ...]:
        """Return the one map of the scene."""
        return (self.pairs[index][0],)

    def require_fitting(self, maps: CityMaps) -> None:
        """Look at every image's size and transmitter before any work.

        Raises
        ------
        ConfigError
            If the archive has no such map or transmitter.
        InputError
            If an image is damaged, or not of the maps' size.
        """
        for number, transmitter in self.pairs:
            known = len(maps.transmitters[number]) if number < len(maps) else 0
            if transmitter >= known:
                raise ConfigError(
                    f"Map {number} of the archive has {known} transmitters: none is number "
                    f"{transmitter}, of which {self.folder} has an image.",
                    hint="Remove the image, or give the archive that it belongs to.",
                )
            if not self.is_simulated:
                self._grey(number, transmitter, maps.shape)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Draft scene ``index``.

        Raises
        ------
        InputError
            If the image is missing, damaged, or not of the maps' size.
        """
        archive = required_maps(maps)
        number, transmitter = self.pairs[index]
        buildings, roads = archive.buildings(number), archive.roads(number)
        rng = np.random.default_rng([self.seed, 4, number])
        gains_db = None
        if not self.is_simulated:
            grey = self._grey(number, transmitter, archive.shape)
            gains_db = marked_gains_db(grey_to_gain_db(grey, self.scale)[None], self.scale)
        places = archive.transmitters[number][[transmitter]]
        return street_draft(
            rng, buildings, roads, places, np.array([transmitter]), self.drives, gains_db
        )

    def _grey(self, number: int, transmitter: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Read an image and hold it to the maps' size."""
        file = Path(self.folder) / f"{number}_{transmitter}.png"
        grey = read_grey(file, hint=_HINT)
        if grey.shape != shape:
            raise InputError(
                f"{file} has {grey.shape[0]} x {grey.shape[1]} px, its map "
                f"{shape[0]} x {shape[1]}.",
                hint="Take images and maps of one data set.",
            )
        return grey


def reference_pairs(folder: Path, wanted: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Find the maps and transmitters that a folder has gain images of, of the wanted maps.

    Raises
    ------
    InputError
        If there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", hint=_HINT)
    names = (_NAME.fullmatch(file.name) for file in folder.iterdir())
    pairs = sorted((int(name[1]), int(name[2])) for name in names if name)
    chosen = tuple(pair for pair in pairs if pair[0] in set(wanted))
    if not chosen:
        raise InputError(
            f"{folder} holds no gains of the {len(wanted)} maps asked for.", hint=_HINT
        )
    return chosen
