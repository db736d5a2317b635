"""ResUNet, the network of RadioCycle's F."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Unit(nn.Module):
    """Pre-activation residual unit: twice (BN, ReLU, 3x3), in parallel to a 1x1 projection."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, leading: bool = True) -> None:
        super().__init__()
        before = [nn.BatchNorm2d(n_in), nn.ReLU()] if leading else []
        self.body = nn.Sequential(
            *before,
            nn.Conv2d(n_in, n_out, 3, stride, 1),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1),
        )
        self.skip = nn.Conv2d(n_in, n_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the body and the projection."""
        return torch.add(self.body(x), self.skip(x))


class ResUNet(nn.Module):
    """Deep residual U-Net (Zhang et al., IEEE GRSL 2018, arXiv 1711.10684, Table I).

    Parameters
    ----------
    in_channels : int
        Input channels. RadioCycle's F has two, sparse RSRP and transmitter.
    width : float
        Factor on the channel counts 64, 128, 256, 512 of the paper, above 0. The results are
        rounded to multiples of 8.

    Raises
    ------
    ValueError
        If ``width`` is not positive.

    Notes
    -----
    With two inputs and ``width=1`` it has 8,220,353 parameters. The output are log-odds; the
    sigmoid of the paper is applied in the loss and where a probability is needed. Height and
    width of the input must be multiples of 8.

    Examples
    --------
    >>> ResUNet(2, width=0.125)(torch.rand(1, 2, 32, 32)).shape
    torch.Size([1, 1, 32, 32])
    """

    def __init__(self, in_channels: int = 2, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0.0:
            raise ValueError(f"width must be positive, not {width}")
        # With other channel counts, such as 13, PyTorch's channels-last convolutions have crashed
        # on CPUs, and none is faster.
        c1, c2, c3, c4 = (max(8, 8 * round(c * width / 8)) for c in (64, 128, 256, 512))
        self.enc1 = _Unit(in_channels, c1, 1, leading=False)
        self.enc2 = _Unit(c1, c2, 2)
        self.enc3 = _Unit(c2, c3, 2)
        self.bridge = _Unit(c3, c4, 2)
        self.dec3 = _Unit(c4 + c3, c3, 1)
        self.dec2 = _Unit(c3 + c2, c2, 1)
        self.dec1 = _Unit(c2 + c1, c1, 1)
        self.head = nn.Conv2d(c1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to building log-odds (B, 1, H, W)."""
        e1 = self.enc1(x)
        e2 = self.enc2(e1)
        e3 = self.enc3(e2)
        u = self.dec3(torch.cat([_double(self.bridge(e3)), e3], 1))
        u = self.dec2(torch.cat([_double(u), e2], 1))
        u = self.dec1(torch.cat([_double(u), e1], 1))
        logits: Tensor = self.head(u)
        return logits


def _double(x: Tensor) -> Tensor:
    """Upsample bilinearly by two."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
