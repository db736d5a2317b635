"""Losses of RadioCycle and MARS."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dice_bce(logits: Tensor, target: Tensor) -> Tensor:
    """Dice loss plus binary cross-entropy, RadioCycle's loss for building maps.

    The Dice coefficient has squared sums in its denominator and is taken over the batch.

    Parameters
    ----------
    logits, target : Tensor, shape (B, 1, H, W)
        Log-odds, and the truth in 0..1.
    """
    logits = logits.float()  # sums over a batch need more digits than half precision has
    probability = torch.sigmoid(logits)
    overlap = (probability * target).sum()
    mass = probability.square().sum() + target.square().sum()
    dice = (2.0 * overlap + 1.0) / (mass + 1.0)
    return 1.0 - dice + functional.binary_cross_entropy_with_logits(logits, target)


def masked_mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error over pixels, weighted; 0 where no pixel counts."""
    return ((prediction - target).square() * weight).sum() / weight.sum().clamp(min=1.0)


def relative_mse(prediction: Tensor, target: Tensor, base: Tensor, weight: Tensor) -> Tensor:
    """Squared error of each tile relative to that of a base map, averaged over tiles.

    Densely sampled tiles have errors a hundred times smaller (in squares) than routes have:
    in a plain mean nobody would learn to improve them. Base errors below 0.5 dB of a unit
    of 20 dB count as that.
    """
    floor = (0.5 / 20.0) ** 2
    count = weight.sum((1, 2, 3)).clamp(min=1.0)
    ours = ((prediction - target).square() * weight).sum((1, 2, 3)) / count
    theirs = ((base - target).square() * weight).sum((1, 2, 3)) / count
    return (ours / (theirs + floor)).mean()


def masked_nll(error: Tensor, log_std: Tensor, weight: Tensor) -> Tensor:
    """Negative log-likelihood of errors under a normal law with a learnt spread.

    The error is detached: the spread learns from it, and does not disturb what makes it.
    """
    bounded = log_std.clamp(-6.0, 2.0)
    nll = bounded + 0.5 * error.detach().square() * torch.exp(-2.0 * bounded)
    return (nll * weight).sum() / weight.sum().clamp(min=1.0)


def _directional_differences(image: Tensor) -> Tensor:
    """Differences to the neighbours below, right, and on both diagonals, (B, 4, H-1, W-2)."""
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
    """One minus the mean cosine similarity of four directional differences (MARS)."""
    p, t = _directional_differences(prediction), _directional_differences(target)
    return 1.0 - functional.cosine_similarity(p, t, dim=1, eps=1e-6).mean()


def focal_loss(prediction: Tensor, target: Tensor, buildings: Tensor) -> Tensor:
    """Squared error with weight 1 on buildings and 0.05 elsewhere (MARS)."""
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
    """MSE + 0.01 gradient + 0.1 focal, with the weights of the MARS paper.

    Walls make most of the squared error over all pixels; ``outdoor_weight`` adds the mean
    squared error outdoors, which is what a planner reads off a map. The paper has none.
    """
    return (
        functional.mse_loss(prediction, target)
        + gradient_weight * gradient_loss(prediction, target)
        + focal_weight * focal_loss(prediction, target, buildings)
        + outdoor_weight * masked_mse(prediction, target, 1.0 - buildings)
    )
