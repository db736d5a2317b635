"""REML recovers the range of simulated values, and finds none in noise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from rm_geo.geostat.covariance import NestedExponentialCovariance, fit_reml, shrink_mean


def simulated(length: float, seed: int, *, count: int = 250, nugget: float = 0.0):
    """Values with an exponential covariance of sill 16 at random places of a 100 x 100 square."""
    rng = np.random.default_rng(seed)
    position = rng.uniform(0.0, 100.0, (count, 2))
    covariance = 16.0 * np.exp(-cdist(position, position) / length) + (nugget + 1e-6) * np.eye(
        count
    )
    return position, np.linalg.cholesky(covariance) @ rng.normal(size=count)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(-200.0, 200.0))
def test_fit_does_not_depend_on_the_mean(seed: int, mean: float) -> None:
    position, value = simulated(20.0, seed, count=80)
    here, there = fit_reml(position, value), fit_reml(position, value + mean)
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert there.sill == pytest.approx(here.sill, rel=1e-4)
        assert there.longest_range == here.longest_range
        assert there.nugget == pytest.approx(here.nugget, rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 50.0))
def test_variances_scale_with_the_unit_of_the_values(seed: int, factor: float) -> None:
    position, value = simulated(20.0, seed, count=80)
    one, scaled = fit_reml(position, value), fit_reml(position, factor * value)
    assert one is not None
    assert scaled is not None
    assert scaled.ranges == one.ranges
    assert scaled.sill == pytest.approx(factor**2 * one.sill, rel=1e-6)


@pytest.mark.parametrize("length", [5.0, 20.0, 60.0])
def test_range_is_recovered_within_a_factor_of_two(length: float) -> None:
    found = [fit_reml(*simulated(length, seed)) for seed in range(5)]
    ranges = [covariance.longest_range for covariance in found if covariance is not None]
    assert len(ranges) == 5
    assert length / 2.0 <= np.median(ranges) <= length * 2.0


def test_no_correlation_is_found_in_noise() -> None:
    rng = np.random.default_rng(0)
    found = [fit_reml(rng.uniform(0, 100, (150, 2)), rng.normal(size=150)) for _ in range(10)]
    assert sum(covariance is not None for covariance in found) <= 2


def test_added_noise_becomes_the_nugget() -> None:
    covariance = fit_reml(*simulated(30.0, 3, nugget=8.0))
    assert covariance is not None
    assert 3.0 < covariance.nugget < 16.0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_values_give_no_covariance(count: int) -> None:
    assert fit_reml(np.zeros((count, 2)), np.arange(float(count))) is None


@given(st.floats(-1e3, 1e3), st.floats(0.0, 1e3))
def test_shrunk_mean_is_never_larger_and_keeps_its_sign(mean: float, variance: float) -> None:
    shrunk = shrink_mean(mean, variance)
    assert abs(shrunk) <= abs(mean)
    assert shrunk * mean >= 0.0


def test_lags_and_positions_give_the_same_covariance() -> None:
    rng = np.random.default_rng(0)
    model = NestedExponentialCovariance((4.0, 0.0, 9.0), (3.0, 50.0, 12.0), 1.0)
    first, second = rng.uniform(0, 40, (7, 2)), rng.uniform(0, 40, (5, 2))
    du, dw = np.moveaxis(first[:, None] - second[None], -1, 0)
    np.testing.assert_allclose(model.at_lags(du, dw), model.between(first, second), rtol=1e-12)
    assert model.sill == 13.0
    assert model.longest_range == 12.0  # the structure without a sill does not count
    assert model.at_lags(np.zeros(1, np.float32), np.zeros(1, np.float32)).dtype == np.float32


def test_range_is_the_distance_of_a_correlation_of_one_over_e() -> None:
    model = NestedExponentialCovariance.single(sill=1.0, range=8.0)
    beyond = model.at_lags(np.array([8.0, model.practical_range]), np.zeros(2))
    np.testing.assert_allclose(beyond, [np.exp(-1.0), np.exp(-3.0)])


STREETS = NestedExponentialCovariance((4.0, 3.0), (100.0, 20.0), 1.0, (10.0, None), 0.3)


def test_covariance_along_a_street_reaches_further_than_across() -> None:
    along = 50.0 * np.array([np.cos(0.3), np.sin(0.3)])
    across = 50.0 * np.array([-np.sin(0.3), np.cos(0.3)])
    lags = np.stack([along, across])
    shared = 3.0 * np.exp(-50.0 / 20.0)
    expected = [4.0 * np.exp(-50.0 / 100.0) + shared, 4.0 * np.exp(-50.0 / 10.0) + shared]
    np.testing.assert_allclose(STREETS.at_lags(*lags.T), expected)


@given(st.floats(-4.0, 4.0))
def test_turning_positions_and_axes_together_changes_nothing(angle: float) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 40, (7, 2)), rng.uniform(0, 40, (5, 2))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = dataclasses.replace(STREETS, angle=STREETS.angle + angle)
    np.testing.assert_allclose(
        turned.between(first @ turn, second @ turn), STREETS.between(first, second), rtol=1e-9
    )


def test_anisotropic_covariance_is_valid() -> None:
    position = np.random.default_rng(1).uniform(0, 200, (150, 2))
    matrix = STREETS.between(position, position)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0.0


def test_equal_ranges_along_two_axes_are_no_circle() -> None:
    model = NestedExponentialCovariance((1.0,), (10.0,), cross_ranges=(10.0,))
    straight, diagonal = model.at_lags(np.array([10.0, 6.0]), np.array([0.0, 8.0]))
    assert straight == pytest.approx(np.exp(-1.0))
    assert diagonal == pytest.approx(np.exp(-1.4))


def test_longest_range_of_either_axis_counts() -> None:
    model = NestedExponentialCovariance((1.0, 0.0), (10.0, 500.0), cross_ranges=(70.0, None))
    assert model.longest_range == 70.0
    assert not model.is_isotropic


@pytest.mark.parametrize("wrong", [{"ranges": (1.0, 2.0)}, {"cross_ranges": (1.0, 2.0)}])
def test_structures_must_be_complete(wrong: dict) -> None:
    with pytest.raises(ValueError, match="1 sills, but 2"):
        NestedExponentialCovariance(**({"sills": (1.0,), "ranges": (1.0,)} | wrong))
