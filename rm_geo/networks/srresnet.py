"""SRResNet without batch normalisation, a baseline of the MARS paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rm_geo.networks.upsampling import upsampler


class _Block(nn.Module):
    """Convolution, PReLU and convolution, in parallel to the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the input."""
        return torch.add(x, self.body(x))


class SRResNet(nn.Module):
    """Generator of SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802, figure 4).

    It has no batch normalisation, which is better in super-resolution (EDSR, Lim et al., CVPRW
    2017), and the first and last convolutions are 3 x 3. This gives the parameter counts of the
    MARS paper.

    Parameters
    ----------
    scale : {2, 4, 8}
        Enlargement along each axis.
    width : int
        Number of channels.
    blocks : int
        Number of residual blocks.

    Notes
    -----
    With the defaults it has 1,515,284 parameters at 4x and 1,662,997 at 8x. Input and output are
    on the unit scale, see :mod:`rm_geo.units`. Samples inside buildings are 0.

    Examples
    --------
    >>> SRResNet(4, width=8, blocks=1)(torch.rand(1, 1, 8, 12)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.PReLU())
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.collect = nn.Conv2d(width, width, 3, padding=1)
        self.up = upsampler(width, scale, nn.PReLU)
        self.tail = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, 1, h, w) to (B, 1, scale h, scale w)."""
        shallow = self.head(x)
        deep = torch.add(shallow, self.collect(self.blocks(shallow)))
        fine: Tensor = self.tail(self.up(deep))
        return fine
