"""A column is what was appended to it, wherever it lies, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo._util import disk_columns
from rm_geo._util.disk_columns import DiskColumn, drop_pages, empty_column, iter_blocks, map_blocks
from rm_geo.errors import OutputError

BLOCKS = st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=9)


@settings(deadline=None, max_examples=40)
@given(blocks=BLOCKS, limit=st.integers(0, 40), dtype=st.sampled_from(["i4", "f8", "M8[ms]"]))
def test_column_holds_appended_values_in_memory_or_on_disk(blocks, limit, dtype) -> None:
    column = DiskColumn(dtype, limit)
    for block in blocks:
        column.append(np.array(block, dtype="i8").astype(dtype))
    expected = np.concatenate([np.empty(0, "i8"), *map(np.array, blocks)]).astype("i8")
    assert len(column) == expected.size
    values = column.finish()
    assert values.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(values, expected.astype(dtype))
    assert len(column) == 0


@pytest.mark.parametrize("in_memory", [10**6, 10])
def test_computed_column_equals_whole_computation(monkeypatch, in_memory) -> None:
    monkeypatch.setattr(disk_columns, "IN_MEMORY_ROWS", in_memory)
    monkeypatch.setattr(disk_columns, "BLOCK_ROWS", 7)
    left, right = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    values = map_blocks(np.subtract, left, right, dtype=np.float32)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, left - right)
    assert map_blocks(np.negative, left[:0], dtype=np.float32).size == 0


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 50), size=st.integers(1, 60), limit=st.integers(0, 60))
def test_blocks_cover_every_row_once_and_can_be_written(rows, size, limit) -> None:
    column = empty_column(rows, np.int64, limit)
    for block, numbers in iter_blocks(column, np.arange(rows), rows=size):
        assert block.size <= size
        block[:] = numbers
    drop_pages(column)
    np.testing.assert_array_equal(column, np.arange(rows))


def test_appended_view_does_not_keep_its_base() -> None:
    column = DiskColumn(np.float64)
    column.append(np.zeros(1000)[:1])
    assert column.finish().base is None


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files by /proc")
def test_file_is_unnamed_and_removed_with_its_array(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def mapped() -> bool:
        return str(tmp_path) in Path("/proc/self/maps").read_text()

    column = empty_column(1000, np.float64, 0)
    part = column[10:20]
    assert mapped()
    assert not any(tmp_path.iterdir())
    del column
    part[:] = 7.0
    assert mapped()
    del part
    gc.collect()
    assert not mapped()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for the memory")
def test_pages_of_visited_blocks_are_dropped() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    column = empty_column(6_000_000, np.float64, 0)  # 48 MB
    begun = highest = resident()
    for (block,) in iter_blocks(column, rows=100_000):
        block[:] = 1.0
        highest = max(highest, resident())
    assert highest - begun < 10_000_000
    assert column[-1] == 1.0


def test_full_disk_is_an_output_error(monkeypatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_columns.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match=r"space|full"):
        empty_column(10, np.float64, 0)
