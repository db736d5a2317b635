"""What a training loop asks of the thing it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StepContext:
    """Randomness and place in the schedule of one step.

    Attributes
    ----------
    numpy_rng : numpy.random.Generator
    torch_rng : torch.Generator
        Both seeded by the run's seed and the step, so that a resumed run draws what an
        uninterrupted one would.
    progress : float
        Share of the time budget that is spent, 0..1.
    """

    numpy_rng: np.random.Generator
    torch_rng: torch.Generator
    progress: float


class CropSchedule(Protocol):
    """Options of a task that trains on small crops first, and on whole tiles at the end."""

    @property
    def batch(self) -> int:
        """Crops per step."""

    @property
    def crop(self) -> int:
        """Side of a crop in pixels."""

    @property
    def final_crop(self) -> int:
        """Side for the last part of the training."""

    @property
    def final_share(self) -> float:
        """Share of the budget that this part takes."""


def batch_and_crop(options: CropSchedule, progress: float) -> tuple[int, int]:
    """Crops per step and their side; the pixels per step stay the same throughout."""
    if progress <= 1.0 - options.final_share:
        return options.batch, options.crop
    return max(1, options.batch * options.crop**2 // options.final_crop**2), options.final_crop


class TrainingTask(Protocol):
    """A network with its data and losses."""

    @property
    def network(self) -> nn.Module:
        """The network being trained."""

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Losses of one batch by name; ``total`` is what is minimised."""

    def end_epoch(self, means: dict[str, float]) -> None:
        """Hear the mean losses of an epoch."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores of a network on the scenes held out."""

    def state(self) -> dict[str, object]:
        """Give what a checkpoint must keep, as JSON values."""

    def restore(self, state: dict[str, object]) -> None:
        """Take back what :meth:`state` gave."""
