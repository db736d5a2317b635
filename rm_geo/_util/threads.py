"""Threads to compute with."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from typing import Final

QUIET_THREADS: Final = (
    # BLAS: the systems here are small or many. Its threads wait by spinning, which took three
    # quarters of the processor time of a run, and made it three times as long on a busy machine.
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_WAIT_POLICY", "PASSIVE"),  # GNU's OpenMP
    ("KMP_BLOCKTIME", "0"),  # Intel's and LLVM's
)
"""Environment in which waiting threads leave the cores to others."""


def quiet_threads() -> None:
    """Have the threads of libraries wait without spinning.

    Libraries read these variables when they are loaded: call it before the first import of numpy.
    What the user has set stays.

    Examples
    --------
    >>> quiet_threads()
    >>> os.environ["OMP_WAIT_POLICY"]
    'PASSIVE'
    """
    for name, value in QUIET_THREADS:
        os.environ.setdefault(name, value)


def available_threads() -> int:
    """Count the threads to compute with: PyTorch's number if it is loaded, else the cores.

    Returns
    -------
    int
        At least 1. ``OMP_NUM_THREADS`` limits it, and so does a container's share of the cores.
    """
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the system reports it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def single_threaded_algebra() -> AbstractContextManager[object]:
    """Keep BLAS on one thread: for thousands of small systems.

    Distributing systems of a few dozen unknowns over threads costs more than solving them, up
    to a hundred times more on a busy machine, where the threads wait for each other.
    """
    # Trainings run where numpy and PyTorch are all there is.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
