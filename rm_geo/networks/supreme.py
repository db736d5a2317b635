"""Supreme: spatio-temporal radio map super-resolution, a baseline of the MARS paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.networks.upsampling import upsampler


class _SpatialTemporalBlock(nn.Module):
    """A spatial and a temporal convolution, in parallel to the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PReLU(),
            nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1)),
            nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the body to the input."""
        return torch.add(x, self.body(x))


class Supreme(nn.Module):
    """Supreme for a single radio map: 3-D convolutions over one time step, no external data.

    Source: Li et al., Supreme, IPSN 2020, and its public code. The code defines a convolution
    behind the residual blocks and one that reduces the time steps, but does not apply them. They
    are part of the published size and are applied here according to their shapes.

    Parameters
    ----------
    scale : {2, 4, 8}
        Enlargement along each axis.
    width : int
        Number of channels.
    blocks : int
        Number of spatio-temporal residual blocks.

    Notes
    -----
    With the defaults it has 1,514,451 parameters at 4x and 1,662,163 at 8x. The network corrects
    a nearest-neighbour enlargement. Input and output are on the unit scale, see
    :mod:`rm_geo.units`. Samples inside buildings are 0.

    Examples
    --------
    >>> Supreme(4, width=8, blocks=1)(torch.rand(1, 1, 8, 12)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv3d(1, width, (3, 9, 9), padding=(1, 4, 4)), nn.PReLU())
        self.blocks = nn.Sequential(*(_SpatialTemporalBlock(width) for _ in range(blocks)))
        self.collect = nn.Conv3d(width, width, (3, 5, 5), padding=(1, 2, 2))
        self.fold = nn.Conv3d(width, width, (1, 5, 5), padding=(0, 2, 2))
        self.up = upsampler(width, scale, nn.ReLU)
        self.tail = nn.Sequential(nn.Conv2d(width, 1, 9, padding=4), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, 1, h, w) to (B, 1, scale h, scale w)."""
        shallow = self.head(x[:, :, None])
        deep = torch.add(shallow, self.collect(self.blocks(shallow)))
        correction = self.tail(self.up(self.fold(deep)[:, :, 0]))
        repeated = functional.interpolate(x, scale_factor=float(self.scale), mode="nearest")
        return torch.add(correction, repeated)
