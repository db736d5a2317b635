"""Memory of the process: trimming free memory, and tuning the garbage collector."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from typing import Final

_GC_THRESHOLD: Final = 50_000
"""New objects between two collections. Imports make hundreds of thousands that all stay;
Python's default of 700 walks them repeatedly, which takes a sixth of a second."""


def trim_malloc() -> None:
    """Return free memory to the system, where the C library supports it.

    glibc keeps freed memory in per-thread arenas; in a long run they grow to hundreds of
    megabytes. The call takes some milliseconds, and the next allocations are slower: call it
    between stages.

    Examples
    --------
    >>> trim_malloc()
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim  # of glibc
    except (AttributeError, OSError, TypeError):
        return
    trim(ctypes.c_size_t(0))


def release_arrow_pool() -> None:
    """Return free memory of Arrow's memory pool to the system.

    Examples
    --------
    >>> release_arrow_pool()
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def release_memory() -> None:
    """Return all free memory to the system, for a process that waits for its next job.

    Examples
    --------
    >>> release_memory()
    """
    gc.collect()
    if "pyarrow" in sys.modules:
        release_arrow_pool()
    trim_malloc()


def tune_gc() -> None:
    """Run the garbage collector seldom, and not at interpreter exit.

    Call it first in a process that belongs to rm_geo: a collection of PyTorch's objects at exit
    takes a second. Handlers registered first run last, after all other clean-up.

    Examples
    --------
    >>> before = gc.get_threshold()
    >>> tune_gc()
    >>> gc.set_threshold(*before)
    """
    atexit.register(gc.freeze)
    gc.set_threshold(_GC_THRESHOLD)
