"""Local kriging is Gaussian process regression on the values that correlate most."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.local_kriging import LocalKriging, krige_together

ISOTROPIC = NestedExponentialCovariance((4.0, 5.0), (60.0, 400.0), 0.5)
STREETS = NestedExponentialCovariance(
    (2.0, 2.0, 1.0, 4.0), (250.0, 14.0, 50.0, 500.0), 0.5, (14.0, 250.0, None, None), 0.4
)


def scattered(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.0, 300.0, (count, 2))


def dense_kriging(position, value, noise, target, covariance, known_mean=None):
    """Universal kriging by the textbook's system, with a Lagrange multiplier."""
    matrix = covariance.between(position, position) + np.diag(noise)
    towards = covariance.between(position, target)
    if known_mean is not None:
        weight = linalg.solve(matrix, towards)
        variance = covariance.sill - (weight * towards).sum(0)
        return known_mean + weight.T @ (value - known_mean), variance
    count = len(value)
    bordered = np.block([[matrix, np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
    solved = linalg.solve(bordered, np.vstack([towards, np.ones(len(target))]))
    weight, multiplier = solved[:-1], solved[-1]
    return weight.T @ value, covariance.sill - (weight * towards).sum(0) - multiplier


@pytest.mark.parametrize("covariance", [ISOTROPIC, STREETS])
@pytest.mark.parametrize("known_mean", [None, -80.0])
def test_with_all_values_it_is_the_dense_system(covariance, known_mean) -> None:
    rng = np.random.default_rng(2)
    position, target = scattered(0, 30), scattered(1, 12)
    value, noise = rng.normal(-80.0, 3.0, 30), rng.uniform(0.1, 2.0, 30)
    field = LocalKriging(position, value, covariance, noise, known_mean)
    mean, variance = field.at(target)
    expected = dense_kriging(position, value, noise, target, covariance, known_mean)
    np.testing.assert_allclose(mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(variance, expected[1], atol=1e-6)


@pytest.mark.parametrize("covariance", [ISOTROPIC, STREETS])
def test_neighbors_are_those_with_the_largest_covariances(covariance) -> None:
    position, target = scattered(0, 400), scattered(1, 5)
    value = np.random.default_rng(3).normal(size=400)
    field = LocalKriging(position, value, covariance, neighbors=12, candidates=400)
    for place, found in zip(target, field.at(target).mean, strict=True):
        most = np.argsort(-covariance.between(place[None], position)[0])[:12]
        noise = np.full(12, covariance.nugget)
        expected, _ = dense_kriging(position[most], value[most], noise, place[None], covariance)
        assert found == pytest.approx(expected[0], abs=1e-6)


def test_neighbors_lie_along_the_street() -> None:
    """A near value across the street counts less than a far one along it."""
    position = np.array([[0.0, 100.0], [20.0, 0.0]])
    street = NestedExponentialCovariance((9.0,), (10.0,), 0.0, (250.0,))
    field = LocalKriging(position, np.array([1.0, 5.0]), street, neighbors=1)
    assert field.at(np.zeros((1, 2))).mean[0] == pytest.approx(1.0)


def test_noisy_values_weigh_less() -> None:
    position = np.array([[-1.0, 0.0], [1.0, 0.0]])
    field = LocalKriging(position, np.array([0.0, 10.0]), ISOTROPIC, np.array([0.01, 9.0]))
    assert field.at(np.zeros((1, 2))).mean[0] < 3.0


def test_estimates_do_not_depend_on_what_else_is_asked_for_or_on_threads(monkeypatch) -> None:
    position, target = scattered(0, 500), scattered(1, 2000)
    field = LocalKriging(position, np.random.default_rng(4).normal(size=500), STREETS)
    together = field.at(target)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.testing.assert_array_equal(field.at(target).mean, together.mean)
    backwards = field.at(target[::-1])
    np.testing.assert_allclose(backwards.mean[::-1], together.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(backwards.variance[::-1], together.variance, rtol=0, atol=1e-9)


@pytest.mark.parametrize("covariance", [ISOTROPIC, STREETS])
def test_estimates_near_each_other_are_those_of_each_alone(covariance) -> None:
    """Their systems share values, whose covariances are looked up."""
    position = scattered(0, 200)
    field = LocalKriging(position, position[:, 0], covariance, 0.1 + position[:, 1], neighbors=10)
    target = scattered(1, 300) / 10.0
    together = field.at(target)
    for number in range(0, len(target), 50):
        alone = field.at(target[number : number + 1])
        assert together.mean[number] == pytest.approx(alone.mean[0], abs=1e-9)
        assert together.variance[number] == pytest.approx(alone.variance[0], abs=1e-9)


def test_equal_covariances_fall_alike_under_other_roundings() -> None:
    """On a lattice many candidates tie for the last neighbours."""
    position = np.argwhere(np.ones((21, 21))) * 5.0
    value = np.random.default_rng(5).normal(size=len(position))
    turned = NestedExponentialCovariance((1.0, 1.0), (250.0, 14.0), 0.1, (14.0, 250.0))
    rounded = NestedExponentialCovariance((1.0, 1.0), (250.0, 14.0), 0.1, (14.0, 250.0), 1e-15)
    target = position[::7]
    first, second = (
        LocalKriging(position, value, covariance, neighbors=10).at(target).mean
        for covariance in (turned, rounded)
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)


@pytest.mark.parametrize("known_mean", [None, 7.0])
def test_one_value_is_the_estimate_beside_it(known_mean) -> None:
    field = LocalKriging(np.zeros((1, 2)), np.array([7.0]), ISOTROPIC, known_mean=known_mean)
    far = np.array([[0.0, 0.0], [1e6, 0.0]])
    np.testing.assert_allclose(field.at(far).mean, 7.0)


def test_equal_positions_without_noise_are_averaged() -> None:
    model = NestedExponentialCovariance.single(4.0, 10.0)
    position = np.zeros((4, 2))
    field = LocalKriging(position, np.array([1.0, 2.0, 3.0, 6.0]), model)
    assert field.at(np.zeros((1, 2))).mean[0] == pytest.approx(3.0, abs=1e-3)


def test_values_without_variance_are_averaged() -> None:
    model = NestedExponentialCovariance((0.0,), (10.0,), 0.0, (5.0,))
    field = LocalKriging(scattered(0, 50), np.full(50, -90.0), model, neighbors=8)
    mean, variance = field.at(scattered(1, 3))
    np.testing.assert_allclose(mean, -90.0)
    np.testing.assert_allclose(variance, 0.0, atol=1e-9)


def test_variance_grows_with_the_distance_up_to_the_sill() -> None:
    field = LocalKriging(scattered(0, 50), np.zeros(50), ISOTROPIC, known_mean=0.0)
    away = np.array([[150.0, 150.0], [400.0, 150.0], [1000.0, 150.0], [1e5, 150.0]])
    variance = field.at(away).variance
    assert np.all(np.diff(variance) > 0.0)
    assert variance[-1] == pytest.approx(ISOTROPIC.sill)


def test_nothing_is_asked_for() -> None:
    field = LocalKriging(np.zeros((1, 2)), np.zeros(1), ISOTROPIC)
    assert field.at(np.zeros((0, 2))).mean.shape == (0,)


def test_no_values_and_too_many_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LocalKriging(np.zeros((0, 2)), np.zeros(0), ISOTROPIC)
    with pytest.raises(ValueError, match="at most 4096"):
        LocalKriging(np.zeros((1, 2)), np.zeros(1), ISOTROPIC, candidates=5000)


@pytest.mark.parametrize("count", [1, 12, 200])
def test_weights_of_ordinary_kriging_give_the_estimates_of_any_values(count) -> None:
    place, target = scattered(1, count), scattered(2, 30)
    value = np.random.default_rng(3).normal(size=count)
    weights = LocalKriging(place, np.zeros(count), ISOTROPIC).weights_at(target)
    expected = LocalKriging(place, value, ISOTROPIC).at(target).mean
    np.testing.assert_allclose((weights.weight * value[weights.used]).sum(axis=1), expected)
    np.testing.assert_allclose(weights.weight.sum(axis=1), 1.0)


@pytest.mark.parametrize("covariance", [ISOTROPIC, STREETS])
@pytest.mark.parametrize("known_mean", [None, -80.0])
def test_single_precision_differs_by_little(covariance, known_mean) -> None:
    rng = np.random.default_rng(6)
    position, target = scattered(0, 400), scattered(1, 300)
    value, noise = rng.normal(-80.0, 8.0, 400), rng.uniform(0.1, 2.0, 400)
    exact = LocalKriging(position, value, covariance, noise, known_mean, neighbors=20)
    fast = replace(exact, single_precision=True)
    np.testing.assert_allclose(fast.at(target).mean, exact.at(target).mean, rtol=0, atol=8e-4)
    variance = exact.at(target).variance
    np.testing.assert_allclose(fast.at(target).variance, variance, rtol=0, atol=1e-3)


def test_fields_that_share_a_search_are_those_of_each_alone() -> None:
    """On a lattice many values are equally near."""
    position = np.argwhere(np.ones((21, 21))) * 5.0
    value = np.random.default_rng(5).normal(size=len(position))
    fields = [
        LocalKriging(position, value, covariance, neighbors=10)
        for covariance in (ISOTROPIC, STREETS)
    ]
    target = np.concatenate([position[::7], scattered(1, 100) / 3.0])
    for field, together in zip(fields, krige_together(fields, target), strict=True):
        np.testing.assert_allclose(together.mean, field.at(target).mean, rtol=0, atol=1e-9)
