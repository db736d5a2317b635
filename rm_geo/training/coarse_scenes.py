"""Crops at coarser pixels, like drive tests binned to 2 or 4 m."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rm_geo.training.scenes import SceneCrops

_COUNTS_FROM: Final = 0.5
"""Fraction of a pixel that must be outdoors, or a building, to mark it as such."""


def coarsen(crops: SceneCrops, factor: int) -> SceneCrops:
    """Average crops over squares of pixels, like binning of measurements.

    Parameters
    ----------
    crops : SceneCrops
        Crops whose sides are multiples of ``factor``.
    factor : int
        Number of pixels along a side that form one coarse pixel.

    Returns
    -------
    SceneCrops
        Gains are means of the outdoor power. The order of a drive is that of the first visit to
        any part of a pixel.
    """
    if factor == 1:
        return crops
    power = torch.pow(10.0, crops.gain_db / 10.0) * crops.free
    share = functional.avg_pool2d(crops.free, factor)
    mean = functional.avg_pool2d(power, factor) / share.clamp(min=1e-9)
    free = (share >= _COUNTS_FROM).float()
    return replace(
        crops,
        gain_db=torch.where(free > 0, 10.0 * torch.log10(mean.clamp(min=1e-30)), -200.0),
        buildings=(functional.avg_pool2d(crops.buildings, factor) > _COUNTS_FROM).float(),
        free=free,
        order=_first_visit(crops.order, factor),
        transmitter_rc=crops.transmitter_rc / factor,
        spacing_m=crops.spacing_m * factor,
    )


def _first_visit(order: Tensor, factor: int) -> Tensor:
    """Return the smallest order of the visited pixels in each square, -1 if none is visited."""
    never = torch.where(order < 0, torch.inf, order)
    first = -functional.max_pool2d(-never, factor)
    return torch.where(torch.isinf(first), -1.0, first)


def fit_batch(batch: int, crop: int, factor: int, largest: int, multiple: int) -> tuple[int, int]:
    """Adapt batch size and crop size so that the crop at full resolution fits the largest scenes.

    Parameters
    ----------
    batch, crop : int
        Batch size and crop side for pixels of the scenes.
    factor : int
        Size of a coarse pixel in pixels of the scenes.
    largest : int
        Side of the largest scenes in pixels.
    multiple : int
        Number that crops must be a multiple of.

    Returns
    -------
    batch, crop : int
        The crop is halved and the batch quadrupled until the crop fits. If another halving would
        violate ``multiple``, the result may still be too large.

    Examples
    --------
    >>> fit_batch(4, 256, factor=4, largest=512, multiple=32)
    (16, 128)
    """
    while crop * factor > largest and crop % (2 * multiple) == 0:
        batch, crop = 4 * batch, crop // 2
    return batch, crop
