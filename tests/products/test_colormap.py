"""A colour ramp runs through its colours at its breaks, and marks what is outside or unknown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.products.colormap import BUILDING_RAMP, RSRP_BREAKS_DBM, RSRP_RAMP, ColourRamp, rgb_of

levels = st.floats(RSRP_BREAKS_DBM[0], RSRP_BREAKS_DBM[-1], allow_nan=False)


@given(levels)
def test_colours_are_interpolated_between_breaks(level: float) -> None:
    above = int(np.searchsorted(RSRP_BREAKS_DBM, level).clip(1, len(RSRP_BREAKS_DBM) - 1))
    ends = np.array([rgb_of(RSRP_RAMP.colours[above - 1]), rgb_of(RSRP_RAMP.colours[above])])
    colour = RSRP_RAMP.rgb(np.array([level]))[0].astype(int)
    # A step of the ramp is 0.2 dB, up to four shades.
    assert (colour >= ends.min(axis=0) - 4).all()
    assert (colour <= ends.max(axis=0) + 4).all()


@pytest.mark.parametrize(
    ("level", "colour"),
    [
        (-120.0, "#4b2991"),
        (-110.0, "#2b6cd4"),
        (-100.0, "#18a7a0"),
        (-90.0, "#76bf45"),
        (-80.0, "#f2c230"),
        (-70.0, "#d7301f"),
        (-120.1, "#6b6b6b"),
        (-69.9, "#7f0d10"),
        (-np.inf, "#6b6b6b"),
        (np.inf, "#7f0d10"),
        (np.nan, "#ffffff"),
    ],
)
def test_breaks_have_their_colours(level: float, colour: str) -> None:
    assert RSRP_RAMP.rgb(np.array([level], np.float32))[0].tolist() == list(rgb_of(colour))


def test_end_colours_are_used_outside_by_default() -> None:
    shown = BUILDING_RAMP.rgb(np.array([-0.5, 0.0, 1.0, 1.5]))
    assert (shown[0] == shown[1]).all()
    assert (shown[2] == shown[3]).all()


def test_rgb_adds_a_last_axis() -> None:
    ramp = ColourRamp(0.0, 2.0, ("#000000", "#804020", "#ffffff"))
    assert ramp.rgb(np.full((3, 4), 1.0)).shape == (3, 4, 3)
    assert np.abs(ramp.rgb(np.array(1.0)).astype(int) - rgb_of("#804020")).max() <= 1
