"""InterpolationNet as an estimator: RadioCycle's baseline without buildings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import LoadedModel, as_array, gain_offset_db, transmitter_images
from rm_geo.networks.radio_unet import InterpolationNet
from rm_geo.units import gain_to_unit, unit_to_gain


class InterpolationNetEstimator:
    """One U-Net from sparse RSRP to the radio map.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default model if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    ModelError
        If the model is missing, damaged or no InterpolationNet.
    """

    name = "interpolation-net"
    maps_buildings = False

    def __init__(self, model: str | Path | None = None, device: str = "auto") -> None:
        self._model = LoadedModel(model, "interpolation-net", device)
        self._model.require(InterpolationNet, "InterpolationNet")

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum and precision."""
        return self._model.provenance

    @torch.inference_mode()
    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

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
        with self._model.autocast():
            gain = self._model.network(
                self._model.tensor(unit.astype(np.float32))[:, None],
                self._model.tensor(transmitter_images(batch))[:, None],
            )
        level = unit_to_gain(as_array(gain)) + offset_db  # NaN without a measurement
        return Estimate(rsrp_dbm=np.asarray(level, dtype=np.float32))
