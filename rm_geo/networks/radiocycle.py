"""RadioCycle: a pair of networks, F from RSRP to buildings and G from buildings to the radio map.

:class:`RadioCycle` is the published pair. :class:`DriveTestRadioCycle` is a variant for drive
tests: the inputs of F and G are features that do not depend on the transmit power, and G
predicts a correction of an interpolation of the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from rm_geo.networks.compact_unet import CompactUNet
from rm_geo.networks.features import (
    FINE_CHANNELS,
    SMOOTH_CHANNELS,
    SparseTiles,
    TileFeatures,
    tile_features,
)
from rm_geo.networks.radio_unet import RadioUNet
from rm_geo.networks.res_unet import ResUNet
from rm_geo.units import LEVEL_SCALE_DB

_CERTAIN_LOGIT: Final = 15.0  # a probability of 3e-7 or 1 - 3e-7


def known_logits(buildings: Tensor) -> Tensor:
    """Convert known buildings to log-odds.

    Parameters
    ----------
    buildings : Tensor
        1 in buildings, else 0.

    Returns
    -------
    Tensor
        15 in buildings, else -15.
    """
    logits: Tensor = _CERTAIN_LOGIT * (2.0 * buildings - 1.0)
    return logits


class RadioCycle(nn.Module):
    """Published pair: F is a ResUNet, G a RadioUNet.

    Both have two input images: sparse RSRP or buildings, and the transmitter as a single pixel.
    RSRP is on the unit scale (:mod:`rm_geo.units`), 0 in pixels without measurements and inside
    buildings.

    Parameters
    ----------
    width : float
        Factor on the channel counts of both networks. With 1, the size of the paper, F has
        8,220,353 parameters and G has 10,921,405.
    map_width : float, optional
        Factor for G, if it differs: the first layers of G have only 6 channels and cannot be
        reduced as much as those of F.

    Examples
    --------
    >>> rsrp = transmitter = torch.zeros(1, 1, 64, 64)
    >>> logits, radio_map = RadioCycle(width=0.05)(rsrp, transmitter)
    >>> logits.shape == radio_map.shape == rsrp.shape
    True
    """

    def __init__(self, width: float = 1.0, map_width: float | None = None) -> None:
        super().__init__()
        self.F = ResUNet(2, width)
        self.G = RadioUNet(2, width if map_width is None else map_width)

    def buildings(self, rsrp: Tensor, transmitter: Tensor) -> Tensor:
        """Apply F: buildings from the radio map.

        Parameters
        ----------
        rsrp : Tensor, shape (B, 1, H, W)
            Radio map on the scale 0..1.
        transmitter : Tensor, shape (B, 1, H, W)
            Map of the transmitter.

        Returns
        -------
        Tensor, shape (B, 1, H, W)
            Log-odds of a building.
        """
        logits: Tensor = self.F(torch.cat([rsrp, transmitter], 1))
        return logits

    def radio_map(self, buildings: Tensor, transmitter: Tensor) -> Tensor:
        """Apply G: radio map from buildings.

        Parameters
        ----------
        buildings : Tensor, shape (B, 1, H, W)
            Building probability, 0..1.
        transmitter : Tensor, shape (B, 1, H, W)
            Map of the transmitter.

        Returns
        -------
        Tensor, shape (B, 1, H, W)
            Radio map on the scale 0..1.
        """
        gain: Tensor = self.G(torch.cat([buildings, transmitter], 1))
        return gain

    def forward(
        self, rsrp: Tensor, transmitter: Tensor, buildings: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute building log-odds and the radio map.

        Parameters
        ----------
        rsrp, transmitter : Tensor, shape (B, 1, H, W)
            Sparse RSRP on the unit scale, and the transmitter as a single pixel.
        buildings : Tensor, shape (B, 1, H, W), optional
            Known buildings, 1 or 0. They replace the result of F.

        Returns
        -------
        logits, radio_map : Tensor, shape (B, 1, H, W)
            F(x) and G(F(x)), or the log-odds of known buildings z and G(z).
        """
        if buildings is not None:
            return known_logits(buildings), self.radio_map(buildings, transmitter)
        logits = self.buildings(rsrp, transmitter)
        return logits, self.radio_map(torch.sigmoid(logits), transmitter)


@dataclass(frozen=True)
class DriveTestMaps:
    """Maps predicted by :class:`DriveTestRadioCycle` for a batch of tiles.

    Attributes
    ----------
    rsrp_dbm : Tensor, shape (B, 1, H, W)
        Radio map in dBm. Inside buildings it continues the outdoor level.
    building_logits : Tensor, shape (B, 1, H, W)
        Log-odds of buildings.
    log_std : Tensor, shape (B, 1, H, W)
        Natural logarithm of the standard deviation of the radio map in units of 20 dB.
    """

    rsrp_dbm: Tensor
    building_logits: Tensor
    log_std: Tensor


class DriveTestRadioCycle(nn.Module):
    """RadioCycle for drive tests, with any transmit power and any or no transmitter position.

    Parameters
    ----------
    f_widths, g_widths : sequence of int
        Channels of F and G at 1/4, 1/8, ... of the resolution.
    f_depths, g_depths : sequence of int
        Residual blocks at each of these resolutions.
    trend : bool
        Whether the interpolation that G corrects includes the path loss trend, see
        :func:`~rm_geo.networks.features.distance_trend`. Weights are valid only for the value
        that they were trained with.

    Raises
    ------
    TypeError
        If ``trend`` is not a bool.

    Examples
    --------
    >>> sizes = {"f_widths": (8, 12), "f_depths": (1, 1), "g_widths": (8, 12), "g_depths": (1, 1)}
    >>> DriveTestRadioCycle(**sizes).multiple
    8
    """

    def __init__(
        self,
        f_widths: Sequence[int] = (48, 96, 128, 192),
        f_depths: Sequence[int] = (1, 1, 2, 2),
        g_widths: Sequence[int] = (32, 64, 128, 192),
        g_depths: Sequence[int] = (1, 1, 2, 2),
        trend: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(trend, bool):  # any text in a recipe would be true
            raise TypeError(f"trend must be true or false, not {trend!r}")
        self.trend = trend
        self.F = CompactUNet(FINE_CHANNELS, SMOOTH_CHANNELS, 1, f_widths, f_depths)
        self.G = CompactUNet(FINE_CHANNELS + 1, SMOOTH_CHANNELS, 2, g_widths, g_depths)

    @property
    def multiple(self) -> int:
        """Number of pixels that height and width of a tile must be multiples of."""
        return int(4 * 2 ** max(len(self.F.down), len(self.G.down)))

    def features(self, tiles: SparseTiles) -> TileFeatures:
        """Compute the features of a batch of tiles."""
        return tile_features(tiles, trend=self.trend)

    def building_logits(self, features: TileFeatures) -> Tensor:
        """Apply F: building log-odds (B, 1, H, W) from the features."""
        logits: Tensor = self.F(features.fine, features.smooth)
        return logits

    def radio_map(self, features: TileFeatures, buildings: Tensor) -> tuple[Tensor, Tensor]:
        """Apply G: radio map from features and buildings.

        Parameters
        ----------
        features : TileFeatures
            Features of the measurements.
        buildings : Tensor, shape (B, 1, H, W)
            Building probability, 0..1.

        Returns
        -------
        rsrp_dbm : Tensor, shape (B, 1, H, W)
            RSRP in dBm.
        log_std : Tensor, shape (B, 1, H, W)
            Logarithm of the standard deviation.
        """
        out = self.G(torch.cat([features.fine, buildings], 1), features.smooth)
        correction, log_std = out[:, :1], out[:, 1:]
        return features.level_dbm + LEVEL_SCALE_DB * (features.base + correction), log_std - 2.0

    def forward(self, tiles: SparseTiles, buildings: Tensor | None = None) -> DriveTestMaps:
        """Predict buildings and the radio map.

        Parameters
        ----------
        tiles : SparseTiles
            The batch.
        buildings : Tensor, shape (B, 1, H, W), optional
            Known buildings, 1 or 0. They replace the result of F.

        Returns
        -------
        DriveTestMaps
        """
        features = self.features(tiles)
        logits = self.building_logits(features) if buildings is None else known_logits(buildings)
        given = torch.sigmoid(logits) if buildings is None else buildings
        rsrp_dbm, log_std = self.radio_map(features, given)
        return DriveTestMaps(rsrp_dbm=rsrp_dbm, building_logits=logits, log_std=log_std)
