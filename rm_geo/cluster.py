"""Workers for jobs and tiles: processes of this machine, or whatever a Dask scheduler has."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from typing import Any, Final

from rm_geo.errors import ClusterError, DependencyError

_ANSWER_S: Final = 10
_CORES_PER_WORKER: Final = 4
"""A network's forward pass scales to about so many cores."""


@contextlib.contextmanager
def open_cluster(
    scheduler: str | None = None, workers: int | None = None, device: str = "auto"
) -> Iterator[Any]:
    """Connect to workers for the length of a block.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running scheduler, such as ``tcp://10.0.0.5:8786``; a cluster of local
        processes if not given.
    workers : int, optional
        Local processes: one for each GPU, or each four cores, if not given.
    device : str
        ``cpu`` leaves the GPUs alone.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or has no workers.
    DependencyError
        If Dask is not installed.
    """
    try:
        distributed: Any = importlib.import_module("distributed")  # it carries no types
    except ImportError as error:
        raise DependencyError(
            "Work is spread over workers by Dask, which is not installed.",
            hint='Install it with: pip install "rm-geo[dask]"',
        ) from error
    if scheduler is not None:
        with _lost_without_a_log(), _connected(distributed, scheduler) as client:
            yield client
        return
    gpus = 0 if device == "cpu" else _gpus()
    number = workers or gpus or max(1, (os.cpu_count() or 1) // _CORES_PER_WORKER)
    with (
        distributed.SpecCluster(
            workers={index: _worker(distributed, index, number, gpus) for index in range(number)},
            scheduler={
                "cls": distributed.Scheduler,
                "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0},
            },
            silence_logs="ERROR",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(number, timeout=12 * _ANSWER_S)
        yield client


def _worker(distributed: Any, index: int, number: int, gpus: int) -> dict[str, Any]:  # noqa: ANN401
    """Describe one local worker: a process with its share of the cores, and its own GPU."""
    cores = max(1, (os.cpu_count() or 1) // number)
    environment = {"OMP_NUM_THREADS": str(cores), "MKL_NUM_THREADS": str(cores)}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(index % gpus)
    # A cell's memory is bounded by design, and a worker that is killed for it helps nobody.
    options = {
        "nthreads": 1, "env": environment, "memory_limit": 0, "host": "127.0.0.1",
        "silence_logs": logging.ERROR,
    }  # fmt: skip
    return {"cls": distributed.Nanny, "options": options}


@contextlib.contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Any]:  # noqa: ANN401
    """Connect to a scheduler that runs already."""
    try:
        client = distributed.Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"The scheduler at {scheduler} does not answer.",
            hint="Start one with 'dask scheduler', and check the address (tcp://host:8786).",
        ) from error
    with client:
        if not client.nthreads():
            raise ClusterError(
                f"The scheduler at {scheduler} has no workers.",
                hint="Start some with 'dask worker', where rm_geo is installed.",
            )
        yield client


@contextlib.contextmanager
def _lost_without_a_log() -> Iterator[None]:
    """Keep Dask from logging a lost connection, with tracebacks: an error tells of it."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _gpus() -> int:
    """Count the CUDA devices of this machine."""
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
