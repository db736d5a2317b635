"""Test cases of the papers' protocol: simulated maps and their samples."""

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
"""Pixel size in metres of RadioMapSeer's maps and of the sets simulated on them."""


@dataclass(frozen=True)
class Sampling:
    """Sampling of a map.

    Attributes
    ----------
    kind : {"uniform", "route"}
        Random outdoor pixels, or pixels along one drive through the streets.
    fraction : float
        Fraction of the outdoor pixels, above 0 and at most 1.

    Raises
    ------
    UsageError
        If a value is out of range.

    Examples
    --------
    >>> str(Sampling.parse("uniform:0.2"))
    'uniform 20 %'
    """

    kind: Literal["uniform", "route"]
    fraction: float

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "route"):
            raise UsageError(f"Unknown sampling {self.kind!r}.", hint="Use uniform or route.")
        if not 0.0 < self.fraction <= 1.0:
            raise UsageError(
                f"The fraction of a sampling must be above 0 and at most 1, not {self.fraction:g}."
            )

    @classmethod
    def parse(cls, text: str) -> Sampling:
        """Parse a sampling such as ``uniform:0.2`` or ``route:0.01``.

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
                f"{text!r} is not a sampling.", hint="Use a form like uniform:0.2 or route:0.01."
            ) from error

    def __str__(self) -> str:
        return f"{self.kind} {100.0 * self.fraction:g} %"

    def draw(
        self, rng: np.random.Generator, free: BoolArray, orders: NDArray[np.int16]
    ) -> BoolArray:
        """Draw the sampled pixels (H, W) among the free ones.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        free : ndarray of bool, shape (H, W)
            Pixels that may be sampled.
        orders : ndarray of int16, shape (R, H, W)
            Drives through the scene.

        Returns
        -------
        ndarray of bool, shape (H, W)
        """
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
    """Transmitters of one scene with one sampling. Arrays have shape (T, H, W).

    Attributes
    ----------
    scene_id : str
        Name of the scene.
    sampling : Sampling
        Sampling of the scene.
    batch : TileBatch
        Input of the methods: exact path gain as RSRP, for an EIRP of 0 dBm.
    truth_unit : ndarray of float32
        Path gain on the noise-floor scale, 0 inside buildings. As in RadioMapSeer, the walls of
        the simulator have an offset of half a pixel from ``buildings``: about 1 % of the pixels
        are 0 outside or above 0 inside the building map.
    buildings : ndarray of bool
        True building map.
    indoor : ndarray of bool
        Pixels that are not outdoor in radio scores: buildings, and pixels without a simulated
        gain.
    """

    scene_id: str
    sampling: Sampling
    batch: TileBatch
    truth_unit: FloatArray
    buildings: BoolArray
    indoor: BoolArray

    @property
    def observed(self) -> BoolArray:
        """Mask of the sampled pixels."""
        return self.batch.observed

    @property
    def batch_with_buildings(self) -> TileBatch:
        """Input of the methods with known buildings."""
        return replace(self.batch, buildings=self.buildings)


@dataclass(frozen=True)
class UnitScene:
    """Transmitters of a scene on the noise-floor scale, before sampling.

    Attributes
    ----------
    truth_unit, buildings, indoor
        See :class:`Cases`.
    antennas : ndarray of float32, shape (T, K)
        Antenna table, see :data:`rm_geo.datasets.simulated.ANTENNA_COLUMNS`.
    """

    truth_unit: FloatArray
    buildings: BoolArray
    indoor: BoolArray
    antennas: NDArray[np.float32]

    def batch(self, rsrp_dbm: FloatArray) -> TileBatch:
        """Return the input of the methods for samples (T, H, W) in dBm, NaN elsewhere."""
        return TileBatch(
            rsrp_dbm=rsrp_dbm,
            spacing_m=SPACING_M,
            transmitter_rc=np.asarray(self.antennas[:, :2] + 0.5, dtype=np.float32),
            intercept_dbm=np.full(len(self.antennas), GAIN_TOP_DB, dtype=np.float32),
            frequency_mhz=float(self.antennas[0, 9]),
            transmitter_height_m=float(self.antennas[0, 2]),
        )


def require_one_antenna_type(scene_id: str, antennas: NDArray[np.float32]) -> None:
    """Check that antennas (T, K) have one height and one frequency, as a batch needs.

    Parameters
    ----------
    scene_id : str
        Name of the scene, for the message.
    antennas : ndarray of float32, shape (T, K)
        Parameters of the antennas.

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
    """Select antennas of a scene by index.

    Parameters
    ----------
    scene : SimulatedScene
        The scene.
    chosen : ndarray of int, shape (T,)
        Indices of the antennas.

    Returns
    -------
    UnitScene
        Gains on the scale 0..1, buildings and pixels without a signal, for each antenna.

    Raises
    ------
    InputError
        If the antennas differ in height or frequency.
    """
    gains_db = np.asarray(scene.gains_db[chosen], dtype=np.float32)
    antennas = scene.antennas[chosen]
    require_one_antenna_type(scene.scene_id, antennas)
    buildings = np.broadcast_to(scene.buildings, gains_db.shape)
    # The floor of the simulator is below the scale: these pixels have no signal.
    indoor = buildings | (gains_db <= GAIN_FLOOR_DB - 50.0)
    return UnitScene(gain_to_unit(gains_db), buildings, indoor, antennas)


def scene_cases(
    scene: SimulatedScene, samplings: Sequence[Sampling], transmitters: int, seed: int
) -> Iterator[Cases]:
    """Sample one scene. The samples depend only on the seed, the scene and the antenna.

    Parameters
    ----------
    scene : SimulatedScene
        Scene with omnidirectional antennas of one height and frequency.
    samplings : sequence of Sampling
        Samplings to apply.
    transmitters : int
        Largest number of antennas, the first ones of the scene.
    seed : int
        Seed of the samples.

    Yields
    ------
    Cases
        One for each sampling.

    Raises
    ------
    InputError
        If the antennas differ in height or frequency.
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


@dataclass(frozen=True)
class GridCases:
    """Transmitters of a scene, sampled at the centres of the blocks of a regular grid.

    Attributes
    ----------
    batch : TileBatch
        Input with all samples. Those in buildings are at the bottom of the scale, 0.
    outdoor_batch : TileBatch
        Input without the samples in buildings.
    truth_unit : ndarray of float32, shape (T, H, W)
        Path gain on the noise-floor scale, 0 in buildings.
    indoor : ndarray of bool, shape (T, H, W)
        Pixels that are not outdoor in scores.
    """

    batch: TileBatch
    outdoor_batch: TileBatch
    truth_unit: FloatArray
    indoor: BoolArray


def buildings_from_gains(scene: SimulatedScene, antennas: NDArray[np.int64]) -> BoolArray | None:
    """Find the pixels without a gain from any of some antennas.

    Parameters
    ----------
    scene : SimulatedScene
        The scene.
    antennas : ndarray of int, shape (T,)
        Indices of the antennas.

    Returns
    -------
    ndarray of bool, shape (H, W), or None
        True where no antenna has a gain; None for no antenna.
    """
    if not antennas.size:
        return None
    gains = gain_to_unit(np.asarray(scene.gains_db[antennas], dtype=np.float32))
    return np.asarray((gains <= 0.0).all(axis=0))


def grid_cases(
    scene: SimulatedScene,
    antennas: NDArray[np.int64],
    scale: int,
    buildings: BoolArray | None = None,
) -> GridCases:
    """Sample a scene as in the MARS paper: pixel ``scale // 2`` of each block along each axis.

    Parameters
    ----------
    scene : SimulatedScene
        The scene.
    antennas : ndarray of int64
        Indices of the antennas.
    scale : int
        Side of a block in pixels.
    buildings : ndarray of bool, shape (H, W), optional
        Known buildings for the input.

    Returns
    -------
    GridCases
    """
    whole = unit_scene(scene, antennas)
    nodes = np.zeros(whole.truth_unit.shape, dtype=np.bool_)
    nodes[:, scale // 2 :: scale, scale // 2 :: scale] = True
    level = unit_to_gain(whole.truth_unit)
    batch = whole.batch(np.where(nodes, level, np.float32(np.nan)))
    outdoor = whole.batch(np.where(nodes & ~whole.indoor, level, np.float32(np.nan)))
    if buildings is not None:
        batch = replace(batch, buildings=np.broadcast_to(buildings, nodes.shape))
    return GridCases(batch, outdoor, whole.truth_unit, whole.indoor)


def select_scenes(data: SimulatedSet, maps: Sequence[int] | None) -> list[int]:
    """Select the scenes on given RadioMapSeer maps.

    Parameters
    ----------
    data : SimulatedSet
        The set.
    maps : sequence of int or None
        Numbers of maps; None for all scenes.

    Returns
    -------
    list of int
        Indices of the scenes.

    Raises
    ------
    UsageError
        If the set has none of the maps, or no map numbers.
    """
    if maps is None:
        return list(range(len(data)))
    if not data.map_ids:
        raise UsageError(
            f"{data.path} has no map numbers: its scenes are generated cities.",
            hint="Omit `maps`.",
        )
    wanted = set(maps)
    chosen = [
        index for index, numbers in enumerate(data.manifest["map_ids"]) if wanted & set(numbers)
    ]
    if not chosen:
        raise UsageError(
            f"{data.path} has none of the requested maps.",
            hint=f"It has {format_maps(data.map_ids)}.",
        )
    return chosen


def select_maps(data: SimulatedSet, maps: Sequence[int] | None) -> tuple[int, ...]:
    """List the maps of the scenes that :func:`select_scenes` selects.

    Parameters
    ----------
    data : SimulatedSet
        The set.
    maps : sequence of int or None
        Numbers of maps; None for all scenes.

    Returns
    -------
    tuple of int
        Numbers, ascending; empty for generated cities.

    Raises
    ------
    UsageError
        If the set has none of the maps, or no map numbers.
    """
    numbers = data.manifest["map_ids"]
    return tuple(sorted({n for index in select_scenes(data, maps) for n in numbers[index]}))


def _generator(
    seed: int, scene: SimulatedScene, antenna: int, sampling: Sampling
) -> np.random.Generator:
    """Return the random generator of one case, independent of other cases."""
    key = f"{scene.scene_id}/{antenna}/{sampling.kind}/{sampling.fraction:g}"
    return np.random.default_rng([seed, zlib.crc32(key.encode())])
