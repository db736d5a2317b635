"""The cases of the papers' protocol: simulated maps with the samples that methods see."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, FloatArray
from rm_geo.datasets.map_numbers import format_maps
from rm_geo.datasets.sampling import SamplingMixture, uniform
from rm_geo.datasets.simulated import SimulatedScene, SimulatedSet
from rm_geo.errors import InputError, UsageError
from rm_geo.estimators.base import TileBatch
from rm_geo.units import GAIN_FLOOR_DB, GAIN_TOP_DB, gain_to_unit, unit_to_gain

SPACING_M: Final = 1.0
"""Pixels of RadioMapSeer's maps, and of the sets simulated on them."""


@dataclass(frozen=True)
class Sampling:
    """How a drive test samples a map.

    Attributes
    ----------
    kind : {"uniform", "route"}
        Pixels anywhere outdoors, or along one drive through the streets.
    fraction : float
        Share of the outdoor pixels, above 0 and at most 1.
    """

    kind: Literal["uniform", "route"]
    fraction: float

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "route"):
            raise UsageError(f"There is no sampling {self.kind!r}.", hint="Use uniform or route.")
        if not 0.0 < self.fraction <= 1.0:
            raise UsageError(f"A sampling of {self.fraction:g} is not above 0 and at most 1.")

    @classmethod
    def parse(cls, text: str) -> Sampling:
        """Read a sampling such as ``uniform:0.2`` or ``route:0.01``.

        Raises
        ------
        UsageError
            If the text is not of that form.
        """
        kind, _, fraction = text.strip().partition(":")
        try:
            return cls(kind, float(fraction))  # type: ignore[arg-type]  # checked on creation
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not a sampling.", hint="Write it as uniform:0.2 or route:0.01."
            ) from error

    def __str__(self) -> str:
        return f"{self.kind} {100.0 * self.fraction:g} %"

    def draw(
        self, rng: np.random.Generator, free: BoolArray, orders: NDArray[np.int16]
    ) -> BoolArray:
        """Draw the sampled pixels, shape (H, W), among the free ones."""
        if self.kind == "uniform":
            return uniform(rng, free, self.fraction)
        drives = SamplingMixture(
            uniform_weight=0.0,
            grid_weight=0.0,
            route_weight=1.0,
            route_fraction=(self.fraction, self.fraction),
            blocks_out_probability=0.0,
        )
        return drives.draw_mask(rng, free, orders)


PAPER_SAMPLINGS: Final = (
    Sampling("uniform", 0.01),
    Sampling("uniform", 0.05),
    Sampling("uniform", 0.20),
    Sampling("route", 0.01),
)


@dataclass(frozen=True)
class Cases:
    """All transmitters of one scene under one sampling; arrays have shape (T, H, W).

    Attributes
    ----------
    scene_id : str
        Name of the scene.
    sampling : Sampling
        How it was sampled.
    batch : TileBatch
        What the methods see: path gain for RSRP (an EIRP of 0 dBm), exact.
    truth_unit : ndarray of float32
        Path gain on the noise-floor scale, 0 inside buildings. As in RadioMapSeer, the
        simulator's walls lie half a pixel from those of ``buildings``, so that a rim of
        about 1 % of the pixels is 0 outside or above 0 inside the building map.
    buildings : ndarray of bool
        The building map to be found.
    indoor : ndarray of bool
        Pixels that no radio score counts as outdoor: buildings, and those where the
        simulator has no gain (its walls run between pixels).
    """

    scene_id: str
    sampling: Sampling
    batch: TileBatch
    truth_unit: FloatArray
    buildings: BoolArray
    indoor: BoolArray

    @property
    def observed(self) -> BoolArray:
        """Sampled pixels."""
        return self.batch.observed

    @property
    def batch_with_buildings(self) -> TileBatch:
        """The batch with the known buildings."""
        return replace(self.batch, buildings=self.buildings)


@dataclass(frozen=True)
class UnitScene:
    """Some transmitters of a scene on the noise-floor scale, before anything is sampled.

    Attributes
    ----------
    truth_unit, buildings, indoor
        As in :class:`Cases`.
    antennas : ndarray of float32, shape (T, K)
        Their table.
    """

    truth_unit: FloatArray
    buildings: BoolArray
    indoor: BoolArray
    antennas: NDArray[np.float32]

    def batch(self, rsrp_dbm: FloatArray) -> TileBatch:
        """Give what methods see: samples (T, H, W), NaN elsewhere, and the transmitters."""
        return TileBatch(
            rsrp_dbm=rsrp_dbm,
            spacing_m=SPACING_M,
            transmitter_rc=np.asarray(self.antennas[:, :2] + 0.5, dtype=np.float32),
            intercept_dbm=np.full(len(self.antennas), GAIN_TOP_DB, dtype=np.float32),
            frequency_mhz=float(self.antennas[0, 9]),
            transmitter_height_m=float(self.antennas[0, 2]),
        )


def require_alike(scene_id: str, antennas: NDArray[np.float32]) -> None:
    """Refuse antennas, shape (T, K), that cannot be one batch, which has one of each.

    Raises
    ------
    InputError
        If they differ in height or frequency.
    """
    if len(np.unique(antennas[:, 2])) != 1 or len(np.unique(antennas[:, 9])) != 1:
        raise InputError(
            f"The antennas of scene {scene_id} differ in height or frequency.",
            hint="This protocol is for sets of the recipe 'paper'.",
        )


def unit_scene(scene: SimulatedScene, chosen: NDArray[np.integer]) -> UnitScene:
    """Take antennas of a scene, by index.

    Raises
    ------
    InputError
        If the antennas differ in height or frequency: a batch has one of each.
    """
    gains_db = np.asarray(scene.gains_db[chosen], dtype=np.float32)
    antennas = scene.antennas[chosen]
    require_alike(scene.scene_id, antennas)
    buildings = np.broadcast_to(scene.buildings, gains_db.shape)
    # The simulator's floor lies below any gain on the scale: no signal was computed there.
    indoor = buildings | (gains_db <= GAIN_FLOOR_DB - 50.0)
    return UnitScene(gain_to_unit(gains_db), buildings, indoor, antennas)


def scene_cases(
    scene: SimulatedScene, samplings: Sequence[Sampling], transmitters: int, seed: int
) -> Iterator[Cases]:
    """Sample one scene; the samples depend on the seed, the scene and the antenna alone.

    Parameters
    ----------
    scene : SimulatedScene
        With omnidirectional antennas of one height and frequency.
    samplings : sequence of Sampling
        One :class:`Cases` each.
    transmitters : int
        The first so many antennas; fewer where the scene has fewer.
    seed : int
        Another seed, other samples.

    Raises
    ------
    InputError
        If the scene's antennas differ in height or frequency: a batch has one of each.
    """
    whole = unit_scene(scene, np.arange(min(transmitters, len(scene.gains_db))))
    for sampling in samplings:
        sampled = np.stack(
            [
                sampling.draw(_generator(seed, scene, index, sampling), ~walls, scene.orders)
                for index, walls in enumerate(whole.indoor)
            ]
        )
        level = np.where(sampled, unit_to_gain(whole.truth_unit), np.float32(np.nan))
        yield Cases(
            scene.scene_id,
            sampling,
            whole.batch(level),
            whole.truth_unit,
            whole.buildings,
            whole.indoor,
        )


def chosen_scenes(data: SimulatedSet, maps: Sequence[int] | None) -> list[int]:
    """Find the scenes on the given RadioMapSeer maps; of all scenes where None.

    Raises
    ------
    UsageError
        If the set has none of the maps, or its scenes are of none.
    """
    if maps is None:
        return list(range(len(data)))
    if not data.map_ids:
        raise UsageError(
            f"{data.path} has no map numbers: its scenes are made-up cities.",
            hint="Leave out `maps`.",
        )
    wanted = set(maps)
    chosen = [
        index for index, numbers in enumerate(data.manifest["map_ids"]) if wanted & set(numbers)
    ]
    if not chosen:
        raise UsageError(
            f"{data.path} has none of the maps asked for.",
            hint=f"It has {format_maps(data.map_ids)}.",
        )
    return chosen


def chosen_maps(data: SimulatedSet, maps: Sequence[int] | None) -> tuple[int, ...]:
    """Numbers of the maps behind :func:`chosen_scenes`, sorted; none where cities are made up."""
    numbers = data.manifest["map_ids"]
    return tuple(sorted({n for index in chosen_scenes(data, maps) for n in numbers[index]}))


def _generator(
    seed: int, scene: SimulatedScene, antenna: int, sampling: Sampling
) -> np.random.Generator:
    """Randomness of one case, independent of which other cases are run."""
    key = f"{scene.scene_id}/{antenna}/{sampling.kind}/{sampling.fraction:g}"
    return np.random.default_rng([seed, zlib.crc32(key.encode())])
