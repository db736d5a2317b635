"""Rows that were written come back to the bit; all others are NaN."""

from collections import namedtuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo._util.own_folder import OwnFolder
from rm_geo._util.row_blocks import row_bands
from rm_geo.errors import OutputError
from rm_geo.raster import scratch as module
from rm_geo.raster.scratch import Scratch


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), max_size=5),
    st.tuples(st.integers(0, 39), st.integers(1, 40)),
)
def test_unwritten_rows_are_nan(tmp_path_factory, rows, cols, channels, writes, read):
    scratch = Scratch(OwnFolder(tmp_path_factory.mktemp("s")), "rows.f32", (rows, cols), channels)
    expected = np.full((channels, rows, cols), np.nan, np.float32)
    rng = np.random.default_rng(rows * cols)
    for first, count in writes:
        if first < rows:
            values = rng.normal(size=(channels, min(count, rows - first), cols))
            expected[:, first : first + count] = values.astype(np.float32)
            scratch.write_rows(first, values.astype(np.float32))
    first = min(read[0], rows - 1)
    wanted = slice(first, min(first + read[1], rows))
    for channel in range(channels):
        np.testing.assert_array_equal(scratch.read_rows(channel, wanted), expected[channel, wanted])


def test_full_disk_is_detected_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(10**6, 0, 10**6))
    scratch = Scratch(OwnFolder(tmp_path), "rows.f32", (1000, 1000), 2)
    scratch.require_space(100)
    with pytest.raises(OutputError, match="full"):
        scratch.require_space(1000)


def test_missing_folder_is_an_output_error(tmp_path):
    scratch = Scratch(OwnFolder(tmp_path / "gone"), "rows.f32", (4, 4), 1)
    with pytest.raises(OutputError, match="gone"):
        scratch.write_rows(0, np.zeros((1, 4, 4), np.float32))


@given(st.integers(1, 50_000), st.integers(1, 10**6))
def test_bands_cover_all_rows_once_and_do_not_depend_on_the_height(rows, cols):
    bands = row_bands((rows, cols))
    assert [bands[0].start, bands[-1].stop] == [0, rows]
    assert all(a.stop == b.start for a, b in pairwise(bands))
    height = bands[0].stop - bands[0].start
    assert height * cols <= max(2**21, 256 * cols)
    assert height == min(rows, row_bands((10**5, cols))[0].stop)


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "rows.f32").symlink_to(tmp_path / "precious")
    scratch = Scratch(OwnFolder(tmp_path), "rows.f32", (4, 4), 1)
    with pytest.raises(OutputError, match="symbolic link"):
        scratch.write_rows(0, np.ones((1, 2, 4), dtype=np.float32))
    assert (tmp_path / "precious").read_bytes() == b"precious"
