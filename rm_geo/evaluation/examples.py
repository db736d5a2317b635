"""Choice of the maps that pictures of an evaluation show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def typical_and_bad(ranked: Sequence[T]) -> dict[str, T]:
    """Choose a typical and a bad result: the median and the last.

    Parameters
    ----------
    ranked : sequence
        Results from the best to the worst; at least one.

    Returns
    -------
    dict of str to object
        Result by title, ``typical`` and ``bad``; of one result both are it.

    Examples
    --------
    >>> typical_and_bad([0.5, 1.0, 4.0])
    {'typical': 1.0, 'bad': 4.0}
    """
    return {"typical": ranked[len(ranked) // 2], "bad": ranked[-1]}
