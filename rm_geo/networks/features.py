"""Input features of the drive-test network, computed from sparse measurements and a transmitter.

All functions work on torch tensors on any device and are shared by training and inference. The
features are dense images. Levels are in units of :data:`~rm_geo.units.LEVEL_SCALE_DB`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rm_geo.units import ALIKE, LEVEL_SCALE_DB, NEAREST_PX, RIDGE, SLOPE_DB

COARSE: Final = 4
"""Factor between full resolution and the resolution of smooth features."""


@dataclass(frozen=True)
class SparseTiles:
    """Batch of tiles as float32 tensors on one device.

    Attributes
    ----------
    rsrp_dbm : Tensor, shape (B, 1, H, W)
        Mean RSRP in dBm, 0 in pixels without measurements.
    observed : Tensor, shape (B, 1, H, W)
        1 in measured pixels, else 0.
    transmitter_rc : Tensor, shape (B, 2)
        Row and column of the transmitter in pixels, NaN if unknown.
    intercept_dbm : Tensor, shape (B,)
        Free-space level in dBm at 1 m, NaN if unknown.
    spacing_m : float
        Side of a pixel in metres.
    """

    rsrp_dbm: Tensor
    observed: Tensor
    transmitter_rc: Tensor
    intercept_dbm: Tensor
    spacing_m: float = 1.0


@dataclass(frozen=True)
class TileFeatures:
    """Features of a batch of tiles.

    Attributes
    ----------
    level_dbm : Tensor, shape (B, 1, 1, 1)
        Mean measured level in dBm, the reference of all other levels.
    base : Tensor, shape (B, 1, H, W)
        Interpolated level relative to ``level_dbm``, in units of 20 dB.
    fine : Tensor, shape (B, 3, H, W)
        ``base``, the deviation of the measurements from its local mean, and the mask of measured
        pixels.
    smooth : Tensor, shape (B, 9, H / 4, W / 4)
        Sampling density at two scales, distance, bearing (2), proximity of the transmitter,
        excess over free space, and indicators of a known position and a known intercept.
    """

    level_dbm: Tensor
    base: Tensor
    fine: Tensor
    smooth: Tensor


FINE_CHANNELS: Final = 3
SMOOTH_CHANNELS: Final = 9


def pull_push(values: Tensor, weights: Tensor) -> Tensor:
    """Interpolate scattered values over the image with a resolution pyramid.

    Parameters
    ----------
    values, weights : Tensor, shape (B, 1, H, W)
        Values, and their weights 0 or 1.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        The values in pixels of weight 1 and a smooth interpolation between them; 0 in an image
        without values.

    Notes
    -----
    Pull-push algorithm of Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4. The cost is
    linear in the number of pixels and does not depend on the number of values.

    Examples
    --------
    >>> weights = torch.zeros(1, 1, 4, 4)
    >>> weights[..., 0, 0] = 1.0
    >>> bool((pull_push(3.0 * weights, weights) == 3.0).all())
    True
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
    """Fit a path loss trend, linear in the logarithm of the distance, to each tile.

    Parameters
    ----------
    tiles : SparseTiles
        The batch.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        Trend in dB relative to the mean measured level; 0 for an unknown transmitter.

    Notes
    -----
    There are two implementations of this fit with the same constants and the same ridge towards
    the prior slope (:mod:`rm_geo.units`). This one fits single tiles as a differentiable part of
    the network, on the device, for training, inference and ONNX export.
    :class:`~rm_geo.geostat.path_loss_trend.DistanceTrend` fits a whole cell with numpy, for the
    classical methods, which work without PyTorch. A test compares the two.
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
    """Row and column offsets from each transmitter; an unknown one is put at the corner."""
    centre = torch.nan_to_num(position_rc)
    dy = rows[None, :, None] - centre[:, 0, None, None]
    dx = cols[None, None, :] - centre[:, 1, None, None]
    return dy, dx


def _transmitter_fields(tiles: SparseTiles, base: Tensor, level_dbm: Tensor) -> Tensor:
    """Distance, bearing, proximity, excess over free space, and the two indicators."""
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


def tile_features(tiles: SparseTiles, *, trend: bool = False) -> TileFeatures:
    """Compute the features of a batch of tiles.

    The features do not change if a constant is added to all levels: levels are relative to the
    mean of the tile and, if the intercept is known, to free space. The network therefore does
    not depend on an unknown transmit power.

    Parameters
    ----------
    tiles : SparseTiles
        The batch.
    trend : bool
        Whether to interpolate the residuals of :func:`distance_trend` instead of the levels.

    Returns
    -------
    TileFeatures

    Examples
    --------
    >>> observed = (torch.rand(1, 1, 32, 32) < 0.2).float()
    >>> tiles = SparseTiles(
    ...     rsrp_dbm=-80.0 * observed,
    ...     observed=observed,
    ...     transmitter_rc=torch.tensor([[10.0, 12.0]]),
    ...     intercept_dbm=torch.tensor([float("nan")]),
    ... )
    >>> features = tile_features(tiles)
    >>> features.fine.shape, features.smooth.shape
    (torch.Size([1, 3, 32, 32]), torch.Size([1, 9, 8, 8]))
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
    return TileFeatures(level_dbm=level_dbm, base=base, fine=fine, smooth=smooth)
