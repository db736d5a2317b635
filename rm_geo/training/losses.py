"""Losses of RadioCycle and MARS, and dynamic weight averaging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_LEAST_LOSS: Final = 1e-6


def dice_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the sum of Dice loss and binary cross-entropy, RadioCycle's loss for buildings.

    The Dice coefficient has sums of squares in its denominator and is computed over the batch.

    Parameters
    ----------
    logits, target : Tensor, shape (B, 1, H, W)
        Predicted log-odds, and true buildings in 0..1.

    Returns
    -------
    Tensor
        Scalar loss.
    """
    logits = logits.float()  # sums over a batch exceed the accuracy of half precision
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum()
    mass = probability.square().sum() + target.square().sum()
    dice = (2.0 * overlap + 1.0) / (mass + 1.0)
    return 1.0 - dice + functional.binary_cross_entropy_with_logits(logits, target)


def masked_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compute the weighted mean squared error; 0 if all weights are 0.

    Parameters
    ----------
    prediction, target, weight : Tensor
        Tensors of one shape.

    Returns
    -------
    Tensor
        Scalar loss.
    """
    return ((prediction - target).square() * weight).sum() / weight.sum().clamp(min=1.0)


def relative_mse(prediction: Tensor, target: Tensor, base: Tensor, weight: Tensor) -> Tensor:
    """Compute the squared error of each tile relative to that of a base map, averaged over tiles.

    The squared errors of densely sampled tiles are a hundred times smaller than those of drives
    and would have no effect in a plain mean. A floor of (0.5 dB) squared is added to the error
    of the base map, with 20 dB as the unit of all maps.

    Parameters
    ----------
    prediction, target, base, weight : Tensor, shape (B, 1, H, W)
        Predicted, true and base maps, and weights of the pixels.

    Returns
    -------
    Tensor
        Scalar loss.
    """
    floor = (0.5 / 20.0) ** 2
    count = weight.sum((1, 2, 3)).clamp(min=1.0)
    ours = ((prediction - target).square() * weight).sum((1, 2, 3)) / count
    theirs = ((base - target).square() * weight).sum((1, 2, 3)) / count
    return (ours / (theirs + floor)).mean()


def masked_nll(error: Tensor, log_std: Tensor, weight: Tensor) -> Tensor:
    """Compute the negative log-likelihood of errors under a normal distribution.

    The error is detached: the loss trains the standard deviation and not the prediction.

    Parameters
    ----------
    error, log_std, weight : Tensor
        Error, logarithm of the predicted standard deviation in the same unit, and weights of the
        pixels, of one shape.

    Returns
    -------
    Tensor
        Scalar loss.
    """
    bounded = log_std.clamp(-6.0, 2.0)
    nll = bounded + 0.5 * error.detach().square() * torch.exp(-2.0 * bounded)
    return (nll * weight).sum() / weight.sum().clamp(min=1.0)


def _directional_differences(image: Tensor) -> Tensor:
    """Compute differences to the neighbours below, right and diagonally below, (B, 4, H-1, W-2)."""
    centre = image[..., :-1, 1:-1]
    return torch.cat(
        [
            image[..., 1:, 1:-1] - centre,
            image[..., :-1, 2:] - centre,
            image[..., 1:, 2:] - centre,
            image[..., 1:, :-2] - centre,
        ],
        1,
    )


def gradient_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute one minus the mean cosine similarity of four directional differences (MARS).

    Parameters
    ----------
    prediction, target : Tensor, shape (B, 1, H, W)
        The images.

    Returns
    -------
    Tensor, shape ()
        The loss, 0..2.
    """
    p, t = _directional_differences(prediction), _directional_differences(target)
    return 1.0 - functional.cosine_similarity(p, t, dim=1, eps=1e-6).mean()


def focal_loss(prediction: Tensor, target: Tensor, buildings: Tensor) -> Tensor:
    """Compute the squared error with weight 1 in buildings and 0.05 elsewhere (MARS).

    Parameters
    ----------
    prediction, target : Tensor, shape (B, 1, H, W)
        The images.
    buildings : Tensor, shape (B, 1, H, W)
        1 in buildings, 0 elsewhere.

    Returns
    -------
    Tensor, shape ()
        The loss.
    """
    weight = 0.05 + 0.95 * buildings
    return ((prediction - target).square() * weight).mean()


def mars_loss(
    prediction: Tensor,
    target: Tensor,
    buildings: Tensor,
    *,
    gradient_weight: float = 0.01,
    focal_weight: float = 0.1,
    outdoor_weight: float = 0.0,
) -> Tensor:
    """Compute the loss of the MARS paper, MSE + 0.01 gradient loss + 0.1 focal loss.

    Parameters
    ----------
    prediction, target : Tensor, shape (B, 1, H, W)
        Predicted and true map on the unit scale.
    buildings : Tensor, shape (B, 1, H, W)
        1 in buildings, else 0.
    gradient_weight, focal_weight : float
        Weights of the terms. The defaults are those of the paper.
    outdoor_weight : float
        Weight of the mean squared error outdoors, which the paper does not have. Walls dominate
        the squared error over all pixels, but outdoor levels matter for planning.

    Returns
    -------
    Tensor
        Scalar loss.
    """
    return (
        functional.mse_loss(prediction, target)
        + gradient_weight * gradient_loss(prediction, target)
        + focal_weight * focal_loss(prediction, target, buildings)
        + outdoor_weight * masked_mse(prediction, target, 1.0 - buildings)
    )


@dataclass
class DynamicWeightAverage:
    """Dynamic weight averaging (DWA): larger weights for losses that decrease more slowly.

    ``lambda_k(t) = N exp(w_k / T) / sum_i exp(w_i / T)`` with ``w_k = L_k(t-1) / L_k(t-2)``
    on epoch means. All weights are 1 in the first two epochs. Source: RadioCycle, after
    Liu et al., CVPR 2019 (arXiv 1803.10704), equation 7.

    Parameters
    ----------
    tasks : int
        N, the number of losses.
    temperature : float
        T. Larger values make the weights more equal.

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
        """Restore the history from a checkpoint; values other than lists are ignored."""
        if isinstance(history, list):
            self.history = [[float(value) for value in means] for means in history]

    @property
    def weights(self) -> list[float]:
        """Weights of the next epoch, whose sum is the number of tasks."""
        if len(self.history) < 2:
            return [1.0] * self.tasks
        before, last = self.history
        rates = [new / old if old > 0.0 else 1.0 for new, old in zip(last, before, strict=True)]
        powers = [math.exp(min(rate, 20.0) / self.temperature) for rate in rates]
        return [self.tasks * power / sum(powers) for power in powers]


@dataclass
class RunningMeans:
    """Running means of losses, to bring losses of different units to one scale.

    Parameters
    ----------
    decay : float
        Weight of the earlier values, 0..1. The first values are averaged equally.

    Examples
    --------
    >>> means = RunningMeans()
    >>> means.update([0.002, 0.8]), means.update([0.004, 0.4])
    ([0.002, 0.8], [0.003, 0.6000000000000001])
    """

    decay: float = 0.99
    values: list[float] = field(default_factory=list)
    count: int = 0

    def update(self, losses: Sequence[float]) -> list[float]:
        """Add the losses of a step.

        Parameters
        ----------
        losses : sequence of float
            Losses of the step; those that are not finite are left out.

        Returns
        -------
        list of float
            The means, above 0.
        """
        if not self.values:
            self.values = [max(loss, _LEAST_LOSS) for loss in losses]
        kept = min(self.decay, self.count / (self.count + 1.0))
        self.values = [
            max(kept * mean + (1.0 - kept) * loss, _LEAST_LOSS) if math.isfinite(loss) else mean
            for mean, loss in zip(self.values, losses, strict=True)
        ]
        self.count += 1
        return self.values

    def state(self) -> dict[str, object]:
        """Return the means as JSON values."""
        return {"values": self.values, "count": self.count}

    def restore(self, state: object) -> None:
        """Restore a result of :meth:`state`; other values are ignored."""
        if isinstance(state, dict):
            self.values = [float(value) for value in state["values"]]
            self.count = int(state["count"])
