"""Affine map between a raster in dBm and the unit scale of super-resolution networks.

The networks were trained on path gains on the unit scale of :mod:`rm_geo.units`. The slope of the
map is that of the training, 79.3 dB per unit; only the offset depends on the raster. If the
free-space level at 1 m is known (``intercept_dbm``, or the tag of that name in maps of rm_geo),
this level is 1. Otherwise the maximum of the raster lies 25 dB below it. For a raster with a larger
range of levels the slope is reduced, so that no value is clipped.
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
    """Affine map between levels in dBm and the unit scale of a network.

    Attributes
    ----------
    zero_dbm : float
        Level in dBm at 0.
    span_db : float
        Range of one unit in dB; 79.3 unless the raster has a larger range.
    """

    zero_dbm: float
    span_db: float = GAIN_SPAN_DB

    @classmethod
    def fit(cls, rsrp_dbm: FloatArray, intercept_dbm: float | None = None) -> UnitScale:
        """Choose the scale of a raster; see the module's description.

        Parameters
        ----------
        rsrp_dbm : ndarray of float32
            Levels in dBm; NaN where unknown, at least one finite.
        intercept_dbm : float, optional
            Free-space level at 1 m in dBm.

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
