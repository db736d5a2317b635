"""Python's collector of cyclic garbage, in processes that load large libraries and end soon."""

from __future__ import annotations

import atexit
import gc
from typing import Final

_OBJECTS: Final = 50_000
"""So many new objects between two collections. Imports make hundreds of thousands that all stay,
and Python's own 700 would go through them again and again: a sixth of a second."""


def tune_gc() -> None:
    """Let the collector run seldom, and not once more as the interpreter ends.

    To be called first in a process of rm_geo's own: PyTorch and its like are hundreds of
    thousands of objects, and to go through them at the end takes a second of a small job. What
    is registered first at exit comes last, after all other clean-up.
    """
    atexit.register(gc.freeze)
    gc.set_threshold(_OBJECTS)
