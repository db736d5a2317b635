"""The user's cache folder of rm_geo."""

from __future__ import annotations

import os
from pathlib import Path

from rm_geo.errors import OutputError


def user_cache_folder() -> Path:
    """Give the folder for files that later runs of this user find again; it may not exist yet.

    Returns
    -------
    Path
        ``$XDG_CACHE_HOME/rm_geo``, or ``~/.cache/rm_geo`` where the variable is not set.

    Raises
    ------
    OutputError
        If the user has no home folder and the variable is not set.

    Examples
    --------
    >>> user_cache_folder().name
    'rm_geo'
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(chosen) if chosen else Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError(
            "The home folder of this user is not known, so there is no cache folder.",
            hint="Set the environment variable XDG_CACHE_HOME to a folder that you may write to.",
        ) from error
    return base / "rm_geo"
