"""Colour ramps of levels and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0..255."""

_STEPS: Final = 256  # colours of a ramp, the resolution of 8-bit images


@dataclass(frozen=True)
class ColourRamp:
    """Linear colour ramp between evenly spaced breaks.

    Attributes
    ----------
    lowest, highest : float
        Values of the first and the last colour.
    colours : sequence of str
        Two or more, each ``#rrggbb``.
    below, above : str or None
        Colours of values below ``lowest`` and above ``highest`` (default: the first and the last
        colour).
    missing : str
        Colour of NaN.

    Examples
    --------
    >>> ramp = ColourRamp(0.0, 1.0, ("#000000", "#ff0000"), below="#0000ff")
    >>> ramp.rgb(np.array([0.0, 1.0, -1.0, np.nan])).tolist()
    [[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255]]
    """

    lowest: float
    highest: float
    colours: Sequence[str]
    below: str | None = None
    above: str | None = None
    missing: str = "#ffffff"

    def rgb(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Map values to colours.

        Parameters
        ----------
        values : ndarray, any shape (...)
            Values in the unit of the ramp; NaN where unknown.

        Returns
        -------
        ndarray of uint8, shape (..., 3)
            Red, green and blue, 0..255.
        """
        ends = (self.below or self.colours[0], self.above or self.colours[-1], self.missing)
        table = np.vstack([self._steps(), [rgb_of(colour) for colour in ends]])
        place = (values - self.lowest) / (self.highest - self.lowest)
        inside = np.rint(np.nan_to_num(np.clip(place, 0.0, 1.0)) * (_STEPS - 1))
        outside = [values < self.lowest, values > self.highest, np.isnan(values)]
        index = np.select(outside, [_STEPS, _STEPS + 1, _STEPS + 2], inside.astype(np.intp))
        colours: NDArray[np.uint8] = table.astype(np.uint8)[index]
        return colours

    def _steps(self) -> NDArray[np.float64]:
        """Return the colours from lowest to highest, shape (256, 3)."""
        breaks = np.linspace(0.0, 1.0, len(self.colours))
        at = np.linspace(0.0, 1.0, _STEPS)
        bands = zip(*map(rgb_of, self.colours), strict=True)
        steps = np.column_stack([np.interp(at, breaks, band) for band in bands])
        return np.asarray(np.rint(steps), np.float64)


def rgb_of(colour: str) -> Colour:
    """Parse a colour.

    Parameters
    ----------
    colour : str
        As ``#rrggbb``.

    Returns
    -------
    tuple of int
        Red, green and blue, 0..255.

    Examples
    --------
    >>> rgb_of("#d7301f")
    (215, 48, 31)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def hex_of(colour: Colour) -> str:
    """Write a colour as text.

    Parameters
    ----------
    colour : tuple of int
        Red, green and blue, 0..255.

    Returns
    -------
    str
        As ``#rrggbb``.

    Examples
    --------
    >>> hex_of((215, 48, 31))
    '#d7301f'
    """
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"


RSRP_BREAKS_DBM: Final = (-120.0, -110.0, -100.0, -90.0, -80.0, -70.0)
"""Breaks of the colour ramp that radio planners use."""

RSRP_RAMP: Final = ColourRamp(
    RSRP_BREAKS_DBM[0],
    RSRP_BREAKS_DBM[-1],
    ("#4b2991", "#2b6cd4", "#18a7a0", "#76bf45", "#f2c230", "#d7301f"),
    below="#6b6b6b",
    above="#7f0d10",
)
"""RSRP in dBm, from weak to strong; grey below the breaks and dark red above."""

BUILDING_RAMP: Final = ColourRamp(0.0, 1.0, ("#f4f1ea", "#8c2d19"))
"""Probability of a building."""
