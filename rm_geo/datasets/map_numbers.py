"""Lists of map numbers as text, such as ``601-700,705``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from rm_geo.errors import UsageError

MAX_MAPS: Final = 1_000_000
"""Longest range that :func:`parse_maps` accepts, as a guard against typing errors."""


def parse_maps(text: str) -> tuple[int, ...]:
    """Parse map numbers such as ``601-700`` or ``601,605,610-620``.

    Parameters
    ----------
    text : str
        Numbers and ranges with both ends included, separated by commas.

    Returns
    -------
    tuple of int
        The numbers in the given order.

    Raises
    ------
    UsageError
        If the text is not of that form.

    Examples
    --------
    >>> parse_maps("601-603,605")
    (601, 602, 603, 605)
    """
    numbers: list[int] = []
    try:
        for piece in text.split(","):
            first, _, last = piece.partition("-")
            wanted = range(int(first), int(last or first) + 1)
            if not 0 < len(wanted) <= MAX_MAPS:
                raise ValueError(piece)
            numbers.extend(wanted)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a list of map numbers.", hint="Use a form like 601-700 or 601,605."
        ) from error
    return tuple(numbers)


def format_maps(numbers: Iterable[int]) -> str:
    """Format map numbers for :func:`parse_maps`.

    Parameters
    ----------
    numbers : iterable of int
        Map numbers in any order; repeated ones count once.

    Returns
    -------
    str
        Ranges and numbers in ascending order.

    Examples
    --------
    >>> format_maps([605, 601, 603, 602])
    '601-603,605'
    """
    ordered = sorted(set(numbers))
    breaks = [at for at, (one, next_) in enumerate(pairwise(ordered), 1) if next_ != one + 1]
    edges = [0, *breaks, len(ordered)]
    runs = [ordered[first:last] for first, last in pairwise(edges)] if ordered else []
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
