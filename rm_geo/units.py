"""Units and scales: dBm and milliwatts, and the scale that RadioMapSeer's maps use.

Everything inside rm_geo is dBm (RSRP) or dB (path gain) as float32. The papers' figures
are given on RadioMapSeer's noise-floor scale, which :func:`gain_to_unit` reproduces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # trainings run where numpy and PyTorch are all there is
    pass


from numpy.typing import ArrayLike

NODATA_DBM: Final = -9999.0
"""Finite nodata of every raster in dBm or dB that rm_geo writes."""

RSRP_MIN_DBM: Final = -156.0
"""Lowest RSRP that 3GPP TS 36.133 and TS 38.133 let a receiver report."""

RSRP_MAX_DBM: Final = -20.0
"""Above this no receiver reports: stronger values are faults of a log."""

GAIN_FLOOR_DB: Final = -127.14
"""Path gain at 0 of the noise-floor scale of RadioMapSeer's maps."""

GAIN_TOP_DB: Final = -47.84
"""Path gain at 1 of the scale: free space at 1 m and 5.9 GHz."""

GAIN_SPAN_DB: Final = GAIN_TOP_DB - GAIN_FLOOR_DB
"""Width of the scale: 79.3 dB, so that 0.01 of it is 0.79 dB."""

LEVEL_SCALE_DB: Final = 20.0
"""One unit of the levels that networks for the field see; RSRP in a tile spreads over about one."""


def dbm_to_mw(level_dbm: ArrayLike) -> NDArray[np.float64]:
    """Convert a level from dBm to milliwatts.

    Examples
    --------
    >>> float(dbm_to_mw(-30.0))
    0.001
    """
    return np.asarray(10.0 ** (np.asarray(level_dbm, dtype=np.float64) / 10.0))


def mw_to_dbm(power_mw: ArrayLike) -> NDArray[np.float64]:
    """Convert a power from milliwatts to dBm; zero power is minus infinity.

    Examples
    --------
    >>> float(mw_to_dbm(0.001))
    -30.0
    """
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(power_mw, dtype=np.float64)))


def gain_to_unit(gain_db: ArrayLike) -> NDArray[np.float32]:
    """Map path gain in dB to RadioMapSeer's noise-floor scale, clipped to 0..1.

    Parameters
    ----------
    gain_db : array_like
        Path gain in dB, at most about -47.84 beyond 1 m at 5.9 GHz.

    Returns
    -------
    ndarray of float32
        ``(gain + 127.14) / 79.3``, clipped. Source: RadioMapSeer (arXiv 2212.11777),
        its gain images after the noise floor ``max(g - 0.2, 0) / 0.8``.

    Examples
    --------
    >>> float(gain_to_unit(-47.84))
    1.0
    """
    unit = (np.asarray(gain_db, dtype=np.float32) - np.float32(GAIN_FLOOR_DB)) / np.float32(
        GAIN_SPAN_DB
    )
    return np.asarray(np.clip(unit, 0.0, 1.0), dtype=np.float32)


def unit_to_gain(unit: ArrayLike) -> NDArray[np.float32]:
    """Map RadioMapSeer's noise-floor scale (0..1) to path gain in dB."""
    return np.asarray(
        np.asarray(unit, dtype=np.float32) * np.float32(GAIN_SPAN_DB) + np.float32(GAIN_FLOOR_DB),
        dtype=np.float32,
    )


SLOPE_DB: Final = -30.0
"""Fall of the level over a decade of distance that is expected before anything is measured."""


RIDGE: Final = (8.0 / 5.0) ** 2
"""Square of 8 dB of shadowing over the 5 dB a decade by which slopes differ from that."""


ALIKE: Final = 40.0
"""So many measured pixels of a drive share their shadow, and count as one."""


NEAREST_PX: Final = 3.0
"""Nearer than this no level is expected to rise further."""
