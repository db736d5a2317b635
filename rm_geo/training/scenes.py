"""Random crops of simulated scenes, as tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rm_geo.datasets.simulated import ANTENNA_COLUMNS, SimulatedSet
from rm_geo.datasets.splits import TRANSMITTERS_PER_MAP, Split
from rm_geo.errors import ConfigError
from rm_geo.units import GAIN_FLOOR_DB

_FLOOR_DB = -145.0  # far below any receiver; keeps the simulator's own floor out of means


@dataclass(frozen=True)
class SceneCrops:
    """A batch of crops, all float32 on one device.

    Attributes
    ----------
    gain_db : Tensor, shape (B, 1, h, w)
        Path gain; at -127 or below where there is none.
    buildings, free : Tensor, shape (B, 1, h, w)
        1 on building pixels; 1 outdoors where the gain is defined.
    order : Tensor, shape (B, 1, h, w)
        Order in which a drive visits pixels; negative where it never comes.
    transmitter_rc : Tensor, shape (B, 2)
        Row and column of the transmitter in the crop's pixels.
    intercept_db : Tensor, shape (B,)
        Free-space gain at 1 m, antenna gain included.
    spacing_m : float
        Side of a pixel.
    """

    gain_db: Tensor
    buildings: Tensor
    free: Tensor
    order: Tensor
    transmitter_rc: Tensor
    intercept_db: Tensor
    spacing_m: float = 1.0


@dataclass(frozen=True)
class CropPlan:
    """What to cut: set, scene, antenna, drive, corner, and how to turn it."""

    which: int
    scene: int
    antenna: int
    drive: int
    top: int
    left: int
    turns: int
    mirror: bool


class CropSource(Protocol):
    """Anything that training draws crops from."""

    @property
    def device(self) -> torch.device:
        """Where the crops are."""

    @property
    def largest_crop(self) -> int:
        """Side of the largest crop that can be drawn."""

    def draw(self, rng: np.random.Generator, batch: int, crop: int) -> SceneCrops:
        """Draw ``batch`` crops of ``crop`` pixels."""


class ScenePool:
    """Simulated sets to draw crops from.

    Parameters
    ----------
    sets : sequence of SimulatedSet
        Sets; their sizes may differ.
    weights : sequence of float, optional
        How often each is drawn from; equal if not given.
    device : torch.device
        Where the crops go.
    held_out : int
        Scenes at the end of each set that are kept for validation.
    validation : bool
        Whether to draw from what is held out instead of the rest.
    split : Split, optional
        Train on its maps and transmitters alone. Its own transmitters validate where it
        names some on the same maps; elsewhere the scenes held out do, since nothing that
        ends in the choice of weights may see maps above 500.
    near_transmitter : bool
        Whether a crop holds its transmitter, where the scene does: for networks that know it
        as a pixel, and have nothing to go by elsewhere.
    turned : bool
        Whether crops are turned and mirrored. RadioMapSeer's walls lie half a pixel north-east
        of where its building maps say: what must hit them learns it from upright crops alone.

    Raises
    ------
    ConfigError
        If there is no set, the weights do not match, or a set has nothing of the split.
    """

    def __init__(
        self,
        sets: Sequence[SimulatedSet],
        weights: Sequence[float] | None = None,
        device: torch.device | None = None,
        *,
        held_out: int = 0,
        validation: bool = False,
        split: Split | None = None,
        near_transmitter: bool = False,
        turned: bool = True,
    ) -> None:
        if not sets:
            raise ConfigError("No training data given.", hint="Name at least one simulated set.")
        if weights is not None and (len(weights) != len(sets) or min(weights) <= 0.0):
            raise ConfigError(f"{len(sets)} data sets need as many positive weights.")
        for data in sets:
            data.require_trainable()
            if not 0 <= held_out < len(data):
                raise ConfigError(
                    f"{data.path} has {len(data)} scenes, of which {held_out} cannot be held out."
                )
        by_transmitter = split is not None and split.train_maps == split.validation_maps
        if validation and not held_out and not by_transmitter:
            raise ConfigError("No scenes are held out for validation.")
        self.allowed = tuple(
            None if split is None else split_pairs(data, split, held_out, validation)
            for data in sets
        )
        shares = np.ones(len(sets)) if weights is None else np.asarray(weights, dtype=np.float64)
        self.sets = tuple(sets)
        self.held_out, self.validation = held_out, validation
        self.near_transmitter, self.turned = near_transmitter, turned
        self.shares = shares / shares.sum()
        self.device = device or torch.device("cpu")

    def require_crop(self, crop: int) -> None:
        """Refuse crops that do not fit every set.

        Raises
        ------
        ConfigError
            If a set's scenes are smaller.
        """
        for data in self.sets:
            rows, cols = data.shape
            if crop > min(rows, cols):
                raise ConfigError(
                    f"Crops of {crop} px do not fit scenes of {rows} x {cols} px ({data.path}).",
                    hint="Train on smaller crops, or leave this set out.",
                )

    @property
    def largest_crop(self) -> int:
        """Side of the largest crop that fits some set."""
        return max(min(data.shape) for data in self.sets)

    def draw(self, rng: np.random.Generator, batch: int, crop: int) -> SceneCrops:
        """Draw crops of ``crop`` pixels; each scene, antenna and place is equally likely.

        Sets whose scenes are smaller are left out.

        Raises
        ------
        ConfigError
            If all are smaller.
        """
        fits = np.array([min(data.shape) >= crop for data in self.sets])
        if not fits.any():
            self.require_crop(crop)
        shares = self.shares * fits / (self.shares * fits).sum()
        plans = [self._plan(rng, crop, shares) for _ in range(batch)]
        gain, buildings, order = self._images(plans, crop)
        free = (1.0 - buildings) * (gain > _FLOOR_DB)
        told = np.array([self._told(plan, crop) for plan in plans], dtype=np.float32)
        about = torch.from_numpy(told).to(self.device)
        return SceneCrops(
            gain_db=gain.clamp(min=GAIN_FLOOR_DB)[:, None],
            buildings=buildings[:, None],
            free=free[:, None],
            order=order[:, None],
            transmitter_rc=about[:, :2].contiguous(),
            intercept_db=about[:, 2].contiguous(),
        )

    def _images(self, plans: Sequence[CropPlan], crop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cut gains, buildings and orders, (B, h, w) float32 each."""
        cuts = [self._cut(plan, crop) for plan in plans]
        stacks = (torch.from_numpy(np.stack(images)) for images in zip(*cuts, strict=True))
        gain, buildings, order = (images.to(self.device).float() for images in stacks)
        return gain, buildings, order

    def _pick(self, which: int, rng: np.random.Generator) -> tuple[int, int]:
        """Pick a scene of a set and one of its antennas."""
        data, allowed = self.sets[which], self.allowed[which]
        if allowed is not None:
            scene, antenna = allowed[int(rng.integers(len(allowed)))]
            return int(scene), int(antenna)
        first_held = len(data) - self.held_out
        first, last = (first_held, len(data)) if self.validation else (0, first_held)
        return int(rng.integers(first, last)), int(rng.integers(data.gains_db.shape[1]))

    def _plan(self, rng: np.random.Generator, crop: int, shares: NDArray[np.float64]) -> CropPlan:
        """Draw what to cut and how to turn it."""
        which = int(rng.choice(len(self.sets), p=shares))
        data = self.sets[which]
        scene, antenna = self._pick(which, rng)
        top, left = (
            int(rng.integers(first, last + 1))
            for first, last in self._corners(which, scene, antenna, crop)
        )
        drive = int(rng.integers(data.orders.shape[1]))
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        if not self.turned:
            turns, mirror = 0, False
        return CropPlan(which, scene, antenna, drive, top, left, turns, mirror)

    def _corners(self, which: int, scene: int, antenna: int, crop: int) -> list[tuple[int, int]]:
        """First and last row, then column, that a crop may begin with."""
        spare = [side - crop for side in self.sets[which].shape]
        if not self.near_transmitter:
            return [(0, last) for last in spare]
        table = self.sets[which].antennas[scene, antenna]
        place = [int(table[ANTENNA_COLUMNS.index(name)]) for name in ("row", "col")]
        return [
            (min(max(at - crop + 1, 0), last), max(min(at, last), 0))
            for at, last in zip(place, spare, strict=True)
        ]

    def _cut(self, plan: CropPlan, crop: int) -> tuple[np.ndarray, ...]:
        """Cut one crop's images as numpy arrays, and turn them."""
        data = self.sets[plan.which]
        rows = slice(plan.top, plan.top + crop)
        cols = slice(plan.left, plan.left + crop)
        gain = data.gains_db[plan.scene, plan.antenna][rows, cols]
        bits = np.unpackbits(data.buildings[plan.scene, rows], axis=-1, count=data.shape[1])
        order = data.orders[plan.scene, plan.drive][rows, cols]
        images = (gain, bits[:, cols], order)
        return tuple(_turned(image, plan.turns, plan.mirror) for image in images)

    def _told(self, plan: CropPlan, crop: int) -> tuple[float, float, float]:
        """Transmitter's row and column in the turned crop, and its intercept."""
        antenna = self.sets[plan.which].antennas[plan.scene, plan.antenna]
        table = dict(zip(ANTENNA_COLUMNS, antenna.tolist(), strict=True))
        position = np.array([table["row"] + 0.5 - plan.top, table["col"] + 0.5 - plan.left])
        row, col = _turned_position(position, crop, plan.turns, plan.mirror)
        boresight_db = table["max_gain_dbi"] if table["sector"] else 0.0
        free_space_db = 147.55 - 20.0 * math.log10(table["frequency_mhz"] * 1e6) + boresight_db
        return float(row), float(col), free_space_db


def split_pairs(
    data: SimulatedSet, split: Split, held_out: int, validation: bool
) -> NDArray[np.int64]:
    """Scenes and antennas of a set that a split trains or validates on, (n, 2).

    Raises
    ------
    ConfigError
        If there are none.
    """
    scenes = [
        index
        for index, maps in enumerate(data.manifest["map_ids"])
        if maps and set(maps) <= set(split.train_maps)
    ]
    transmitters = split.train_transmitters
    if split.train_maps == split.validation_maps:
        transmitters = split.validation_transmitters if validation else transmitters
    elif held_out:
        scenes = scenes[-held_out:] if validation else scenes[:-held_out]
    numbers = data.antenna_column("transmitter")
    whose = np.isin(numbers, transmitters)
    if set(transmitters) == set(range(TRANSMITTERS_PER_MAP)):
        whose = np.ones_like(whose)  # any transmitter will do, numbered or not
    inside = np.zeros(len(data), dtype=np.bool_)
    inside[scenes] = True
    pairs = np.argwhere(whose & inside[:, None])
    if not len(pairs):
        part = "validation" if validation else "training"
        raise ConfigError(
            f"{data.path} has no scene and transmitter for {part} in the split {split.name!r}.",
            hint=f"The split trains on maps {min(split.train_maps)}-{max(split.train_maps)}; "
            "`split=null` trains on all scenes.",
        )
    return pairs


def _turned(image: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    """Mirror left to right if asked, then turn by quarter turns."""
    image = image[:, ::-1] if mirror else image
    return np.ascontiguousarray(np.rot90(image, turns))


def _turned_position(position: np.ndarray, crop: int, turns: int, mirror: bool) -> np.ndarray:
    """Move a (row, col) as :func:`_turned` moves the pixels."""
    row, col = position
    if mirror:
        col = crop - col
    for _ in range(turns):
        row, col = crop - col, row
    return np.array([row, col])
