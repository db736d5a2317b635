"""How noisy measurements are, judged by measurements right beside each other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_PAIRS: Final = 30
"""Fewer neighbours than this say nothing."""


def measurement_noise_db(rsrp_dbm: NDArray[np.floating]) -> float:
    """Estimate the standard deviation of the error of one measured pixel.

    The field itself hardly changes over one pixel, so what neighbours differ by is their
    noise, fast fading and quantisation included. The median of the differences is used:
    shadow boundaries and outliers do not count.

    Parameters
    ----------
    rsrp_dbm : ndarray, shape (H, W)
        Measured RSRP in dBm; NaN where nothing was measured.

    Returns
    -------
    float
        In dB; 0 where fewer than 30 pairs of neighbours were measured.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> round(measurement_noise_db(-90 + 2 * rng.standard_normal((100, 100))))
    2
    """
    differences = np.concatenate(
        [np.diff(rsrp_dbm, axis=0).ravel(), np.diff(rsrp_dbm, axis=1).ravel()]
    )
    differences = differences[np.isfinite(differences)]
    if differences.size < _PAIRS:
        return 0.0
    return float(1.4826 * np.median(np.abs(differences)) / np.sqrt(2.0))
