"""Several processes that train one network: torchrun starts them, DistributedDataParallel joins.

``torchrun --nproc-per-node 8 -m rm_geo train KIND ...``: every process draws batches of its
own, gradients are averaged, and the first process keeps the clock, the log and the checkpoint.
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
    """A process among those that train together.

    Attributes
    ----------
    rank, size : int
        Its number, and how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Join the processes that torchrun started; alone where it did not.

        Raises
        ------
        ConfigError
            If the environment that torchrun sets is incomplete.
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
                f"The processes cannot join: {' '.join(str(error).split())}.",
                hint="Start them with torchrun, or unset WORLD_SIZE.",
            ) from error
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process keeps clock, log and checkpoint."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Give a module that averages its gradients over the processes."""
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module)

    def agree(self, value: float | None) -> float | None:
        """Take the first process's value everywhere; None stops everybody."""
        if self.size == 1:
            return value
        shared = torch.tensor([math.nan if value is None else value], dtype=torch.float64)
        shared = shared.to(_home())
        torch.distributed.broadcast(shared, src=0)
        agreed = float(shared)
        return None if math.isnan(agreed) else agreed

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers over the processes."""
        if self.size == 1:
            return dict(values)
        summed = torch.tensor(list(values.values()), dtype=torch.float64).to(_home())
        torch.distributed.all_reduce(summed)
        return dict(zip(values, (summed / self.size).tolist(), strict=True))

    def leave(self) -> None:
        """Part from the others."""
        if self.size > 1:
            torch.distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Give each process under torchrun a GPU of its own: ``cuda`` becomes ``cuda:<number>``."""
    return (
        f"cuda:{os.environ['LOCAL_RANK']}"
        if device == "cuda" and "LOCAL_RANK" in os.environ
        else device
    )


def _home() -> torch.device:
    """Device whose tensors the backend exchanges."""
    backend = torch.distributed.get_backend()
    return torch.device("cuda" if backend == "nccl" else "cpu")
