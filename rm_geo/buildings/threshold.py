"""Threshold of building masks: the one of the largest expected F1.

With calibrated probabilities p, a mask of N pixels whose probabilities sum up to S is expected to
have S true positives, so its F1 is about 2 S / (N + T), T being the sum over the whole map. The
mask of the largest expected F1 is that of all pixels above a threshold, which is half of that F1
and never above 0.5 (Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to
maximize F1 measure", ECML PKDD 2014). Sparse measurements give low probabilities everywhere: a
fixed threshold of 0.5 leaves most buildings out there.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray

USUAL_THRESHOLD: Final = 0.5
"""Largest threshold, and that of a map without any probability above 0."""

_BINS: Final = 4096


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

    def threshold(self) -> float:
        """Choose the threshold of the largest expected F1.

        Returns
        -------
        float
            Above 0 and at most 0.5, which it is too if no pixel has a probability above 0.
        """
        total = float(self._sum.sum())
        if total <= 0.0:
            return USUAL_THRESHOLD
        number, found = np.cumsum(self._count[::-1]), np.cumsum(self._sum[::-1])
        lowest = int(np.argmax(2.0 * found / (number + total)))
        # No probability lies between 0.5 and a threshold above it.
        return float(np.clip((_BINS - 1 - lowest) / _BINS, 0.5 / _BINS, USUAL_THRESHOLD))


def expected_f1_threshold(probability: FloatArray) -> float:
    """Choose the threshold of the largest expected F1 for a map in memory.

    Parameters
    ----------
    probability : ndarray of float, any shape
        0..1; NaN where it is not known.

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
    return counts.threshold()
