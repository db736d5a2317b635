"""Okumura-Hata and COST-231 Hata: median path loss of macro cells from distance alone.

Sources: M. Hata, "Empirical formula for propagation loss in land mobile radio services",
IEEE Trans. Veh. Technol. 29(3), 1980; COST Action 231 final report (EUR 18957), 4.4.1.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.errors import ConfigError

Environment = Literal["large-city", "urban", "suburban", "open"]
"""Kind of surroundings; "urban" is a small or medium city."""

OKUMURA_TOP_MHZ = 1500.0
"""Below this Okumura-Hata is used, from here on COST-231 Hata."""

LEAST_DISTANCE_M = 20.0
"""Nearer points take the loss at this distance: the formulas would fall without limit."""

RANGES: dict[str, tuple[float, float]] = {
    "frequency_mhz": (150.0, 2000.0),
    "base_height_m": (30.0, 200.0),
    "mobile_height_m": (1.0, 10.0),
    "distance_m": (1000.0, 20000.0),
}
"""Ranges within which the formulas were fitted."""


def hata_path_loss_db(
    distance_m: ArrayLike,
    *,
    frequency_mhz: float,
    base_height_m: float,
    mobile_height_m: float = 1.5,
    environment: Environment = "urban",
) -> NDArray[np.float64]:
    """Median path loss by Okumura-Hata below 1500 MHz, by COST-231 Hata from there on.

    Parameters
    ----------
    distance_m : array_like
        Ground distance; see LEAST_DISTANCE_M. Fitted for 1 to 20 km.
    frequency_mhz : float
        Fitted for 150 to 1500 MHz (Okumura-Hata) and 1500 to 2000 MHz (COST-231).
    base_height_m : float
        Effective antenna height, fitted for 30 to 200 m, above the roofs around.
    mobile_height_m : float
        Fitted for 1 to 10 m.
    environment : {"large-city", "urban", "suburban", "open"}
        Above 1500 MHz COST-231 gives a correction for large cities alone (3 dB); Hata's
        suburban and open-area corrections are carried on there, as is common in planning.

    Returns
    -------
    ndarray of float64
        Path loss in dB.

    Raises
    ------
    ConfigError
        If a parameter is not above 0, or the environment is unknown. Values outside the
        ranges of the fit are computed all the same: :func:`outside_hata_range` names them.

    Examples
    --------
    >>> round(float(hata_path_loss_db(1000.0, frequency_mhz=900.0, base_height_m=30.0)), 1)
    126.4
    """
    if min(frequency_mhz, base_height_m, mobile_height_m) <= 0:
        raise ConfigError("Frequency and antenna heights of Hata's model must be above 0.")
    if environment not in ("large-city", "urban", "suburban", "open"):
        raise ConfigError(
            f"Unknown environment {environment!r}.",
            hint='Use one of "large-city", "urban", "suburban", "open".',
        )
    km = np.maximum(np.asarray(distance_m, dtype=np.float64), LEAST_DISTANCE_M) / 1000.0
    f = float(np.log10(frequency_mhz))
    b = float(np.log10(base_height_m))
    if frequency_mhz < OKUMURA_TOP_MHZ:
        at_1_km = 69.55 + 26.16 * f - 13.82 * b
    else:
        at_1_km = 46.3 + 33.9 * f - 13.82 * b + (3.0 if environment == "large-city" else 0.0)
    at_1_km -= _mobile_height_db(frequency_mhz, mobile_height_m, environment)
    if environment == "suburban":
        at_1_km -= 2.0 * float(np.log10(frequency_mhz / 28.0)) ** 2 + 5.4
    elif environment == "open":
        at_1_km -= 4.78 * f**2 - 18.33 * f + 40.94
    return np.asarray(at_1_km + (44.9 - 6.55 * b) * np.log10(km))


def outside_hata_range(**values: float) -> list[str]:
    """Say which parameters lie outside the ranges of the fit.

    Parameters
    ----------
    **values : float
        Any of ``frequency_mhz``, ``base_height_m``, ``mobile_height_m``, ``distance_m``.

    Returns
    -------
    list of str
        One sentence for each; empty if all lie inside.

    Examples
    --------
    >>> outside_hata_range(frequency_mhz=2600.0, base_height_m=35.0)
    ['frequency_mhz = 2600 is outside 150 to 2000.']
    """
    return [
        f"{name} = {value:g} is outside {RANGES[name][0]:g} to {RANGES[name][1]:g}."
        for name, value in values.items()
        if not RANGES[name][0] <= value <= RANGES[name][1]
    ]


def _mobile_height_db(frequency_mhz: float, height_m: float, environment: Environment) -> float:
    """Hata's correction a(h) for the height of the mobile."""
    if environment == "large-city" and frequency_mhz < OKUMURA_TOP_MHZ:
        if frequency_mhz < 300.0:
            return float(8.29 * np.log10(1.54 * height_m) ** 2 - 1.1)
        return float(3.2 * np.log10(11.75 * height_m) ** 2 - 4.97)
    f = float(np.log10(frequency_mhz))
    return (1.1 * f - 0.7) * height_m - (1.56 * f - 0.8)
