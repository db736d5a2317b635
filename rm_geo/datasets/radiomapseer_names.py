"""Names in RadioMapSeer as published; nothing here needs an image library."""

from __future__ import annotations

from typing import Final, Literal, get_args

SIMULATIONS: Final = ("DPM", "IRT2", "IRT4", "carsDPM", "carsIRT2", "carsIRT4")
"""Folders of gains; IRT4 was computed for transmitters 0 and 1 alone."""

GreyScale = Literal["published", "noise-floor"]

GREY_SCALES: Final[tuple[GreyScale, ...]] = get_args(GreyScale)
"""How gains are coded in grey; some copies are in the noise-floor form."""
