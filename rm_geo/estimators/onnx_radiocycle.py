"""RadioCycle for the field on a CPU, by ONNX Runtime alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.symmetries import orientations, turned_position
from rm_geo.units import LEVEL_SCALE_DB
from rm_geo.zoo.onnx_session import OnnxField

LOG_STD_BOUNDS: Final = (-6.0, 2.0)
"""Deviations beyond these, 0.05 and 150 dB, are a network's fancy."""


class OnnxRadioCycle:
    """Runs exports of one field network, each for tiles of one size.

    Parameters
    ----------
    files, known_buildings_files : dict of int to Path
        The exports by the side of their tiles in pixels; the second take known buildings.
    sha256 : str
        Checksum of the weights that they must hold.
    symmetries : {1, 2, 4, 8}
        Orientations of a tile whose results are averaged.
    """

    def __init__(
        self,
        files: dict[int, Path],
        known_buildings_files: dict[int, Path],
        sha256: str,
        symmetries: int = 1,
    ) -> None:
        self.files = files
        self.known_buildings_files = known_buildings_files
        self._sha256 = sha256
        self._symmetries = symmetries
        self._networks: dict[Path, OnnxField] = {}

    def has(self, tile_size_px: int | None, *, known_buildings: bool) -> bool:
        """Whether there is an export for tiles of a size (None: any size)."""
        files = self.known_buildings_files if known_buildings else self.files
        return bool(files) if tile_size_px is None else tile_size_px in files

    def takes(self, batch: TileBatch) -> bool:
        """Whether there is an export for tiles of this size, with known buildings or without."""
        _, rows, cols = batch.rsrp_dbm.shape
        return rows == cols and rows in self._files_for(batch)

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of tiles that it takes.

        Raises
        ------
        ModelError
            If the export is damaged, or of other weights.
        """
        network = self._network(self._files_for(batch)[batch.rsrp_dbm.shape[1]])
        observed = batch.observed
        levels = np.where(observed, batch.rsrp_dbm, np.float32(0.0))
        rsrp, probability, variance = (np.zeros_like(levels) for _ in range(3))
        for turns, mirror in orientations(self._symmetries):
            maps = network(
                _turned(levels, turns, mirror),
                _turned(observed, turns, mirror),
                turned_position(batch.transmitter_rc, levels.shape[-1], turns, mirror),
                batch.intercept_dbm,
                batch.spacing_m,
                None if batch.buildings is None else _turned(batch.buildings, turns, mirror),
            )
            level, logits, log_std = (_turned_back(part, turns, mirror) for part in maps)
            rsrp += level
            probability += _logistic(logits)
            variance += np.exp(2.0 * np.clip(log_std, *LOG_STD_BOUNDS))
        share = np.float32(1.0 / self._symmetries)
        return Estimate(
            rsrp_dbm=rsrp * share,
            building_probability=probability * share,
            std_db=np.float32(LEVEL_SCALE_DB) * np.sqrt(variance * share),
        )

    def _files_for(self, batch: TileBatch) -> dict[int, Path]:
        """Choose the exports that take what a batch tells."""
        return self.files if batch.buildings is None else self.known_buildings_files

    def _network(self, path: Path) -> OnnxField:
        """Open an export, once."""
        if path not in self._networks:
            self._networks[path] = OnnxField(path, self._sha256)
        return self._networks[path]


def _logistic(logits: FloatArray) -> FloatArray:
    """Probability of log-odds; this form of the logistic function cannot overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits), dtype=np.float32)


def _turned(image: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    """Mirror (..., H, W) left to right if asked, then turn by quarter turns."""
    return np.rot90(image[..., ::-1] if mirror else image, turns, (-2, -1))


def _turned_back(image: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    """Undo :func:`_turned`."""
    turned = np.rot90(image, -turns, (-2, -1))
    return turned[..., ::-1] if mirror else turned
