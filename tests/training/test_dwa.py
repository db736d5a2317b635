"""Dynamic weight averaging."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.training.losses import DynamicWeightAverage

LOSSES = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=2)


def test_weights_are_one_in_the_first_two_epochs():
    dwa = DynamicWeightAverage()
    assert dwa.weights == [1.0, 1.0]
    dwa.end_epoch([1.0, 5.0])
    assert dwa.weights == [1.0, 1.0]


@given(st.lists(LOSSES, min_size=2, max_size=5))
def test_weights_sum_to_the_number_of_tasks(epochs):
    dwa = DynamicWeightAverage()
    for means in epochs:
        dwa.end_epoch(means)
    assert sum(dwa.weights) == pytest.approx(2.0)
    assert min(dwa.weights) > 0.0


def test_the_loss_that_decreases_more_slowly_has_the_larger_weight():
    dwa = DynamicWeightAverage()
    dwa.end_epoch([1.0, 1.0])
    dwa.end_epoch([0.5, 0.9])
    assert dwa.weights[1] > 1.0 > dwa.weights[0]


def test_weights_depend_only_on_the_last_two_epochs():
    long, short = DynamicWeightAverage(), DynamicWeightAverage()
    long.end_epoch([9.0, 1.0])
    for means in ([2.0, 1.0], [1.0, 1.0]):
        long.end_epoch(means)
        short.end_epoch(means)
    assert long.weights == short.weights


def test_a_wrong_number_of_losses_is_rejected():
    with pytest.raises(ValueError, match="2 losses"):
        DynamicWeightAverage().end_epoch([1.0])
