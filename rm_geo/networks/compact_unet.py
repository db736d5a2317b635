"""Compact U-Net for CPUs: pixel-unshuffle in front of residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions in parallel to the identity, initialised as the identity.

    Parameters
    ----------
    width : int
        Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _start_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        y = torch.relu(self.first(torch.relu(x)))
        return torch.add(x, self.second(y))


def _start_at_zero(conv: nn.Conv2d) -> None:
    """Initialise a convolution with zeros."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


class CompactUNet(nn.Module):
    """Residual U-Net at a quarter of the resolution, without normalisation layers.

    Parameters
    ----------
    fine_channels, smooth_channels : int
        Input channels at full and at quarter resolution. Those at full resolution are
        pixel-unshuffled, which loses no detail.
    out_channels : int
        Output channels at full resolution.
    widths : sequence of int
        Channels at 1/4, 1/8, 1/16, ... of the resolution.
    depths : sequence of int
        Residual blocks of the encoder at each of these resolutions.

    Notes
    -----
    Height and width must be multiples of ``4 * 2 ** (len(widths) - 1)``. The output of a tile
    does not depend on the other tiles of a batch. An untrained network gives 0.

    Examples
    --------
    >>> network = CompactUNet(3, 9, 1, widths=(8, 12), depths=(1, 1))
    >>> network(torch.rand(2, 3, 32, 32), torch.rand(2, 9, 8, 8)).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        fine_channels: int,
        smooth_channels: int,
        out_channels: int,
        widths: Sequence[int] = (48, 96, 128, 192),
        depths: Sequence[int] = (1, 1, 2, 2),
    ) -> None:
        super().__init__()
        n_in = 16 * fine_channels + smooth_channels
        self.stem = nn.Conv2d(n_in, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(w) for _ in range(d)))
            for w, d in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(ResidualBlock(w) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], 16 * out_channels, 3, padding=1)
        _start_at_zero(self.head)

    def forward(self, fine: Tensor, smooth: Tensor) -> Tensor:
        """Map (B, fine, H, W) and (B, smooth, H / 4, W / 4) to (B, out, H, W)."""
        x = torch.relu(self.stem(torch.cat([functional.pixel_unshuffle(fine, 4), smooth], 1)))
        skips: list[Tensor] = []
        for level, encode in enumerate(self.encode):
            if level:
                x = torch.relu(self.down[level - 1](x))
            x = encode(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            raised = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest")
            x = self.decode[level](skips[level] + raised)
        return functional.pixel_shuffle(self.head(x), 4)
