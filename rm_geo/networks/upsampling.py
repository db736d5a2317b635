"""What all super-resolution networks share: enlargement, pixel shuffles, the building mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Upsample (B, C, h, w) bilinearly by a whole factor, pixel corners fixed."""
    return functional.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def upsampler(
    width: int, scale: int, activation: Callable[[], nn.Module] | None = None
) -> nn.Sequential:
    """Pixel shuffles by two until ``scale`` is reached, an activation after each if given.

    Raises
    ------
    ValueError
        If ``scale`` is no power of two from 2 on.
    """
    steps = round(math.log2(scale)) if scale > 0 else 0
    if steps < 1 or 2**steps != scale:
        raise ValueError(f"scale must be a power of two from 2 on, not {scale}")
    layers: list[nn.Module] = []
    for _ in range(steps):
        layers += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        if activation is not None:
            layers.append(activation())
    return nn.Sequential(*layers)


def with_building_mask(x: Tensor) -> Tensor:
    """Add a channel that is 1 where a sample (B, 1, h, w) lies in a building, so is 0."""
    return torch.cat([x, (x <= 0.0).to(x.dtype)], 1)
