"""Archives of city maps without gains: buildings, roads and transmitters of RadioMapSeer."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.errors import InputError


@dataclass(frozen=True)
class CityMaps:
    """City maps of one size, indexed by map number.

    Attributes
    ----------
    buildings_packed, roads_packed : ndarray of uint8, shape (N, H, W / 8)
        Masks packed along the last axis by :func:`numpy.packbits`.
    transmitters : ndarray of int16, shape (N, T, 2)
        Row and column of each transmitter.
    """

    buildings_packed: NDArray[np.uint8]
    roads_packed: NDArray[np.uint8]
    transmitters: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.buildings_packed)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of a map."""
        return self.buildings_packed.shape[1], self.buildings_packed.shape[2] * 8

    def buildings(self, map_id: int) -> BoolArray:
        """Return the buildings of a map, (H, W) bool."""
        return np.unpackbits(self.buildings_packed[map_id], axis=-1).astype(np.bool_)

    def roads(self, map_id: int) -> BoolArray:
        """Return the streets of a map as lines one pixel wide, (H, W) bool."""
        return np.unpackbits(self.roads_packed[map_id], axis=-1).astype(np.bool_)


def read_maps_archive(path: str | Path) -> CityMaps:
    """Read an archive of maps.

    Parameters
    ----------
    path : str or Path
        A NumPy ``.npz`` archive with ``buildings`` and ``roads``, uint8 (N, H, W / 8) packed
        masks with row 0 in the north, and ``transmitters``, integers (N, T, 2) with row and
        column.

    Returns
    -------
    CityMaps

    Raises
    ------
    InputError
        If the file is missing or not such an archive, or its arrays do not match.
    """
    path = Path(path)
    hint = "It must be an .npz archive with buildings, roads and transmitters."
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it contains a single array")
        with loaded as archive:
            missing = {"buildings", "roads", "transmitters"} - set(archive.files)
            if missing:
                raise InputError(f"{path} has no array {', '.join(sorted(missing))}.", hint=hint)
            buildings, roads = archive["buildings"], archive["roads"]
            transmitters = archive["transmitters"]
    except FileNotFoundError as error:
        raise InputError(f"There is no archive of maps {path}.", hint=hint) from error
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read as an archive of maps: {error}", hint=hint
        ) from error
    if buildings.dtype != np.uint8 or buildings.ndim != 3 or buildings.shape != roads.shape:
        raise InputError(
            f"{path}: buildings {buildings.dtype} {buildings.shape} and roads {roads.shape} are "
            "not packed masks of one shape.",
            hint=hint,
        )
    if transmitters.ndim != 3 or transmitters.shape[::2] != (len(buildings), 2):
        raise InputError(
            f"{path}: transmitters have shape {transmitters.shape}, not ({len(buildings)}, T, 2).",
            hint=hint,
        )
    return CityMaps(buildings, roads.astype(np.uint8), transmitters.astype(np.int16))
