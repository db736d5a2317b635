"""The exact median of more values than fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rm_geo._util import disk_columns

Values: TypeAlias = NDArray[np.float64]

_BINS: Final = 1 << 14


def median(blocks: Callable[[], Iterable[Values]], sort_below: int | None = None) -> float:
    """Compute the median of finite values, equal to that of :func:`numpy.median`.

    A pass counts the values in bins between the smallest and the largest. Further passes count
    the values of the middle bin in narrower bins, until few enough are left to sort.

    Parameters
    ----------
    blocks : callable
        Returns the values in blocks, shape (n,); the same values in each call.
    sort_below : int, optional
        Sort in memory at this number of values or fewer (default: one block).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there are no values.

    Examples
    --------
    >>> median(lambda: [np.array([1.0, 5.0]), np.array([2.0])])
    2.0
    """
    low, high, count = _extent(blocks())
    if count == 0:
        raise ValueError("the median of no values is undefined")
    below, inside = 0, count
    middle = np.array([(count - 1) // 2, count // 2])
    few = disk_columns.BLOCK_ROWS if sort_below is None else sort_below
    while inside > few and low < high:
        counts = np.zeros(_BINS, dtype=np.int64)
        for block in _between(blocks(), low, high):
            counts += np.bincount(_bin(block, low, high), minlength=_BINS)
        ends = np.cumsum(counts)
        first, last = (int(b) for b in np.searchsorted(ends, middle - below, side="right"))
        if first < last:  # the two middle values are the edges of an empty gap
            lower = _extent(_of_bin(blocks(), low, high, first))[1]
            upper = _extent(_of_bin(blocks(), low, high, last))[0]
            return float(np.mean([lower, upper]))
        below += int(ends[first] - counts[first])
        inside = int(counts[first])
        low, high, _ = _extent(_of_bin(blocks(), low, high, first))
    if low == high:
        return low
    values = np.sort(np.concatenate(list(_between(blocks(), low, high))))
    return float(values[middle - below].mean())


def _bin(values: Values, low: float, high: float) -> NDArray[np.int64]:
    """Bin of each value; the larger value never has the smaller bin."""
    share = values / high - low / high if np.isinf(high - low) else (values - low) / (high - low)
    return np.minimum((share * _BINS).astype(np.int64), _BINS - 1)


def _of_bin(blocks: Iterable[Values], low: float, high: float, wanted: int) -> Iterator[Values]:
    """Values of one bin."""
    for block in _between(blocks, low, high):
        yield block[_bin(block, low, high) == wanted]


def _between(blocks: Iterable[Values], low: float, high: float) -> Iterator[Values]:
    """Values from ``low`` to ``high``, both included."""
    for block in blocks:
        yield block[(block >= low) & (block <= high)]


def _extent(blocks: Iterable[Values]) -> tuple[float, float, int]:
    """Smallest value, largest value and number of values."""
    low, high, count = np.inf, -np.inf, 0
    for block in blocks:
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            count += block.size
    return low, high, count
