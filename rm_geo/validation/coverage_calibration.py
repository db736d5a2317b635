"""Calibration of the probability of coverage at places that were held out.

Of the places with a probability of coverage of 0.85, 85 % should be covered:
places are grouped by their probability, and the share of each group that is covered is compared
with it (reliability diagram; Broecker and Smith, "Increasing the reliability of reliability
diagrams", Weather and Forecasting 22, 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from rm_geo._types import Float64Array

CLASSES: Final = 10
"""Classes of the probability, equally wide."""


@dataclass(frozen=True)
class CoverageShare:
    """Held-out places of a class of the probability of coverage.

    Attributes
    ----------
    lowest, highest : float
        Bounds of the class.
    places : int
        Places with a probability in it; with several thresholds a place counts once for each.
    probability : float
        Mean probability of these places.
    covered : float
        Share of them whose measured level reaches the threshold.
    """

    lowest: float
    highest: float
    places: int
    probability: float
    covered: float


def coverage_shares(
    level_dbm: Float64Array,
    std_db: Float64Array,
    truth_dbm: Float64Array,
    thresholds_dbm: Sequence[float],
) -> tuple[CoverageShare, ...]:
    """Compare probabilities of coverage with the share of the places that are covered.

    Parameters
    ----------
    level_dbm, std_db : ndarray of float64, shape (n,)
        Estimates and their standard deviations; places where either is NaN are left out.
    truth_dbm : ndarray of float64, shape (n,)
        Measured levels.
    thresholds_dbm : sequence of float
        Levels at which a place is covered.

    Returns
    -------
    tuple of CoverageShare
        Classes with a place in them, from the lowest probability to the highest.

    Examples
    --------
    >>> level = np.array([-100.0, -100.0, -100.0, -120.0])
    >>> truth = np.array([-96.0, -104.0, -101.0, -125.0])
    >>> shares = coverage_shares(level, np.full(4, 4.0), truth, [-103.5])
    >>> [(share.lowest, share.places, round(share.covered, 2)) for share in shares]
    [(0.0, 1, 0.0), (0.8, 3, 0.67)]
    """
    known = np.isfinite(level_dbm) & np.isfinite(std_db)
    threshold = np.asarray(thresholds_dbm, dtype=np.float64)[:, None]
    probability = ndtr((level_dbm[known] - threshold) / np.maximum(std_db[known], 1e-3)).ravel()
    covered = (truth_dbm[known] >= threshold).ravel()
    number = np.minimum((probability * CLASSES).astype(np.int64), CLASSES - 1)
    count = np.bincount(number, minlength=CLASSES)
    expected = np.bincount(number, probability, minlength=CLASSES)
    found = np.bincount(number, covered, minlength=CLASSES)
    return tuple(
        CoverageShare(
            place / CLASSES,
            (place + 1) / CLASSES,
            int(count[place]),
            float(expected[place] / count[place]),
            float(found[place] / count[place]),
        )
        for place in np.flatnonzero(count).tolist()
    )
