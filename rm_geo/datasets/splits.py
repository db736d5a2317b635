"""Splits of RadioMapSeer into training, validation and test maps, and names of its variants."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from rm_geo.errors import ConfigError

TRANSMITTERS_PER_MAP: Final = 80
"""Number of transmitters in each map of RadioMapSeer, numbered 0..79."""

SIMULATIONS: Final = ("DPM", "IRT2", "IRT4", "carsDPM", "carsIRT2", "carsIRT4")
"""Folders of gains. IRT4 is available only for transmitters 0 and 1."""

GreyScale = Literal["published", "noise-floor"]

GREY_SCALES: Final[tuple[GreyScale, ...]] = get_args(GreyScale)
"""Encodings of gains as grey; some copies of the data set use the noise-floor form."""

LAST_TRAINING_MAP: Final = 500
"""Highest map number for training and tuning; higher ones validate and test."""


@dataclass(frozen=True, slots=True)
class Split:
    """Maps and transmitters for training, validation and test.

    Attributes
    ----------
    name : str
        Name under which results are reported.
    train_maps, validation_maps, test_maps : tuple of int
        Map numbers, 0..700. They may overlap if the transmitters differ.
    train_transmitters, validation_transmitters, test_transmitters : tuple of int
        Transmitter numbers, 0..79, used in each of the maps.
    source : str
        Publication of the split.
    """

    name: str
    train_maps: tuple[int, ...]
    validation_maps: tuple[int, ...]
    test_maps: tuple[int, ...]
    train_transmitters: tuple[int, ...]
    validation_transmitters: tuple[int, ...]
    test_transmitters: tuple[int, ...]
    source: str

    @property
    def unseen_maps(self) -> bool:
        """Whether no test map is a training map."""
        return not set(self.train_maps) & set(self.test_maps)


_ALL_TRANSMITTERS: Final = tuple(range(TRANSMITTERS_PER_MAP))

RADIOCYCLE: Final = Split(
    name="radiocycle",
    train_maps=tuple(range(1, 501)),
    validation_maps=tuple(range(501, 601)),
    test_maps=tuple(range(601, 701)),
    train_transmitters=_ALL_TRANSMITTERS,
    validation_transmitters=_ALL_TRANSMITTERS,
    test_transmitters=_ALL_TRANSMITTERS,
    source="RadioCycle, section on experiments: 500, 100 and 100 maps",
)

MARS_SETTING_I: Final = Split(
    name="mars-i",
    train_maps=tuple(range(1, 251)),
    validation_maps=tuple(range(1, 251)),
    test_maps=tuple(range(1, 251)),
    train_transmitters=tuple(range(60)),
    validation_transmitters=tuple(range(60, 70)),
    test_transmitters=tuple(range(70, 80)),
    source="MARS, setting I: the same maps, other transmitters. The paper does not give the "
    "numbers of transmitters; 60, 10 and 10 are this project's choice",
)

MARS_SETTING_II: Final = Split(
    name="mars-ii",
    train_maps=tuple(range(1, 251)),
    validation_maps=tuple(range(501, 601)),
    test_maps=tuple(range(601, 701)),
    train_transmitters=_ALL_TRANSMITTERS,
    validation_transmitters=_ALL_TRANSMITTERS,
    test_transmitters=_ALL_TRANSMITTERS,
    source="MARS, setting II: the first 250 maps train, unseen ones validate and test. The "
    "paper does not name the unseen maps; those of RadioCycle are used",
)

SPLITS: Final = {split.name: split for split in (RADIOCYCLE, MARS_SETTING_I, MARS_SETTING_II)}
"""Splits by name."""


def get_split(name: str) -> Split:
    """Return a split by its name.

    Parameters
    ----------
    name : str
        Key of :data:`SPLITS`.

    Returns
    -------
    Split

    Raises
    ------
    ConfigError
        If there is no such split.

    Examples
    --------
    >>> get_split("radiocycle").test_maps[0]
    601
    """
    if name not in SPLITS:
        raise ConfigError(
            f"There is no split named {name!r}.", hint=f"Splits: {', '.join(sorted(SPLITS))}."
        )
    return SPLITS[name]


def require_training_maps(map_ids: Iterable[int]) -> None:
    """Check that a training set contains no validation or test maps.

    Parameters
    ----------
    map_ids : iterable of int
        Numbers of the RadioMapSeer maps in a training set.

    Raises
    ------
    ConfigError
        If one of them is above 500.
    """
    reserved = sorted({map_id for map_id in map_ids if map_id > LAST_TRAINING_MAP})
    if reserved:
        shown = ", ".join(map(str, reserved[:5])) + (", ..." if len(reserved) > 5 else "")
        raise ConfigError(
            f"Maps {shown} are reserved for validation and test and must not be trained on.",
            hint=f"Train on maps up to {LAST_TRAINING_MAP}.",
        )
