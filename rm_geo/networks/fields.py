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

from rm_geo.units import LEVEL_SCALE_DB

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


def _transmitter_fields(tiles: SparseTiles, base: Tensor, level_dbm: Tensor) -> Tensor:
    """Distance, bearing, nearness, excess over free space, and what is known."""
    rows, cols = int(base.shape[-2]), int(base.shape[-1])
    position = tiles.transmitter_rc
    known = torch.isfinite(position).all(1).to(base.dtype)[:, None, None]
    centre = torch.nan_to_num(position)
    dy = _centres(rows, COARSE, base)[None, :, None] - centre[:, 0, None, None]
    dx = _centres(cols, COARSE, base)[None, None, :] - centre[:, 1, None, None]
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


def tile_fields(tiles: SparseTiles) -> TileFields:
    """Compute the fields of a batch; a constant added to all levels changes none of them.

    Unknown power therefore costs nothing: a network sees levels relative to the tile's own
    mean, and relative to free space where the intercept is known.
    """
    observed = tiles.observed
    count = observed.sum((2, 3), keepdim=True)
    level_dbm = (tiles.rsrp_dbm * observed).sum((2, 3), keepdim=True) / count.clamp(min=1.0)
    relative = (tiles.rsrp_dbm - level_dbm) * observed / LEVEL_SCALE_DB
    base = pull_push(relative, observed)
    smoothed = functional.avg_pool2d(base, 5, 1, 2, count_include_pad=False)
    fine = torch.cat([base, (relative - smoothed) * observed, observed], 1)
    quarter = functional.avg_pool2d(observed, COARSE)
    near = torch.log10(functional.avg_pool2d(quarter, 3, 1, 1) + 1e-3) / 3.0 + 0.5
    far = torch.log10(functional.avg_pool2d(quarter, 15, 1, 7) + 1e-4) / 4.0 + 0.5
    smooth = torch.cat([near, far, _transmitter_fields(tiles, base, level_dbm)], 1)
    return TileFields(level_dbm=level_dbm, base=base, fine=fine, smooth=smooth)
