"""What is free goes back to the system, and what is used stays as it is."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from rm_geo._util.memory import release_arrow_pool, trim_malloc

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="the C library keeps what is free",
)


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000.0


@glibc
def test_trim_malloc_returns_free_memory():
    # Of a size that comes from the pool, not from the system one by one.
    arrays = [np.full(8192, value, np.float64) for value in range(1500)]
    kept = arrays[::10]
    del arrays
    before = resident_mb()
    trim_malloc()
    assert resident_mb() < before - 50.0
    assert [array[-1] for array in kept] == list(range(0, 1500, 10))


def test_release_arrow_pool_keeps_tables_in_use():
    import pyarrow as pa

    table = pa.table({"x": np.arange(100_000.0)})
    release_arrow_pool()
    trim_malloc()
    assert table.column("x").to_numpy().sum() == 4_999_950_000.0


def test_trim_malloc_without_support_does_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    trim_malloc()
