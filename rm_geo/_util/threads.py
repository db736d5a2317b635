"""Threads to compute with."""

from __future__ import annotations

import math
import os
import sys
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final

QUIET_THREADS: Final = (
    # BLAS: the systems here are small or many. Its threads wait by spinning, which took three
    # quarters of the processor time of a run, and made it three times as long on a busy machine.
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_WAIT_POLICY", "PASSIVE"),  # GNU's OpenMP
    ("KMP_BLOCKTIME", "0"),  # Intel's and LLVM's
)
"""Environment in which waiting threads leave the cores to others."""


def wait_passively() -> None:
    """Have threads of OpenMP wait without spinning, where the user has not chosen otherwise.

    Its libraries, such as PyTorch, read these variables when they are loaded: ``import rm_geo``
    calls this.

    Examples
    --------
    >>> wait_passively()
    >>> os.environ["OMP_WAIT_POLICY"]
    'PASSIVE'
    """
    for name, value in QUIET_THREADS[1:]:
        os.environ.setdefault(name, value)


def quiet_threads() -> None:
    """Prepare the threads of libraries in a process of rm_geo: they wait without spinning.

    BLAS has one thread. Where a container has a share of the cores, libraries use no more than
    that. They read these variables when they are loaded: call it before the first import of
    numpy. What the user has set stays.

    Examples
    --------
    >>> quiet_threads()
    >>> os.environ["OMP_WAIT_POLICY"]
    'PASSIVE'
    """
    for name, value in QUIET_THREADS:
        os.environ.setdefault(name, value)
    cores = usable_cores()
    if cores < _cores_of_process():  # libraries see the process's cores, not its share of them
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, str(cores))


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
    return usable_cores()


def usable_cores(system: str = "") -> int:
    """Count the cores that this process may keep busy.

    Parameters
    ----------
    system : str
        Folder of ``proc`` and ``sys``.

    Returns
    -------
    int
        At least 1: the cores that the process may run on, and no more than the processor time
        that the control groups of Linux grant it, rounded up.
    """
    return max(1, math.ceil(min(_cores_of_process(), _granted_cores(system))))


def _cores_of_process() -> int:
    """Cores that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _granted_cores(system: str) -> float:
    """Processor seconds per second that the control groups grant; infinity without a limit."""
    granted = math.inf
    groups = f"{system}/sys/fs/cgroup"
    for line in _text(f"{system}/proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        while True:  # a limit of an outer group holds inside of it
            if controllers:  # the first version of control groups
                folder = f"{groups}/cpu{group}"
                quota, period = (_text(f"{folder}/cpu.cfs_{n}_us") for n in ("quota", "period"))
            else:
                quota, _, period = _text(f"{groups}{group}/cpu.max").partition(" ")
            if quota.strip().isdecimal() and period.strip().isdecimal():
                granted = min(granted, int(quota) / max(int(period), 1))
            if group in {"", "/"}:
                break
            group = group.rpartition("/")[0]
    return granted


def _text(path: str) -> str:
    """Text of a file; empty if it cannot be read."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - every start imports this
            return file.read()
    except (OSError, UnicodeError):
        return ""


def single_threaded_algebra() -> AbstractContextManager[object]:
    """Keep BLAS on one thread: for thousands of small systems.

    Distributing systems of a few dozen unknowns over threads costs more than solving them, up
    to a hundred times more on a busy machine, where the threads wait for each other.
    """
    limits: AbstractContextManager[object] = _algebra().limit(limits=1, user_api="blas")
    return limits


@cache
def _algebra() -> Any:  # noqa: ANN401 - threadpoolctl has no types
    """Find the loaded libraries of linear algebra once: the search takes 3 ms."""
    # Trainings run where numpy and PyTorch are all there is.
    import scipy.linalg  # noqa: F401 - its library is the last that is loaded
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
