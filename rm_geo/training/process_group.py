"""Training with several processes, started by torchrun, with DistributedDataParallel.

Command: ``torchrun --nproc-per-node 8 -m rm_geo train KIND ...``. Each process draws its own
batches, and gradients are averaged. The main process, that of rank 0, measures the time and
writes the log and the checkpoint.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rm_geo.errors import ConfigError


@dataclass(frozen=True)
class ProcessGroup:
    """Group of processes that train one network, seen from one of them.

    Attributes
    ----------
    rank : int
        Number of this process, from 0 on.
    size : int
        Number of processes.

    Examples
    --------
    >>> group = ProcessGroup()
    >>> group.is_main, group.broadcast(0.5)
    (True, 0.5)
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Join the group of processes started by torchrun.

        Parameters
        ----------
        device : torch.device
            Training device of this process.

        Returns
        -------
        ProcessGroup
            A group of one process if torchrun was not used.

        Raises
        ------
        ConfigError
            If the environment variables of torchrun are incomplete.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        backend = "nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)  # NCCL exchanges on the current device
        try:
            torch.distributed.init_process_group(backend)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"The process group cannot be created: {' '.join(str(error).split())}.",
                hint="Start them with torchrun, or unset WORLD_SIZE.",
            ) from error
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process measures the time and writes log and checkpoint."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are averaged over the processes."""
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module)

    def broadcast(self, value: float | None) -> float | None:
        """Return the value of the main process in all processes; None, to stop, is kept."""
        if self.size == 1:
            return value
        shared = torch.tensor([math.nan if value is None else value], dtype=torch.float64)
        shared = shared.to(_home())
        torch.distributed.broadcast(shared, src=0)
        agreed = float(shared)
        return None if math.isnan(agreed) else agreed

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average named values over the processes."""
        if self.size == 1:
            return dict(values)
        summed = torch.tensor(list(values.values()), dtype=torch.float64).to(_home())
        torch.distributed.all_reduce(summed)
        return dict(zip(values, (summed / self.size).tolist(), strict=True))

    def close(self) -> None:
        """Leave the group of processes."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return the device of this process: with torchrun, ``cuda`` becomes ``cuda:<number>``."""
    return (
        f"cuda:{os.environ['LOCAL_RANK']}"
        if device == "cuda" and "LOCAL_RANK" in os.environ
        else device
    )


def _home() -> torch.device:
    """Return the type of device that the communication backend uses."""
    backend = torch.distributed.get_backend()
    return torch.device("cuda" if backend == "nccl" else "cpu")
