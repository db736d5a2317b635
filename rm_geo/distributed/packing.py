"""Batches of tiles as they travel: measured pixels alone, which are a few in a hundred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, FloatArray
from rm_geo.estimators.base import TileBatch


@dataclass(frozen=True)
class PackedTiles:
    """A :class:`~rm_geo.estimators.base.TileBatch` without its empty pixels.

    Attributes
    ----------
    shape : tuple of int
        Of the batch: (B, H, W).
    pixel : ndarray of int32, shape (N,)
        Numbers of the measured pixels in the flat batch, ascending.
    level_dbm : ndarray of float32, shape (N,)
        RSRP in each.
    spacing_m, transmitter_rc, intercept_dbm, frequency_mhz, transmitter_height_m
        As in the batch.
    building_bits : ndarray of uint8 or None
        Known buildings, eight pixels a byte along the rows.
    """

    shape: tuple[int, ...]
    pixel: NDArray[np.int32]
    level_dbm: FloatArray
    spacing_m: float
    transmitter_rc: FloatArray
    intercept_dbm: FloatArray
    frequency_mhz: float
    transmitter_height_m: float
    building_bits: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, batch: TileBatch) -> PackedTiles:
        """Leave out of a batch what was not measured."""
        pixel = np.flatnonzero(batch.observed)
        return cls(
            batch.rsrp_dbm.shape,
            pixel.astype(np.int32),
            batch.rsrp_dbm.ravel()[pixel],
            batch.spacing_m,
            batch.transmitter_rc,
            batch.intercept_dbm,
            batch.frequency_mhz,
            batch.transmitter_height_m,
            None if batch.buildings is None else np.packbits(batch.buildings, axis=-1),
        )

    def unpacked(self) -> TileBatch:
        """Give the batch back, bit for bit."""
        rsrp_dbm = np.full(self.shape, np.nan, dtype=np.float32)
        rsrp_dbm.ravel()[self.pixel] = self.level_dbm
        return TileBatch(
            rsrp_dbm,
            self.spacing_m,
            self.transmitter_rc,
            self.intercept_dbm,
            self.frequency_mhz,
            self.transmitter_height_m,
            self._buildings(),
        )

    def _buildings(self) -> BoolArray | None:
        """Unpack the known buildings."""
        if self.building_bits is None:
            return None
        bits = np.unpackbits(self.building_bits, axis=-1, count=self.shape[-1])
        return bits.astype(np.bool_)

    def __len__(self) -> int:
        return self.shape[0]
