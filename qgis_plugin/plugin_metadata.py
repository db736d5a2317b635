"""Version and address of the plugin, from its ``metadata.txt``."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).resolve().parent / "metadata.txt"


@lru_cache(maxsize=1)
def _text() -> str:
    """Read the file; packaging puts it beside the code."""
    try:
        return _FILE.read_text("utf-8")
    except OSError:
        return ""


def _value(key: str) -> str:
    """Return a value of one line; empty if there is none."""
    found = re.search(rf"^{key}\s*=\s*(\S+)", _text(), re.MULTILINE)
    return found.group(1) if found else ""


def version() -> str:
    """Return the version; empty if it is unknown."""
    return _value("version")


def homepage() -> str:
    """Return the address of the documentation; empty if it is unknown."""
    return _value("homepage").rstrip("/")
