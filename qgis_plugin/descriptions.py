"""Descriptions, defaults and bounds of rm_geo's options, from the file that rm_geo writes."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).resolve().parent / "options.json"


@lru_cache(maxsize=1)
def _options() -> dict[str, dict[str, Any]]:
    """Read the file once."""
    return json.loads(_FILE.read_text("utf-8"))


def describe(option: str) -> dict[str, Any]:
    """Describe an option by the library's keyword.

    Parameters
    ----------
    option : str
        Keyword, such as ``reach_m``.

    Returns
    -------
    dict
        ``description``, ``default``, and if stated ``type`` and bounds as in a JSON schema.
    """
    return _options()[option]
