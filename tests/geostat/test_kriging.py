"""Direct kriging is Gaussian process regression, with a mean that is shrunk towards 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.kriging import krige_at, solve_exactly

SINGLE = NestedExponentialCovariance.single
SMOOTH = SINGLE(sill=9.0, range=15.0)


def positions(seed: int, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pixels = rng.choice(60 * 60, count, replace=False)
    return np.column_stack([pixels // 60, pixels % 60]).astype(float)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_estimate_equals_values_without_nugget(seed: int) -> None:
    position = positions(seed)
    value = np.random.default_rng(seed).normal(0, 3, len(position))
    assert krige_at(position, value, position, SMOOTH) == pytest.approx(value, abs=1e-6)


def test_kriging_without_mean_is_gaussian_process_regression() -> None:
    position, target = positions(1), positions(2)
    model = SINGLE(9.0, 15.0, 1.0)
    value = np.random.default_rng(3).normal(0, 3, len(position))
    solved = solve_exactly(position, value, model)
    assert solved.mean == 0.0  # nothing beyond chance
    kernel = ConstantKernel(9.0, "fixed") * Matern(15.0, "fixed", nu=0.5)
    expected = GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None).fit(position, value)
    assert krige_at(position, value, target, model) == pytest.approx(
        expected.predict(target), abs=1e-6
    )


def test_significant_mean_is_extrapolated() -> None:
    position = positions(4, 200)
    value = 20.0 + np.random.default_rng(5).normal(0, 1, len(position))
    far = np.array([[1000.0, 1000.0]])
    model = SINGLE(1.0, 3.0, 0.1)
    assert krige_at(position, value, far, model)[0] == pytest.approx(20.0, abs=0.5)


def test_values_of_many_measurements_have_more_weight() -> None:
    position = np.array([[0.0, 0.0], [0.0, 2.0]])
    value = np.array([1.0, -1.0])
    model = SINGLE(1.0, 20.0, 1.0)
    middle = np.array([[0.0, 1.0]])

    def at_middle(count: np.ndarray) -> float:
        mean, weights = solve_exactly(position, value, model, count)
        return mean + float((model.between(middle, position) @ weights)[0])

    assert at_middle(np.array([1.0, 1.0])) == pytest.approx(0.0, abs=1e-9)
    assert at_middle(np.array([9.0, 1.0])) > 0.0
