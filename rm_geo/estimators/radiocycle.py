"""RadioCycle as an estimator: radio map, buildings and uncertainty from sparse RSRP."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rm_geo.devices import choose_device, choose_precision
from rm_geo.errors import ModelError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.onnx_radiocycle import OnnxRadioCycle
from rm_geo.estimators.symmetries import require_count
from rm_geo.networks.kind_names import FIELD_KIND
from rm_geo.zoo.catalog import default_model, find_model, verified
from rm_geo.zoo.onnx_files import onnx_files

if TYPE_CHECKING:
    from rm_geo.estimators.torch_radiocycle import TorchRadioCycle

ENGINES: Final = ("auto", "torch", "onnx")


class RadioCycleEstimator:
    """RadioCycle, the published pair or the one for the field.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default model if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    symmetries : {1, 2, 4, 8}
        Orientations of a tile whose results are averaged: more is slower and better.
    engine : {"auto", "torch", "onnx"}
        What computes the field model. ``auto`` takes ONNX Runtime on a CPU without bfloat16
        where an export for the size of the tiles comes with the model or was made
        (``rm-geo export MODEL``; with ``--buildings`` for tiles whose buildings are known), else
        PyTorch, which is not even imported before it is needed.
    tile_size_px : int, optional
        Side of the tiles to come, for the tag that says what computes them; any if not given.
    known_buildings : bool
        Whether the buildings of the tiles will be known, for the same tag.

    Raises
    ------
    ModelError
        If the model is missing, damaged or no RadioCycle.
    UsageError
        If there is no such number of symmetries, or no such engine.
    """

    name = "radiocycle"
    maps_buildings = True

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        symmetries: int = 1,
        engine: str = "auto",
        tile_size_px: int | None = None,
        known_buildings: bool = False,
    ) -> None:
        self.check_options(symmetries=symmetries, engine=engine)
        self.symmetries = symmetries
        self._wanted = engine
        self._tile_size_px, self._known_buildings = tile_size_px, known_buildings
        self._device = choose_device(device)
        record = default_model(self.name) if model is None else find_model(model)
        self._record = verified(record)
        self._onnx = self._exported()
        if self._onnx is None and (engine != "onnx" or self._record.kind != FIELD_KIND):
            _ = self._torch  # a model that cannot be used fails before any work

    @staticmethod
    def check_options(*, symmetries: int = 1, engine: str = "auto", **_others: object) -> None:
        """Refuse values that are none, opening no model.

        Raises
        ------
        UsageError
            If there are any.
        """
        if engine not in ENGINES:
            raise UsageError(f"engine must be auto, torch or onnx, not {engine!r}.")
        require_count(symmetries)

    @property
    def predicts_std(self) -> bool:
        """Whether the model gives a standard deviation: the published pair does not."""
        return self._record.kind == FIELD_KIND

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum, precision, symmetries and engine."""
        by_onnx = self._onnx is not None and self._onnx.has(
            self._tile_size_px, known_buildings=self._known_buildings
        )
        return {
            **self._record.provenance,
            "precision": choose_precision(self._device),
            "symmetries": str(self.symmetries),
            "engine": "onnx" if by_onnx else "torch",
        }

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

        Raises
        ------
        UsageError
            If the tile size does not suit the network.
        ModelError
            If ONNX was asked for and there is no export for tiles of this size.
        """
        estimate = self._computer(batch).estimate(batch)
        empty = ~batch.observed.any((1, 2))
        for array in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db):
            if array is not None:
                array[empty] = np.nan
        return estimate

    def _computer(self, batch: TileBatch) -> OnnxRadioCycle | TorchRadioCycle:
        """Choose what computes tiles of this size."""
        if self._onnx is not None and self._onnx.takes(batch):
            return self._onnx
        if self._wanted == "onnx":
            name, size = self._record.name, batch.rsrp_dbm.shape[-1]
            what, flag = (
                ("", "") if batch.buildings is None else (" with buildings", " --buildings")
            )
            raise ModelError(
                f"There is no export of {name!r} for tiles of {size} pixels{what}, or ONNX Runtime "
                "is not installed.",
                hint=f"Make one: rm-geo export {name} --tile-size {size}{flag}",
            )
        return self._torch

    def _exported(self) -> OnnxRadioCycle | None:
        """Find exports of the model, where ONNX Runtime is wanted or would be the faster one."""
        # Measured on one core without bfloat16: 0.092 s against 0.120 s a tile, and PyTorch's
        # import of two seconds on top.
        faster = self._device == "cpu" and choose_precision("cpu") == "float32"
        wanted = faster if self._wanted == "auto" else self._wanted == "onnx"
        if not wanted or self._record.kind != FIELD_KIND:
            return None
        files, known_buildings_files = (
            onnx_files(self._record, known_buildings=known_buildings)
            for known_buildings in (False, True)
        )
        if not files and not known_buildings_files:
            return None
        return OnnxRadioCycle(
            files, known_buildings_files, self._record.sha256 or "", self.symmetries
        )

    @cached_property
    def _torch(self) -> TorchRadioCycle:
        """The network in PyTorch, loaded when it is first asked for."""
        from rm_geo.estimators.torch_radiocycle import TorchRadioCycle

        return TorchRadioCycle(self._record, self._device, self.symmetries)
