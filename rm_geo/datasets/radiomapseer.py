"""RadioMapSeer as published, read from disk (Yapar, Levie, Kutyniok, Caire; arXiv 2212.11777).

::

    <root>/png/buildings_complete/<map>.png   buildings white
           png/roads/<map>.png                streets white
           png/cars/<map>.png                 cars white
           antenna/<map>.json                 [[x, y], ...], y counted from the south
           png/antennas/<map>_<tx>.png        the same as one white pixel
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
from rm_geo.datasets.radiomapseer_names import SIMULATIONS, GreyScale
from rm_geo.errors import ConfigError, InputError
from rm_geo.units import GAIN_TOP_DB, unit_to_gain

PUBLISHED_FLOOR_DB: Final = -147.0
"""Path gain of grey 0 in the published images; grey 255 is -47.84 dB."""

_NOTHING_DB: Final = -200.0

_HINT: Final = (
    "Point to the folder that holds png, gain and antenna, as it comes out of the data set's "
    "archive."
)


def grey_to_gain_db(grey: NDArray[np.uint8], scale: GreyScale = "published") -> NDArray[np.float32]:
    """Convert grey of a gain image to path gain.

    Parameters
    ----------
    grey : ndarray of uint8
        0..255; 0 also stands for buildings.
    scale : {"published", "noise-floor"}
        ``published``: -147 dB to -47.84 dB, as the data set is distributed.
        ``noise-floor``: after ``max(g - 0.2, 0) / 0.8``, -127.14 dB to -47.84 dB, as some
        copies are; see :func:`rm_geo.units.unit_to_gain`.

    Returns
    -------
    ndarray of float32
        dB.

    Raises
    ------
    ConfigError
        If ``scale`` is neither.
    """
    unit = grey.astype(np.float32) / np.float32(255.0)
    if scale == "noise-floor":
        return unit_to_gain(unit)
    if scale == "published":
        span = np.float32(GAIN_TOP_DB - PUBLISHED_FLOOR_DB)
        return np.asarray(unit * span + np.float32(PUBLISHED_FLOOR_DB), dtype=np.float32)
    raise ConfigError(f"There is no grey scale {scale!r}.", hint="Use published or noise-floor.")


def marked_gains_db(
    gain_db: NDArray[np.float32], scale: GreyScale = "published"
) -> NDArray[np.float16]:
    """Mark pixels without a gain, grey 0: a building or no signal.

    Parameters
    ----------
    gain_db : ndarray of float32
        From :func:`grey_to_gain_db`.
    scale : {"published", "noise-floor"}
        As there.

    Returns
    -------
    ndarray of float16
        As in sets of scenes, -200 dB where there is none.
    """
    nothing_db = grey_to_gain_db(np.zeros((), dtype=np.uint8), scale)
    marked = np.where(gain_db <= nothing_db, np.float32(_NOTHING_DB), gain_db)
    return marked.astype(np.float16)


@dataclass(frozen=True, slots=True)
class RadioMapSeer:
    """The data set's folder. Files are read when they are asked for.

    Attributes
    ----------
    root : Path
        The folder.
    map_ids : tuple of int
        Maps whose buildings are there, in order.
    shape : (int, int)
        Rows and columns that every image must have, those of the first map.
    scale : {"published", "noise-floor"}
        How gains are coded, see :func:`grey_to_gain_db`.
    """

    root: Path
    map_ids: tuple[int, ...]
    shape: tuple[int, int]
    scale: GreyScale = "published"

    @classmethod
    def open(cls, root: str | Path, scale: GreyScale = "published") -> RadioMapSeer:
        """Find the maps of a folder.

        Raises
        ------
        InputError
            If the folder or its buildings are missing.
        """
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"There is no folder {root}.", hint=_HINT)
        folder = root / "png" / "buildings_complete"
        ids = sorted(int(file.stem) for file in folder.glob("*.png") if file.stem.isdecimal())
        if not ids:
            raise InputError(f"{folder} holds no maps.", hint=_HINT)
        return cls(root, tuple(ids), read_grey(folder / f"{ids[0]}.png").shape, scale)

    def buildings(self, map_id: int) -> BoolArray:
        """Return a map's buildings, (H, W)."""
        return self._mask("buildings_complete", f"{map_id}")

    def roads(self, map_id: int) -> BoolArray:
        """Return a map's streets, (H, W)."""
        return self._mask("roads", f"{map_id}")

    def cars(self, map_id: int) -> BoolArray:
        """Return a map's cars, (H, W)."""
        return self._mask("cars", f"{map_id}")

    def transmitters(self, map_id: int) -> NDArray[np.int16]:
        """Return rows and columns of a map's transmitters, (T, 2).

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
            raise InputError(f"{file} is no list of positions: {error}", hint=_HINT) from error
        if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all():
            raise InputError(f"{file} is no list of [x, y] pairs.", hint=_HINT)
        # x counts from the west, y from the south: row 0 is the north.
        positions = np.stack([self.shape[0] - 1 - xy[:, 1], xy[:, 0]], axis=1)
        if (positions < 0).any() or (positions >= self.shape).any():
            raise InputError(f"{file}: a transmitter lies outside the map.", hint=_HINT)
        return np.round(positions).astype(np.int16)

    def gain_db(
        self, map_id: int, transmitter: int, simulation: str = "DPM"
    ) -> NDArray[np.float32]:
        """Return the path gain of one transmitter, (H, W) in dB; the floor in buildings.

        Raises
        ------
        InputError
            If the image is missing, damaged or of another size.
        ConfigError
            If there is no such simulation.
        """
        return grey_to_gain_db(
            self._grey(self._gain_file(map_id, transmitter, simulation)), self.scale
        )

    def index(self) -> tuple[int, ...]:
        """Return the maps that ``dataset.csv`` names, whether they are there or not.

        Raises
        ------
        InputError
            If the table is missing or has no column ``maps``.
        """
        file = self.root / "dataset.csv"
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return tuple(sorted(int(Path(row["maps"]).stem) for row in csv.DictReader(stream)))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{file} is missing or names no maps: {error}", hint=_HINT) from error

    def require(
        self,
        map_ids: Iterable[int],
        transmitters: Iterable[int] = (),
        simulation: str = "DPM",
    ) -> None:
        """Check that everything an experiment will read exists, before it starts.

        Parameters
        ----------
        map_ids : iterable of int
            Maps; their buildings and transmitters are looked for.
        transmitters : iterable of int
            Transmitters of each map; their gains are looked for.
        simulation : str
            One of :data:`SIMULATIONS`.

        Raises
        ------
        InputError
            If files are missing: how many, and the first few by name.
        """
        wanted = self._files(map_ids, transmitters, simulation)
        # One listing per folder: asking for 40,000 files one by one takes minutes on a network.
        present = {
            folder: {file.name for file in folder.iterdir()} if folder.is_dir() else set()
            for folder in {file.parent for file in wanted}
        }
        holes = [file for file in wanted if file.name not in present[file.parent]]
        if holes:
            shown = ", ".join(str(file.relative_to(self.root)) for file in holes[:5])
            more = ", ..." if len(holes) > 5 else ""
            raise InputError(
                f"{self.root} lacks {len(holes)} of {len(wanted)} files: {shown}{more}.",
                hint="Unpack the data set again, or leave these maps out.",
            )

    def require_one_size(
        self,
        map_ids: Iterable[int],
        transmitters: Iterable[int] = (),
        simulation: str = "DPM",
    ) -> None:
        """Check that all images of an experiment have the first map's size; headers are read.

        Raises
        ------
        InputError
            If one is damaged or of another size.
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
        """Files that an experiment reads."""
        numbers = tuple(transmitters)
        files: list[Path] = []
        for map_id in map_ids:
            files.append(self.root / "png" / "buildings_complete" / f"{map_id}.png")
            files.append(self.root / "antenna" / f"{map_id}.json")
            files += [self._gain_file(map_id, number, simulation) for number in numbers]
        return files

    def _require_shape(self, file: Path, shape: tuple[int, ...]) -> None:
        """Refuse an image of another size than the first map's."""
        if shape != self.shape:
            raise InputError(
                f"{file} has {shape[0]} x {shape[1]} px, the first map "
                f"{self.shape[0]} x {self.shape[1]}: sizes are mixed.",
                hint="Unpack the data set again.",
            )

    def _gain_file(self, map_id: int, transmitter: int, simulation: str) -> Path:
        """Name the image of one transmitter's gain."""
        if simulation not in SIMULATIONS:
            raise ConfigError(
                f"There is no simulation {simulation!r}.", hint=f"Use {', '.join(SIMULATIONS)}."
            )
        return self.root / "gain" / simulation / f"{map_id}_{transmitter}.png"

    def _mask(self, kind: str, name: str) -> BoolArray:
        """Read an image that is black and white."""
        return np.asarray(self._grey(self.root / "png" / kind / f"{name}.png") > 127)

    def _grey(self, file: Path) -> NDArray[np.uint8]:
        """Read an image and hold it to the set's size."""
        grey = read_grey(file)
        self._require_shape(file, grey.shape)
        return grey


def read_grey(file: Path, *, hint: str = _HINT) -> NDArray[np.uint8]:
    """Read an image of one channel, 8 bits, shape (H, W).

    The hint is what helps where it cannot be read.

    Raises
    ------
    InputError
        If it is missing, damaged or of another kind.
    """
    try:
        with Image.open(file) as image:
            if image.mode not in ("L", "1", "P", "RGB", "RGBA"):
                raise InputError(f"{file} has pixels of kind {image.mode}, not 8-bit grey.")
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except FileNotFoundError as error:
        raise InputError(f"{file} is missing.", hint=hint) from error
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise InputError(
            f"{file} is damaged: {error}",
            hint="Unpack the data set again." if hint == _HINT else hint,
        ) from error
