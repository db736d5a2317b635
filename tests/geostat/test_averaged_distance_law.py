"""The averaged law finds transmitters that the data show, and stays calm where they do not."""

import numpy as np
import pytest

from rm_geo.geostat.averaged_distance_law import AveragedDistanceLaw
from rm_geo.geostat.covariance import NestedExponentialCovariance

SITE = np.array([300.0, 650.0])


def drive(seed: int, count: int = 300, side: float = 1000.0) -> np.ndarray:
    """Places along the streets of a grid of 100 m."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0.0, side, (count, 2))
    across = rng.integers(0, 2, count)
    place[np.arange(count), across] = np.round(place[np.arange(count), across] / 100.0) * 100.0
    return place


def levels(place: np.ndarray, slope: float, seed: int = 0, std: float = 6.0) -> np.ndarray:
    """Levels by the distance to the site, with correlated shadowing."""
    covariance = NestedExponentialCovariance.single(std**2, 60.0).between(place, place)
    lower = np.linalg.cholesky(covariance + 0.5 * np.eye(len(place)))
    shadowing = lower @ np.random.default_rng(seed).normal(size=len(place))
    return slope * np.log10(np.hypot(*(place - SITE).T) + 10.0) + shadowing


def test_weights_are_probabilities() -> None:
    place = drive(0)
    law = AveragedDistanceLaw.fit(place, levels(place, -35.0))
    assert law.weight.sum() + law.flat == pytest.approx(1.0, abs=1e-3)
    assert law.weight.min() > 0.0


def test_site_inside_the_data_is_found() -> None:
    place = drive(1)
    law = AveragedDistanceLaw.fit(place, levels(place, -35.0))
    found = law.weight @ law.site_m / law.weight.sum()
    assert np.hypot(*(found - SITE)) < 100.0
    assert law.flat < 0.01


def test_law_predicts_beyond_the_data_better_than_their_mean() -> None:
    near, far = drive(2, side=600.0), drive(3) + np.array([0.0, 600.0])
    level, truth = levels(near, -35.0), levels(far, -35.0, std=1e-3)
    law = AveragedDistanceLaw.fit(near, level)
    assert np.std(law.at(far) - truth) < np.std(truth)


@pytest.mark.parametrize("seed", range(4))
def test_shadowing_alone_is_not_extrapolated_wildly(seed: int) -> None:
    place = drive(4, side=400.0)
    level = levels(place, 0.0, seed)
    away = np.array([[-400.0, 200.0], [800.0, 200.0], [200.0, 900.0]])
    estimate = AveragedDistanceLaw.fit(place, level).at(away)
    assert estimate.min() > level.min() - 15.0
    assert estimate.max() < level.max() + 15.0


def test_known_site_is_the_only_candidate() -> None:
    place = drive(5)
    law = AveragedDistanceLaw.fit(place, levels(place, -30.0), site_m=SITE)
    np.testing.assert_array_equal(law.site_m, SITE[None])
    assert law.slope_db[0] == pytest.approx(-30.0, abs=6.0)
    error = law.at(place) - levels(place, -30.0, std=1e-3)
    assert np.sqrt(np.mean(error**2)) < 4.0


def test_noisy_levels_count_less() -> None:
    place = drive(6)
    level = levels(place, -35.0)
    wrong = np.arange(len(place)) % 2 == 0
    spoiled = np.where(wrong, level[::-1], level)
    truth = levels(place, -35.0, std=1e-3)
    noise = np.where(wrong, 1000.0, 0.0)

    def error(noise_db2):
        law = AveragedDistanceLaw.fit(place, spoiled, noise_db2)
        return np.sqrt(np.mean((law.at(place) - truth) ** 2))

    assert error(noise) < error(None)


def test_level_shifts_with_the_data_and_the_place() -> None:
    place = drive(7)
    level = levels(place, -35.0)
    shift = np.array([2000.0, -4000.0])
    here = AveragedDistanceLaw.fit(place, level)
    moved = AveragedDistanceLaw.fit(place + shift, level + 16.0)
    np.testing.assert_allclose(moved.at(place[:20] + shift), here.at(place[:20]) + 16.0, atol=1e-6)


@pytest.mark.parametrize(
    "place",
    [np.zeros((1, 2)), np.zeros((5, 2)), np.column_stack([np.arange(0, 500, 5.0), np.zeros(100)])],
)
def test_little_data_give_finite_levels_near_theirs(place: np.ndarray) -> None:
    law = AveragedDistanceLaw.fit(place, np.full(len(place), -90.0))
    estimate = law.at(np.vstack([place, place + 30.0]))
    assert np.abs(estimate + 90.0).max() < 10.0


def test_many_levels_cost_no_more_than_some_hundred() -> None:
    rng = np.random.default_rng(8)
    place = rng.uniform(0.0, 5000.0, (100_000, 2))
    law = AveragedDistanceLaw.fit(place, -35.0 * np.log10(np.hypot(*(place - SITE).T) + 10.0))
    assert len(law.weight) <= 17**2
    error = law.at(place) + 35.0 * np.log10(np.hypot(*(place - SITE).T) + 10.0)
    assert np.sqrt(np.mean(error**2)) < 2.0
