"""Impossible rows are dropped, each counted once, under the first reason that applies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rm_geo.measurements.cleaning import (
    CleaningReport,
    DropReason,
    check_rows,
    count_repeats,
    isolated_fillers,
    wrap_longitudes,
)

ANY_FLOAT = st.floats(width=64, allow_nan=True, allow_infinity=True)
LEVELS = st.one_of(ANY_FLOAT, st.sampled_from([-30.0, -200.0, -167.0]), st.floats(-160, -15))


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = draw(st.integers(0, 30))
    column = hnp.arrays(np.float64, count, elements=st.one_of(ANY_FLOAT, st.floats(-180, 180)))
    return draw(column), draw(column), draw(hnp.arrays(np.float64, count, elements=LEVELS))


@settings(max_examples=60, deadline=None)
@given(rows=rows(), geographic=st.booleans())
def test_every_row_is_kept_or_counted_once(rows, geographic) -> None:
    x, y, rsrp = rows
    check = check_rows(x, y, rsrp, geographic=geographic)
    assert check.keep.sum() + sum(check.dropped.values()) == x.size
    assert all(count > 0 for count in check.dropped.values())


@settings(max_examples=60, deadline=None)
@given(rows=rows(), geographic=st.booleans())
def test_kept_rows_are_valid(rows, geographic) -> None:
    x, y, rsrp = rows
    keep = check_rows(x, y, rsrp, geographic=geographic).keep
    assert np.isfinite(x[keep]).all()
    assert np.isfinite(y[keep]).all()
    assert ((rsrp[keep] >= -156) & (rsrp[keep] <= -20)).all()
    assert ((x[keep] != 0) | (y[keep] != 0)).all()
    if geographic:
        assert (np.abs(x[keep]) <= 180).all()
        assert (np.abs(y[keep]) <= 90).all()


@settings(max_examples=40, deadline=None)
@given(rows=rows(), seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(rows, seed) -> None:
    x, y, rsrp = rows
    order = np.random.default_rng(seed).permutation(x.size)
    straight = check_rows(x, y, rsrp, geographic=True)
    shuffled = check_rows(x[order], y[order], rsrp[order], geographic=True)
    np.testing.assert_array_equal(shuffled.keep, straight.keep[order])
    assert shuffled.dropped == straight.dropped


@pytest.mark.parametrize(
    ("x", "y", "rsrp", "reason"),
    [
        (np.nan, 50.0, -90.0, DropReason.NO_POSITION),
        (0.0, 0.0, -90.0, DropReason.ZERO_POSITION),
        (181.0, 50.0, -90.0, DropReason.POSITION_OUT_OF_RANGE),
        (8.0, 91.0, -90.0, DropReason.POSITION_OUT_OF_RANGE),
        (8.0, -np.inf, -90.0, DropReason.POSITION_OUT_OF_RANGE),
        (8.0, 50.0, np.nan, DropReason.NO_RSRP),
        (8.0, 50.0, -np.inf, DropReason.INFINITE),
        (8.0, 50.0, -200.0, DropReason.PLACEHOLDER),
        (8.0, 50.0, -205.0, DropReason.PLACEHOLDER),
        (8.0, 50.0, -167.0, DropReason.PLACEHOLDER),
        (8.0, 50.0, -30.0, DropReason.ISOLATED_FILLER),
        (8.0, 50.0, -156.1, DropReason.IMPOSSIBLE),
        (8.0, 50.0, -19.9, DropReason.IMPOSSIBLE),
        (8.0, 50.0, 2147483647.0, DropReason.IMPOSSIBLE),
        (8.0, 50.0, 0.0, DropReason.IMPOSSIBLE),
    ],
)
def test_drop_reason_of_a_row(x: float, y: float, rsrp: float, reason: DropReason) -> None:
    check = check_rows(
        np.array([8.0, x]), np.array([50.0, y]), np.array([-95.0, rsrp]), geographic=True
    )
    assert check.keep.tolist() == [True, False]
    assert check.dropped == {reason: 1}


@pytest.mark.parametrize("rsrp", [-156.0, -140.0, -44.0, -20.0])
def test_limits_of_rsrp_are_valid(rsrp: float) -> None:
    one = np.array([8.0])
    assert check_rows(one, one, np.array([rsrp]), geographic=True).keep.all()


def test_minus_30_is_kept_beside_similar_levels() -> None:
    near_an_antenna = np.array([-30.0, -31.0, -33.5, -38.0, -60.0, -90.0])
    assert not isolated_fillers(near_an_antenna).any()


def test_minus_30_is_dropped_where_it_is_isolated_and_frequent() -> None:
    placeholder = np.array([-30.0] * 5 + [-36.0] + [-90.0] * 50)
    assert isolated_fillers(placeholder).sum() == 5


def test_minus_30_is_kept_without_other_levels() -> None:
    assert not isolated_fillers(np.array([-30.0, -30.0, np.nan])).any()


def test_longitudes_counted_to_360_are_wrapped() -> None:
    np.testing.assert_allclose(
        wrap_longitudes(np.array([179.9, 180.1, 359.0])), [179.9, -179.9, -1]
    )


def test_single_longitude_beyond_180_is_not_wrapped() -> None:
    europe = np.append(np.full(500, 8.0), 200.0)
    np.testing.assert_array_equal(wrap_longitudes(europe), europe)
    mixed = np.array([-8.0, 200.0])
    np.testing.assert_array_equal(wrap_longitudes(mixed), mixed)


def test_repeats_are_rows_that_occurred_before() -> None:
    x = np.array([1.0, 1.0, 1.0, 2.0])
    y = np.array([5.0, 5.0, 6.0, 5.0])
    assert count_repeats(x, y) == 1
    assert count_repeats(x, y, np.array([0, 1, 0, 0])) == 0


def test_report_has_text_and_json() -> None:
    report = CleaningReport(
        source="drive.csv",
        total=10,
        kept=7,
        dropped={DropReason.NO_RSRP: 1, DropReason.ZERO_POSITION: 2},
        columns={"RSRP": "ssRsrp"},
        warnings=("look here",),
    )
    text = "\n".join(report.lines())
    assert "7 of 10 rows" in text
    assert "1 row without an RSRP" in text
    assert "2 rows at position (0, 0)" in text
    assert "warning: look here" in text
    assert report.dropped_total == 3
    assert json.loads(json.dumps(report.as_dict()))["dropped"] == {
        "no_rsrp": 1,
        "zero_position": 2,
    }
