"""Published scores of RadioCycle and MARS, for comparison in tables.

RadioCycle: Zheng et al., KSII TIIS 16(11), 2022, on the 0..1 scale of RadioMapSeer with 20 % of
the pixels sampled. MARS: arXiv 2506.04682, RMSE in dB, PSNR and SSIM. According to its RMSE and
PSNR, one unit of the scale is about 100 dB, which is the published grey scale (99.2 dB) and not
the noise-floor scale (79.3 dB) of the tables of this package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class PublishedRadioCycle:
    """Row of table 2 of the RadioCycle paper, with NaN for scores that are not available."""

    rmse: float
    nmse: float = math.nan
    jaccard: float = math.nan
    f1: float = math.nan
    recall: float = math.nan
    precision: float = math.nan
    accuracy: float = math.nan


RADIOCYCLE_RATE: Final = 0.2
"""Fraction of sampled pixels in table 2."""

RADIOCYCLE: Final = {
    "KNN": PublishedRadioCycle(0.123),
    "RF": PublishedRadioCycle(0.114),
    "InterpolationNet": PublishedRadioCycle(0.065),
    "ML w/ DWA": PublishedRadioCycle(0.069, 0.124, 0.9074, 0.950, 0.949, 0.954, 0.985),
}
"""Scores by the names of the methods in the paper."""


@dataclass(frozen=True)
class PublishedMars:
    """Row of the tables of the MARS paper, with NaN for scores that are not available."""

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
"""Scores by setting, scale and method."""
