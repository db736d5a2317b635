"""Free-space path loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.propagation.antenna import SPEED_OF_LIGHT_M_S


def free_space_path_loss_db(distance_m: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Path loss of free space between isotropic antennas.

    Parameters
    ----------
    distance_m : array_like
        Distance in metres, above 0, in the far field of the antennas.
    frequency_hz : array_like
        Carrier frequency in Hz, above 0.

    Returns
    -------
    ndarray of float64
        ``20 log10(4 pi d f / c)`` in dB (Friis; Recommendation ITU-R P.525, eq. 4), in the
        broadcast shape of the inputs.

    Examples
    --------
    >>> round(float(free_space_path_loss_db(1.0, 5.9e9)), 2)
    47.86
    """
    wavelengths = (
        np.asarray(distance_m, dtype=np.float64)
        * np.asarray(frequency_hz, dtype=np.float64)
        / SPEED_OF_LIGHT_M_S
    )
    return np.asarray(20.0 * np.log10(4.0 * np.pi * wavelengths))
