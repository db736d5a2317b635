"""Buildings of an area from the measurements of all its cells together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.buildings.rays import CellSamples, RayRasters, ray_rasters
from rm_geo.devices import choose_device, require_torch
from rm_geo.estimators.network import model_record, require_kind
from rm_geo.zoo.kinds import RAY_KIND
from rm_geo.zoo.onnx_files import onnx_files
from rm_geo.zoo.onnx_session import OnnxNetwork

if TYPE_CHECKING:
    from rm_geo.zoo.torch_network import TorchNetwork

TILE_PX: Final = 256
"""Side of the tiles that the network reads."""


class RayBuildingMapper:
    """Network that finds buildings where the lines of many cells are obstructed.

    Parameters
    ----------
    model : str or Path, optional
        Name of a model or its file (default: the default model).
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``. On a CPU ONNX Runtime computes if the model has a
        graph, otherwise PyTorch.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged or of another kind.
    DependencyError
        If PyTorch is needed and not installed.
    """

    def __init__(self, model: str | Path | None = None, device: str = "auto") -> None:
        self._record = model_record(model, RAY_KIND)
        require_kind(self._record, (RAY_KIND,), "network for the buildings of an area")
        graph = onnx_files(self._record).get(TILE_PX) if choose_device(device) == "cpu" else None
        self._network: OnnxNetwork | TorchNetwork
        if graph is not None:
            self._network = OnnxNetwork(graph, self._record.sha256 or "")
        else:
            require_torch(f"The model {self._record.name!r}, which has no graph for ONNX Runtime,")
            from rm_geo.zoo.torch_network import TorchNetwork

            self._network = TorchNetwork(self._record, device)

    @property
    def tile_px(self) -> int:
        """Return the side of a tile in pixels."""
        return TILE_PX

    @property
    def provenance(self) -> dict[str, str]:
        """Return model and checksum as tags."""
        return self._record.provenance

    def probability(
        self, cells: Sequence[CellSamples], shape: tuple[int, int], spacing_m: float = 1.0
    ) -> FloatArray:
        """Estimate the building probability of a tile.

        Parameters
        ----------
        cells : sequence of CellSamples
            Measurements of each cell, in any order. Any number of them, also one.
        shape : (int, int)
            Rows and columns of the tile, at most 256 each.
        spacing_m : float
            Side of a pixel in metres.

        Returns
        -------
        ndarray of float32, shape (H, W)
            0..1; NaN everywhere if no cell with a known site was measured.
        """
        if not any(cell.is_located for cell in cells):
            return np.full(shape, np.nan, dtype=np.float32)
        rasters: RayRasters = ray_rasters(cells, (TILE_PX, TILE_PX), spacing_m)
        (logits,) = self._network(rasters.points[None], rasters.rays[None])
        whole = 0.5 + 0.5 * np.tanh(0.5 * logits[0, 0])
        return np.asarray(whole[: shape[0], : shape[1]], dtype=np.float32)
