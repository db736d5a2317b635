"""Simulated measurements of crops, drawn on the training device.

The distribution resembles real data: uniform samples, regular grids and drives along streets,
with missing blocks, noise, quantisation and outliers. :mod:`rm_geo.datasets.sampling` does the
same for single tiles with numpy, for evaluation and demos. This module draws whole batches
without a transfer from the device. Their random streams differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rm_geo.errors import ConfigError
from rm_geo.networks.features import SparseTiles
from rm_geo.training.options import require_range, require_share
from rm_geo.training.scenes import SceneCrops

_SHARES: Final = (
    "block_probability",
    "noisy_probability",
    "quantised_probability",
    "outlier_probability",
    "outlier_fraction",
    "unknown_transmitter",
    "unknown_intercept",
)


@dataclass(frozen=True)
class MeasurementMixture:
    """Distribution of simulated measurements. Probabilities are per tile.

    Attributes
    ----------
    uniform, grid, routes : float
        Relative frequencies of the three sampling methods.
    uniform_fraction, route_fraction : tuple of float
        Smallest and largest fraction of measured pixels, drawn log-uniformly.
    grid_step_px : tuple of int
        Smallest and largest step of a regular grid.
    block_probability : float
        Probability that blocks of a tile have no measurements.
    noisy_probability, noise_db : float, tuple of float
        Probability of noise, and range of its standard deviation.
    quantised_probability : float
        Probability that levels are rounded to 1 dB.
    outlier_probability, outlier_fraction : float
        Probability of outliers, and their fraction of the measurements.
    unknown_transmitter, unknown_intercept : float
        Probability that the position or the transmit power is unknown.
    intercept_error_db, position_error_m : float
        Standard deviations of the errors of intercept and position, as for estimates from data.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    uniform: float = 0.5
    grid: float = 0.1
    routes: float = 0.4
    uniform_fraction: tuple[float, float] = (0.01, 0.5)
    route_fraction: tuple[float, float] = (0.004, 0.06)
    grid_step_px: tuple[int, int] = (2, 14)
    block_probability: float = 0.2
    noisy_probability: float = 0.4
    noise_db: tuple[float, float] = (0.5, 4.0)
    quantised_probability: float = 0.3
    outlier_probability: float = 0.1
    outlier_fraction: float = 0.01
    unknown_transmitter: float = 0.25
    unknown_intercept: float = 0.25
    intercept_error_db: float = 1.5
    position_error_m: float = 3.0

    def __post_init__(self) -> None:
        ways = (self.uniform, self.grid, self.routes)
        if not min(ways) >= 0.0 or not sum(ways) > 0.0:
            raise ConfigError(f"uniform, grid and routes must not be negative or all 0: {ways}.")
        for name in _SHARES:
            require_share(name, getattr(self, name))
        require_range("uniform_fraction", self.uniform_fraction, 0.0, 1.0)
        require_range("route_fraction", self.route_fraction, 0.0, 1.0)
        require_range("grid_step_px", self.grid_step_px, 0.0, math.inf)
        require_range("noise_db", self.noise_db, -1e-9, math.inf)
        for name in ("intercept_error_db", "position_error_m"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}.")


def _log_uniform(count: int, bounds: tuple[float, float], random: torch.Generator) -> Tensor:
    """Draw (count, 1, 1, 1) values log-uniformly between the bounds."""
    low, high = torch.log(torch.tensor(bounds))
    return torch.exp(low + (high - low) * _rand((count, 1, 1, 1), random))


def _rand(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw uniform numbers on the device of the generator."""
    return torch.rand(shape, generator=random, device=random.device)


def _randn(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Draw normal numbers on the device of the generator."""
    return torch.randn(shape, generator=random, device=random.device)


def _grid_mask(shape: torch.Size, steps: tuple[int, int], random: torch.Generator) -> Tensor:
    """Draw regular grids with random step and offset."""
    batch, _, rows, cols = shape
    low, high = steps
    step = low + torch.floor((high + 1 - low) * _rand((batch, 1, 1, 1), random))
    phase_row = torch.floor(_rand((batch, 1, 1, 1), random) * step)
    phase_col = torch.floor(_rand((batch, 1, 1, 1), random) * step)
    row = torch.arange(rows, device=random.device, dtype=torch.float32)[None, None, :, None]
    col = torch.arange(cols, device=random.device, dtype=torch.float32)[None, None, None, :]
    return ((row - phase_row) % step == 0) & ((col - phase_col) % step == 0)


def _route_mask(order: Tensor, fraction: Tensor, random: torch.Generator) -> Tensor:
    """Draw a contiguous section of each drive with the requested fraction of the pixels."""
    batch, _, rows, cols = order.shape
    flat = order.reshape(batch, -1)
    never = flat < 0
    ranked = torch.where(never, torch.inf, flat).argsort(1).argsort(1).float()
    visited = (~never).sum(1, keepdim=True).float()
    wanted = (fraction.reshape(batch, 1) * rows * cols).clamp(min=8.0)
    start = torch.floor(_rand((batch, 1), random) * (visited - wanted).clamp(min=0.0))
    chosen = (ranked >= start) & (ranked < start + wanted) & ~never
    return chosen.reshape(order.shape)


def _kept_blocks(shape: torch.Size, probability: float, random: torch.Generator) -> Tensor:
    """Draw blocks of 16 or 32 pixels to remove from some tiles: 0 in these blocks, else 1."""
    batch, _, rows, cols = shape
    side = 16 if float(_rand((1,), random)) < 0.5 else 32
    drop = 0.6 * _rand((batch, 1, 1, 1), random)
    coarse = (_rand((batch, 1, -(-rows // side), -(-cols // side)), random) > drop).float()
    keep = functional.interpolate(coarse, scale_factor=float(side), mode="nearest")
    plain = _rand((batch, 1, 1, 1), random) > probability
    return torch.where(plain, 1.0, keep[..., :rows, :cols])


def _sampled(crops: SceneCrops, mixture: MeasurementMixture, random: torch.Generator) -> Tensor:
    """Draw the measured pixels as a mask of 0 and 1."""
    shape = crops.free.shape
    batch = int(shape[0])
    share = _log_uniform(batch, mixture.uniform_fraction, random)
    uniform = _rand(tuple(shape), random) < share
    grid = _grid_mask(shape, mixture.grid_step_px, random)
    route = _route_mask(crops.order, _log_uniform(batch, mixture.route_fraction, random), random)
    total = mixture.uniform + mixture.grid + mixture.routes
    pick = _rand((batch, 1, 1, 1), random) * total
    mask = torch.where(pick < mixture.uniform, uniform, grid)
    mask = torch.where(pick < mixture.uniform + mixture.grid, mask, route)
    sampled = mask * crops.free * _kept_blocks(shape, mixture.block_probability, random)
    # Replace the samples of a tile with fewer than 8 by uniform ones.
    empty = sampled.sum((2, 3), keepdim=True) < 8
    return torch.where(empty, uniform * crops.free, sampled)


def sample_measurements(
    crops: SceneCrops, mixture: MeasurementMixture, random: torch.Generator
) -> SparseTiles:
    """Draw measurements of each crop.

    Parameters
    ----------
    crops : SceneCrops
        Crops with path gains and drives.
    mixture : MeasurementMixture
        Distribution of the measurements.
    random : torch.Generator
        Random generator on the device of the crops.

    Returns
    -------
    SparseTiles
        Measurements. Levels are path gains in dB: a transmit power would have no effect, since
        features are relative to the mean level of the tile.
    """
    return _measured(crops, _sampled(crops, mixture, random), mixture, random)


def sample_cells(
    crops: SceneCrops, mixture: MeasurementMixture, random: torch.Generator
) -> SparseTiles:
    """Draw measurements of several cells in the same pixels, as along one drive.

    Parameters
    ----------
    crops : SceneCrops
        One crop with the levels of several antennas, see
        :meth:`~rm_geo.training.scenes.ScenePool.draw_cells`.
    mixture : MeasurementMixture
        Distribution of the measurements.
    random : torch.Generator
        Random generator on the device of the crops.

    Returns
    -------
    SparseTiles
        Measurements of each cell.
    """
    one = replace(crops, free=crops.free.amax(0, keepdim=True), order=crops.order[:1])
    observed = _sampled(one, mixture, random) * crops.free
    return _measured(crops, observed, mixture, random)


def _measured(
    crops: SceneCrops, observed: Tensor, mixture: MeasurementMixture, random: torch.Generator
) -> SparseTiles:
    """Draw levels, positions and intercepts with their errors."""
    batch = int(crops.free.shape[0])
    each = (batch, 1, 1, 1)
    low, high = mixture.noise_db
    noise_db = (low + (high - low) * _rand(each, random)) * (
        _rand(each, random) < mixture.noisy_probability
    )
    level = crops.gain_db + noise_db * _randn(tuple(observed.shape), random)
    wild = (_rand(each, random) < mixture.outlier_probability) & (
        _rand(tuple(observed.shape), random) < mixture.outlier_fraction
    )
    level = torch.where(wild, level + 15.0 * _randn(tuple(observed.shape), random), level)
    rounded = _rand(each, random) < mixture.quantised_probability
    level = torch.where(rounded, torch.round(level), level)
    hidden = _rand((batch, 1), random) < mixture.unknown_transmitter
    estimated = _rand((batch, 1), random) < 0.5
    error_px = mixture.position_error_m / crops.spacing_m
    position = crops.transmitter_rc + estimated * error_px * _randn((batch, 2), random)
    intercept = crops.intercept_db + (
        estimated[:, 0] * mixture.intercept_error_db * _randn((batch,), random)
    )
    silent = _rand((batch,), random) < mixture.unknown_intercept
    return SparseTiles(
        rsrp_dbm=level * observed,
        observed=observed,
        transmitter_rc=torch.where(hidden, torch.nan, position),
        intercept_dbm=torch.where(silent | hidden[:, 0], torch.nan, intercept),
        spacing_m=crops.spacing_m,
    )
