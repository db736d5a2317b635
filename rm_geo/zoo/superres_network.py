"""A super-resolution network on its device: ONNX Runtime on a CPU, else PyTorch."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from rm_geo._types import FloatArray
from rm_geo.devices import choose_device, choose_precision, require_torch
from rm_geo.zoo.catalog import ModelRecord, describe_network, verified
from rm_geo.zoo.onnx_files import onnx_files
from rm_geo.zoo.onnx_session import OnnxNetwork

if TYPE_CHECKING:
    from rm_geo.zoo.torch_network import TorchNetwork


class SuperResolutionNetwork:
    """A trained super-resolution network with NumPy arrays in and out.

    On a CPU in float32, windows whose size has a graph (see :mod:`rm_geo.zoo.onnx_files`) are
    computed by ONNX Runtime. Everything else is computed by PyTorch.

    Parameters
    ----------
    record : ModelRecord
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.
    precision : {"auto", "float32", "bfloat16"}
        See :func:`rm_geo.devices.choose_precision`.
    engine : {"auto", "onnx", "torch"}
        ``torch`` ignores graphs, ``onnx`` uses nothing else.

    Attributes
    ----------
    record : ModelRecord
        The model, its checksum filled in.
    scale : int
        Fine pixels along each coarse one.
    takes_buildings : bool
        Whether it reads a mask of buildings.
    precision : str
        ``float32`` or ``bfloat16``.

    Raises
    ------
    ModelError
        If the model is missing or damaged.
    DeviceError
        If the device is not present.
    DependencyError
        If no graph serves it and PyTorch is not installed.
    """

    def __init__(
        self,
        record: ModelRecord,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ) -> None:
        self._device = choose_device(device)
        self.precision = choose_precision(self._device, precision)
        self.record = verified(record)
        network = describe_network(self.record)["network"]
        self.scale = int(self.record.scale or network.get("scale", 4))
        self.takes_buildings = bool(network.get("walled", False))
        may = engine != "torch" and self._device == "cpu" and self.precision == "float32"
        graphs = onnx_files(self.record, known_buildings=self.takes_buildings) if may else {}
        self._graphs = graphs
        self._sessions: dict[int, OnnxNetwork] = {}
        if not graphs:
            _ = self._torch  # a model that cannot be used is refused before any work

    def engine(self, rows: int, cols: int) -> str:
        """Name what computes windows of (rows, cols) coarse pixels: ``onnx`` or ``torch``.

        Parameters
        ----------
        rows, cols : int
            Size of a window in coarse pixels.

        Returns
        -------
        str
        """
        return "onnx" if rows == cols and rows in self._graphs else "torch"

    def __call__(self, coarse: FloatArray, buildings: FloatArray | None = None) -> FloatArray:
        """Enlarge windows on the unit scale.

        Parameters
        ----------
        coarse : ndarray of float32, shape (B, 1, h, w)
            Levels; ``h`` and ``w`` multiples of 4.
        buildings : ndarray of float32, shape (B, 1, scale h, scale w), optional
            1 in buildings, for a network that takes them.

        Returns
        -------
        ndarray of float32, shape (B, 1, scale h, scale w)
        """
        inputs = (coarse,) if buildings is None else (coarse, buildings)
        rows, cols = coarse.shape[-2:]
        if self.engine(rows, cols) == "torch":
            return self._torch(*inputs)[0]
        return self._session(rows)(*inputs)[0]

    def _session(self, size: int) -> OnnxNetwork:
        """Open the graph for windows of a size, once."""
        if size not in self._sessions:
            self._sessions[size] = OnnxNetwork(self._graphs[size], self.record.sha256 or "")
        return self._sessions[size]

    @cached_property
    def _torch(self) -> TorchNetwork:
        """The network in PyTorch, loaded at the first use."""
        if self.precision == "bfloat16":
            require_torch("Computing in bfloat16")
        require_torch(f"The model {self.record.name!r}, which has no graph for this size,")
        from rm_geo.zoo.torch_network import TorchNetwork

        return TorchNetwork(self.record, self._device, self.precision)
