"""Figures that the papers print, for tables that put ours beside them; nothing is made up.

RadioCycle (Zheng et al., KSII TIIS 16(11), 2022) on RadioMapSeer's 0..1 scale with 20 % of the
pixels sampled. MARS (arXiv 2506.04682) in dB, PSNR and SSIM; its RMSE and PSNR together put one
unit at about 100 dB, which is the published grey scale (99.2 dB) rather than the noise-floor
scale (79.3 dB) of the tables here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class PublishedRadioCycle:
    """A line of RadioCycle's table 2; NaN where the paper's figure is not at hand."""

    rmse: float
    nmse: float = math.nan
    jaccard: float = math.nan
    f1: float = math.nan
    recall: float = math.nan
    precision: float = math.nan
    accuracy: float = math.nan


RADIOCYCLE_RATE: Final = 0.2
"""Share of the pixels that table 2 samples."""

RADIOCYCLE: Final = {
    "KNN": PublishedRadioCycle(0.123),
    "RF": PublishedRadioCycle(0.114),
    "InterpolationNet": PublishedRadioCycle(0.065),
    "ML w/ DWA": PublishedRadioCycle(0.069, 0.124, 0.9074, 0.950, 0.949, 0.954, 0.985),
}
"""By the paper's names of the methods."""


@dataclass(frozen=True)
class PublishedMars:
    """A line of MARS's tables; NaN where the paper's figure is not at hand."""

    rmse_db: float
    psnr_db: float = math.nan
    ssim: float = math.nan


MARS: Final = {
    (1, 4, "MARS"): PublishedMars(1.32, 37.89, 0.9834),
    (2, 4, "MARS"): PublishedMars(4.75, 26.53, 0.8774),
    (2, 4, "Supreme"): PublishedMars(4.63, 26.77, 0.8730),
    (2, 4, "bilinear"): PublishedMars(7.28, math.nan, 0.7475),
    (2, 8, "MARS"): PublishedMars(8.24, 21.76, 0.7208),
    (2, 8, "Supreme"): PublishedMars(7.58, 22.48, 0.7086),
}
"""By setting, scale and method."""
