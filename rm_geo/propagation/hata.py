"""Okumura-Hata and COST-231 Hata models: median path loss of macro cells by distance.

Sources: M. Hata, "Empirical formula for propagation loss in land mobile radio services",
IEEE Trans. Veh. Technol. 29(3), 1980; COST Action 231 final report (EUR 18957), 4.4.1.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.errors import ConfigError

Environment = Literal["large-city", "urban", "suburban", "open"]
"""Propagation environment; "urban" is a small or medium city."""

OKUMURA_HATA_LIMIT_MHZ = 1500.0
"""Okumura-Hata is used below this frequency, COST-231 Hata from it on."""

MIN_DISTANCE_M = 20.0
"""Smaller distances are raised to this one, since the formulas are unbounded near 0."""

RANGES: dict[str, tuple[float, float]] = {
    "frequency_mhz": (150.0, 2000.0),
    "base_height_m": (30.0, 200.0),
    "mobile_height_m": (1.0, 10.0),
    "distance_m": (1000.0, 20000.0),
}
"""Ranges of the parameters for which the formulas were fitted."""


def hata_path_loss_db(
    distance_m: ArrayLike,
    *,
    frequency_mhz: float,
    base_height_m: float,
    mobile_height_m: float = 1.5,
    environment: Environment = "urban",
) -> NDArray[np.float64]:
    """Median path loss by Okumura-Hata (below 1500 MHz) or COST-231 Hata.

    Parameters
    ----------
    distance_m : array_like
        Ground distance in metres, raised to :data:`MIN_DISTANCE_M`. Fitted for 1 to 20 km.
    frequency_mhz : float
        Carrier frequency. Fitted for 150 to 1500 MHz (Okumura-Hata) and 1500 to 2000 MHz
        (COST-231).
    base_height_m : float
        Effective height of the base station antenna. Fitted for 30 to 200 m, above the
        surrounding roofs.
    mobile_height_m : float
        Height of the mobile antenna. Fitted for 1 to 10 m.
    environment : {"large-city", "urban", "suburban", "open"}
        Above 1500 MHz, COST-231 defines only a correction for large cities (3 dB). Hata's
        suburban and open-area corrections are used there too, as is common in planning.

    Returns
    -------
    ndarray of float64
        Path loss in dB, in the shape of ``distance_m``.

    Raises
    ------
    ConfigError
        If the frequency or a height is not above 0, or the environment is unknown. Values
        outside the ranges of the fit raise no error; see :func:`outside_hata_range`.

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
    km = np.maximum(np.asarray(distance_m, dtype=np.float64), MIN_DISTANCE_M) / 1000.0
    f = float(np.log10(frequency_mhz))
    b = float(np.log10(base_height_m))
    if frequency_mhz < OKUMURA_HATA_LIMIT_MHZ:
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
    """List the parameters that lie outside the ranges of the fit.

    Parameters
    ----------
    **values : float
        Any of ``frequency_mhz``, ``base_height_m``, ``mobile_height_m``, ``distance_m``.

    Returns
    -------
    list of str
        One sentence for each parameter outside its range.

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
    """Hata's correction a(h) in dB for the height of the mobile antenna."""
    if environment == "large-city" and frequency_mhz < OKUMURA_HATA_LIMIT_MHZ:
        if frequency_mhz < 300.0:
            return float(8.29 * np.log10(1.54 * height_m) ** 2 - 1.1)
        return float(3.2 * np.log10(11.75 * height_m) ** 2 - 4.97)
    f = float(np.log10(frequency_mhz))
    return (1.1 * f - 0.7) * height_m - (1.56 * f - 0.8)
