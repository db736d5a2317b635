"""Sorting more keys than memory should hold: sorted runs on disk, read back range by range."""

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
    blocks : iterable of ndarray of uint64
        The keys, in any order.
    group_bits : int
        Keys that differ only in so many low bits come in one part.
    run_rows : int, optional
        Keys that are sorted at a time, as many as columns hold in memory if not given; fewer
        do not go to disk at all.

    Yields
    ------
    ndarray of uint64
        Ascending, and each part above the one before; some ``run_rows`` keys each, more
        only where a single group has more.

    Raises
    ------
    OutputError
        If the disk is full.
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
    """Gather blocks to runs of so many rows; the last is shorter."""
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
    """Cut sorted runs at the same keys, and sort what is between."""
    bits = np.uint64(group_bits)
    # As many keys of each run, so that the parts between the quantiles are about as large.
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
