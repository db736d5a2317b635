"""RadioCycle estimator: radio map, buildings and standard deviation from sparse RSRP."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from rm_geo.devices import choose_device, choose_precision, require_precision, require_torch
from rm_geo.errors import ModelError, UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import (
    model_record,
    require_kind,
)
from rm_geo.estimators.onnx_radiocycle import OnnxRadioCycle
from rm_geo.estimators.symmetries import require_count
from rm_geo.zoo.kinds import DRIVE_KIND
from rm_geo.zoo.onnx_files import onnx_files

if TYPE_CHECKING:
    from rm_geo.estimators.torch_radiocycle import TorchRadioCycle

ENGINES: Final = ("auto", "torch", "onnx")


class RadioCycleEstimator:
    """RadioCycle: the published pair of networks, or the pair for drive tests.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file. Default: the default model.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.
    symmetries : {1, 2, 4, 8}
        Number of orientations that are averaged; more are slower and more accurate.
    engine : {"auto", "torch", "onnx"}
        Engine of a model for drive tests. ``auto`` is ONNX Runtime on a CPU if there is a graph
        for the tile size (part of the model, or exported by ``rm-geo export``), else PyTorch.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is float32 on a CPU. bfloat16 needs PyTorch; see
        :func:`rm_geo.devices.choose_precision`.
    tile_size_px : int, optional
        Side of the tiles in pixels, for the engine in the provenance.
    known_buildings : bool
        Whether the tiles will have known buildings, for the engine in the provenance.

    Raises
    ------
    ModelError
        If the model is missing, damaged or not a RadioCycle model.
    UsageError
        If an option has an invalid value.
    DependencyError
        If the model has no graph for ONNX Runtime and PyTorch is not installed.
    """

    name = "radiocycle"
    maps_buildings = True

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        symmetries: int = 1,
        engine: str = "auto",
        precision: str = "auto",
        tile_size_px: int | None = None,
        known_buildings: bool = False,
    ) -> None:
        self.check_options(symmetries=symmetries, engine=engine, precision=precision)
        self.symmetries = symmetries
        self._wanted = engine
        self._tile_size_px, self._known_buildings = tile_size_px, known_buildings
        self._device = choose_device(device)
        self._precision = choose_precision(self._device, precision)
        self._record = model_record(model, self.name)
        require_kind(self._record, ("radiocycle", DRIVE_KIND), "RadioCycle")
        self._onnx = self._graphs()
        if self._onnx is None and (engine != "onnx" or self._record.kind != DRIVE_KIND):
            _ = self._torch  # an unusable model is an error before the run

    @staticmethod
    def check_options(
        *,
        symmetries: int = 1,
        engine: str = "auto",
        precision: str = "auto",
        **_others: object,
    ) -> None:
        """Check the values of options without opening a model.

        Parameters
        ----------
        symmetries : int
            Number of orientations.
        engine : str
            One of :data:`ENGINES`.
        precision : str
            See :func:`rm_geo.devices.choose_precision`.

        Raises
        ------
        UsageError
            If a value is invalid.
        """
        if engine not in ENGINES:
            raise UsageError(f"engine must be auto, torch or onnx, not {engine!r}.")
        require_precision(precision)
        if engine == "onnx" and precision == "bfloat16":
            raise UsageError(
                "ONNX Runtime computes in float32.", hint="For bfloat16, choose engine=torch."
            )
        require_count(symmetries)

    @property
    def predicts_std(self) -> bool:
        """Return whether the model predicts a standard deviation; the published pair does not."""
        return self._record.kind == DRIVE_KIND

    @property
    def provenance(self) -> dict[str, str]:
        """Return model, checksum, precision, symmetries and engine as tags."""
        by_onnx = self._onnx is not None and self._onnx.has(
            self._tile_size_px, known_buildings=self._known_buildings
        )
        return {
            **self._record.provenance,
            "precision": self._precision,
            "symmetries": str(self.symmetries),
            "engine": "onnx" if by_onnx else "torch",
        }

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of tiles; NaN for tiles without measurements.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W), building probability and, if predicted, standard
            deviation in dB.

        Raises
        ------
        UsageError
            If the tile size does not suit the network.
        ModelError
            If ``engine`` is ``onnx`` and there is no graph for this tile size.
        DependencyError
            If PyTorch is needed and not installed.
        """
        estimate = self._computer(batch).estimate(batch)
        empty = ~batch.observed.any((1, 2))
        for array in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db):
            if array is not None:
                array[empty] = np.nan
        return estimate

    def _computer(self, batch: TileBatch) -> OnnxRadioCycle | TorchRadioCycle:
        """Choose the engine for this tile size."""
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

    def _graphs(self) -> OnnxRadioCycle | None:
        """Find the ONNX files of the model, if ONNX Runtime is to be used."""
        on_cpu = self._device == "cpu" and self._precision == "float32"
        wanted = on_cpu if self._wanted == "auto" else self._wanted == "onnx"
        if not wanted or self._record.kind != DRIVE_KIND:
            return None
        files, known_buildings_files = (
            onnx_files(self._record, known_buildings=known) for known in (False, True)
        )
        if not files and not known_buildings_files:
            return None
        return OnnxRadioCycle(
            files, known_buildings_files, self._record.sha256 or "", self.symmetries
        )

    @cached_property
    def _torch(self) -> TorchRadioCycle:
        """Return the PyTorch network, loaded at the first use."""
        require_torch(self._use_of_torch())
        from rm_geo.estimators.torch_radiocycle import TorchRadioCycle

        return TorchRadioCycle(self._record, self._device, self.symmetries, self._precision)

    def _use_of_torch(self) -> str:
        """Return what needs PyTorch, for the error message if it is missing."""
        if self._onnx is not None:
            sizes = ", ".join(map(str, self._onnx.files))
            return f"A tile size other than {sizes}"
        if self._precision == "bfloat16":
            return "Computing in bfloat16"
        if self._wanted == "torch":
            return "engine=torch"
        return f"The model {self._record.name!r}, which has no graph for ONNX Runtime,"
