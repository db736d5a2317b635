"""A trained network in PyTorch, with NumPy arrays in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from rm_geo._types import FloatArray
from rm_geo.devices import choose_device, choose_precision
from rm_geo.networks import channels_last
from rm_geo.zoo.weights import load_network

if TYPE_CHECKING:
    from torch import Tensor

    from rm_geo.zoo.catalog import ModelRecord


class TorchNetwork:
    """A trained network on its device.

    Parameters
    ----------
    record : ModelRecord
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.
    precision : {"auto", "float32", "bfloat16"}
        See :func:`rm_geo.devices.choose_precision`.

    Attributes
    ----------
    network : torch.nn.Module
        On the device, in evaluation mode.
    record : ModelRecord
        The model, its checksum filled in.
    device : torch.device
        Where it computes.
    precision : str
        ``float32`` or ``bfloat16``.

    Raises
    ------
    ModelError
        If the model is missing or damaged.
    DeviceError
        If the device is not present.
    """

    def __init__(self, record: ModelRecord, device: str = "auto", precision: str = "auto") -> None:
        name = choose_device(device)
        self.precision = choose_precision(name, precision)
        self.device = torch.device(name)
        network, self.record = load_network(record)
        self.network = network.to(self.device)
        if self.device.type != "mps":  # MPS has no fast path for it
            channels_last(self.network)

    @torch.inference_mode()
    def __call__(self, *arrays: np.ndarray) -> tuple[FloatArray, ...]:
        """Run the network.

        Parameters
        ----------
        *arrays : ndarray of float32
            Its inputs.

        Returns
        -------
        tuple of ndarray of float32
            Its outputs.
        """
        tensors = [self.tensor(array) for array in arrays]
        with self.autocast():
            result = self.network(*tensors)
        return tuple(as_array(part) for part in (result if type(result) is tuple else (result,)))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device.

        Parameters
        ----------
        array : ndarray
            Of any shape.

        Returns
        -------
        torch.Tensor
        """
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def autocast(self) -> torch.autocast:
        """Context in which the forward pass runs in the chosen precision.

        Returns
        -------
        torch.autocast
        """
        reduced = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=reduced)


def as_array(tensor: Tensor) -> FloatArray:
    """Copy a tensor to an array of float32 in main memory.

    Parameters
    ----------
    tensor : torch.Tensor
        On any device, of any number format.

    Returns
    -------
    ndarray of float32
    """
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float32)
