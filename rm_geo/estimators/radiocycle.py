"""RadioCycle as an estimator: radio map, buildings and uncertainty from sparse RSRP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.field_engine import FieldEngine
from rm_geo.estimators.network import LoadedModel, as_array, gain_offset_db
from rm_geo.estimators.symmetries import orientations, require_count, turn, turn_back
from rm_geo.networks.fields import LEVEL_SCALE_DB, SparseTiles
from rm_geo.networks.radiocycle import FieldRadioCycle, RadioCycle
from rm_geo.units import gain_to_unit, unit_to_gain


class RadioCycleEstimator:
    """RadioCycle, the published pair or the one for the field.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default model if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    symmetries : {1, 2, 4, 8}
        Orientations of a tile whose results are averaged: more is slower and better. Only
        the field model's.
    engine : {"auto", "torch", "onnx"}
        What computes the field model; see
        :class:`~rm_geo.estimators.field_engine.FieldEngine`.

    Raises
    ------
    ModelError
        If the model is missing, damaged or no RadioCycle.
    UsageError
        If ``symmetries`` is another number.
    """

    name = "radiocycle"
    maps_buildings = True

    def __init__(
        self, model: str | Path | None = None, device: str = "auto", symmetries: int = 1,
        engine: str = "auto",
    ) -> None:  # fmt: skip
        self.symmetries = require_count(symmetries)
        self._model = LoadedModel(model, "radiocycle", device)
        self._model.require((FieldRadioCycle, RadioCycle), "RadioCycle")
        self._engine = FieldEngine(self._model, engine)

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum, precision, symmetries and engine."""
        return {
            **self._model.provenance,
            "symmetries": str(self.symmetries),
            "engine": self._engine.tag,
        }

    @torch.inference_mode()
    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

        Raises
        ------
        UsageError
            If the tile size does not suit the network.
        """
        network = self._model.network
        if isinstance(network, RadioCycle):
            estimate = self._estimate_paper(network, batch)
        else:
            assert isinstance(network, FieldRadioCycle)
            estimate = self._estimate_field(network, batch)
        empty = ~batch.observed.any((1, 2))
        for array in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db):
            if array is not None:
                array[empty] = np.nan
        return estimate

    def _estimate_field(self, network: FieldRadioCycle, batch: TileBatch) -> Estimate:
        """Run the field pair in as many orientations as asked for, and average."""
        _require_multiple(batch, network.multiple)
        observed = batch.observed
        tiles = SparseTiles(
            rsrp_dbm=self._model.tensor(np.where(observed, batch.rsrp_dbm, 0.0))[:, None],
            observed=self._model.tensor(observed.astype(np.float32))[:, None],
            transmitter_rc=self._model.tensor(batch.transmitter_rc.astype(np.float32)),
            intercept_dbm=self._model.tensor(batch.intercept_dbm.astype(np.float32)),
            spacing_m=batch.spacing_m,
        )
        rsrp: Tensor | float = 0.0
        probability: Tensor | float = 0.0
        variance: Tensor | float = 0.0
        for turns, mirror in orientations(self.symmetries):
            maps = self._engine.forward(network, _turn_tiles(tiles, turns, mirror))
            rsrp = rsrp + turn_back(maps.rsrp_dbm, turns, mirror)
            odds = torch.sigmoid(maps.building_logits.float())
            probability = probability + turn_back(odds, turns, mirror)
            variance = variance + turn_back(
                torch.exp(2.0 * maps.log_std.float().clamp(-6.0, 2.0)), turns, mirror
            )
        assert isinstance(rsrp, Tensor)
        assert isinstance(probability, Tensor)
        assert isinstance(variance, Tensor)
        share = 1.0 / self.symmetries
        return Estimate(
            rsrp_dbm=as_array(rsrp * share),
            building_probability=as_array(probability * share),
            std_db=as_array(LEVEL_SCALE_DB * torch.sqrt(variance * share)),
        )

    def _estimate_paper(self, network: RadioCycle, batch: TileBatch) -> Estimate:
        """Run the published pair on its unit scale, the transmitter as one pixel."""
        _require_multiple(batch, 64)
        offset_db = np.nan_to_num(gain_offset_db(batch))[:, None, None]
        observed = batch.observed
        unit = np.where(observed, gain_to_unit(batch.rsrp_dbm - offset_db), 0.0)
        with self._model.autocast():
            logits, gain = network(
                self._model.tensor(unit.astype(np.float32))[:, None],
                self._model.tensor(transmitter_images(batch))[:, None],
            )
        return Estimate(
            rsrp_dbm=np.asarray(unit_to_gain(as_array(gain)) + offset_db, dtype=np.float32),
            building_probability=as_array(torch.sigmoid(logits.float())),
        )


def transmitter_images(batch: TileBatch) -> np.ndarray:
    """Images (B, H, W) with a single 1 at the transmitter; blank where it is not inside."""
    images = np.zeros(batch.rsrp_dbm.shape, dtype=np.float32)
    rows, cols = batch.rsrp_dbm.shape[1], batch.rsrp_dbm.shape[2]
    for image, (row, col) in zip(images, batch.transmitter_rc, strict=True):
        if np.isfinite(row) and np.isfinite(col) and 0 <= row < rows and 0 <= col < cols:
            image[int(row), int(col)] = 1.0
    return images


def _require_multiple(batch: TileBatch, multiple: int) -> None:
    """Refuse tiles that the network's pyramid cannot halve evenly."""
    _, rows, cols = batch.rsrp_dbm.shape
    if rows % multiple or cols % multiple:
        raise UsageError(
            f"Tiles of {rows} x {cols} pixels do not suit this network.",
            hint=f"Choose a tile size that is a multiple of {multiple}, such as 256.",
        )


def _turn_tiles(tiles: SparseTiles, turns: int, mirror: bool) -> SparseTiles:
    """Mirror tiles left to right if asked, then turn them."""
    rows, cols = tiles.rsrp_dbm.shape[-2:]
    row, col = tiles.transmitter_rc.unbind(1)
    if mirror:
        col = cols - col
    for _ in range(turns):
        row, col, rows, cols = cols - col, row, cols, rows
    return SparseTiles(
        rsrp_dbm=turn(tiles.rsrp_dbm, turns, mirror),
        observed=turn(tiles.observed, turns, mirror),
        transmitter_rc=torch.stack([row, col], 1),
        intercept_dbm=tiles.intercept_dbm,
        spacing_m=tiles.spacing_m,
    )
