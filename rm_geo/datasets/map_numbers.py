"""Numbers of maps as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from rm_geo.errors import UsageError

MOST_MAPS: Final = 1_000_000
"""A longer range is a slip of the pen."""


def parse_maps(text: str) -> tuple[int, ...]:
    """Read map numbers such as ``601-700`` or ``601,605,610-620``.

    Raises
    ------
    UsageError
        If the text is not of that form.
    """
    numbers: list[int] = []
    try:
        for piece in text.split(","):
            first, _, last = piece.partition("-")
            wanted = range(int(first), int(last or first) + 1)
            if not 0 < len(wanted) <= MOST_MAPS:
                raise ValueError(piece)
            numbers.extend(wanted)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no list of map numbers.", hint="Write it as 601-700 or 601,605."
        ) from error
    return tuple(numbers)


def format_maps(numbers: Iterable[int]) -> str:
    """Write map numbers in order as :func:`parse_maps` reads them, such as ``601-700,705``."""
    ordered = sorted(set(numbers))
    breaks = [at for at, (one, next_) in enumerate(pairwise(ordered), 1) if next_ != one + 1]
    edges = [0, *breaks, len(ordered)]
    runs = [ordered[first:last] for first, last in pairwise(edges)] if ordered else []
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
