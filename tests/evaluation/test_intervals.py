"""Intervals of scores that are pooled over scenes."""

import numpy as np

from rm_geo.evaluation.intervals import ratio_interval


def test_the_interval_holds_the_pooled_ratio_and_narrows_with_more_scenes():
    rng = np.random.default_rng(0)
    wholes = rng.uniform(50.0, 100.0, 400)
    parts = wholes * rng.uniform(0.2, 0.6, 400)
    width = {}
    for count in (10, 400):
        low, high = ratio_interval(parts[:count], wholes[:count])
        assert low < parts[:count].sum() / wholes[:count].sum() < high
        width[count] = high - low
    assert width[400] < width[10] / 3.0


def test_there_is_none_without_scenes():
    assert np.isnan(ratio_interval([], [])).all()
