"""InterpolationNet: RadioCycle's baseline that maps sparse RSRP to the radio map directly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rm_geo.networks.radio_unet import RadioUNet


class InterpolationNet(nn.Module):
    """One RadioUNet from (sparse RSRP, transmitter) to the radio map.

    Parameters
    ----------
    width : float
        Factor on the channel counts; 1 is the paper's, with 10,921,405 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.unet = RadioUNet(2, width)

    def forward(self, rsrp: Tensor, transmitter: Tensor) -> Tensor:
        """Map two images (B, 1, H, W), unit scale, to the radio map (B, 1, H, W)."""
        gain: Tensor = self.unet(torch.cat([rsrp, transmitter], 1))
        return gain
