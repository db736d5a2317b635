"""Names of the command line for the options that messages of the library name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from rm_geo.errors import in_words_of

_OTHERS: Final = {
    "assimilate=False": "--no-assimilate",
    "band": "--band",
    "default_height_m": "--building-height",
    "device=auto": "--device auto",
    "device=cpu": "--device cpu",
    "device=cuda": "--device cuda",
    "drives": "--drives",
    "gains": "--gains",
    "height_column": "--height-column",
    "intercept_dbm": "--intercept",
    "maps": "--maps",
    "methods": "--methods",
    "minutes": "--minutes",
    "only": "--only",
    "profiles_path": "--profiles-path",
    "python": "--python",
    "resume=False": "--no-resume",
    "scale": "--scale",
    "source": "--source",
    "split=null": "--set split=null",
    "test_transmitters": "--test-transmitters",
}
"""Parameters that are not options of a prediction, and values of options."""


@cache
def option_names() -> Mapping[str, str]:
    """Give the option of each parameter, such as ``--reach`` for ``reach_m``.

    Returns
    -------
    mapping of str to str
        Options of the command line by the parameters of the library.
    """
    from rm_geo.options import option_fields

    return {
        **{field.name: flag_of(field.short_name) for field in option_fields().values()},
        **_OTHERS,
    }


def flag_of(name: str) -> str:
    """Write a name as an option.

    Examples
    --------
    >>> flag_of("tile_size")
    '--tile-size'
    """
    return f"--{name.replace('_', '-')}"


def in_words_of_options(text: str) -> str:
    """Replace the parameters that a message names by options of the command line.

    Parameters
    ----------
    text : str
        A message, a hint or a line of the log.

    Returns
    -------
    str
        The text in the words of the command line.

    Examples
    --------
    >>> in_words_of_options("Allow more (`max_tiles`).")
    'Allow more (--max-tiles).'
    """
    return in_words_of(option_names(), text) if "`" in text else text
