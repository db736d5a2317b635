"""Buildings are painted into a map where RadioMapSeer's gains have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.estimators.base import Estimate
from rm_geo.evaluation.walls import no_gain_probability, painted

probabilities = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((2, 7, 9), dtype=np.float32)
)


@settings(max_examples=30, deadline=None)
@given(probabilities)
def test_probabilities_stay_within_those_of_the_neighbours(p) -> None:
    q = no_gain_probability(p)
    assert q.shape == p.shape
    assert q.min() >= p.min() - 1e-6
    assert q.max() <= p.max() + 1e-6


@given(st.floats(0.0, 1.0, width=32))
def test_a_constant_stays_up_to_the_edges(value: float) -> None:
    assert no_gain_probability(np.full((3, 4), value, np.float32)) == pytest.approx(value)


def test_a_building_moves_half_a_pixel_north_east() -> None:
    p = np.zeros((6, 6), np.float32)
    p[2:5, 1:4] = 1.0
    rows, cols = np.indices(p.shape)
    q = no_gain_probability(p)
    assert (q * rows).sum() / q.sum() == pytest.approx(3.0 - 0.5)
    assert (q * cols).sum() / q.sum() == pytest.approx(2.0 + 0.5)


def test_only_maps_that_are_not_painted_are_painted() -> None:
    unit = np.full((1, 4, 4), 0.5, np.float32)
    sure = np.ones_like(unit)
    assert (painted(Estimate(unit, sure), unit) == 0.0).all()
    assert painted(Estimate(unit, sure, zero_in_buildings=True), unit) is unit
    assert painted(Estimate(unit), unit) is unit
