"""Scenes in the memory of the training device, so that a GPU does not wait for disk or CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.training.scenes import CropPlan, ScenePool, oriented

_MAX_MEMORY_FRACTION: Final = 0.4
"""Largest fraction of the free device memory for scenes; the rest is for the network."""


def fits_device(sets: Sequence[SimulatedSet], device: torch.device) -> bool:
    """Estimate whether sets fit the memory of a GPU together with a network.

    Parameters
    ----------
    sets : sequence of SimulatedSet
        The sets.
    device : torch.device
        The device.

    Returns
    -------
    bool
        False for a CPU.
    """
    if device.type != "cuda":
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    needed = sum(
        data.gains_db.nbytes + data.orders.nbytes + data.buildings.nbytes * 8 for data in sets
    )
    return bool(needed <= _MAX_MEMORY_FRACTION * free_bytes)


class DevicePool(ScenePool):
    """Source of the same crops as :class:`ScenePool`, cut on the training device."""

    def share_scenes(self, other: DevicePool) -> None:
        """Use the device memory of another pool of the same sets instead of a copy."""
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
            cuts.append([oriented(image, plan) for image in images])
        gain, building, order = (torch.stack(images).float() for images in zip(*cuts, strict=True))
        return gain, building, order
