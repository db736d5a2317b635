"""Fields that a network can read: what sparse measurements and a transmitter say everywhere.

All functions work on torch tensors on any device, so that training and inference share
them. Levels are in dB divided by :data:`~rm_geo.units.LEVEL_SCALE_DB`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rm_geo.units import ALIKE, LEVEL_SCALE_DB, NEAREST_PX, RIDGE, SLOPE_DB

COARSE: Final = 4
"""Smooth fields are given at a quarter of the resolution, which is where networks work."""


@dataclass(frozen=True)
class SparseTiles:
    """A batch of tiles as tensors.

    Attributes
    ----------
    rsrp_dbm : Tensor, shape (B, 1, H, W)
        Mean RSRP; 0 where nothing was measured.
    observed : Tensor, shape (B, 1, H, W)
        1 where something was measured, else 0.
    transmitter_rc : Tensor, shape (B, 2)
        Row and column of the transmitter in pixels; NaN where unknown.
    intercept_dbm : Tensor, shape (B,)
        Free-space level at 1 m; NaN where unknown.
    spacing_m : float
        Side of a pixel in metres.
    """

    rsrp_dbm: Tensor
    observed: Tensor
    transmitter_rc: Tensor
    intercept_dbm: Tensor
    spacing_m: float = 1.0


@dataclass(frozen=True)
class TileFields:
    """The fields of a batch.

    Attributes
    ----------
    level_dbm : Tensor, shape (B, 1, 1, 1)
        Mean measured level, which everything else is relative to.
    base : Tensor, shape (B, 1, H, W)
        Interpolated level relative to ``level_dbm``, in units of 20 dB.
    fine : Tensor, shape (B, 3, H, W)
        ``base``, the measurement's departure from it, and the observed mask.
    smooth : Tensor, shape (B, 9, H / 4, W / 4)
        Sampling density at two scales, distance, bearing (2), nearness of the transmitter,
        excess over free space, and whether position and intercept are known.
    """

    level_dbm: Tensor
    base: Tensor
    fine: Tensor
    smooth: Tensor


FINE_FIELDS: Final = 3
SMOOTH_FIELDS: Final = 9


def pull_push(values: Tensor, weights: Tensor) -> Tensor:
    """Interpolate scattered values over the whole image by a resolution pyramid.

    Parameters
    ----------
    values, weights : Tensor, shape (B, 1, H, W)
        Values, and 1 where they count (0 elsewhere).

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        The values themselves where weights are 1, a smooth fill between; 0 in an image
        without any.

    Notes
    -----
    Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4. Cost is linear in the pixels,
    whatever the number of samples.
    """
    levels = [(values * weights, weights)]
    while max(levels[-1][0].shape[-2:]) > 1:
        total, weight = levels[-1]
        rows, cols = total.shape[-2:]
        pad = (0, cols % 2, 0, rows % 2)
        total, weight = functional.pad(total, pad), functional.pad(weight, pad)
        summed = functional.avg_pool2d(total, 2) * 4.0
        mass = functional.avg_pool2d(weight, 2) * 4.0
        keep = mass.clamp(max=1.0)
        levels.append((summed / mass.clamp(min=1e-6) * keep, keep))
    filled = levels[-1][0]
    for total, weight in reversed(levels[:-1]):
        size = (int(total.shape[-2]), int(total.shape[-1]))
        coarse = functional.interpolate(
            filled, scale_factor=2.0, mode="bilinear", align_corners=False
        )[..., : size[0], : size[1]]
        filled = total + (1.0 - weight) * coarse
    return filled


def _centres(length: int, step: int, like: Tensor) -> Tensor:
    """Pixel coordinates of the centres of blocks of ``step`` pixels."""
    count = length // step
    return (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * step


def distance_trend(tiles: SparseTiles) -> Tensor:
    """Fit a level that falls with the logarithm of the distance to the transmitter.

    The fit of one tile; :class:`~rm_geo.geostat.path_loss_trend.DistanceTrend` fits a whole cell.

    Parameters
    ----------
    tiles : SparseTiles
        The batch.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        In dB relative to the mean measured level; 0 where the transmitter is not known.
    """
    observed = tiles.observed
    rows, cols = int(observed.shape[-2]), int(observed.shape[-1])
    dy, dx = _offsets(
        tiles.transmitter_rc, _centres(rows, 1, observed), _centres(cols, 1, observed)
    )
    log_distance = torch.log10(torch.sqrt(dx**2 + dy**2).clamp(min=NEAREST_PX))[:, None]
    count = observed.sum((2, 3), keepdim=True).clamp(min=1.0)

    def centred(values: Tensor) -> Tensor:
        return values - (values * observed).sum((2, 3), keepdim=True) / count

    decades, level_db = centred(log_distance), centred(tiles.rsrp_dbm)
    spread = (decades**2 * observed).sum((2, 3), keepdim=True) / ALIKE
    agreement = (decades * level_db * observed).sum((2, 3), keepdim=True) / ALIKE
    slope = (agreement + RIDGE * SLOPE_DB) / (spread + RIDGE)
    known = torch.isfinite(tiles.transmitter_rc).all(1).to(observed.dtype)
    return slope * decades * known[:, None, None, None]


def _offsets(position_rc: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns from each transmitter; an unknown one counts as at the corner."""
    centre = torch.nan_to_num(position_rc)
    dy = rows[None, :, None] - centre[:, 0, None, None]
    dx = cols[None, None, :] - centre[:, 1, None, None]
    return dy, dx


def _transmitter_fields(tiles: SparseTiles, base: Tensor, level_dbm: Tensor) -> Tensor:
    """Distance, bearing, nearness, excess over free space, and what is known."""
    rows, cols = int(base.shape[-2]), int(base.shape[-1])
    position = tiles.transmitter_rc
    known = torch.isfinite(position).all(1).to(base.dtype)[:, None, None]
    dy, dx = _offsets(position, _centres(rows, COARSE, base), _centres(cols, COARSE, base))
    distance_m = torch.sqrt(dx**2 + dy**2).clamp(min=1.0) * tiles.spacing_m
    log_distance = torch.log10(distance_m)
    scale = tiles.spacing_m / distance_m
    sees = torch.isfinite(tiles.intercept_dbm).to(base.dtype)[:, None, None] * known
    free_space = torch.nan_to_num(tiles.intercept_dbm)[:, None, None] - 20.0 * log_distance
    coarse = functional.avg_pool2d(base, COARSE)[:, 0]
    excess = coarse - (free_space - level_dbm[:, 0]) / LEVEL_SCALE_DB
    return torch.stack(
        [
            (log_distance - 2.0) * known,
            dx * scale * known,
            dy * scale * known,
            torch.exp(-distance_m / 10.0) * known,
            excess.clamp(-4.0, 2.0) * sees,
            known.expand_as(distance_m),
            sees.expand_as(distance_m),
        ],
        1,
    )


def tile_fields(tiles: SparseTiles, *, trend: bool = False) -> TileFields:
    """Compute the fields of a batch; a constant added to all levels changes none of them.

    Unknown power therefore costs nothing: a network sees levels relative to the tile's own
    mean, and relative to free space where the intercept is known.

    Parameters
    ----------
    tiles : SparseTiles
        The batch.
    trend : bool
        Whether levels are interpolated as departures from their :func:`distance_trend`.
    """
    observed = tiles.observed
    count = observed.sum((2, 3), keepdim=True)
    level_dbm = (tiles.rsrp_dbm * observed).sum((2, 3), keepdim=True) / count.clamp(min=1.0)
    relative = (tiles.rsrp_dbm - level_dbm) * observed / LEVEL_SCALE_DB
    if trend:
        falling = distance_trend(tiles) / LEVEL_SCALE_DB
        base = falling + pull_push((relative - falling) * observed, observed)
    else:
        base = pull_push(relative, observed)
    smoothed = functional.avg_pool2d(base, 5, 1, 2, count_include_pad=False)
    fine = torch.cat([base, (relative - smoothed) * observed, observed], 1)
    quarter = functional.avg_pool2d(observed, COARSE)
    near = torch.log10(functional.avg_pool2d(quarter, 3, 1, 1) + 1e-3) / 3.0 + 0.5
    far = torch.log10(functional.avg_pool2d(quarter, 15, 1, 7) + 1e-4) / 4.0 + 0.5
    smooth = torch.cat([near, far, _transmitter_fields(tiles, base, level_dbm)], 1)
    return TileFields(level_dbm=level_dbm, base=base, fine=fine, smooth=smooth)
