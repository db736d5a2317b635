"""Where a map of gains is 0, by a map of buildings: walls of the data sets lie between pixels."""

from __future__ import annotations

import numpy as np

from rm_geo.estimators.base import Estimate, FloatArray


def no_gain_probability(building_probability: FloatArray) -> FloatArray:
    """Probability that a pixel has no gain, as buildings lie in RadioMapSeer.

    The walls of its gains lie half a pixel north-east of those of its building maps: of the
    building pixels at southern and western walls 44 % have a gain, at northern and eastern
    ones 6 % (47 of its maps). So a pixel has the building probability of the four pixels that meet
    at its own south-western corner: a perfect map is 1.8 dB off then, and 2.6 dB with that of
    the pixel itself.

    Parameters
    ----------
    building_probability : ndarray of float32, shape (..., H, W)
        0..1; row 0 is the north.

    Returns
    -------
    ndarray of float32, shape (..., H, W)
    """
    p = building_probability
    south = np.concatenate([p[..., 1:, :], p[..., -1:, :]], axis=-2)
    both = p + south
    west = np.concatenate([both[..., :1], both[..., :-1]], axis=-1)
    return np.asarray(0.25 * (both + west), dtype=np.float32)


def painted(estimate: Estimate, map_unit: FloatArray) -> FloatArray:
    """Paint buildings into a map, as the papers' radio maps have them: 0 there.

    A pixel counts as the map times the probability of a gain, which has the least squared
    error; one cut at a threshold errs at walls.

    Parameters
    ----------
    estimate : Estimate
        With building probabilities or without; a map that is 0 in buildings stays as it is.
    map_unit : ndarray of float32, shape (B, H, W)
        Its radio map on the 0..1 noise-floor scale.
    """
    if estimate.building_probability is None or estimate.zero_in_buildings:
        return map_unit
    gain_probability = np.float32(1) - no_gain_probability(estimate.building_probability)
    return np.asarray(map_unit * gain_probability, dtype=np.float32)
