"""What computes a field network: PyTorch on its device, or ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Final

from rm_geo.engine import choose_precision
from rm_geo.errors import ModelError, UsageError
from rm_geo.estimators.network import LoadedModel
from rm_geo.networks.fields import SparseTiles
from rm_geo.networks.radiocycle import FieldMaps, FieldRadioCycle
from rm_geo.onnx_field import OnnxField, export_path, exported_sizes

ENGINES: Final = ("auto", "torch", "onnx")


class FieldEngine:
    """Runs a field network by the engine that was asked for, or the faster one.

    Parameters
    ----------
    model : LoadedModel
        The network on its device.
    engine : {"auto", "torch", "onnx"}
        ``auto`` takes ONNX Runtime on a CPU without bfloat16 where an export of the model
        is at hand (``rm-geo export MODEL``), else PyTorch.

    Raises
    ------
    UsageError
        If there is no such engine.
    """

    def __init__(self, model: LoadedModel, engine: str) -> None:
        if engine not in ENGINES:
            raise UsageError(f"engine must be auto, torch or onnx, not {engine!r}.")
        self._model = model
        self._wanted = engine
        self._by_size: dict[int, OnnxField | None] = {}

    @property
    def tag(self) -> str:
        """What computes tiles, and of which sizes: an export takes one."""
        sizes = exported_sizes(self._sha256) if self._prefers_onnx else []
        return f"onnx (tiles of {', '.join(map(str, sizes))} px)" if sizes else "torch"

    def forward(self, network: FieldRadioCycle, tiles: SparseTiles) -> FieldMaps:
        """Compute one forward pass in the device's precision.

        Raises
        ------
        ModelError
            If ONNX was asked for and there is no export for tiles of this size.
        """
        exported = self._exported(int(tiles.rsrp_dbm.shape[-1]))
        if exported is not None:
            return exported(tiles)
        with self._model.autocast():
            maps = network(tiles)
        assert isinstance(maps, FieldMaps)
        return maps

    @property
    def _sha256(self) -> str:
        return self._model.record.sha256 or ""

    @property
    def _prefers_onnx(self) -> bool:
        """Whether ONNX Runtime is wanted, or would be the faster engine."""
        if self._wanted != "auto":
            return self._wanted == "onnx"
        # Measured on one core without bfloat16: 0.092 s against 0.120 s a tile.
        return self._model.device_name == "cpu" and choose_precision("cpu") == "float32"

    def _exported(self, size: int) -> OnnxField | None:
        """Give the exported network for tiles of a size, where it is to be used."""
        if size not in self._by_size:
            found = self._prefers_onnx and size in exported_sizes(self._sha256)
            if not found and self._wanted == "onnx":
                name = self._model.record.name
                raise ModelError(
                    f"There is no export of {name!r} for tiles of {size} pixels, or ONNX "
                    "Runtime is not installed.",
                    hint=f"Make one: rm-geo export {name} --tile-size {size}",
                )
            self._by_size[size] = (
                OnnxField(export_path(self._sha256, size), self._sha256) if found else None
            )
        return self._by_size[size]
