"""RadioUNet, the U-Net of RadioCycle's generator G and of the baseline InterpolationNet."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_MEAN_LEVEL: Final = 0.3
"""Approximate mean of radio maps on the unit scale."""


def _down(n_in: int, n_out: int, kernel: int, pool: int = 1) -> nn.Sequential:
    """Convolution, ReLU and max pooling."""
    conv = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)
    block = nn.Sequential(conv, nn.ReLU(inplace=True))
    if pool > 1:
        block.append(nn.MaxPool2d(pool))
    return block


def _up(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    """Transposed convolution that doubles the resolution, and ReLU."""
    conv = nn.ConvTranspose2d(n_in, n_out, kernel, stride=2, padding=kernel // 2 - 1)
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def _scaled(channels: int, width: float) -> int:
    """Scale a channel count of the paper and round it to a multiple of 8.

    Vector units process 8 channels at a time: at half the width, a step takes half the time of
    one with 3, 25, 75 or 250 channels.
    """
    return channels if width == 1.0 else max(8, 8 * round(channels * width / 8))


class RadioUNet(nn.Module):
    """First U-Net of RadioWNet (Levie et al., IEEE TWC 2021, arXiv 1911.09002, Table I).

    Parameters
    ----------
    in_channels : int
        Input channels. RadioCycle's G has two, buildings and transmitter.
    width : float
        Factor on the channel counts except those of input and output, above 0. With 1 they are
        those of the paper, otherwise they are rounded to multiples of 8.

    Raises
    ------
    ValueError
        If ``width`` is not positive.

    Notes
    -----
    With two inputs and ``width=1`` it has 10,921,405 parameters. Height and width of the
    input must be multiples of 64.

    Examples
    --------
    >>> RadioUNet(2, width=0.05)(torch.rand(1, 2, 64, 64)).shape
    torch.Size([1, 1, 64, 64])
    """

    def __init__(self, in_channels: int = 2, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0.0:
            raise ValueError(f"width must be positive, not {width}")
        n = in_channels
        c6, c20, c40, c50, c60, c100, c150, c300, c500 = (
            _scaled(c, width) for c in (6, 20, 40, 50, 60, 100, 150, 300, 500)
        )
        self.enc00 = _down(n, c6, 3)
        self.enc0 = _down(c6, c40, 5, 2)
        self.enc1 = _down(c40, c50, 5, 2)
        self.enc10 = _down(c50, c60, 5)
        self.enc2 = _down(c60, c100, 5, 2)
        self.enc20 = _down(c100, c100, 3)
        self.enc3 = _down(c100, c150, 5, 2)
        self.enc4 = _down(c150, c300, 5, 2)
        self.enc5 = _down(c300, c500, 5, 2)
        self.dec5 = _up(c500, c300, 4)
        self.dec4 = _up(2 * c300, c150, 4)
        self.dec3 = _up(2 * c150, c100, 4)
        self.dec20 = _down(2 * c100, c100, 3)
        self.dec2 = _up(2 * c100, c60, 6)
        self.dec10 = _down(2 * c60, c50, 5)
        self.dec1 = _up(2 * c50, c40, 6)
        self.dec0 = _up(2 * c40, c20, 6)
        self.dec00 = _down(c20 + c6 + n, c20, 5)
        self.head = nn.Conv2d(c20 + n, 1, 5, padding=2)
        # Without this bias the output may be below 0 everywhere, where the ReLU has no gradient.
        nn.init.constant_(self.head.bias, _MEAN_LEVEL)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to one non-negative image (B, 1, H, W)."""
        e00 = self.enc00(x)
        e0 = self.enc0(e00)
        e1 = self.enc1(e0)
        e10 = self.enc10(e1)
        e2 = self.enc2(e10)
        e20 = self.enc20(e2)
        e3 = self.enc3(e20)
        e4 = self.enc4(e3)
        u = self.dec5(self.enc5(e4))
        u = self.dec4(torch.cat([u, e4], 1))
        u = self.dec3(torch.cat([u, e3], 1))
        u = self.dec20(torch.cat([u, e20], 1))
        u = self.dec2(torch.cat([u, e2], 1))
        u = self.dec10(torch.cat([u, e10], 1))
        u = self.dec1(torch.cat([u, e1], 1))
        u = self.dec0(torch.cat([u, e0], 1))
        u = self.dec00(torch.cat([u, e00, x], 1))
        return torch.relu(self.head(torch.cat([u, x], 1)))


class InterpolationNet(nn.Module):
    """Baseline of the RadioCycle paper: one RadioUNet from sparse RSRP to the radio map.

    Parameters
    ----------
    width : float
        Factor on the channel counts, see :class:`RadioUNet`. With 1, the size of the paper, it
        has 10,921,405 parameters.

    Examples
    --------
    >>> rsrp = transmitter = torch.zeros(1, 1, 64, 64)
    >>> InterpolationNet(width=0.05)(rsrp, transmitter).shape
    torch.Size([1, 1, 64, 64])
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.unet = RadioUNet(2, width)

    def forward(self, rsrp: Tensor, transmitter: Tensor) -> Tensor:
        """Map sparse RSRP (unit scale) and transmitter, (B, 1, H, W) each, to (B, 1, H, W)."""
        gain: Tensor = self.unet(torch.cat([rsrp, transmitter], 1))
        return gain
