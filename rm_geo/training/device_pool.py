"""Scenes kept whole on the device that trains: a GPU waits for no disk and no CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.training.scenes import CropPlan, ScenePool

_LARGEST_SHARE: Final = 0.4
"""Of the device's free memory that scenes may take; networks need the rest."""


def fits_device(sets: Sequence[SimulatedSet], device: torch.device) -> bool:
    """Whether sets fit a GPU beside the networks; on a CPU they stay where they are."""
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    needed = sum(
        data.gains_db.nbytes + data.orders.nbytes + data.buildings.nbytes * 8 for data in sets
    )
    return bool(needed <= _LARGEST_SHARE * free_bytes)


class DevicePool(ScenePool):
    """Draws the same crops as :class:`ScenePool`, and cuts them on the device."""

    def share_scenes(self, other: DevicePool) -> None:
        """Use the scenes that another pool of the same sets keeps, instead of copies."""
        self.__dict__["_resident"] = other._resident

    @cached_property
    def _resident(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """Gains, buildings and orders of each set, on the device."""
        resident = []
        for data in self.sets:
            bits = np.unpackbits(data.buildings, axis=-1, count=data.shape[1])
            arrays = (np.asarray(data.gains_db), bits, np.asarray(data.orders))
            gains, buildings, orders = (
                torch.from_numpy(np.array(array)).to(self.device) for array in arrays
            )
            resident.append((gains, buildings, orders))
        return tuple(resident)

    def _images(self, plans: Sequence[CropPlan], crop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cut gains, buildings and orders, (B, h, w) float32 each."""
        cuts = []
        for plan in plans:
            gains, buildings, orders = self._resident[plan.which]
            window = (
                slice(plan.top, plan.top + crop),
                slice(plan.left, plan.left + crop),
            )
            images = (
                gains[plan.scene, plan.antenna][window],
                buildings[plan.scene][window],
                orders[plan.scene, plan.drive][window],
            )
            cuts.append([_turned(image, plan) for image in images])
        gain, building, order = (torch.stack(images).float() for images in zip(*cuts, strict=True))
        return gain, building, order


def _turned(image: Tensor, plan: CropPlan) -> Tensor:
    """Mirror left to right if planned, then turn by quarter turns."""
    return torch.rot90(image.flip(-1) if plan.mirror else image, plan.turns, (-2, -1))
