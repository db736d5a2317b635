"""Deviations by the distance to the nearest measurement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import KDTree

from rm_geo.geostat.covariance import NestedExponentialCovariance
from rm_geo.geostat.intervals import (
    DeviationCurve,
    balanced_by_distance,
    block_mean_errors,
    coverage,
    held_out_folds,
    spread_db,
)
from rm_geo.geostat.local_kriging import LocalKriging

_COVARIANCE = NestedExponentialCovariance((40.0, 30.0), (60.0, 400.0), 4.0)


def _field(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels along the streets of a grid of blocks of 100 m, of a known covariance."""
    along, across = np.arange(0.0, 800.0, 6.0), np.arange(0.0, 800.0, 100.0)
    first = np.stack(np.meshgrid(along, across), -1).reshape(-1, 2)
    place = np.unique(np.concatenate([first, first[:, ::-1]]), axis=0)
    apart = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    covariance = 40.0 * np.exp(-apart / 60.0) + 30.0 * np.exp(-apart / 400.0)
    rng = np.random.default_rng(seed)
    shadow = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(place))) @ rng.normal(
        size=len(place)
    )
    return place, -95.0 + shadow + rng.normal(0.0, 2.0, len(place))


def _errors(place: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distances, errors and positions at held-out blocks."""
    found = []
    for kept, held in held_out_folds(place):
        estimate = LocalKriging(place[kept], level[kept], _COVARIANCE).at(place[held]).mean
        distance, _ = KDTree(place[kept]).query(place[held])
        found.append((distance, estimate - level[held], place[held]))
    distance, error, at = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return distance, error, at


class TestDeviationCurve:
    def test_intervals_of_90_percent_hold_90_percent_of_further_fields(self) -> None:
        held = []
        for seed in range(4):
            distance, error, _ = _errors(*_field(seed))
            curve = DeviationCurve.fit(distance, error)
            distance, error, _ = _errors(*_field(seed + 10))
            held.append(coverage(error, curve.at(distance)))
        assert 0.87 <= np.mean(held) <= 0.93

    def test_means_have_a_curve_of_their_own(self) -> None:
        held = []
        for seed in range(4):
            distance, error, at = _errors(*_field(seed))
            _, means, far = block_mean_errors(at, error, distance)
            curve = DeviationCurve.fit(far, means)
            distance, error, at = _errors(*_field(seed + 10))
            _, means, far = block_mean_errors(at, error, distance)
            held.append(coverage(means, curve.at(far)))
        assert 0.86 <= np.mean(held) <= 0.94

    def test_does_not_fall_with_the_distance(self) -> None:
        rng = np.random.default_rng(0)
        distance = rng.uniform(0, 100, 3000)
        curve = DeviationCurve.fit(distance, rng.normal(0, 8.0 - distance / 20.0))
        assert np.all(np.diff(curve.at(np.linspace(0, 200, 50))) >= 0)

    def test_is_never_larger_than_the_data_allow(self) -> None:
        rng = np.random.default_rng(0)
        level = rng.normal(-90, 6, 500)
        curve = DeviationCurve.fit(
            rng.uniform(0, 100, 500), rng.normal(0, 150, 500), largest_db=spread_db(level)
        )
        assert (
            curve.at(np.array([0.0, 1e6])).max() <= spread_db(level) == pytest.approx(6, rel=0.15)
        )

    def test_few_blocks_widen_the_interval(self) -> None:
        rng = np.random.default_rng(0)
        distance, error = rng.uniform(0, 10, 60), rng.normal(0, 5, 60)
        independent = DeviationCurve.fit(distance, error).std_db[0]
        clustered = DeviationCurve.fit(distance, error, block=np.arange(60) // 20).std_db[0]
        assert clustered > independent

    @pytest.mark.parametrize("number", [0, 1, 3])
    def test_hardly_any_error(self, number: int) -> None:
        curve = DeviationCurve.fit(np.arange(number) * 1.0, np.full(number, 2.0), largest_db=7.0)
        assert np.all(curve.at(np.array([0.0, 50.0])) <= 7.0)
        assert np.all(curve.at(np.array([0.0, 50.0])) > 0.0)

    def test_unknown_errors_are_left_out(self) -> None:
        error = np.where(np.arange(200) % 2 == 0, np.nan, 3.0)
        curve = DeviationCurve.fit(np.ones(200), error)
        assert curve.std_db[0] == pytest.approx(3.0 / 1.645, rel=1e-3)


def test_every_position_is_held_out_once_for_each_size_of_block() -> None:
    place, _ = _field(0)
    held = np.concatenate([held for _, held in held_out_folds(place)])
    assert np.bincount(held).tolist() == [2] * len(place)


def test_one_block_cannot_be_held_out() -> None:
    assert list(held_out_folds(np.ones((5, 2)))) == []


def test_errors_are_chosen_by_the_distances_of_the_map() -> None:
    rng = np.random.default_rng(0)
    chosen = balanced_by_distance(rng.uniform(0, 100, 2000), rng.uniform(60, 100, 5000))
    distance = np.random.default_rng(0).uniform(0, 100, 2000)[chosen]
    assert distance.min() > 55
    assert distance.mean() == pytest.approx(80, abs=2)


def test_spread_of_nothing_and_of_constant_levels() -> None:
    assert spread_db(np.empty(0)) == np.inf
    assert spread_db(np.full(9, -90.0)) == 0.0
