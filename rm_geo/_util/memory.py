"""Memory that is free already, given back to the system.

The C library keeps what arrays leave behind for the next ones, in a pool for each thread that
asked. Where work changes its threads or its sizes, such pools add up to hundreds of megabytes
that nobody uses, the more the longer the work.
"""

from __future__ import annotations

import ctypes


def trim_malloc() -> None:
    """Give free memory of all threads back; does nothing where the C library cannot.

    It takes some milliseconds, and what is asked for next comes from the system again: to be
    called between large pieces of work.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim  # of glibc
    except (AttributeError, OSError, TypeError):
        return
    trim(ctypes.c_size_t(0))


def release_arrow_pool() -> None:
    """Give back what Arrow, which has a pool of its own, keeps of the tables that were read."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
