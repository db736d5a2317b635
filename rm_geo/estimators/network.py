"""What all estimators with a trained network share: loading, device, precision, provenance."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from rm_geo._types import FloatArray
from rm_geo.devices import choose_device, choose_precision
from rm_geo.errors import ModelError
from rm_geo.estimators.base import TileBatch
from rm_geo.networks import channels_last
from rm_geo.units import GAIN_TOP_DB
from rm_geo.zoo.catalog import ModelRecord, default_model, find_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


class LoadedModel:
    """A trained network on its device.

    Parameters
    ----------
    model : str or Path or ModelRecord or None
        Name in the model index, a file, or its record; None is the default of ``family``.
    family : str
        Method whose default is taken, such as ``radiocycle`` or ``mars-4``.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ModelError
        If the model is missing, damaged or unknown.
    DeviceError
        If the device is not there.
    """

    def __init__(self, model: str | Path | ModelRecord | None, family: str, device: str) -> None:
        from rm_geo.zoo.weights import load_network

        self.device_name = choose_device(device)
        if not isinstance(model, ModelRecord):
            model = default_model(family) if model is None else find_model(model)
        network, self.record = load_network(model)
        self.network = network.to(self.device)
        if self.device.type != "mps":  # MPS has no fast path for it
            channels_last(self.network)

    def require(self, kind: type[nn.Module] | tuple[type[nn.Module], ...], method: str) -> None:
        """Refuse a network of another kind than the method's.

        Raises
        ------
        ModelError
            If it is of another kind.
        """
        if not isinstance(self.network, kind):
            raise ModelError(
                f"The model {self.record.name!r} is no {method} but {self.record.kind!r}.",
                hint="'rm-geo models list' shows which model is of which kind.",
            )

    @cached_property
    def device(self) -> torch.device:
        """Where the network computes."""
        return torch.device(self.device_name)

    @property
    def provenance(self) -> dict[str, str]:
        """Name and checksum of the model, and the precision it ran in."""
        record: ModelRecord = self.record
        return {**record.provenance, "precision": choose_precision(self.device_name)}

    def tensor(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def autocast(self) -> torch.autocast:
        """Context in which the forward pass runs in the device's best precision."""
        reduced = choose_precision(self.device_name) == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=reduced)


def as_array(tensor: Tensor) -> FloatArray:
    """Bring (B, 1, H, W) back as (B, H, W) float32 in memory."""
    return np.asarray(tensor[:, 0].float().cpu().numpy(), dtype=np.float32)


def gain_offset_db(batch: TileBatch) -> FloatArray:
    """Offset between RSRP and path gain on RadioMapSeer's scale, for each tile.

    ``gain = rsrp - offset``. With a known intercept it is exact. Otherwise the levels are
    placed so that the free-space envelope of the measurements meets the scale (transmitter
    known), or their strongest lies 25 dB below its top (nothing known).

    Returns
    -------
    ndarray of float32, shape (B,)
        NaN for a tile without measurements.
    """
    offsets = np.full(len(batch), np.nan, dtype=np.float32)
    for index in range(len(batch)):
        rows, cols = np.nonzero(batch.observed[index])
        if rows.size == 0:
            continue
        levels = batch.rsrp_dbm[index, rows, cols]
        intercept = batch.intercept_dbm[index]
        position = batch.transmitter_rc[index]
        if np.isfinite(intercept):
            offsets[index] = intercept - GAIN_TOP_DB
        elif np.isfinite(position).all():
            pixels = np.hypot(rows + 0.5 - position[0], cols + 0.5 - position[1])
            distance_m = np.maximum(pixels, 1.0) * batch.spacing_m
            envelope = np.percentile(levels + 20.0 * np.log10(distance_m), 95.0)
            offsets[index] = envelope - GAIN_TOP_DB
        else:
            offsets[index] = np.percentile(levels, 99.0) - (GAIN_TOP_DB - 25.0)
    return offsets


def transmitter_images(batch: TileBatch) -> np.ndarray:
    """Images (B, H, W) with a single 1 at the transmitter; blank where it is not inside."""
    images = np.zeros(batch.rsrp_dbm.shape, dtype=np.float32)
    rows, cols = batch.rsrp_dbm.shape[1], batch.rsrp_dbm.shape[2]
    for image, (row, col) in zip(images, batch.transmitter_rc, strict=True):
        if np.isfinite(row) and np.isfinite(col) and 0 <= row < rows and 0 <= col < cols:
            image[int(row), int(col)] = 1.0
    return images
