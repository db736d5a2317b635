"""MARS as an estimator: super-resolution of measurements on a regular lattice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rm_geo.errors import InputError, ModelError
from rm_geo.estimators.base import Estimate, FloatArray, TileBatch
from rm_geo.estimators.network import LoadedModel, as_array, gain_offset_db
from rm_geo.networks.mars import MARS
from rm_geo.units import gain_to_unit, unit_to_gain


class MarsEstimator:
    """MARS on tiles whose measurements form a lattice of the model's scale.

    Parameters
    ----------
    model : str or Path, optional
        Name in the model index, or a file; the default 4x model if not given.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    smallest_share : float
        Share of a tile's lattice nodes that must be measured, and share of its measurements
        that must lie on the lattice.

    Raises
    ------
    ModelError
        If the model is missing, damaged or no MARS.
    """

    name = "mars"
    maps_buildings = False

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        smallest_share: float = 0.4,
    ) -> None:
        self.smallest_share = smallest_share
        self._model = LoadedModel(model, "mars-4", device)
        if not isinstance(self._model.network, MARS):
            raise ModelError(
                f"The model {self._model.record.name!r} is no MARS but "
                f"{self._model.record.kind!r}.",
                hint="'rm-geo models list' shows which model is of which kind.",
            )
        self.scale: int = self._model.network.scale

    @property
    def provenance(self) -> dict[str, str]:
        """Model, checksum and precision."""
        return self._model.provenance

    @torch.inference_mode()
    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a measurement give NaN.

        Raises
        ------
        InputError
            If the measurements of a tile are no lattice of the model's scale.
        """
        offset_db = gain_offset_db(batch)
        level = np.full(batch.rsrp_dbm.shape, np.nan, dtype=np.float32)
        for index in np.flatnonzero(np.isfinite(offset_db)):
            rsrp = batch.rsrp_dbm[index]
            row, col = self._phase(batch.observed[index])
            coarse = rsrp[row :: self.scale, col :: self.scale]
            unit = np.where(np.isfinite(coarse), gain_to_unit(coarse - offset_db[index]), 0.0)
            fine = self._enlarge(np.asarray(unit, dtype=np.float32))
            shift = (row - self.scale // 2, col - self.scale // 2)
            level[index] = _moved(unit_to_gain(fine) + offset_db[index], shift, rsrp.shape)
        return Estimate(rsrp_dbm=level)

    def _phase(self, observed: np.ndarray) -> tuple[int, int]:
        """Row and column of the lattice's first node."""
        counts = np.zeros((self.scale, self.scale), dtype=np.int64)
        rows, cols = np.nonzero(observed)
        np.add.at(counts, (rows % self.scale, cols % self.scale), 1)
        row, col = np.unravel_index(int(counts.argmax()), counts.shape)
        nodes = observed[row :: self.scale, col :: self.scale].size
        on_lattice = int(counts.max())
        if on_lattice < self.smallest_share * max(nodes, rows.size):
            raise InputError(
                f"The measurements are no regular lattice of {self.scale} pixels: "
                f"{on_lattice} of {rows.size} lie on the best one, which has {nodes} nodes.",
                hint="MARS enlarges regular grids; use --method radiocycle for drive tests.",
            )
        return int(row), int(col)

    def _enlarge(self, unit: FloatArray) -> FloatArray:
        """Run the network on (h, w), padded to what its pyramid can halve."""
        rows, cols = unit.shape
        padded = np.pad(unit, ((0, -rows % 4), (0, -cols % 4)), mode="edge")
        with self._model.autocast():
            out = self._model.network(self._model.tensor(padded)[None, None])
        return as_array(out)[0, : rows * self.scale, : cols * self.scale]


def _moved(image: FloatArray, shift: tuple[int, int], shape: tuple[int, ...]) -> FloatArray:
    """Place an image at (row, col) ``shift`` in a frame, its edge pixels carried outwards."""
    rows = np.clip(np.arange(shape[0]) - shift[0], 0, image.shape[0] - 1)
    cols = np.clip(np.arange(shape[1]) - shift[1], 0, image.shape[1] - 1)
    return np.asarray(image[np.ix_(rows, cols)], dtype=np.float32)
