"""Layers shared by the super-resolution networks: enlargement, pixel shuffles, building mask."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly by an integer factor, with aligned image edges.

    Parameters
    ----------
    x : Tensor, shape (B, C, h, w)
        The images.
    factor : int
        Pixels along each pixel.

    Returns
    -------
    Tensor, shape (B, C, h * factor, w * factor)
        The enlarged images.
    """
    return functional.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def upsampler(
    width: int, scale: int, activation: Callable[[], nn.Module] | None = None
) -> nn.Sequential:
    """Build an upsampling module of pixel shuffles by two.

    Parameters
    ----------
    width : int
        Number of channels.
    scale : int
        Enlargement, a power of two from 2 on.
    activation : callable, optional
        Constructor of an activation after each pixel shuffle.

    Returns
    -------
    torch.nn.Sequential
        Maps (B, width, h, w) to (B, width, scale h, scale w).

    Raises
    ------
    ValueError
        If ``scale`` is not a power of two from 2 on.
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
    """Append the mask of samples in buildings, which are 0, to (B, 1, h, w): (B, 2, h, w)."""
    return torch.cat([x, (x <= 0.0).to(x.dtype)], 1)
