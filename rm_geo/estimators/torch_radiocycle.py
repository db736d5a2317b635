"""RadioCycle in PyTorch: the published pair of networks, and the pair for drive tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rm_geo._types import FloatArray
from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.network import gain_offset_db, require_kind, transmitter_images
from rm_geo.estimators.onnx_radiocycle import LOG_STD_BOUNDS
from rm_geo.estimators.symmetries import orientations
from rm_geo.networks.features import SparseTiles
from rm_geo.networks.radiocycle import DriveTestMaps, DriveTestRadioCycle, RadioCycle
from rm_geo.units import LEVEL_SCALE_DB, gain_to_unit, unit_to_gain
from rm_geo.zoo.catalog import ModelRecord
from rm_geo.zoo.kinds import DRIVE_KIND
from rm_geo.zoo.torch_network import TorchNetwork, as_array


class TorchRadioCycle:
    """Trained pair of networks on its device.

    Parameters
    ----------
    record : ModelRecord
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    symmetries : {1, 2, 4, 8}
        Number of orientations that are averaged.
    precision : {"auto", "float32", "bfloat16"}
        See :func:`rm_geo.devices.choose_precision`.

    Raises
    ------
    ModelError
        If the model is damaged or not a RadioCycle model.
    """

    def __init__(
        self, record: ModelRecord, device: str, symmetries: int = 1, precision: str = "auto"
    ) -> None:
        require_kind(record, ("radiocycle", DRIVE_KIND), "RadioCycle")
        self._symmetries = symmetries
        self._model = TorchNetwork(record, device, precision)

    @torch.inference_mode()
    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        Estimate
            RSRP in dBm, shape (B, H, W), building probability and, from the pair for drive
            tests, standard deviation in dB.

        Raises
        ------
        UsageError
            If the tile size does not suit the network.
        """
        network = self._model.network
        if isinstance(network, RadioCycle):
            return self._estimate_paper(network, batch)
        assert isinstance(network, DriveTestRadioCycle)
        return self._estimate_field(network, batch)

    def _estimate_field(self, network: DriveTestRadioCycle, batch: TileBatch) -> Estimate:
        """Run the pair for drive tests in several orientations, and average."""
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
        buildings = self._buildings(batch)
        for turns, mirror in orientations(self._symmetries):
            known = None if buildings is None else _turn(buildings, turns, mirror)
            with self._model.autocast():
                maps = network(_turn_tiles(tiles, turns, mirror), known)
            assert isinstance(maps, DriveTestMaps)
            rsrp = rsrp + _turn_back(maps.rsrp_dbm, turns, mirror)
            odds = torch.sigmoid(maps.building_logits.float())
            probability = probability + _turn_back(odds, turns, mirror)
            variance = variance + _turn_back(
                torch.exp(2.0 * maps.log_std.float().clamp(*LOG_STD_BOUNDS)), turns, mirror
            )
        assert isinstance(rsrp, Tensor)
        assert isinstance(probability, Tensor)
        assert isinstance(variance, Tensor)
        share = 1.0 / self._symmetries
        return Estimate(
            rsrp_dbm=_image(rsrp * share),
            building_probability=_image(probability * share),
            std_db=_image(LEVEL_SCALE_DB * torch.sqrt(variance * share)),
        )

    def _buildings(self, batch: TileBatch) -> Tensor | None:
        """Return known buildings as a tensor (B, 1, H, W), or None."""
        if batch.buildings is None:
            return None
        return self._model.tensor(batch.buildings.astype(np.float32))[:, None]

    def _estimate_paper(self, network: RadioCycle, batch: TileBatch) -> Estimate:
        """Run the published pair on the unit scale, with the transmitter image as input.

        In RadioMapSeer, walls in the gain maps are shifted by half a pixel against the building
        maps, always in the same direction. The mean over orientations therefore improves building
        maps, and worsens gains at walls.
        """
        _require_multiple(batch, 64)
        offset_db = np.nan_to_num(gain_offset_db(batch))[:, None, None]
        observed = batch.observed
        unit = np.where(observed, gain_to_unit(batch.rsrp_dbm - offset_db), 0.0)
        images: tuple[Tensor, ...] = (
            self._model.tensor(unit.astype(np.float32))[:, None],
            self._model.tensor(transmitter_images(batch))[:, None],
        )
        if (buildings := self._buildings(batch)) is not None:
            images = (*images, buildings)
        gain: Tensor | float = 0.0
        probability: Tensor | float = 0.0
        for turns, mirror in orientations(self._symmetries):
            with self._model.autocast():
                logits, level = network(*(_turn(image, turns, mirror) for image in images))
            gain = gain + _turn_back(level.float(), turns, mirror)
            probability = probability + _turn_back(torch.sigmoid(logits.float()), turns, mirror)
        assert isinstance(gain, Tensor)
        assert isinstance(probability, Tensor)
        share = 1.0 / self._symmetries
        return Estimate(
            rsrp_dbm=np.asarray(unit_to_gain(_image(gain * share)) + offset_db, dtype=np.float32),
            building_probability=_image(probability * share),
            zero_in_buildings=True,
        )


def _require_multiple(batch: TileBatch, multiple: int) -> None:
    """Raise if the tile size is not a multiple of what the network needs."""
    _, rows, cols = batch.rsrp_dbm.shape
    if rows % multiple or cols % multiple:
        raise UsageError(
            f"Tiles of {rows} x {cols} pixels do not suit this network.",
            hint=f"Choose a tile size that is a multiple of {multiple}, such as 256.",
        )


def _image(tensor: Tensor) -> FloatArray:
    """Copy a tensor (B, 1, H, W) to an array (B, H, W) in main memory."""
    return as_array(tensor)[:, 0]


def _turn(image: Tensor, turns: int, mirror: bool) -> Tensor:
    """Mirror (..., H, W) left to right if ``mirror``, then rotate by quarter turns."""
    return (image.flip(-1) if mirror else image).rot90(turns, (-2, -1))


def _turn_back(image: Tensor, turns: int, mirror: bool) -> Tensor:
    """Undo :func:`_turn`."""
    turned = image.rot90(-turns, (-2, -1))
    return turned.flip(-1) if mirror else turned


def _turn_tiles(tiles: SparseTiles, turns: int, mirror: bool) -> SparseTiles:
    """Mirror tiles left to right if ``mirror``, then rotate them."""
    rows, cols = tiles.rsrp_dbm.shape[-2:]
    row, col = tiles.transmitter_rc.unbind(1)
    if mirror:
        col = cols - col
    for _ in range(turns):
        row, col, rows, cols = cols - col, row, cols, rows
    return SparseTiles(
        rsrp_dbm=_turn(tiles.rsrp_dbm, turns, mirror),
        observed=_turn(tiles.observed, turns, mirror),
        transmitter_rc=torch.stack([row, col], 1),
        intercept_dbm=tiles.intercept_dbm,
        spacing_m=tiles.spacing_m,
    )
