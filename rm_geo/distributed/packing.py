"""Compact form of a batch of tiles for transport: the measured pixels only."""

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
        Shape of the batch, (B, H, W).
    pixel : ndarray of int32, shape (N,)
        Flat indices of the measured pixels in the batch, ascending.
    level_dbm : ndarray of float32, shape (N,)
        RSRP of each measured pixel in dBm.
    spacing_m, transmitter_rc, intercept_dbm, frequency_mhz, transmitter_height_m
        As in the batch.
    building_bits : ndarray of uint8 or None
        Known buildings, eight pixels in a byte along the rows.
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
        """Pack a batch.

        Parameters
        ----------
        batch : TileBatch
            B tiles of H x W pixels.

        Returns
        -------
        PackedTiles
            The same information.
        """
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
        """Unpack the batch.

        Returns
        -------
        TileBatch
            Equal to the packed one, bit for bit.
        """
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
