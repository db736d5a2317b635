"""Threshold of building masks by the expected F1."""

import numpy as np
import pytest

from rm_geo.buildings.threshold import (
    USUAL_THRESHOLD,
    Calibration,
    ExpectedF1,
    expected_f1_threshold,
)
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


def test_a_calibration_corrects_the_threshold():
    rng = np.random.default_rng(3)
    true = rng.beta(0.6, 2.4, 40_000)
    buildings = rng.random(len(true)) < true
    # A network whose log-odds are shifted and stretched, so that its probabilities are too high.
    log_odds = (np.log(true / (1.0 - true)) + 2.5) / 0.7
    said = (1.0 / (1.0 + np.exp(-log_odds))).astype(np.float32)
    best = max(f1(said, buildings, t) for t in np.arange(0.01, 0.99, 0.01))
    calibration = Calibration(offset=-2.5, slope=0.7)
    np.testing.assert_allclose(calibration.applied(said), true, atol=1e-3)
    plain = f1(said, buildings, expected_f1_threshold(said))
    corrected = f1(said, buildings, expected_f1_threshold(said, calibration))
    assert corrected >= best - 0.005
    assert plain < corrected - 0.02


@pytest.mark.parametrize(
    "text",
    [None, "", "offset nan, slope 1", "offset 0.1, slope 0", "offset ., slope .", "slope 2"],
)
def test_tags_without_a_calibration_mean_calibrated_probabilities(text):
    assert Calibration.parse(text) == Calibration()
