"""Command-line options for the parameter names in messages of the library."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from rm_geo.errors import in_words_of

_OTHERS: Final = {
    "allow_remote": "--allow-remote",
    "assimilate=False": "--no-assimilate",
    "band": "--band",
    "composite": "--composite",
    "confidence": "--confidence",
    "default_height_m": "--building-height",
    "device=auto": "--device auto",
    "device=cpu": "--device cpu",
    "device=cuda": "--device cuda",
    "drives": "--drives",
    "gains": "--gains",
    "height_column": "--height-column",
    "interference.same_carrier": "--set interference.same_carrier=true",
    "interference.technology": "--set interference.technology=NAME",
    "intercept_dbm": "--intercept",
    "maps": "--maps",
    "methods": "--methods",
    "min_area_m2": "--min-area",
    "minutes": "--minutes",
    "only": "--only",
    "population": "--population",
    "profiles_path": "--profiles-path",
    "polygons": "--polygons",
    "python": "--python",
    "resume=False": "--no-resume",
    "roads": "--roads",
    "scale": "--scale",
    "source": "--source",
    "split=null": "--set split=null",
    "statistics.grid_m": "--set statistics.grid_m=M",
    "std_db": "--std",
    "test_transmitters": "--test-transmitters",
    "together": "--together",
    "within_db": "--within",
}
"""Parameters that are not prediction options, and parameters with values."""


@cache
def option_names() -> Mapping[str, str]:
    """Return the command-line option of each parameter, such as ``--reach`` for ``reach_m``.

    Returns
    -------
    mapping of str to str
        Options by parameter name.
    """
    from rm_geo.options import option_fields
    from rm_geo.planning.settings import setting_names

    return {
        **{field.name: flag_of(field.short_name) for field in option_fields().values()},
        **{name: f"--set {name}" for name in setting_names()},
        **_OTHERS,
    }


def flag_of(name: str) -> str:
    """Convert a name to a command-line option.

    Parameters
    ----------
    name : str
        Name with underscores.

    Returns
    -------
    str
        Option with dashes.

    Examples
    --------
    >>> flag_of("tile_size")
    '--tile-size'
    """
    return f"--{name.replace('_', '-')}"


def with_option_names(text: str) -> str:
    """Replace the parameter names in a message by command-line options.

    Parameters
    ----------
    text : str
        Message, hint or log line.

    Returns
    -------
    str
        Text with command-line options.

    Examples
    --------
    >>> with_option_names("Allow more (`max_tiles`).")
    'Allow more (--max-tiles).'
    """
    return in_words_of(option_names(), text) if "`" in text else text
