"""Tests of :mod:`rm_geo.geostat.extra_trees`."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from rm_geo.geostat.extra_trees import ExtraTrees


@pytest.mark.parametrize(
    ("values", "features", "max_features", "weighted"),
    [(60, 3, 1.0, True), (200, 9, 0.5, False), (5100, 2, 1.0, True)],
)
def test_trees_are_those_of_the_forest(
    values: int, features: int, max_features: float, weighted: bool
) -> None:
    rng = np.random.default_rng(0)
    table, value = rng.normal(size=(values, features)), rng.normal(size=values)
    weight = rng.uniform(1.0, 2.0, values) if weighted else None
    target = rng.normal(size=(50, features))
    forest = ExtraTreesRegressor(4, min_samples_leaf=2, max_features=max_features, random_state=0)
    expected = forest.fit(table, value, sample_weight=weight).predict(target)
    trees = ExtraTrees.fit(table, value, weight, number=4, max_features=max_features)
    np.testing.assert_array_equal(trees.at(target), expected)


def test_each_tree_learns_from_a_random_part_of_many_values() -> None:
    place = np.arange(400.0)[:, None]
    trees = ExtraTrees.fit(place, place[:, 0], np.ones(400), number=5, most_values=100)
    assert [int(tree.n_node_samples[0]) for tree in trees.trees] == [100] * 5
    assert len({float(tree.value[0, 0, 0]) for tree in trees.trees}) == 5
    np.testing.assert_allclose(trees.at(place)[100:300], place[100:300, 0], atol=40.0)


def test_one_value_is_the_estimate_everywhere() -> None:
    trees = ExtraTrees.fit(np.zeros((1, 2)), np.array([-90.0]), number=3)
    assert trees.at(np.ones((2, 2))).tolist() == [-90.0, -90.0]
