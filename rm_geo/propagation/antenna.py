"""Transmitting antennas: position, frequency and radiation pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo.errors import ConfigError

SPEED_OF_LIGHT_M_S = 299_792_458.0


@dataclass(frozen=True, slots=True)
class SectorPattern:
    """Sector antenna with the element pattern of 3GPP TR 38.901, Table 7.3-1.

    Parameters
    ----------
    azimuth_deg : float
        Direction of the main beam, clockwise from north.
    downtilt_deg : float
        Angle of the main beam below the horizon.
    horizontal_beamwidth_deg, vertical_beamwidth_deg : float
        Half-power beamwidths, above 0 and up to 360 degrees.
    front_to_back_db : float
        Limit of the attenuation, in each plane and in total (30 dB in the table).
    max_gain_dbi : float
        Gain in the main beam.

    Raises
    ------
    ConfigError
        If a beamwidth is out of range.

    Examples
    --------
    >>> pattern = SectorPattern(azimuth_deg=90.0)
    >>> [round(float(gain), 2) for gain in pattern.gain_dbi([90.0, 122.5, 270.0], 0.0)]
    [8.0, 5.0, -22.0]
    """

    azimuth_deg: float = 0.0
    downtilt_deg: float = 0.0
    horizontal_beamwidth_deg: float = 65.0
    vertical_beamwidth_deg: float = 65.0
    front_to_back_db: float = 30.0
    max_gain_dbi: float = 8.0

    def __post_init__(self) -> None:
        for name in ("horizontal_beamwidth_deg", "vertical_beamwidth_deg"):
            if not 0.0 < getattr(self, name) <= 360.0:
                raise ConfigError(
                    f"{name} must be above 0 and at most 360 degrees, not {getattr(self, name)}."
                )

    def gain_dbi(self, azimuth_deg: ArrayLike, elevation_deg: ArrayLike) -> NDArray[np.float64]:
        """Return the gain towards a direction.

        Parameters
        ----------
        azimuth_deg : array_like
            Azimuth in degrees, clockwise from north.
        elevation_deg : array_like
            Elevation in degrees above the horizon, -90 to 90.

        Returns
        -------
        ndarray of float64
            Gain in dBi, from ``max_gain_dbi - front_to_back_db`` to ``max_gain_dbi``, in the
            broadcast shape of the inputs.
        """
        turn = np.asarray(azimuth_deg, dtype=np.float64) - self.azimuth_deg
        turn = (turn + 180.0) % 360.0 - 180.0
        rise = np.asarray(elevation_deg, dtype=np.float64) + self.downtilt_deg
        limit = self.front_to_back_db
        across = np.minimum(12.0 * (turn / self.horizontal_beamwidth_deg) ** 2, limit)
        upright = np.minimum(12.0 * (rise / self.vertical_beamwidth_deg) ** 2, limit)
        return np.asarray(self.max_gain_dbi - np.minimum(across + upright, limit))


@dataclass(frozen=True, slots=True)
class Antenna:
    """One transmitting antenna in a scene.

    Parameters
    ----------
    x_m, y_m : float
        Position in metres east and south of the north-west corner of the scene. It may lie
        outside the scene.
    height_m : float
        Height above ground (not above a roof), 0.1 to 500 m.
    frequency_hz : float
        Carrier frequency, 1 MHz to 300 GHz.
    pattern : SectorPattern, optional
        Radiation pattern. Default: an isotropic antenna of 0 dBi.

    Raises
    ------
    ConfigError
        If the height or the frequency is out of range.

    Examples
    --------
    >>> Antenna.at_pixel(10, 20, spacing_m=2.0).x_m
    41.0
    """

    x_m: float
    y_m: float
    height_m: float = 1.5
    frequency_hz: float = 5.9e9
    pattern: SectorPattern | None = None

    def __post_init__(self) -> None:
        if not 0.1 <= self.height_m <= 500.0:
            raise ConfigError(f"An antenna height of {self.height_m} m is outside 0.1 to 500 m.")
        if not 1e6 <= self.frequency_hz <= 3e11:
            raise ConfigError(
                f"A frequency of {self.frequency_hz} Hz is outside 1 MHz to 300 GHz.",
                hint="Frequencies are given in Hz.",
            )

    @classmethod
    def at_pixel(
        cls,
        row: float,
        col: float,
        *,
        spacing_m: float = 1.0,
        height_m: float = 1.5,
        frequency_hz: float = 5.9e9,
        pattern: SectorPattern | None = None,
    ) -> Antenna:
        """Place an antenna at the centre of a pixel.

        Parameters
        ----------
        row, col : float
            Index of the pixel; row 0 is the northern one.
        spacing_m : float
            Size of a pixel in metres.
        height_m, frequency_hz, pattern
            See the class.

        Returns
        -------
        Antenna
        """
        return cls(
            (col + 0.5) * spacing_m, (row + 0.5) * spacing_m, height_m, frequency_hz, pattern
        )

    @property
    def reference_gain_db(self) -> float:
        """Free-space path gain at 1 m in dB, ``-20 log10(4 pi f / c)``."""
        return float(-20.0 * np.log10(4.0 * np.pi * self.frequency_hz / SPEED_OF_LIGHT_M_S))
