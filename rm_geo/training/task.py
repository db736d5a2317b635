"""Protocol of a training task: network, data and losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StepContext:
    """Random generators and schedule position of one training step.

    Attributes
    ----------
    numpy_rng : numpy.random.Generator
        Generator seeded by the seed of the run and the step, so that a resumed run draws the
        same numbers as an uninterrupted one.
    torch_rng : torch.Generator
        Generator on the training device, seeded likewise.
    progress : float
        Fraction of the budget that is spent, 0..1.
    """

    numpy_rng: np.random.Generator
    torch_rng: torch.Generator
    progress: float


class CropSchedule(Protocol):
    """Options of a task with small crops at first and larger ones at the end."""

    @property
    def batch(self) -> int:
        """Number of crops per step."""

    @property
    def crop(self) -> int:
        """Side of a crop in pixels."""

    @property
    def final_crop(self) -> int:
        """Side for the last part of the training."""

    @property
    def final_share(self) -> float:
        """Fraction of the budget for that part."""


def batch_and_crop(options: CropSchedule, progress: float) -> tuple[int, int]:
    """Return the number of crops of a step and their side.

    Parameters
    ----------
    options : CropSchedule
        Schedule of the task.
    progress : float
        Fraction of the budget that is spent, 0..1.

    Returns
    -------
    batch, crop : int
        The number of pixels per step is about constant.
    """
    if progress <= 1.0 - options.final_share:
        return options.batch, options.crop
    return max(1, options.batch * options.crop**2 // options.final_crop**2), options.final_crop


class TrainingTask(Protocol):
    """Network with its training data and losses."""

    @property
    def network(self) -> nn.Module:
        """Network to train."""

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the losses of one batch by name; ``total`` is minimised."""

    def end_epoch(self, means: dict[str, float]) -> None:
        """Receive the mean losses of an epoch."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute scores of a network on the validation scenes."""

    def state(self) -> dict[str, object]:
        """Return the state of the task for a checkpoint, as JSON values."""

    def restore(self, state: dict[str, object]) -> None:
        """Restore a result of :meth:`state`."""
