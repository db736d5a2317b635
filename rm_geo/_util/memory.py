"""Memory of the process: trimming free memory, and tuning the garbage collector."""

from __future__ import annotations

import atexit
import ctypes
import gc
from typing import Final

_GC_THRESHOLD: Final = 50_000
"""New objects between two collections. Imports make hundreds of thousands that all stay;
Python's default of 700 walks them repeatedly, which takes a sixth of a second."""


def trim_malloc() -> None:
    """Return the free memory of all threads to the system, where the C library can.

    glibc keeps freed memory in per-thread arenas; over a long run they add up to hundreds of
    megabytes. The call takes some milliseconds, and the next allocations come from the system
    again: call it between large pieces of work.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim  # of glibc
    except (AttributeError, OSError, TypeError):
        return
    trim(ctypes.c_size_t(0))


def release_arrow_pool() -> None:
    """Return the free memory of Arrow's own pool to the system."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def tune_gc() -> None:
    """Run the garbage collector seldom, and not at interpreter exit.

    Call it first in a process that rm_geo owns: a collection over PyTorch's objects at exit
    takes a second. Handlers registered first run last, after all other clean-up.
    """
    atexit.register(gc.freeze)
    gc.set_threshold(_GC_THRESHOLD)
