"""RadioCycle: a dual pair of networks, RSRP -> buildings and buildings -> radio map.

:class:`RadioCycle` is the published pair. :class:`FieldRadioCycle` is the same pair for
real drive tests: F and G read fields that make sense with any power and any transmitter,
and G corrects an interpolation of the measurements instead of painting the map anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from rm_geo.networks.compact_unet import CompactUNet
from rm_geo.networks.fields import FINE_FIELDS, SMOOTH_FIELDS, SparseTiles, TileFields, tile_fields
from rm_geo.networks.radio_unet import RadioUNet
from rm_geo.networks.res_unet import ResUNet
from rm_geo.units import LEVEL_SCALE_DB

_CERTAIN_LOGIT: Final = 15.0  # a probability of 3e-7 or all but that


def known_logits(buildings: Tensor) -> Tensor:
    """Log-odds of buildings that are known: as good as certain."""
    logits: Tensor = _CERTAIN_LOGIT * (2.0 * buildings - 1.0)
    return logits


class RadioCycle(nn.Module):
    """The published pair: F is a ResUNet, G a RadioUNet.

    Both take two images: sparse RSRP or buildings, and the transmitter as a single pixel.
    RSRP is on the unit scale (:mod:`rm_geo.units`), 0 where nothing was measured and inside
    buildings.

    Parameters
    ----------
    width : float
        Factor on the channel counts of both networks; 1 is the paper's size, with
        8,220,353 parameters in F and 10,921,405 in G.
    map_width : float, optional
        Another factor for G, whose first layers are so narrow (6 channels) that it cannot
        shrink as F can.
    """

    def __init__(self, width: float = 1.0, map_width: float | None = None) -> None:
        super().__init__()
        self.F = ResUNet(2, width)
        self.G = RadioUNet(2, width if map_width is None else map_width)

    def buildings(self, rsrp: Tensor, transmitter: Tensor) -> Tensor:
        """F: building logits (B, 1, H, W) from RSRP and transmitter, each (B, 1, H, W)."""
        logits: Tensor = self.F(torch.cat([rsrp, transmitter], 1))
        return logits

    def radio_map(self, buildings: Tensor, transmitter: Tensor) -> Tensor:
        """G: radio map (B, 1, H, W) from buildings (0..1) and transmitter."""
        gain: Tensor = self.G(torch.cat([buildings, transmitter], 1))
        return gain

    def forward(
        self, rsrp: Tensor, transmitter: Tensor, buildings: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Backbone: building logits F(x), and radio map G(F(x)); G(z) where buildings are known."""
        if buildings is not None:
            return known_logits(buildings), self.radio_map(buildings, transmitter)
        logits = self.buildings(rsrp, transmitter)
        return logits, self.radio_map(torch.sigmoid(logits), transmitter)


@dataclass(frozen=True)
class FieldMaps:
    """What the field pair says about a batch of tiles.

    Attributes
    ----------
    rsrp_dbm : Tensor, shape (B, 1, H, W)
        Radio map; inside buildings it continues the level outdoors.
    building_logits : Tensor, shape (B, 1, H, W)
        Log-odds of a building.
    log_std : Tensor, shape (B, 1, H, W)
        Natural logarithm of the radio map's standard deviation in units of 20 dB.
    """

    rsrp_dbm: Tensor
    building_logits: Tensor
    log_std: Tensor


class FieldRadioCycle(nn.Module):
    """RadioCycle for drive tests: any power, transmitter inside, outside or unknown.

    Parameters
    ----------
    f_widths, g_widths : sequence of int
        Channels of F and G at 1/4, 1/8, ... of the resolution.
    f_depths, g_depths : sequence of int
        Residual blocks at each.
    trend : bool
        Whether it starts from an interpolation that knows the distance to the transmitter; see
        :func:`~rm_geo.networks.fields.distance_trend`. A network's weights go with the one or
        the other.
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
        if not isinstance(trend, bool):  # any text of a recipe would count as true
            raise TypeError(f"trend must be true or false, not {trend!r}")
        self.trend = trend
        self.F = CompactUNet(FINE_FIELDS, SMOOTH_FIELDS, 1, f_widths, f_depths)
        self.G = CompactUNet(FINE_FIELDS + 1, SMOOTH_FIELDS, 2, g_widths, g_depths)

    @property
    def multiple(self) -> int:
        """Height and width of a tile must be multiples of this."""
        return int(4 * 2 ** max(len(self.F.down), len(self.G.down)))

    def fields(self, tiles: SparseTiles) -> TileFields:
        """Fields of a batch, as this pair reads them."""
        return tile_fields(tiles, trend=self.trend)

    def building_logits(self, fields: TileFields) -> Tensor:
        """F: building log-odds (B, 1, H, W)."""
        logits: Tensor = self.F(fields.fine, fields.smooth)
        return logits

    def radio_map(self, fields: TileFields, buildings: Tensor) -> tuple[Tensor, Tensor]:
        """G: RSRP in dBm and log standard deviation, given buildings (B, 1, H, W) in 0..1."""
        out = self.G(torch.cat([fields.fine, buildings], 1), fields.smooth)
        correction, log_std = out[:, :1], out[:, 1:]
        return fields.level_dbm + LEVEL_SCALE_DB * (fields.base + correction), log_std - 2.0

    def forward(self, tiles: SparseTiles, buildings: Tensor | None = None) -> FieldMaps:
        """Backbone: buildings from the measurements, the radio map from both.

        Buildings (B, 1, H, W) that are known, 1 or 0, stand in for those that F would find.
        """
        fields = self.fields(tiles)
        logits = self.building_logits(fields) if buildings is None else known_logits(buildings)
        given = torch.sigmoid(logits) if buildings is None else buildings
        rsrp_dbm, log_std = self.radio_map(fields, given)
        return FieldMaps(rsrp_dbm=rsrp_dbm, building_logits=logits, log_std=log_std)
