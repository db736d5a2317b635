"""InterpolationNet as an estimator: RadioCycle's baseline without buildings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rm_geo.devices import require_precision, require_torch
from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import (
    gain_offset_db,
    model_record,
    require_kind,
    transmitter_images,
)
from rm_geo.units import gain_to_unit, unit_to_gain


class InterpolationNetEstimator:
    """One U-Net from sparse RSRP to the radio map.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default model if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : {"auto", "float32", "bfloat16"}
        See :func:`rm_geo.devices.choose_precision`.

    Raises
    ------
    ModelError
        If the model is missing, damaged or no InterpolationNet.
    DependencyError
        If PyTorch is not installed.
    """

    name = "interpolation-net"
    maps_buildings = False

    def __init__(
        self, model: str | Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> None:
        self.check_options(precision=precision)
        record = model_record(model, self.name)
        require_kind(record, (self.name,), "InterpolationNet")
        require_torch(f"The model {record.name!r}, which has no graph for ONNX Runtime,")
        from rm_geo.zoo.torch_network import TorchNetwork

        self._network = TorchNetwork(record, device, precision)

    @staticmethod
    def check_options(*, precision: str = "auto", **_others: object) -> None:
        """Refuse invalid values without opening a model.

        Parameters
        ----------
        precision : str
            See :func:`rm_geo.devices.choose_precision`.

        Raises
        ------
        UsageError
            If there is no such precision.
        """
        require_precision(precision)

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum and precision."""
        return {**self._network.record.provenance, "precision": self._network.precision}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W), and what else the method gives.

        Raises
        ------
        UsageError
            If the tile size is no multiple of 64.
        """
        if any(side % 64 for side in batch.rsrp_dbm.shape[1:]):
            raise UsageError("InterpolationNet needs a tile size that is a multiple of 64.")
        offset_db = gain_offset_db(batch)[:, None, None]
        observed = batch.observed
        unit = np.where(observed, gain_to_unit(batch.rsrp_dbm - np.nan_to_num(offset_db)), 0.0)
        (gain,) = self._network(
            unit.astype(np.float32)[:, None], transmitter_images(batch)[:, None]
        )
        level = unit_to_gain(gain[:, 0]) + offset_db  # NaN without a measurement
        return Estimate(rsrp_dbm=np.asarray(level, dtype=np.float32))
