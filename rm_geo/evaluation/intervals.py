"""Intervals of scores that are pooled over scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

_DRAWS: Final = 2000


def ratio_interval(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, float]:
    """Compute an interval of 90 % of a ratio of sums, by drawing scenes with replacement.

    Parameters
    ----------
    parts, wholes : sequence of float
        Terms of the numerator and the denominator of each scene.

    Returns
    -------
    low, high : float
        NaN without scenes.

    Examples
    --------
    >>> ratio_interval([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    (0.5, 0.5)
    """
    if not len(parts):
        return float("nan"), float("nan")
    table = np.stack([np.asarray(parts, float), np.asarray(wholes, float)], 1)
    drawn = np.random.default_rng(0).integers(len(table), size=(_DRAWS, len(table)))
    part, whole = np.moveaxis(table[drawn].sum(1), -1, 0)
    low, high = np.percentile(part / np.maximum(whole, 1.0), [5.0, 95.0])
    return float(low), float(high)
