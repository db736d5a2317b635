"""Descriptions, defaults and bounds of rm_geo's options, read from ``options.json``."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parent / "options.json"


@lru_cache(maxsize=1)
def _options() -> dict[str, dict[str, Any]]:
    """Read the file."""
    return json.loads(_FILE.read_text("utf-8"))


def describe(option: str) -> dict[str, Any]:
    """Return the description of an option by the library's keyword.

    Parameters
    ----------
    option : str
        Keyword, such as ``reach_m``.

    Returns
    -------
    dict
        ``description``, ``default`` and, if defined, ``type`` and bounds as in a JSON schema.
    """
    return _options()[option]
