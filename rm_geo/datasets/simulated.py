"""Simulated training sets on disk: city scenes with path gains, memory-mapped.

A set is a folder of ``.npy`` files and ``manifest.json``, without pickled objects. It is written
by :mod:`rm_geo.datasets.generation`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray
from rm_geo.datasets.splits import require_training_maps
from rm_geo.errors import ConfigError, InputError

FORMAT: Final = "rm-geo simulated scenes, 1"
MANIFEST: Final = "manifest.json"

ANTENNA_COLUMNS: Final = (
    "row",
    "col",
    "height_m",
    "azimuth_deg",
    "downtilt_deg",
    "beamwidth_deg",
    "vertical_beamwidth_deg",
    "max_gain_dbi",
    "sector",
    "frequency_mhz",
    "transmitter",
)
"""Columns of an antenna table. Row and column are pixel indices; the antenna is at the centre of
the pixel. For omnidirectional antennas azimuth, tilt and beamwidths are NaN and ``sector`` is 0.
``transmitter`` is the number in RadioMapSeer, or -1."""

_ARRAYS: Final = ("buildings", "heights_m", "roads", "orders", "gains_db", "antennas")


@dataclass(frozen=True)
class SimulatedScene:
    """One scene with unpacked masks.

    Attributes
    ----------
    scene_id : str
        Name of the scene, unique within its set.
    buildings, roads : ndarray of bool, shape (H, W)
        Masks. Roads are lines one pixel wide.
    heights_m : ndarray of uint8, shape (H, W)
        Height of the buildings in metres, 0 outdoors.
    orders : ndarray of int16, shape (R, H, W)
        Drives through the scene, see :func:`rm_geo.datasets.routes.route_order`.
    gains_db : ndarray of float16, shape (T, H, W)
        Path gains in dB, with the floor of the simulator inside buildings. The walls may be
        offset from ``buildings`` by a fraction of a pixel, as in RadioMapSeer.
    antennas : ndarray of float32, shape (T, K)
        See :data:`ANTENNA_COLUMNS`.
    """

    scene_id: str
    buildings: BoolArray
    roads: BoolArray
    heights_m: NDArray[np.uint8]
    orders: NDArray[np.int16]
    gains_db: NDArray[np.float16]
    antennas: NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedSet:
    """A folder of simulated scenes of one size.

    The arrays are memory-mapped and read-only; see :class:`SimulatedScene` for their meaning.
    N, R, T and K are the numbers of scenes, drives, antennas and antenna columns.

    Attributes
    ----------
    path : Path
        The folder.
    manifest : dict
        Recipe, scene names, map numbers, and type and shape of each array.
    buildings, roads : ndarray of uint8, shape (N, H, W / 8)
        Packed masks.
    heights_m : ndarray of uint8, shape (N, H, W)
    orders : ndarray of int16, shape (N, R, H, W)
    gains_db : ndarray of float16, shape (N, T, H, W)
    antennas : ndarray of float32, shape (N, T, K)
    """

    path: Path
    manifest: dict[str, Any]
    buildings: NDArray[np.uint8]
    heights_m: NDArray[np.uint8]
    roads: NDArray[np.uint8]
    orders: NDArray[np.int16]
    gains_db: NDArray[np.float16]
    antennas: NDArray[np.float32]

    @classmethod
    def open(cls, path: str | Path) -> SimulatedSet:
        """Open a complete set.

        Parameters
        ----------
        path : str or Path
            Folder of the set.

        Returns
        -------
        SimulatedSet

        Raises
        ------
        InputError
            If the folder is missing or incomplete, or a file is damaged or does not match the
            manifest.
        """
        path = Path(path)
        manifest = read_manifest(path)
        arrays = {name: _open_array(path, name, manifest) for name in _ARRAYS}
        return cls(path=path, manifest=manifest, **arrays)

    def __len__(self) -> int:
        return len(self.gains_db)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns of a scene."""
        return self.heights_m.shape[1], self.heights_m.shape[2]

    @property
    def scene_ids(self) -> tuple[str, ...]:
        """Names of the scenes."""
        return tuple(self.manifest["scene_ids"])

    @property
    def map_ids(self) -> tuple[int, ...]:
        """Numbers of all RadioMapSeer maps in the scenes, ascending."""
        return tuple(sorted({number for maps in self.manifest["map_ids"] for number in maps}))

    def require_trainable(self) -> None:
        """Check that the set can be used for training.

        Raises
        ------
        ConfigError
            If the set contains a validation or test map, or no drives.
        """
        require_training_maps(self.map_ids)
        if self.orders.shape[1] == 0:
            raise ConfigError(
                f"{self.path} has no simulated drives, which training samples measurements along.",
                hint="Generate it again with `drives` 1 or more.",
            )

    def antenna_column(self, name: str) -> NDArray[np.float32]:
        """Return the column ``name`` of :data:`ANTENNA_COLUMNS`, (N, T) float32."""
        return np.asarray(self.antennas[..., ANTENNA_COLUMNS.index(name)])

    def scene(self, index: int) -> SimulatedScene:
        """Return scene ``index`` with unpacked masks."""
        columns = self.shape[1]
        return SimulatedScene(
            scene_id=self.scene_ids[index],
            buildings=np.unpackbits(self.buildings[index], axis=-1, count=columns).view(np.bool_),
            roads=np.unpackbits(self.roads[index], axis=-1, count=columns).view(np.bool_),
            heights_m=np.asarray(self.heights_m[index]),
            orders=np.asarray(self.orders[index]),
            gains_db=np.asarray(self.gains_db[index]),
            antennas=np.asarray(self.antennas[index]),
        )


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check the manifest of a set.

    Parameters
    ----------
    path : Path
        Folder of the set.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        If the manifest is missing, incomplete or of another format.
    """
    file = path / MANIFEST
    hint = "Simulate a set with `python -m rm_geo.datasets.generate`."
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path} contains no simulated scenes: {MANIFEST} is missing.", hint=hint
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}", hint=hint) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{file} is not a manifest of format {FORMAT!r}.", hint=hint)
    lacking = {"arrays", "scene_ids", "map_ids"} - set(manifest)
    if lacking or not set(_ARRAYS) <= set(manifest["arrays"]):
        raise InputError(f"{file} is incomplete.", hint="Simulate the set again.")
    return manifest


def _open_array(path: Path, name: str, manifest: dict[str, Any]) -> NDArray[Any]:
    """Memory-map one array read-only and check it against the manifest."""
    file = path / f"{name}.npy"
    hint = "Remove the folder and simulate the set again."
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file} is missing or damaged: {error}", hint=hint) from error
    declared = manifest["arrays"][name]
    if [array.dtype.str, list(array.shape)] != [declared["dtype"], declared["shape"]]:
        raise InputError(
            f"{file} contains {array.dtype.str} {array.shape}, but its manifest declares "
            f"{declared['dtype']} {tuple(declared['shape'])}.",
            hint=hint,
        )
    return array
