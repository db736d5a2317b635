"""Numbers of maps as people write them."""

from __future__ import annotations

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
