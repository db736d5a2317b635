"""Recipes that convert published gain images of RadioMapSeer to sets of scenes.

A set is decoded once and then read without an image library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo.datasets.maps_archive import CityMaps
from rm_geo.datasets.radiomapseer import (
    RadioMapSeer,
    grey_to_gain_db,
    mask_missing_gains,
    read_grey,
)
from rm_geo.datasets.recipes import SceneDraft, require_maps
from rm_geo.datasets.splits import SIMULATIONS, GreyScale
from rm_geo.datasets.street_scenes import street_draft
from rm_geo.errors import ConfigError, InputError

_HINT: Final = "Name a folder of complete images <map>_<transmitter>.png."

_NAME: Final = re.compile(r"(0|[1-9]\d*)_(0|[1-9]\d*)\.png")


@dataclass(frozen=True, slots=True)
class RadioMapSeerRecipe:
    """Recipe for scenes with the published gains of RadioMapSeer, one scene for each map.

    Attributes
    ----------
    root : str
        Folder of the data set.
    maps : tuple of int
        Map numbers, one scene each.
    numbers : tuple of int
        Numbers of the transmitters of each map, 0..79.
    simulation : str
        One of :data:`rm_geo.datasets.splits.SIMULATIONS`.
    scale : {"published", "noise-floor"}
        Encoding of gains, see :func:`rm_geo.datasets.radiomapseer.grey_to_gain_db`.
    drives, seed : int
        Simulated drives per scene, and the seed of their random generator.

    Raises
    ------
    ConfigError
        If the simulation or the scale is unknown.
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
                f"Unknown simulation {self.simulation!r}.",
                hint=f"Use {', '.join(SIMULATIONS)}.",
            )
        if self.scale not in ("published", "noise-floor"):
            raise ConfigError(
                f"Unknown grey scale {self.scale!r}.", hint="Use published or noise-floor."
            )

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """``map_<number>`` for each map."""
        return tuple(f"map_{number}" for number in self.maps)

    @property
    def transmitters(self) -> int:
        """Number of antennas in each scene."""
        return len(self.numbers)

    @property
    def is_simulated(self) -> bool:
        """Gains are read from images."""
        return False

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self._opened().shape

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

    def require_complete(self) -> None:
        """Check that all files exist and all images have one size.

        Raises
        ------
        InputError
            If files are missing or sizes differ.
        """
        source = self._opened()
        lacking = set(self.maps) - set(source.map_ids)
        if lacking:
            raise InputError(
                f"{self.root} lacks {len(lacking)} maps: {_first_few(lacking)}.",
                hint="Unpack the data set again, or leave these maps out.",
            )
        source.require(self.maps, self.numbers, self.simulation)
        source.require_one_size(self.maps, self.numbers, self.simulation)

    def draft(self, index: int, maps: CityMaps | None) -> SceneDraft:
        """Return scene ``index``, with -200 dB for grey 0 (a building or no signal).

        Parameters
        ----------
        index : int
            Index of the scene.
        maps : CityMaps or None
            Not used; the images are read from the data set.

        Returns
        -------
        SceneDraft
            Buildings, roads, drives, transmitters and their simulated gains.

        Raises
        ------
        InputError
            If an image is missing, damaged or of another size.
        """
        source, number = self._opened(), self.maps[index]
        rng = np.random.default_rng([self.seed, 4, number])
        buildings, roads = source.buildings(number), source.roads(number)
        places = source.transmitters(number)[list(self.numbers)]
        gains = np.stack([source.gain_db(number, t, self.simulation) for t in self.numbers])
        marked = mask_missing_gains(gains, self.scale)
        return street_draft(
            rng, buildings, roads, places, np.array(self.numbers), self.drives, marked
        )

    def _opened(self) -> RadioMapSeer:
        """Open the folder of the data set."""
        return RadioMapSeer.open(Path(self.root), self.scale)


def expected_maps(root: str | Path, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return the requested maps that a complete folder contains.

    Parameters
    ----------
    root : str or Path
        Folder of the data set.
    wanted : tuple of int
        Requested map numbers.

    Returns
    -------
    tuple of int
        Requested maps listed in ``dataset.csv``. Without this file, those between the lowest
        and the highest number in the folder: a gap in the numbers means missing files.

    Raises
    ------
    InputError
        If the folder or its images of buildings are missing.
    """
    source = RadioMapSeer.open(root)
    present = source.map_ids
    if (Path(root) / "dataset.csv").is_file():
        promised = set(source.index())
    else:
        promised = set(range(present[0], present[-1] + 1))
    return tuple(number for number in wanted if number in promised)


def _first_few(numbers: set[int]) -> str:
    """List up to five numbers as text."""
    shown = sorted(numbers)[:5]
    return ", ".join(map(str, shown)) + (", ..." if len(numbers) > 5 else "")


@dataclass(frozen=True, slots=True)
class ReferencesRecipe:
    """Recipe for scenes with single gain images: one map of an archive and one transmitter each.

    Such a set tests a model trained on simulated gains on published ones if only some gain
    images of RadioMapSeer are available.

    Attributes
    ----------
    folder : str
        Folder of images ``<map>_<transmitter>.png``.
    pairs : tuple of (int, int)
        Map and transmitter of each scene.
    scale : {"published", "noise-floor"}
        Encoding of gains, see :func:`rm_geo.datasets.radiomapseer.grey_to_gain_db`.
    is_simulated : bool
        Whether gains are simulated for these transmitters instead of read, for a comparison.
    drives, seed : int
        Simulated drives per scene, and the seed of their random generator. Scenes of one map
        have the same drives.
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
        """``map_<number>_<transmitter>`` for each image."""
        return tuple(f"map_{number}_{transmitter}" for number, transmitter in self.pairs)

    @property
    def transmitters(self) -> int:
        """One antenna in each scene."""
        return 1

    def scene_shape(self, maps: CityMaps | None) -> tuple[int, int]:
        """Rows and columns of a map."""
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
        return (self.pairs[index][0],)

    def require_matching_images(self, maps: CityMaps) -> None:
        """Check that each image has a transmitter in the archive and the size of the maps.

        Raises
        ------
        ConfigError
            If the archive has no such map or transmitter.
        InputError
            If an image is damaged or of another size.
        """
        for number, transmitter in self.pairs:
            known = len(maps.transmitters[number]) if number < len(maps) else 0
            if transmitter >= known:
                raise ConfigError(
                    f"Map {number} of the archive has {known} transmitters, none with number "
                    f"{transmitter}, but {self.folder} contains an image of it.",
                    hint="Remove the image, or name the archive that it belongs to.",
                )
            if not self.is_simulated:
                self._grey(number, transmitter, maps.shape)

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
            Buildings, roads, drives, the transmitter, and its gains unless they are to be
            simulated.

        Raises
        ------
        InputError
            If the image is missing, damaged or of another size.
        """
        archive = require_maps(maps)
        number, transmitter = self.pairs[index]
        buildings, roads = archive.buildings(number), archive.roads(number)
        rng = np.random.default_rng([self.seed, 4, number])
        gains_db = None
        if not self.is_simulated:
            grey = self._grey(number, transmitter, archive.shape)
            gains_db = mask_missing_gains(grey_to_gain_db(grey, self.scale)[None], self.scale)
        places = archive.transmitters[number][[transmitter]]
        return street_draft(
            rng, buildings, roads, places, np.array([transmitter]), self.drives, gains_db
        )

    def _grey(self, number: int, transmitter: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Read an image and check its size."""
        file = Path(self.folder) / f"{number}_{transmitter}.png"
        grey = read_grey(file, hint=_HINT)
        if grey.shape != shape:
            raise InputError(
                f"{file} has {grey.shape[0]} x {grey.shape[1]} px, but its map "
                f"{shape[0]} x {shape[1]} px.",
                hint="Use images and maps of one data set.",
            )
        return grey


def reference_pairs(folder: Path, wanted: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Find the gain images of the requested maps in a folder.

    Parameters
    ----------
    folder : Path
        Folder of images ``<map>_<transmitter>.png``.
    wanted : tuple of int
        Requested map numbers.

    Returns
    -------
    tuple of (int, int)
        Map and transmitter of each image, ascending.

    Raises
    ------
    InputError
        If the folder is missing or contains no such image.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", hint=_HINT)
    names = (_NAME.fullmatch(file.name) for file in folder.iterdir())
    pairs = sorted((int(name[1]), int(name[2])) for name in names if name)
    chosen = tuple(pair for pair in pairs if pair[0] in set(wanted))
    if not chosen:
        raise InputError(
            f"{folder} contains no gain image of the {len(wanted)} requested maps.", hint=_HINT
        )
    return chosen
