"""Random crops of simulated scenes as tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rm_geo.datasets.simulated import ANTENNA_COLUMNS, SimulatedSet
from rm_geo.datasets.splits import TRANSMITTERS_PER_MAP, Split
from rm_geo.errors import ConfigError
from rm_geo.units import GAIN_FLOOR_DB

_FLOOR_DB = -145.0  # below any receiver sensitivity; excludes the floor of the simulator


@dataclass(frozen=True)
class SceneCrops:
    """Batch of crops, float32 on one device.

    Attributes
    ----------
    gain_db : Tensor, shape (B, 1, h, w)
        Path gain in dB, -127 or lower without a signal.
    buildings, free : Tensor, shape (B, 1, h, w)
        1 in building pixels; 1 in outdoor pixels with a gain.
    order : Tensor, shape (B, 1, h, w)
        Order in which a drive visits pixels, negative for others.
    transmitter_rc : Tensor, shape (B, 2)
        Row and column of the transmitter in pixels of the crop.
    intercept_db : Tensor, shape (B,)
        Free-space path gain at 1 m in dB, including the antenna gain.
    height_m : Tensor, shape (B,)
        Height of the antenna over ground in metres.
    spacing_m : float
        Side of a pixel in metres.
    """

    gain_db: Tensor
    buildings: Tensor
    free: Tensor
    order: Tensor
    transmitter_rc: Tensor
    intercept_db: Tensor
    height_m: Tensor
    spacing_m: float = 1.0


@dataclass(frozen=True)
class CropPlan:
    """Position and orientation of one crop.

    Attributes
    ----------
    which, scene, antenna, drive : int
        Indices of set, scene, antenna and drive.
    top, left : int
        First row and column.
    turns : int
        Anticlockwise quarter turns, 0..3.
    mirror : bool
        Whether the crop is mirrored left to right before the rotation.
    """

    which: int
    scene: int
    antenna: int
    drive: int
    top: int
    left: int
    turns: int
    mirror: bool


class CropSource(Protocol):
    """Protocol of sources of training crops."""

    @property
    def device(self) -> torch.device:
        """Device of the crops."""

    @property
    def largest_crop(self) -> int:
        """Side in pixels of the largest crop that can be drawn."""

    def draw(self, rng: np.random.Generator, batch: int, crop: int) -> SceneCrops:
        """Draw random crops.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        batch : int
            Number of crops.
        crop : int
            Side of a crop in pixels.

        Returns
        -------
        SceneCrops
            The crops, on the device.
        """

    def draw_cells(self, rng: np.random.Generator, cells: int, crop: int) -> SceneCrops:
        """Draw one crop of one scene, with the levels of several antennas.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        cells : int
            Number of antennas, fewer if the scene has fewer.
        crop : int
            Side of the crop in pixels.

        Returns
        -------
        SceneCrops
            One item for each antenna, of equal buildings and drives, on the device.
        """


class ScenePool:
    """Source of random crops from simulated sets.

    Parameters
    ----------
    sets : sequence of SimulatedSet
        Simulated sets. Their sizes may differ.
    weights : sequence of float, optional
        Relative frequency of each set. Default: equal.
    device : torch.device
        Device of the crops.
    held_out : int
        Number of scenes at the end of each set that are kept for validation.
    validation : bool
        Whether to draw from the validation scenes instead of the training scenes.
    split : Split, optional
        Draw only from its maps and transmitters. If its validation maps are its training maps,
        its validation transmitters are used for validation, otherwise the last scenes of each
        set: maps above 500 must not influence the choice of weights.
    near_transmitter : bool
        Whether a crop contains its transmitter if the scene does, for networks whose input is
        the transmitter as a pixel.
    turned : bool
        Whether crops are rotated and mirrored at random. The walls in the gain maps of
        RadioMapSeer have an offset of half a pixel to the north-east from the building maps,
        which a network can learn only from crops in their original orientation.

    Raises
    ------
    ConfigError
        If there is no set, the weights do not match, or a set contains nothing of the split.
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
            raise ConfigError("There are no training data.", hint="Name at least one set.")
        if weights is not None and (len(weights) != len(sets) or min(weights) <= 0.0):
            raise ConfigError(f"{len(sets)} data sets need {len(sets)} positive weights.")
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
        """Check that crops fit the scenes of all sets.

        Parameters
        ----------
        crop : int
            Side of a crop in pixels.

        Raises
        ------
        ConfigError
            If the scenes of a set are smaller.
        """
        for data in self.sets:
            rows, cols = data.shape
            if crop > min(rows, cols):
                raise ConfigError(
                    f"Crops of {crop} px do not fit scenes of {rows} x {cols} px ({data.path}).",
                    hint="Train on smaller crops, or omit this set.",
                )

    @property
    def largest_crop(self) -> int:
        """Side in pixels of the largest crop that fits at least one set."""
        return max(min(data.shape) for data in self.sets)

    def draw(self, rng: np.random.Generator, batch: int, crop: int) -> SceneCrops:
        """Draw crops uniformly over scenes, antennas and positions.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        batch : int
            Number of crops.
        crop : int
            Side of a crop in pixels. Sets with smaller scenes are not used.

        Returns
        -------
        SceneCrops

        Raises
        ------
        ConfigError
            If the scenes of all sets are smaller.
        """
        shares = self._shares_of_size(crop)
        return self._crops([self._plan(rng, crop, shares) for _ in range(batch)], crop)

    def draw_cells(self, rng: np.random.Generator, cells: int, crop: int) -> SceneCrops:
        """Draw one crop of one scene, with the levels of several antennas.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random generator.
        cells : int
            Number of antennas, fewer if the scene has fewer in the split.
        crop : int
            Side of the crop in pixels. Sets with smaller scenes are not used.

        Returns
        -------
        SceneCrops
            One item for each antenna, of equal buildings and drives.

        Raises
        ------
        ConfigError
            If the scenes of all sets are smaller.
        """
        plan = self._plan(rng, crop, self._shares_of_size(crop))
        allowed = self.allowed[plan.which]
        antennas = np.arange(self.sets[plan.which].gains_db.shape[1])
        if allowed is not None:
            antennas = allowed[allowed[:, 0] == plan.scene, 1]
        chosen = rng.permutation(antennas)[:cells]
        return self._crops([replace(plan, antenna=int(index)) for index in chosen], crop)

    def _shares_of_size(self, crop: int) -> NDArray[np.float64]:
        """Return the frequency of each set whose scenes are large enough."""
        fits = np.array([min(data.shape) >= crop for data in self.sets])
        if not fits.any():
            self.require_crop(crop)
        shares = self.shares * fits
        return np.asarray(shares / shares.sum(), dtype=np.float64)

    def _crops(self, plans: Sequence[CropPlan], crop: int) -> SceneCrops:
        """Cut planned crops, in float32 also where the step computes in bfloat16."""
        with torch.autocast(self.device.type, enabled=False):  # it refuses to stack half precision
            gain, buildings, order = self._images(plans, crop)
        free = (1.0 - buildings) * (gain > _FLOOR_DB)
        table = np.array([self._transmitter(plan, crop) for plan in plans], dtype=np.float32)
        transmitters = torch.from_numpy(table).to(self.device)
        return SceneCrops(
            gain_db=gain.clamp(min=GAIN_FLOOR_DB)[:, None],
            buildings=buildings[:, None],
            free=free[:, None],
            order=order[:, None],
            transmitter_rc=transmitters[:, :2].contiguous(),
            intercept_db=transmitters[:, 2].contiguous(),
            height_m=transmitters[:, 3].contiguous(),
        )

    def _images(self, plans: Sequence[CropPlan], crop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cut gains, buildings and orders, (B, h, w) float32 each."""
        cuts = [
            [oriented(torch.from_numpy(image), plan) for image in self._cut(plan, crop)]
            for plan in plans
        ]
        stacks = (torch.stack(images) for images in zip(*cuts, strict=True))
        gain, buildings, order = (images.to(self.device).float() for images in stacks)
        return gain, buildings, order

    def _pick(self, which: int, rng: np.random.Generator) -> tuple[int, int]:
        """Draw a scene of a set and one of its antennas."""
        data, allowed = self.sets[which], self.allowed[which]
        if allowed is not None:
            scene, antenna = allowed[int(rng.integers(len(allowed)))]
            return int(scene), int(antenna)
        first_held = len(data) - self.held_out
        first, last = (first_held, len(data)) if self.validation else (0, first_held)
        return int(rng.integers(first, last)), int(rng.integers(data.gains_db.shape[1]))

    def _plan(self, rng: np.random.Generator, crop: int, shares: NDArray[np.float64]) -> CropPlan:
        """Draw position and orientation of a crop."""
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
        """Return the ranges, both ends included, of the first row and column of a crop."""
        spare = [side - crop for side in self.sets[which].shape]
        if not self.near_transmitter:
            return [(0, last) for last in spare]
        table = self.sets[which].antennas[scene, antenna]
        position = [int(table[ANTENNA_COLUMNS.index(name)]) for name in ("row", "col")]
        return [
            (min(max(at - crop + 1, 0), last), max(min(at, last), 0))
            for at, last in zip(position, spare, strict=True)
        ]

    def _cut(self, plan: CropPlan, crop: int) -> tuple[np.ndarray, ...]:
        """Cut gain, buildings and order of one crop as writable numpy arrays."""
        data = self.sets[plan.which]
        rows = slice(plan.top, plan.top + crop)
        cols = slice(plan.left, plan.left + crop)
        gain = data.gains_db[plan.scene, plan.antenna][rows, cols]
        bits = np.unpackbits(data.buildings[plan.scene, rows], axis=-1, count=data.shape[1])
        order = data.orders[plan.scene, plan.drive][rows, cols]
        return np.array(gain), bits[:, cols], np.array(order)

    def _transmitter(self, plan: CropPlan, crop: int) -> tuple[float, float, float, float]:
        """Return row and column of the transmitter in the oriented crop, intercept and height."""
        antenna = self.sets[plan.which].antennas[plan.scene, plan.antenna]
        table = dict(zip(ANTENNA_COLUMNS, antenna.tolist(), strict=True))
        position = np.array([table["row"] + 0.5 - plan.top, table["col"] + 0.5 - plan.left])
        row, col = _oriented_position(position, crop, plan.turns, plan.mirror)
        boresight_db = table["max_gain_dbi"] if table["sector"] else 0.0
        free_space_db = 147.55 - 20.0 * math.log10(table["frequency_mhz"] * 1e6) + boresight_db
        return float(row), float(col), free_space_db, table["height_m"]


def split_pairs(
    data: SimulatedSet, split: Split, held_out: int, validation: bool
) -> NDArray[np.int64]:
    """List the pairs of scene and antenna of a set that belong to a split.

    Parameters
    ----------
    data : SimulatedSet
        The set.
    split : Split
        The split.
    held_out : int
        Number of scenes at the end of the set that are kept for validation.
    validation : bool
        Whether to list the pairs for validation instead of those for training.

    Returns
    -------
    ndarray of int64, shape (N, 2)
        Indices of scene and antenna.

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
    included = np.isin(numbers, transmitters)
    if set(transmitters) == set(range(TRANSMITTERS_PER_MAP)):
        included = np.ones_like(included)  # all transmitters, with and without a number
    inside = np.zeros(len(data), dtype=np.bool_)
    inside[scenes] = True
    pairs = np.argwhere(included & inside[:, None])
    if not len(pairs):
        part = "validation" if validation else "training"
        raise ConfigError(
            f"{data.path} has no scene and transmitter for {part} in the split {split.name!r}.",
            hint=f"The split trains on maps {min(split.train_maps)}-{max(split.train_maps)}; "
            "`split=null` trains on all scenes.",
        )
    return pairs


def oriented(image: Tensor, plan: CropPlan) -> Tensor:
    """Mirror an image left to right if planned, then rotate it by quarter turns.

    Crops are oriented with torch in all pools, whether they are cut on the CPU or the GPU.

    Parameters
    ----------
    image : Tensor, shape (h, w)
        The image.
    plan : CropPlan
        Its orientation.

    Returns
    -------
    Tensor, shape (h, w) or (w, h)
        The oriented image.
    """
    return torch.rot90(image.flip(-1) if plan.mirror else image, plan.turns, (-2, -1))


def _oriented_position(position: np.ndarray, crop: int, turns: int, mirror: bool) -> np.ndarray:
    """Transform a position (row, column) like :func:`oriented` transforms pixels."""
    row, col = position
    if mirror:
        col = crop - col
    for _ in range(turns):
        row, col = crop - col, row
    return np.array([row, col])
