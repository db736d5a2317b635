"""Sorting on disk is sorting, and the median by counting is the median."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo._util.external_sort import sorted_parts
from rm_geo._util.median import median

KEYS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1)), max_size=80)


def cut(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, values.size, size)]


@settings(deadline=None)
@given(keys=KEYS, block=st.integers(1, 30), run=st.integers(1, 100), bits=st.integers(0, 40))
def test_parts_are_the_sorted_keys_and_split_no_group(keys, block, run, bits) -> None:
    values = np.array(keys, dtype=np.uint64)
    parts = list(sorted_parts(cut(values, block), group_bits=bits, run_rows=run))
    assert all(part.size for part in parts)
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.uint64), *parts]), np.sort(values))
    groups = [set((part >> np.uint64(bits)).tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_parts_have_about_the_size_of_a_run() -> None:
    values = np.random.default_rng(0).integers(0, 2**63, 100_000).astype(np.uint64)
    parts = list(sorted_parts(cut(values, 777), run_rows=5_000))
    assert len(parts) >= 15
    assert max(part.size for part in parts) < 8_000


@settings(deadline=None, max_examples=300)
@given(
    values=st.lists(
        st.one_of(st.floats(-1e300, 1e300), st.sampled_from([0.0, 1.0, 13.4, -1.0])),
        min_size=1,
        max_size=60,
    ),
    block=st.integers(1, 20),
    sort_below=st.integers(1, 10),
)
def test_median_by_counting_equals_numpy(values, block, sort_below) -> None:
    array = np.array(values)
    assert median(lambda: cut(array, block), sort_below) == np.median(array)
