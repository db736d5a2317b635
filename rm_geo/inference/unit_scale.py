"""The affine map between a raster in dBm and the scale that super-resolution networks work on.

They were trained on path gains on the unit scale of :mod:`rm_geo.units`. A raster is brought there
with the slope kept: 79.3 dB are one unit, as in training, and only the offset is chosen. Where
the free-space level at 1 m is known (``intercept_dbm``, or the tag of that name that rm_geo's own
maps carry), that level is 1. Otherwise the raster's maximum is put 25 dB below it. A raster that
spans more than fits is squeezed, so that nothing is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.units import GAIN_SPAN_DB

_USUAL_HEADROOM_DB: Final = 25.0


@dataclass(frozen=True)
class UnitScale:
    """The affine map between a raster's dBm and a network's unit scale.

    Attributes
    ----------
    zero_dbm : float
        Level that is 0.
    span_db : float
        Width of one unit; 79.3 dB unless the raster spans more.
    """

    zero_dbm: float
    span_db: float = GAIN_SPAN_DB

    @classmethod
    def fit(cls, rsrp_dbm: FloatArray, intercept_dbm: float | None = None) -> UnitScale:
        """Choose the scale of a raster; see the module's description.

        Parameters
        ----------
        rsrp_dbm : ndarray of float32
            Levels; NaN where unknown, at least one finite.
        intercept_dbm : float, optional
            Level that free space would give at 1 m.

        Returns
        -------
        UnitScale
        """
        low, high = float(np.nanmin(rsrp_dbm)), float(np.nanmax(rsrp_dbm))
        top = high + _USUAL_HEADROOM_DB
        if intercept_dbm is not None and math.isfinite(intercept_dbm):
            top = max(intercept_dbm, high)
        zero = top - GAIN_SPAN_DB
        if zero <= low:
            return cls(zero)
        return cls(low, max(GAIN_SPAN_DB, high - low))

    def to_unit(self, rsrp_dbm: FloatArray) -> FloatArray:
        """Map dBm to the unit scale.

        Parameters
        ----------
        rsrp_dbm : ndarray of float32
            Levels in dBm, of any shape.

        Returns
        -------
        ndarray of float32
            Values on the unit scale, of the same shape.
        """
        return np.asarray((rsrp_dbm - self.zero_dbm) / self.span_db, dtype=np.float32)

    def to_dbm(self, unit: FloatArray) -> FloatArray:
        """Map the unit scale to dBm.

        Parameters
        ----------
        unit : ndarray of float32
            Values on the unit scale, of any shape.

        Returns
        -------
        ndarray of float32
            Levels in dBm, of the same shape.
        """
        return np.asarray(unit * self.span_db + self.zero_dbm, dtype=np.float32)
