"""Threshold of building masks by the expected F1."""

import numpy as np
import pytest

from rm_geo.buildings.threshold import USUAL_THRESHOLD, ExpectedF1, expected_f1_threshold
from rm_geo.validation.metrics import BuildingCounts


def f1(probability, buildings, threshold):
    return BuildingCounts.of(probability, buildings, threshold=threshold).scores().f1


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 5.0], ids=["dense", "usual", "sparse"])
def test_it_is_as_good_as_the_best_threshold_if_the_probabilities_are_calibrated(sharpness):
    rng = np.random.default_rng(0)
    probability = rng.beta(0.25 * sharpness, 1.0 * sharpness, 40_000).astype(np.float32)
    buildings = rng.random(len(probability)) < probability
    best = max(f1(probability, buildings, t) for t in np.arange(0.01, 0.9, 0.01))
    found = f1(probability, buildings, expected_f1_threshold(probability))
    assert found >= best - 0.005
    if sharpness == 5.0:
        assert found > f1(probability, buildings, 0.5) + 0.2


def test_it_is_half_of_the_expected_f1():
    probability = np.random.default_rng(1).beta(0.5, 3.0, 20_000).astype(np.float32)
    threshold = expected_f1_threshold(probability)
    chosen = probability >= threshold
    expected = 2.0 * probability[chosen].sum() / (chosen.sum() + probability.sum())
    assert threshold == pytest.approx(expected / 2.0, abs=1e-3)


def test_parts_of_a_map_give_the_threshold_of_the_whole():
    probability = np.random.default_rng(2).random((64, 32)).astype(np.float32)
    probability[:5] = np.nan
    counts = ExpectedF1()
    for rows in np.array_split(probability, 7):
        counts.add(rows)
    assert counts.threshold() == expected_f1_threshold(probability)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [np.nan], [0.0, 1.0]])
def test_maps_without_doubt_have_the_usual_threshold(values):
    assert expected_f1_threshold(np.array(values, np.float32)) == USUAL_THRESHOLD
