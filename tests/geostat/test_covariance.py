"""The likeliest covariance finds the range that made the values, and none in noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from rm_geo.geostat.covariance import fit_reml, shrink_mean


def made_by(length: float, seed: int, *, count: int = 250, nugget: float = 0.0):
    """Values with an exponential covariance of sill 16 at random places of a 100 x 100 square."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0.0, 100.0, (count, 2))
    covariance = 16.0 * np.exp(-cdist(place, place) / length) + (nugget + 1e-6) * np.eye(count)
    return place, np.linalg.cholesky(covariance) @ rng.normal(size=count)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(-200.0, 200.0))
def test_a_mean_changes_nothing(seed: int, mean: float) -> None:
    place, value = made_by(20.0, seed, count=80)
    here, there = fit_reml(place, value), fit_reml(place, value + mean)
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert there == pytest.approx(here, rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 50.0))
def test_units_of_the_values_scale_the_variances(seed: int, factor: float) -> None:
    place, value = made_by(20.0, seed, count=80)
    one, scaled = fit_reml(place, value), fit_reml(place, factor * value)
    assert one is not None
    assert scaled is not None
    assert scaled.range == one.range
    assert scaled.sill == pytest.approx(factor**2 * one.sill, rel=1e-6)


@pytest.mark.parametrize("length", [5.0, 20.0, 60.0])
def test_the_range_is_found_to_a_factor_of_two(length: float) -> None:
    found = [fit_reml(*made_by(length, seed)) for seed in range(5)]
    ranges = [covariance.range for covariance in found if covariance is not None]
    assert len(ranges) == 5
    assert length / 2.0 <= np.median(ranges) <= length * 2.0


def test_noise_has_no_correlation() -> None:
    rng = np.random.default_rng(0)
    found = [fit_reml(rng.uniform(0, 100, (150, 2)), rng.normal(size=150)) for _ in range(10)]
    assert sum(covariance is not None for covariance in found) <= 2


def test_noise_on_top_becomes_the_nugget() -> None:
    covariance = fit_reml(*made_by(30.0, 3, nugget=8.0))
    assert covariance is not None
    assert 3.0 < covariance.nugget < 16.0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_values_say_nothing(count: int) -> None:
    assert fit_reml(np.zeros((count, 2)), np.arange(float(count))) is None


@given(st.floats(-1e3, 1e3), st.floats(0.0, 1e3))
def test_a_mean_is_never_believed_beyond_itself(mean: float, variance: float) -> None:
    believed = shrink_mean(mean, variance)
    assert abs(believed) <= abs(mean)
    assert believed * mean >= 0.0
