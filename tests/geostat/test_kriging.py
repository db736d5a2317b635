"""Dense kriging is Gaussian process regression, with a mean that must earn its belief."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from rm_geo.geostat.covariance import ExponentialCovariance
from rm_geo.geostat.kriging import krige_at, solve_exactly

SMOOTH = ExponentialCovariance(sill=9.0, range=15.0, nugget=0.0)


def places(seed: int, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = rng.choice(60 * 60, count, replace=False)
    return np.column_stack([cells // 60, cells % 60]).astype(float)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_values_without_noise_are_honoured(seed: int) -> None:
    place = places(seed)
    value = np.random.default_rng(seed).normal(0, 3, len(place))
    assert krige_at(place, value, place, SMOOTH) == pytest.approx(value, abs=1e-6)


def test_around_no_mean_it_is_gaussian_process_regression() -> None:
    place, target = places(1), places(2)
    law = ExponentialCovariance(9.0, 15.0, 1.0)
    value = np.random.default_rng(3).normal(0, 3, len(place))
    solved = solve_exactly(place, value, law)
    assert solved.mean == 0.0  # nothing beyond chance
    kernel = ConstantKernel(9.0, "fixed") * Matern(15.0, "fixed", nu=0.5)
    expected = GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None).fit(place, value)
    assert krige_at(place, value, target, law) == pytest.approx(expected.predict(target), abs=1e-6)


def test_a_mean_beyond_doubt_is_carried_far() -> None:
    place = places(4, 200)
    value = 20.0 + np.random.default_rng(5).normal(0, 1, len(place))
    far = np.array([[1000.0, 1000.0]])
    law = ExponentialCovariance(1.0, 3.0, 0.1)
    assert krige_at(place, value, far, law)[0] == pytest.approx(20.0, abs=0.5)


def test_values_of_many_measurements_weigh_more() -> None:
    place = np.array([[0.0, 0.0], [0.0, 2.0]])
    value = np.array([1.0, -1.0])
    law = ExponentialCovariance(1.0, 20.0, 1.0)
    middle = np.array([[0.0, 1.0]])

    def at_middle(number: np.ndarray) -> float:
        mean, weights = solve_exactly(place, value, law, number)
        near = np.exp(-np.linalg.norm(middle - place, axis=1) / law.range)
        return mean + float(near @ weights)

    assert at_middle(np.array([1.0, 1.0])) == pytest.approx(0.0, abs=1e-9)
    assert at_middle(np.array([9.0, 1.0])) > 0.0
