"""Dask workers for jobs and tiles: local processes, or those of a running scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from rm_geo._util.threads import QUIET_THREADS, usable_cores
from rm_geo.devices import torch_is_installed
from rm_geo.errors import ClusterError, DependencyError
from rm_geo.progress import Progress

ANSWER_TIMEOUT_S: Final = 10
"""Longest wait for an answer of the scheduler, in seconds."""
_LOADER: Final = "distributed.client.security-loader"
_CORES_PER_WORKER: Final = 4
"""Cores up to which the forward pass of a network scales well."""


@dataclass(frozen=True)
class LocalWorkers:
    """Local worker processes.

    Attributes
    ----------
    number : int
        Number of processes.
    cores : int
        Cores for each process.
    gpus : int
        GPUs that the processes share; 0 if they use none.
    """

    number: int
    cores: int
    gpus: int


@contextlib.contextmanager
def open_cluster(
    scheduler: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Iterator[Any]:
    """Open a cluster, or connect to one, and close it at the end of the block.

    Anyone who can connect to a Dask scheduler or worker can run code there. Local processes
    therefore accept only connections with a certificate that is made for them and kept in memory.
    A running scheduler should have an address of the kind ``tls://``.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running scheduler, such as ``tls://10.0.0.5:8786``, with the certificates that
        Dask's configuration names (``distributed.comm.tls``). Without one, local processes are
        started.
    workers : int, optional
        Number of local processes (default: one for each GPU, else one for four cores).
    device : str
        ``cpu`` starts local processes that use no GPU.
    progress : Progress, optional
        Receives a warning of an unprotected connection to another machine.

    Yields
    ------
    distributed.Client
        Connected, with at least one worker.

    Raises
    ------
    ClusterError
        If the scheduler does not answer, or has no workers.
    DependencyError
        If Dask, or the package of its certificates, is not installed.

    Examples
    --------
    >>> with open_cluster(workers=2, device="cpu") as client:  # doctest: +SKIP
    ...     len(client.nthreads())
    2
    """
    distributed = _distributed()
    if scheduler is not None:
        if progress is not None and is_unprotected(scheduler):
            progress.log(
                f"Warning: {scheduler} is not protected: anyone who can connect to it can run code "
                "on its machines. Use tls:// with certificates, or a private network."
            )
        with _without_connection_logs(), _connected(distributed, scheduler) as client:
            yield client
        return
    local = local_workers(workers, device)
    security = _temporary_security(distributed)
    with (
        distributed.SpecCluster(
            workers={
                index: _worker(distributed, index, local, security) for index in range(local.number)
            },
            scheduler={
                "cls": distributed.Scheduler,
                "options": {
                    "dashboard": False,  # it has no password
                    "dashboard_address": "127.0.0.1:0",  # its counters remain
                    "host": "127.0.0.1",
                    "port": 0,
                    "protocol": "tls://",
                    "security": security,
                },
            },
            security=security,
            silence_logs="ERROR",
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(local.number, timeout=12 * ANSWER_TIMEOUT_S)
        yield client


def local_workers(workers: int | None = None, device: str = "auto") -> LocalWorkers:
    """Choose the local processes that :func:`open_cluster` would start; starts none.

    Parameters
    ----------
    workers, device
        As for :func:`open_cluster`.

    Returns
    -------
    LocalWorkers
        The choice.

    Raises
    ------
    DependencyError
        If Dask is not installed.

    Examples
    --------
    >>> local_workers(3, "cpu").number
    3
    """
    _distributed()
    cores = usable_cores()
    gpus = 0 if device == "cpu" else _gpus()
    number = workers or gpus or max(1, cores // _CORES_PER_WORKER)
    share = max(1, cores // number)
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:  # a limit set by the user
        share = min(share, int(chosen))
    return LocalWorkers(number, share, gpus)


def _distributed() -> Any:  # noqa: ANN401 - it carries no types
    """Import Dask's distributed scheduler."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise DependencyError(
            "Several workers need Dask, which is not installed.",
            hint='Install it with: pip install "rm-geo[dask]"',
        ) from error


def _temporary_security(distributed: Any) -> Any:  # noqa: ANN401
    """Make a certificate for the processes of this cluster."""
    try:
        return distributed.Security.temporary()
    except ImportError as error:
        raise DependencyError(
            "Local workers need certificates, for which the package cryptography is not installed.",
            hint='Install it with: pip install "rm-geo[dask]"',
        ) from error


def is_unprotected(scheduler: str) -> bool:
    """Whether an address leads to another machine without encryption and certificates.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler; without a protocol it is ``tcp://``.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_unprotected("tcp://10.0.0.5:8786"), is_unprotected("tls://10.0.0.5:8786")
    (True, False)
    >>> is_unprotected("tcp://127.0.0.1:8786"), is_unprotected("localhost:8786")
    (False, False)
    """
    protocol, _, rest = scheduler.rpartition("://")
    if protocol.lower() not in {"", "tcp", "ws", "ucx"}:
        return False
    host = urlsplit(f"//{rest}").hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _worker(
    distributed: Any,  # noqa: ANN401
    index: int,
    local: LocalWorkers,
    security: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Specify one local worker: a process with its share of the cores, and one GPU."""
    cores = str(local.cores)
    environment = {"OMP_NUM_THREADS": cores, "MKL_NUM_THREADS": cores}
    environment |= {name: os.environ.get(name, value) for name, value in QUIET_THREADS}
    if local.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(index % local.gpus)
    # The memory of a cell is bounded by design: no limit at which Dask would kill a worker.
    options = {
        "nthreads": 1,
        "env": environment,
        "memory_limit": 0,
        "host": "127.0.0.1",
        "protocol": "tls://",
        "security": security,
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.ERROR,
    }
    return {"cls": distributed.Nanny, "options": options}


@contextlib.contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Any]:  # noqa: ANN401
    """Connect to a running scheduler."""
    try:
        # With a security loader, only the client itself knows the certificates.
        if importlib.import_module("dask").config.get(_LOADER, default=None) is None:
            distributed.utils.LoopRunner().run_sync(_require_scheduler, distributed, scheduler)
        client = distributed.Client(scheduler, timeout=ANSWER_TIMEOUT_S, set_as_default=False)
    except Exception as error:  # a server that is not Dask can cause any error
        raise ClusterError(
            f"The scheduler at {scheduler} does not answer.",
            hint="Start one with 'dask scheduler', and check the address (tls://host:8786) and "
            "the certificates.",
        ) from error
    with client:
        if not client.nthreads():
            raise ClusterError(
                f"The scheduler at {scheduler} has no workers.",
                hint="Start some with 'dask worker', where rm_geo is installed.",
            )
        yield client


async def _require_scheduler(distributed: Any, address: str) -> None:  # noqa: ANN401
    """Raise unless a Dask scheduler answers at an address.

    The timeout of a client does not cover its handshake: it would wait forever for a server that
    accepts connections and is not a scheduler.
    """
    security = distributed.Security().get_connection_args("client")
    async with distributed.rpc(
        address, timeout=ANSWER_TIMEOUT_S, connection_args=security
    ) as server:
        identity = await asyncio.wait_for(server.identity(), 2 * ANSWER_TIMEOUT_S)
    if "workers" not in identity:
        raise ValueError(f"{address} is the address of a {identity.get('type')}")


@contextlib.contextmanager
def _without_connection_logs() -> Iterator[None]:
    """Silence Dask's tracebacks about a lost connection, which is reported as an error."""
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
    """Count the GPUs that PyTorch can use."""
    if not torch_is_installed():
        return 0
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
