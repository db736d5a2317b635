"""Reader of RadioMapSeer in its published layout (Yapar et al., arXiv 2212.11777).

::

    <root>/png/buildings_complete/<map>.png   buildings in white
           png/roads/<map>.png                streets in white
           png/cars/<map>.png                 cars in white
           antenna/<map>.json                 [[x, y], ...], y from the south
           png/antennas/<map>_<tx>.png        position of a transmitter as a white pixel
           gain/<simulation>/<map>_<tx>.png   path gain as grey
           dataset.csv                        names of all maps and gains
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rm_geo._types import BoolArray
from rm_geo.datasets.splits import SIMULATIONS, GreyScale
from rm_geo.errors import ConfigError, InputError
from rm_geo.units import GAIN_TOP_DB, unit_to_gain

PUBLISHED_FLOOR_DB: Final = -147.0
"""Path gain in dB of grey 0 in the published images. Grey 255 is -47.84 dB."""

_NO_SIGNAL_DB: Final = -200.0

_HINT: Final = (
    "Name the folder with the subfolders png, gain and antenna, as unpacked from the archive of "
    "the data set."
)


def grey_to_gain_db(grey: NDArray[np.uint8], scale: GreyScale = "published") -> NDArray[np.float32]:
    """Convert grey values of a gain image to path gain.

    Parameters
    ----------
    grey : ndarray of uint8
        Grey values 0..255. Buildings are 0 too.
    scale : {"published", "noise-floor"}
        ``published``: -147 dB to -47.84 dB, the scale of the distributed data set.
        ``noise-floor``: -127.14 dB to -47.84 dB, the scale of some copies, after
        ``max(g - 0.2, 0) / 0.8``; see :func:`rm_geo.units.unit_to_gain`.

    Returns
    -------
    ndarray of float32
        Path gain in dB, in the shape of ``grey``.

    Raises
    ------
    ConfigError
        If the scale is unknown.

    Examples
    --------
    >>> grey_to_gain_db(np.array([0, 255], dtype=np.uint8)).round(2).tolist()
    [-147.0, -47.84000015258789]
    """
    unit = grey.astype(np.float32) / np.float32(255.0)
    if scale == "noise-floor":
        return unit_to_gain(unit)
    if scale == "published":
        span = np.float32(GAIN_TOP_DB - PUBLISHED_FLOOR_DB)
        return np.asarray(unit * span + np.float32(PUBLISHED_FLOOR_DB), dtype=np.float32)
    raise ConfigError(f"Unknown grey scale {scale!r}.", hint="Use published or noise-floor.")


def mask_missing_gains(
    gain_db: NDArray[np.float32], scale: GreyScale = "published"
) -> NDArray[np.float16]:
    """Replace the gain of pixels with grey 0, buildings or no signal, by -200 dB.

    Parameters
    ----------
    gain_db : ndarray of float32
        Path gain from :func:`grey_to_gain_db`.
    scale : {"published", "noise-floor"}
        Scale of the gain image.

    Returns
    -------
    ndarray of float16
        Path gain in dB as in sets of scenes, -200 dB for grey 0.
    """
    floor_db = grey_to_gain_db(np.zeros((), dtype=np.uint8), scale)
    marked = np.where(gain_db <= floor_db, np.float32(_NO_SIGNAL_DB), gain_db)
    return marked.astype(np.float16)


@dataclass(frozen=True, slots=True)
class RadioMapSeer:
    """Folder of the data set. Files are read on request.

    Attributes
    ----------
    root : Path
        The folder.
    map_ids : tuple of int
        Numbers of the maps with an image of buildings, ascending.
    shape : (int, int)
        Rows and columns of the first map, which all images must have.
    scale : {"published", "noise-floor"}
        Encoding of gains, see :func:`grey_to_gain_db`.
    """

    root: Path
    map_ids: tuple[int, ...]
    shape: tuple[int, int]
    scale: GreyScale = "published"

    @classmethod
    def open(cls, root: str | Path, scale: GreyScale = "published") -> RadioMapSeer:
        """Open a folder and list its maps.

        Parameters
        ----------
        root : str or Path
            Folder of the data set.
        scale : {"published", "noise-floor"}
            Encoding of gains, see :func:`grey_to_gain_db`.

        Returns
        -------
        RadioMapSeer

        Raises
        ------
        InputError
            If the folder or its images of buildings are missing.
        """
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"There is no folder {root}.", hint=_HINT)
        folder = root / "png" / "buildings_complete"
        ids = sorted(int(file.stem) for file in folder.glob("*.png") if file.stem.isdecimal())
        if not ids:
            raise InputError(f"{folder} contains no maps.", hint=_HINT)
        return cls(root, tuple(ids), read_grey(folder / f"{ids[0]}.png").shape, scale)

    def buildings(self, map_id: int) -> BoolArray:
        """Return the buildings of a map, (H, W) bool."""
        return self._mask("buildings_complete", f"{map_id}")

    def roads(self, map_id: int) -> BoolArray:
        """Return the streets of a map, (H, W) bool."""
        return self._mask("roads", f"{map_id}")

    def cars(self, map_id: int) -> BoolArray:
        """Return the cars of a map, (H, W) bool."""
        return self._mask("cars", f"{map_id}")

    def transmitters(self, map_id: int) -> NDArray[np.int16]:
        """Return rows and columns of the transmitters of a map, (T, 2) int16.

        Raises
        ------
        InputError
            If the list is missing or damaged, or a transmitter lies outside the map.
        """
        file = self.root / "antenna" / f"{map_id}.json"
        try:
            xy = np.asarray(json.loads(file.read_text(encoding="utf-8")), dtype=np.float64)
        except FileNotFoundError as error:
            raise InputError(f"{file} is missing.", hint=_HINT) from error
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file} is not a list of positions: {error}", hint=_HINT) from error
        if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all():
            raise InputError(f"{file} is not a list of [x, y] pairs.", hint=_HINT)
        # x counts from the west, y from the south: row 0 is the north.
        positions = np.stack([self.shape[0] - 1 - xy[:, 1], xy[:, 0]], axis=1)
        if (positions < 0).any() or (positions >= self.shape).any():
            raise InputError(f"{file}: a transmitter lies outside the map.", hint=_HINT)
        return np.round(positions).astype(np.int16)

    def gain_db(
        self, map_id: int, transmitter: int, simulation: str = "DPM"
    ) -> NDArray[np.float32]:
        """Read the path gain of one transmitter.

        Parameters
        ----------
        map_id : int
            Number of the map.
        transmitter : int
            Number of the transmitter on the map.
        simulation : str
            Name of the simulation, such as ``DPM`` or ``IRT2``.

        Returns
        -------
        ndarray of float32, shape (H, W)
            Path gain in dB; the floor of the scale in buildings.

        Raises
        ------
        InputError
            If the image is missing, damaged or of another size.
        ConfigError
            If the simulation is unknown.
        """
        return grey_to_gain_db(
            self._grey(self._gain_file(map_id, transmitter, simulation)), self.scale
        )

    def index(self) -> tuple[int, ...]:
        """Return the numbers of all maps listed in ``dataset.csv``, ascending.

        Raises
        ------
        InputError
            If the table is missing or has no valid column ``maps``.
        """
        file = self.root / "dataset.csv"
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return tuple(sorted(int(Path(row["maps"]).stem) for row in csv.DictReader(stream)))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{file} is missing or lists no maps: {error}", hint=_HINT) from error

    def require(
        self,
        map_ids: Iterable[int],
        transmitters: Iterable[int] = (),
        simulation: str = "DPM",
    ) -> None:
        """Check that all files of an experiment exist.

        Parameters
        ----------
        map_ids : iterable of int
            Maps whose images of buildings and lists of transmitters must exist.
        transmitters : iterable of int
            Transmitters of each map whose gains must exist.
        simulation : str
            One of :data:`rm_geo.datasets.splits.SIMULATIONS`.

        Raises
        ------
        InputError
            If files are missing. The message has their number and the first names.
        """
        wanted = self._files(map_ids, transmitters, simulation)
        # List each folder once: 40,000 single queries take minutes on a network drive.
        present = {
            folder: {file.name for file in folder.iterdir()} if folder.is_dir() else set()
            for folder in {file.parent for file in wanted}
        }
        missing = [file for file in wanted if file.name not in present[file.parent]]
        if missing:
            shown = ", ".join(str(file.relative_to(self.root)) for file in missing[:5])
            more = ", ..." if len(missing) > 5 else ""
            raise InputError(
                f"{self.root} lacks {len(missing)} of {len(wanted)} files: {shown}{more}.",
                hint="Unpack the data set again, or leave these maps out.",
            )

    def require_one_size(
        self,
        map_ids: Iterable[int],
        transmitters: Iterable[int] = (),
        simulation: str = "DPM",
    ) -> None:
        """Check by their headers that all images of an experiment have the size of the first map.

        Parameters
        ----------
        map_ids : iterable of int
            Maps of the experiment.
        transmitters : iterable of int
            Transmitters whose images of gain are checked; none if empty.
        simulation : str
            Name of the simulation.

        Raises
        ------
        InputError
            If an image is damaged or of another size.
        """
        for file in self._files(map_ids, transmitters, simulation):
            if file.suffix != ".png":
                continue
            try:
                with Image.open(file) as image:
                    cols, rows = image.size
            except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
                raise InputError(
                    f"{file} is damaged: {error}", hint="Unpack the data set again."
                ) from error
            self._require_shape(file, (rows, cols))

    def _files(
        self, map_ids: Iterable[int], transmitters: Iterable[int], simulation: str
    ) -> list[Path]:
        """List the files of an experiment."""
        numbers = tuple(transmitters)
        files: list[Path] = []
        for map_id in map_ids:
            files.append(self.root / "png" / "buildings_complete" / f"{map_id}.png")
            files.append(self.root / "antenna" / f"{map_id}.json")
            files += [self._gain_file(map_id, number, simulation) for number in numbers]
        return files

    def _require_shape(self, file: Path, shape: tuple[int, ...]) -> None:
        """Raise InputError for an image of another size than the first map."""
        if shape != self.shape:
            raise InputError(
                f"{file} has {shape[0]} x {shape[1]} px, but the first map "
                f"{self.shape[0]} x {self.shape[1]} px.",
                hint="Unpack the data set again.",
            )

    def _gain_file(self, map_id: int, transmitter: int, simulation: str) -> Path:
        """Return the path of the gain image of one transmitter."""
        if simulation not in SIMULATIONS:
            raise ConfigError(
                f"Unknown simulation {simulation!r}.", hint=f"Use {', '.join(SIMULATIONS)}."
            )
        return self.root / "gain" / simulation / f"{map_id}_{transmitter}.png"

    def _mask(self, kind: str, name: str) -> BoolArray:
        """Read a black and white image as a mask."""
        return np.asarray(self._grey(self.root / "png" / kind / f"{name}.png") > 127)

    def _grey(self, file: Path) -> NDArray[np.uint8]:
        """Read an image and check its size."""
        grey = read_grey(file)
        self._require_shape(file, grey.shape)
        return grey


def read_grey(file: Path, *, hint: str = _HINT) -> NDArray[np.uint8]:
    """Read an 8-bit image as grey values.

    Parameters
    ----------
    file : Path
        The image.
    hint : str
        Advice in the error message if the image cannot be read.

    Returns
    -------
    ndarray of uint8, shape (H, W)

    Raises
    ------
    InputError
        If the image is missing, damaged or of another pixel type.
    """
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "1", "P", "RGB", "RGBA"):
                raise InputError(f"{file} has pixels of type {image.mode}, not 8-bit grey.")
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing.", hint=hint) from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InputError(
            f"{file} is damaged: {error}",
            hint="Unpack the data set again." if hint == _HINT else hint,
        ) from error
