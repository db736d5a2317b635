"""Crops at coarser pixels: what drive tests give when they are binned to 2 or 4 m."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rm_geo.training.scenes import SceneCrops

_COUNTS_FROM: Final = 0.5
"""Share of a pixel that must be outdoors, or a building, for it to count as such."""


def coarser(crops: SceneCrops, factor: int) -> SceneCrops:
    """Average crops over squares of pixels, as binning does.

    Parameters
    ----------
    crops : SceneCrops
        Sides are multiples of ``factor``.
    factor : int
        Pixels along a side that become one.

    Returns
    -------
    SceneCrops
        Gains are means of the power outdoors; a drive visits a pixel when it first comes to a
        part of it.
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
    """Least order of the visited pixels of each square; -1 where a drive never comes."""
    never = torch.where(order < 0, torch.inf, order)
    first = -functional.max_pool2d(-never, factor)
    return torch.where(torch.isinf(first), -1.0, first)


def fitting(batch: int, crop: int, factor: int, largest: int, multiple: int) -> tuple[int, int]:
    """Find the batch and the crop whose original fits the largest scenes.

    Parameters
    ----------
    batch, crop : int
        As at the scenes' own pixels.
    factor : int
        How much coarser the pixels are to be.
    largest : int
        Side of the largest scenes.
    multiple : int
        Crops must be a multiple of this.

    Returns
    -------
    batch, crop : int
        Halved crops in batches of four times as many, until they fit, or the next half would
        suit the network no more; then they may be too large.
    """
    while crop * factor > largest and crop % (2 * multiple) == 0:
        batch, crop = 4 * batch, crop // 2
    return batch, crop
