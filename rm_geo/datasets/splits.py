"""The papers' splits of RadioMapSeer, and the guard that keeps test maps out of training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rm_geo.errors import ConfigError

TRANSMITTERS_PER_MAP: Final = 80
"""Transmitters that RadioMapSeer places in each map, numbered 0..79."""

LAST_TRAINING_MAP: Final = 500
"""Nothing trains on, or is tuned to, maps with a higher number."""


@dataclass(frozen=True, slots=True)
class Split:
    """Which maps and transmitters train, validate and test.

    Attributes
    ----------
    name : str
        Name under which results are reported.
    train_maps, validation_maps, test_maps : tuple of int
        Map numbers, 0..700. They may be the same maps where transmitters differ.
    train_transmitters, validation_transmitters, test_transmitters : tuple of int
        Transmitter numbers, 0..79, used in each of the maps.
    source : str
        Where the split was published.
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
    source="MARS, setting I: the same maps, other transmitters. The paper names no numbers "
    "of transmitters; 60, 10 and 10 are this project's choice",
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
    "paper names no unseen maps; RadioCycle's are taken",
)

SPLITS: Final = {split.name: split for split in (RADIOCYCLE, MARS_SETTING_I, MARS_SETTING_II)}
"""The splits by name."""


def get_split(name: str) -> Split:
    """Return a split by its name.

    Raises
    ------
    ConfigError
        If there is no such split.
    """
    if name not in SPLITS:
        raise ConfigError(
            f"There is no split named {name!r}.", hint=f"Splits: {', '.join(sorted(SPLITS))}."
        )
    return SPLITS[name]


def require_training_maps(map_ids: Iterable[int]) -> None:
    """Refuse to train on maps that are kept for validation and tests.

    Parameters
    ----------
    map_ids : iterable of int
        RadioMapSeer's map numbers behind a training set.

    Raises
    ------
    ConfigError
        If one of them is above 500.
    """
    kept = sorted({map_id for map_id in map_ids if map_id > LAST_TRAINING_MAP})
    if kept:
        shown = ", ".join(map(str, kept[:5])) + (", ..." if len(kept) > 5 else "")
        raise ConfigError(
            f"Maps {shown} validate and test; training on them would spoil every score.",
            hint=f"Train on maps up to {LAST_TRAINING_MAP}.",
        )
