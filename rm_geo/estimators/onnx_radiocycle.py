"""RadioCycle for drive tests in ONNX Runtime on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.symmetries import orientations, turn, turn_back, turned_position
from rm_geo.units import LEVEL_SCALE_DB
from rm_geo.zoo.onnx_session import OnnxNetwork

LOG_STD_BOUNDS: Final = (-6.0, 2.0)
"""Bounds of the logarithm of the standard deviation: 0.05 and 150 dB."""


class OnnxRadioCycle:
    """ONNX files of one network, each for one tile size.

    Parameters
    ----------
    files, known_buildings_files : dict of int to Path
        Files by the side of the tiles in pixels; the second ones read known buildings.
    sha256 : str
        Required checksum of the weights.
    symmetries : {1, 2, 4, 8}
        Number of orientations that are averaged.
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
        self._networks: dict[Path, OnnxNetwork] = {}

    def has(self, tile_size_px: int | None, *, known_buildings: bool) -> bool:
        """Return whether there is a file for a tile size.

        Parameters
        ----------
        tile_size_px : int or None
            Side of the tiles in pixels; None for any size.
        known_buildings : bool
            Whether the file must read known buildings.

        Returns
        -------
        bool
            True if there is one.
        """
        files = self.known_buildings_files if known_buildings else self.files
        return bool(files) if tile_size_px is None else tile_size_px in files

    def takes(self, batch: TileBatch) -> bool:
        """Return whether there is a file for the tiles of a batch.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        bool
        """
        _, rows, cols = batch.rsrp_dbm.shape
        return rows == cols and rows in self._files_for(batch)

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch of tiles for which :meth:`takes` is true.

        Parameters
        ----------
        batch : TileBatch
            Tiles of one size.

        Returns
        -------
        Estimate
            RSRP in dBm, building probability and standard deviation in dB, shape (B, H, W).

        Raises
        ------
        ModelError
            If the file is damaged, or has other weights.
        """
        network = self._network(self._files_for(batch)[batch.rsrp_dbm.shape[1]])
        observed = batch.observed
        levels = np.where(observed, batch.rsrp_dbm, np.float32(0.0))
        rsrp, probability, variance = (np.zeros_like(levels) for _ in range(3))
        for turns, mirror in orientations(self._symmetries):
            images = [levels, observed, *(() if batch.buildings is None else (batch.buildings,))]
            level_in, observed_in, *buildings = (
                turn(image, turns, mirror)[:, None] for image in images
            )
            maps = network(
                level_in,
                observed_in,
                turned_position(batch.transmitter_rc, levels.shape[-1], turns, mirror),
                batch.intercept_dbm,
                np.asarray(batch.spacing_m),
                *buildings,
            )
            level, logits, log_std = (turn_back(part[:, 0], turns, mirror) for part in maps)
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
        """Return the files for the inputs of a batch."""
        return self.files if batch.buildings is None else self.known_buildings_files

    def _network(self, path: Path) -> OnnxNetwork:
        """Return the opened file of a tile size; opened once."""
        if path not in self._networks:
            self._networks[path] = OnnxNetwork(path, self._sha256)
        return self._networks[path]


def _logistic(logits: FloatArray) -> FloatArray:
    """Convert log-odds to probabilities, in a form without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits), dtype=np.float32)
