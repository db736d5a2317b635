"""Workers for jobs and tiles: processes of this machine, or whatever a Dask scheduler has."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rm_geo.devices import torch_is_installed
from rm_geo.errors import ClusterError, DependencyError

_ANSWER_S: Final = 10
_LOADER: Final = "distributed.client.security-loader"
_CORES_PER_WORKER: Final = 4
"""A network's forward pass scales to about so many cores."""


@dataclass(frozen=True)
class LocalWorkers:
    """Processes of this machine that share the work.

    Attributes
    ----------
    number : int
        Processes.
    cores : int
        Cores for each of them.
    gpus : int
        GPUs that they share; 0 if they use none.
    """

    number: int
    cores: int
    gpus: int


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
    distributed = _distributed()
    if scheduler is not None:
        with _lost_without_a_log(), _connected(distributed, scheduler) as client:
            yield client
        return
    local = local_workers(workers, device)
    with (
        distributed.SpecCluster(
            workers={index: _worker(distributed, index, local) for index in range(local.number)},
            scheduler={
                "cls": distributed.Scheduler,
                "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0},
            },
            silence_logs="ERROR",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(local.number, timeout=12 * _ANSWER_S)
        yield client


def local_workers(workers: int | None = None, device: str = "auto") -> LocalWorkers:
    """Tell which processes :func:`open_cluster` would start, without starting any.

    Raises
    ------
    DependencyError
        If Dask is not installed.
    """
    _distributed()
    cores = os.cpu_count() or 1
    gpus = 0 if device == "cpu" else _gpus()
    number = workers or gpus or max(1, cores // _CORES_PER_WORKER)
    share = max(1, cores // number)
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:  # who shares a machine may have said how much
        share = min(share, int(chosen))
    return LocalWorkers(number, share, gpus)


def _distributed() -> Any:  # noqa: ANN401 - it carries no types
    """Import Dask's scheduler."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise DependencyError(
            "Work is spread over workers by Dask, which is not installed.",
            hint='Install it with: pip install "rm-geo[dask]"',
        ) from error


def _worker(distributed: Any, index: int, local: LocalWorkers) -> dict[str, Any]:  # noqa: ANN401
    """Describe one local worker: a process with its share of the cores, and its own GPU."""
    cores = str(local.cores)
    environment = {"OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores}
    if local.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(index % local.gpus)
    # A cell's memory is bounded by design, and a worker that is killed for it helps nobody.
    options = {
        "nthreads": 1,
        "env": environment,
        "memory_limit": 0,
        "host": "127.0.0.1",
        "silence_logs": logging.ERROR,
    }
    return {"cls": distributed.Nanny, "options": options}


@contextlib.contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Any]:  # noqa: ANN401
    """Connect to a scheduler that runs already."""
    try:
        # What a loader of certificates gives is the client's own business.
        if importlib.import_module("dask").config.get(_LOADER, default=None) is None:
            distributed.utils.LoopRunner().run_sync(_require_scheduler, distributed, scheduler)
        client = distributed.Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
    except Exception as error:  # what speaks there may be no Dask: anything can come of its bytes
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


async def _require_scheduler(distributed: Any, address: str) -> None:  # noqa: ANN401
    """Refuse an address at which no scheduler says who it is.

    A client's own timeout does not bound its handshake: with a port that takes connections, and
    is no scheduler's, it would wait without end.
    """
    security = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, timeout=_ANSWER_S, connection_args=security) as there:
        identity = await asyncio.wait_for(there.identity(), 2 * _ANSWER_S)
    if "workers" not in identity:
        raise ValueError(f"{address} is the address of a {identity.get('type')}")


@contextlib.contextmanager
def _lost_without_a_log() -> Iterator[None]:
    """Keep Dask from logging a lost connection, with tracebacks: an error tells of it."""
    logs = [logging.getLogger(f"distributed.{part}") for part in ("client", "comm")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _gpus() -> int:
    """Count the CUDA devices of this machine."""
    if not torch_is_installed():
        return 0
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
