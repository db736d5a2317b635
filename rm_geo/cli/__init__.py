"""The command line: one thin file per command."""

from __future__ import annotations

import atexit
import gc
from typing import Final

_OBJECTS: Final = 50_000
"""So many new objects between two collections. Imports make hundreds of thousands that all stay,
and Python's own 700 would go through them again and again: a sixth of a second."""


def main() -> None:
    """Run ``rm-geo`` with the arguments of the process."""
    # PyTorch and its like are hundreds of thousands of objects, which the collector goes through
    # once more as the interpreter ends: a second of a small job. Registered first, this comes
    # after all other clean-up.
    atexit.register(gc.freeze)
    gc.set_threshold(_OBJECTS)
    from rm_geo.cli.group import rm_geo

    rm_geo(prog_name="rm-geo")
