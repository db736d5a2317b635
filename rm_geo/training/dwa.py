"""Dynamic weight averaging: how RadioCycle balances the losses of F and G."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class DynamicWeightAverage:
    """Weights that favour the loss that falls more slowly.

    ``lambda_k(t) = N exp(w_k / T) / sum_i exp(w_i / T)`` with ``w_k = L_k(t-1) / L_k(t-2)``
    on epoch means; all weights are 1 in the first two epochs. Source: RadioCycle, after
    Liu et al., CVPR 2019 (arXiv 1803.10704), equation 7.

    Parameters
    ----------
    tasks : int
        N, the number of losses.
    temperature : float
        T; a larger one makes the weights more equal.

    Examples
    --------
    >>> dwa = DynamicWeightAverage(tasks=2)
    >>> dwa.end_epoch([1.0, 1.0]); dwa.end_epoch([0.5, 1.0])
    >>> [round(weight, 3) for weight in dwa.weights]
    [0.876, 1.124]
    """

    tasks: int = 2
    temperature: float = 2.0
    history: list[list[float]] = field(default_factory=list)

    def end_epoch(self, means: Sequence[float]) -> None:
        """Record the mean loss of each task over an epoch."""
        if len(means) != self.tasks:
            raise ValueError(f"{self.tasks} losses expected, {len(means)} given")
        self.history = [*self.history, list(means)][-2:]

    def restore(self, history: object) -> None:
        """Take back the history that a checkpoint kept; anything but a list is ignored."""
        if isinstance(history, list):
            self.history = [[float(value) for value in means] for means in history]

    @property
    def weights(self) -> list[float]:
        """Weights of the coming epoch; they sum to the number of tasks."""
        if len(self.history) < 2:
            return [1.0] * self.tasks
        before, last = self.history
        rates = [new / old if old > 0.0 else 1.0 for new, old in zip(last, before, strict=True)]
        powers = [math.exp(min(rate, 20.0) / self.temperature) for rate in rates]
        return [self.tasks * power / sum(powers) for power in powers]
