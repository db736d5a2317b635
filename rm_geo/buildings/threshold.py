"""Threshold of building masks: the one of the largest expected F1.

With calibrated probabilities p, a mask of N pixels whose probabilities sum up to S is expected to
have S true positives, so its F1 is about 2 S / (N + T), T being the sum over the whole map. The
mask of the largest expected F1 is that of all pixels above a threshold, which is half of that F1
and never above 0.5 (Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to
maximize F1 measure", ECML PKDD 2014). Sparse measurements give low probabilities everywhere: a
fixed threshold of 0.5 leaves most buildings out there.

The probabilities of a network that was trained with a Dice loss are too high between 0.2 and 0.8.
Its model states how they are calibrated, and rasters pass it on as a tag.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray

USUAL_THRESHOLD: Final = 0.5
"""Largest threshold, and that of a map without any probability above 0."""

CALIBRATION_TAG: Final = "building_calibration"
"""Tag of rasters, and key of model cards: the calibration of the building probabilities."""

_BINS: Final = 4096
_LEAST: Final = 1e-4
_TEXT: Final = re.compile(r"offset (-?[0-9.]+), slope ([0-9.]+)")


@dataclass(frozen=True)
class Calibration:
    """Calibration of building probabilities: a straight line between log-odds.

    Attributes
    ----------
    offset, slope : float
        Calibrated log-odds are ``offset + slope * log-odds``. The slope is positive.

    Examples
    --------
    >>> half = Calibration(offset=-1.0, slope=1.0)
    >>> half.applied(np.array([0.2, 0.5])).round(2).tolist()
    [0.08, 0.27]
    >>> Calibration.parse(str(half)) == half
    True
    """

    offset: float = 0.0
    slope: float = 1.0

    def __str__(self) -> str:
        return f"offset {self.offset:.3f}, slope {self.slope:.3f}"

    @classmethod
    def parse(cls, text: str | None) -> Calibration:
        """Read a calibration.

        Parameters
        ----------
        text : str or None
            As ``str`` writes it.

        Returns
        -------
        Calibration
            That of calibrated probabilities for any other text, and for None.
        """
        found = _TEXT.fullmatch(text or "")
        try:
            offset, slope = (float(number) for number in found.groups()) if found else (0.0, 1.0)
        except ValueError:
            return cls()
        is_usable = math.isfinite(offset) and 0.0 < slope < math.inf
        return cls(offset, slope) if is_usable else cls()

    def applied(self, probability: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrate probabilities.

        Parameters
        ----------
        probability : ndarray of float, any shape
            0..1.

        Returns
        -------
        ndarray of float64, the same shape
        """
        cut = np.clip(probability.astype(np.float64), _LEAST, 1.0 - _LEAST)
        log_odds = self.offset + self.slope * np.log(cut / (1.0 - cut))
        calibrated: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-log_odds))
        return np.where(probability > 0.0, calibrated, 0.0)


class ExpectedF1:
    """Histogram of the building probabilities of a map, for the threshold of its mask.

    Probabilities are added in parts of any size; memory does not grow with the map.

    Examples
    --------
    >>> counts = ExpectedF1()
    >>> counts.add(np.array([0.6, 0.4, 0.4], np.float32))
    >>> counts.add(np.array([0.01, 0.01, np.nan], np.float32))
    >>> round(counts.threshold(), 3)
    0.4
    """

    def __init__(self) -> None:
        self._count: NDArray[np.int64] = np.zeros(_BINS, dtype=np.int64)
        self._sum: NDArray[np.float64] = np.zeros(_BINS, dtype=np.float64)

    def add(self, probability: FloatArray) -> None:
        """Add pixels of the map.

        Parameters
        ----------
        probability : ndarray of float, any shape
            0..1; NaN where it is not known.
        """
        known = probability[np.isfinite(probability)].astype(np.float64)
        index = np.clip((known * _BINS).astype(np.intp), 0, _BINS - 1)
        self._count += np.bincount(index, minlength=_BINS)
        self._sum += np.bincount(index, known, _BINS)

    def threshold(self, calibration: Calibration | None = None) -> float:
        """Choose the threshold of the largest expected F1.

        Parameters
        ----------
        calibration : Calibration, optional
            Calibration of the probabilities that were added. Default: they are calibrated.

        Returns
        -------
        float
            Threshold of the probabilities that were added: above 0 and below 1, and at most 0.5
            if they are calibrated. 0.5 if no pixel has a probability above 0, and if there is none
            between 0 and 1.
        """
        mean = self._sum / np.maximum(self._count, 1)
        expected = self._count * (calibration or Calibration()).applied(mean)
        total = float(expected.sum())
        if total <= 0.0:
            return USUAL_THRESHOLD
        number, found = np.cumsum(self._count[::-1]), np.cumsum(expected[::-1])
        lowest = _BINS - 1 - int(np.argmax(2.0 * found / (number + total)))
        below = np.flatnonzero(self._count[:lowest])
        if lowest > _BINS / 2 and (not len(below) or below[-1] < _BINS / 2):
            return USUAL_THRESHOLD  # no probability lies between 0.5 and a threshold above it
        return max(lowest / _BINS, 0.5 / _BINS)


def expected_f1_threshold(probability: FloatArray, calibration: Calibration | None = None) -> float:
    """Choose the threshold of the largest expected F1 for a map in memory.

    Parameters
    ----------
    probability : ndarray of float, any shape
        0..1; NaN where it is not known.
    calibration : Calibration, optional
        Default: the probabilities are calibrated.

    Returns
    -------
    float
        As of :meth:`ExpectedF1.threshold`.

    Examples
    --------
    >>> expected_f1_threshold(np.full((4, 4), 0.125, np.float32))
    0.125
    """
    counts = ExpectedF1()
    counts.add(probability)
    return counts.threshold(calibration)
