"""Network from the lines between many sites and their measurements to buildings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.networks.compact_unet import CompactUNet


class RayBuildings(nn.Module):
    """Building map from the rasters of :func:`rm_geo.buildings.rays.ray_rasters`.

    The rasters sum up all cells, so that one network reads any number of them.

    Parameters
    ----------
    point_channels, ray_channels : int
        Number of rasters of measurements and of lines. The latter have half the resolution.
    widths, depths : sequence of int
        See :class:`~rm_geo.networks.compact_unet.CompactUNet`.

    Examples
    --------
    >>> network = RayBuildings(widths=(8, 12), depths=(1, 1))
    >>> network(torch.rand(2, 3, 32, 32), torch.rand(2, 11, 16, 16)).shape
    torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        point_channels: int = 3,
        ray_channels: int = 11,
        widths: Sequence[int] = (48, 96, 128, 192),
        depths: Sequence[int] = (1, 1, 2, 2),
    ) -> None:
        super().__init__()
        self.point_channels, self.ray_channels = point_channels, ray_channels
        # The rasters of lines become 4 channels each at a quarter of the resolution; the density
        # of the measurements at two scales is added.
        self.unet = CompactUNet(point_channels, 4 * ray_channels + 2, 1, widths, depths)

    @property
    def multiple(self) -> int:
        """Number of pixels that height and width of a tile must be multiples of."""
        return int(4 * 2 ** len(self.unet.down))

    def forward(self, points: Tensor, rays: Tensor) -> Tensor:
        """Map (B, points, H, W) and (B, rays, H / 2, W / 2) to log-odds (B, 1, H, W)."""
        quarter = functional.avg_pool2d(points[:, :1], 4)
        near = torch.log10(functional.avg_pool2d(quarter, 3, 1, 1) + 1e-3) / 3.0 + 0.5
        far = torch.log10(functional.avg_pool2d(quarter, 15, 1, 7) + 1e-4) / 4.0 + 0.5
        smooth = torch.cat([functional.pixel_unshuffle(rays, 2), near, far], 1)
        logits: Tensor = self.unet(points, smooth)
        return logits
