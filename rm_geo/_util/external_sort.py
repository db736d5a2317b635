"""Sorting more keys than fit in memory: sorted runs on disk, read back by ranges of keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rm_geo._util import disk_columns
from rm_geo._util.disk_columns import DiskColumn, drop_pages

Keys: TypeAlias = NDArray[np.uint64]


def sorted_parts(
    blocks: Iterable[Keys], *, group_bits: int = 0, run_rows: int | None = None
) -> Iterator[Keys]:
    """Sort keys.

    Parameters
    ----------
    blocks : iterable of ndarray of uint64, shape (n,)
        The keys, in any order.
    group_bits : int
        Keys that differ only in this number of low bits are in one part.
    run_rows : int, optional
        Keys of one sorted run (default: the largest column in memory). Fewer keys are sorted
        in memory, without a file.

    Yields
    ------
    ndarray of uint64, shape (m,)
        Sorted keys. Each part lies above the one before and has about ``run_rows`` keys; more
        only where a single group has more.

    Raises
    ------
    OutputError
        If the disk is full.

    Examples
    --------
    >>> keys = [np.array([3, 1], np.uint64), np.array([2], np.uint64)]
    >>> [part.tolist() for part in sorted_parts(keys)]
    [[1, 2, 3]]
    """
    length = disk_columns.IN_MEMORY_ROWS if run_rows is None else run_rows
    runs: DiskColumn[np.uint64] = DiskColumn(np.uint64, 0)
    lengths: list[int] = []
    for run in _runs(blocks, length):
        run.sort()
        if not lengths and run.size < length:
            yield run
            return
        runs.append(run)
        lengths.append(run.size)
    if lengths:
        ends = np.cumsum(lengths)
        whole = runs.finish()
        yield from _merged(
            [whole[e - n : e] for e, n in zip(ends, lengths, strict=True)], group_bits
        )


def _runs(blocks: Iterable[Keys], rows: int) -> Iterator[Keys]:
    """Concatenate blocks to runs of ``rows`` keys; the last run is shorter."""
    waiting: list[Keys] = []
    count = 0
    for block in blocks:
        rest = block
        while count + rest.size >= rows:
            cut = rows - count
            yield np.concatenate([*waiting, rest[:cut]])
            waiting, count, rest = [], 0, rest[cut:]
        if rest.size:
            waiting.append(rest)
            count += rest.size
    if waiting:
        yield np.concatenate(waiting)


def _merged(runs: list[Keys], group_bits: int) -> Iterator[Keys]:
    """Split the sorted runs at common keys, and sort each part."""
    bits = np.uint64(group_bits)
    # The same number of samples of each run: parts between the quantiles have similar sizes.
    samples = np.sort(np.concatenate([run[:: max(run.size // 256, 1)] for run in runs]))
    cuts = samples[np.arange(1, len(runs)) * samples.size // len(runs)] >> bits << bits
    begins = [0] * len(runs)
    for cut in [*np.unique(cuts), None]:
        ends = [r.size if cut is None else int(np.searchsorted(r, cut)) for r in runs]
        part = np.concatenate([r[b:e] for r, b, e in zip(runs, begins, ends, strict=True)])
        for run in runs:
            drop_pages(run)
        begins = ends
        if part.size:
            part.sort()
            yield part
