"""Training task of the drive-test network: dual losses on realistic measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from rm_geo.errors import ConfigError
from rm_geo.networks.features import SparseTiles, TileFeatures
from rm_geo.networks.radiocycle import DriveTestRadioCycle
from rm_geo.training.coarse_scenes import coarsen, fit_batch
from rm_geo.training.losses import (
    DynamicWeightAverage,
    dice_bce,
    masked_mse,
    masked_nll,
    relative_mse,
)
from rm_geo.training.measurements import MeasurementMixture, sample_measurements
from rm_geo.training.options import require_share
from rm_geo.training.scenes import CropSource, SceneCrops
from rm_geo.training.task import StepContext, batch_and_crop
from rm_geo.units import LEVEL_SCALE_DB

MODES = ("single", "dual", "dual-dwa")

COARSE_FACTORS: Final = (1, 2, 4)
"""Pixel sizes of a step in pixels of the scenes."""


@dataclass(frozen=True)
class DriveTestOptions:
    """Batches and losses of the training of the drive-test network.

    Attributes
    ----------
    batch, crop : int
        Crops per step and their side in pixels.
    final_crop : int
        Side for the last part of the training, where the batch is smaller in proportion.
    final_share : float
        Fraction of the budget for that part, 0..1.
    loop_share : float
        Fraction of a batch for the auxiliary losses of G(z) and F(G(z)), 0..1.
    mode : {"single", "dual", "dual-dwa"}
        Losses, as in the ablations of the paper: SL (no dual losses), ML without DWA, ML with
        DWA.
    spread_weight : float
        Weight of the likelihood that trains the standard deviation.
    map_weight : float
        Weight of the squared error of the radio map relative to DiceBCE.
    relative : bool
        Whether the squared error of a tile is relative to that of the interpolation that the
        network corrects. Otherwise its unit is (20 dB) squared.
    coarse_shares : tuple of float
        Fractions of the steps with pixels twice and four times as large as those of the scenes,
        from scenes that are large enough.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    batch: int = 16
    crop: int = 128
    final_crop: int = 256
    final_share: float = 0.3
    loop_share: float = 0.25
    mode: str = "dual-dwa"
    spread_weight: float = 0.01
    map_weight: float = 0.5
    relative: bool = True
    coarse_shares: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}.")
        if self.batch < 1 or self.crop < 1 or self.final_crop < self.crop:
            raise ConfigError("batch and crop must be positive, and final_crop not below crop.")
        require_share("final_share", self.final_share)
        require_share("loop_share", self.loop_share)
        if min(self.coarse_shares) < 0.0 or sum(self.coarse_shares) > 1.0:
            raise ConfigError(
                f"coarse_shares must be two shares of together at most 1: {self.coarse_shares}."
            )
        for name in ("spread_weight", "map_weight"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}.")


class DriveTestTask:
    """Training of F and G of :class:`~rm_geo.networks.radiocycle.DriveTestRadioCycle`.

    ``l_G = MSE(G(z), y) + MSE(G(F(x)), y)`` outdoors and
    ``l_F = DiceBCE(F(x), z) + DiceBCE(F(G(z)), z)``, weighted by dynamic weight averaging
    (RadioCycle). The auxiliary losses are computed on a fraction of each batch. F has G(z) only
    at the measured positions of x as input, as in an application.

    Parameters
    ----------
    network : DriveTestRadioCycle
        Network to train.
    pool, validation : CropSource
        Sources of crops for training and validation.
    options : DriveTestOptions
        Batches and losses.
    mixture : MeasurementMixture
        Distribution of the measurements.

    Raises
    ------
    ConfigError
        If the crops are not multiples of the size that the network needs.
    """

    def __init__(
        self,
        network: DriveTestRadioCycle,
        pool: CropSource,
        validation: CropSource,
        options: DriveTestOptions,
        mixture: MeasurementMixture,
    ) -> None:
        for name in ("crop", "final_crop"):
            if getattr(options, name) % network.multiple:
                raise ConfigError(
                    f"{name} must be a multiple of {network.multiple} for this network, not "
                    f"{getattr(options, name)}."
                )
        self._network = network
        self.pool, self.validation = pool, validation
        self.options, self.mixture = options, mixture
        self.dwa = DynamicWeightAverage(tasks=2)

    @property
    def network(self) -> DriveTestRadioCycle:
        """Network to train."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the losses of one batch by name."""
        batch, crop = batch_and_crop(self.options, context.progress)
        factor = self._factor(context.numpy_rng)
        crops = self._draw(self.pool, context.numpy_rng, batch, crop, factor)
        tiles = sample_measurements(crops, self.mixture, context.torch_rng)
        features = self.network.features(tiles)
        logits = self.network.building_logits(features)
        rsrp, log_std = self.network.radio_map(features, torch.sigmoid(logits))
        error = (rsrp - crops.gain_db) / LEVEL_SCALE_DB
        map_loss = self._map_loss(rsrp, crops.gain_db, crops.free, features)
        building_loss = dice_bce(logits, crops.buildings)
        spread = masked_nll(error, log_std, crops.free)
        shown = {"map": map_loss, "buildings": building_loss, "spread": spread}
        if self.options.mode != "single":
            loop_map, loop_buildings = self._loops(crops, tiles)
            map_loss = map_loss + loop_map
            building_loss = building_loss + loop_buildings
            shown |= {"loop_map": loop_map, "loop_buildings": loop_buildings}
        w_map, w_buildings = self.dwa.weights if self.options.mode == "dual-dwa" else (1.0, 1.0)
        total = (
            w_map * self.options.map_weight * map_loss
            + w_buildings * building_loss
            + self.options.spread_weight * spread
        )
        return {"total": total, **shown}

    def _factor(self, rng: np.random.Generator) -> int:
        """Draw the pixel size of a step."""
        twice, four_times = self.options.coarse_shares
        if twice + four_times == 0.0:
            return 1
        shares = [1.0 - twice - four_times, twice, four_times]
        return int(rng.choice(COARSE_FACTORS, p=shares))

    def _draw(
        self, source: CropSource, rng: np.random.Generator, batch: int, crop: int, factor: int
    ) -> SceneCrops:
        """Draw crops with pixels ``factor`` times as large, or smaller if scenes are too small."""
        multiple = self.network.multiple
        batch, crop = fit_batch(batch, crop, factor, source.largest_crop, multiple)
        if crop * factor > source.largest_crop:
            factor = 1
        return coarsen(source.draw(rng, batch, crop * factor), factor)

    def _map_loss(self, rsrp: Tensor, gain: Tensor, free: Tensor, features: TileFeatures) -> Tensor:
        """Compute the squared error outdoors, relative to the interpolation if so set."""
        if not self.options.relative:
            return masked_mse(rsrp / LEVEL_SCALE_DB, gain / LEVEL_SCALE_DB, free)
        level = features.level_dbm / LEVEL_SCALE_DB
        ours, truth = rsrp / LEVEL_SCALE_DB - level, gain / LEVEL_SCALE_DB - level
        return relative_mse(ours, truth, features.base, free)

    def _loops(self, crops: SceneCrops, tiles: SparseTiles) -> tuple[Tensor, Tensor]:
        """Compute MSE(G(z), y) and DiceBCE(F(G(z)), z) on the first part of the batch."""
        count = max(1, round(self.options.loop_share * len(crops.free)))
        part = SparseTiles(
            rsrp_dbm=tiles.rsrp_dbm[:count],
            observed=tiles.observed[:count],
            transmitter_rc=tiles.transmitter_rc[:count],
            intercept_dbm=tiles.intercept_dbm[:count],
            spacing_m=tiles.spacing_m,
        )
        z, y, free = crops.buildings[:count], crops.gain_db[:count], crops.free[:count]
        features = self.network.features(part)
        rsrp, _ = self.network.radio_map(features, z)
        loop_map = self._map_loss(rsrp, y, free, features)
        again = self.network.features(replace(part, rsrp_dbm=rsrp * part.observed))
        return loop_map, dice_bce(self.network.building_logits(again), z)

    def end_epoch(self, means: dict[str, float]) -> None:
        """Update the loss weights."""
        self.dwa.end_epoch(
            [
                means["map"] + means.get("loop_map", 0.0),
                means["buildings"] + means.get("loop_buildings", 0.0),
            ]
        )

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute F1 of buildings and outdoor RMSE in dB for several samplings."""
        scores: dict[str, float] = {}
        plain = replace(
            self.mixture,
            block_probability=0.0,
            noisy_probability=0.0,
            quantised_probability=0.0,
            outlier_probability=0.0,
        )
        uniform = replace(plain, uniform=1.0, grid=0.0, routes=0.0)
        routes = replace(plain, uniform=0.0, grid=0.0, routes=1.0)
        samplings = [
            ("uniform_20", replace(uniform, uniform_fraction=(0.2, 0.2)), 1),
            ("uniform_1", replace(uniform, uniform_fraction=(0.01, 0.01)), 1),
            ("route_1", replace(routes, route_fraction=(0.01, 0.01)), 1),
        ]
        if sum(self.options.coarse_shares) > 0.0:
            along = replace(routes, route_fraction=(0.04, 0.04))
            samplings += [(f"route_4_by_{factor}", along, factor) for factor in COARSE_FACTORS[1:]]
        for name, mixture, factor in samplings:
            f1, rmse_db, base_db = self._score(network, mixture, factor)
            scores |= {f"{name}_f1": f1, f"{name}_db": rmse_db, f"{name}_base_db": base_db}
        return scores

    @torch.no_grad()
    def _score(
        self, network: nn.Module, mixture: MeasurementMixture, factor: int
    ) -> tuple[float, float, float]:
        """Compute F1 and the outdoor RMSE of the network and of its interpolation."""
        hits = sums = squares = base_squares = pixels = 0.0
        rng = np.random.default_rng(1)
        random = torch.Generator(self.validation.device).manual_seed(1)
        for _ in range(6):
            crops = self._draw(self.validation, rng, 4, self.options.final_crop, factor)
            tiles = sample_measurements(crops, mixture, random)
            features = self.network.features(tiles)
            maps = network(tiles)
            found = (maps.building_logits > 0).float()
            hits += float((found * crops.buildings).sum())
            sums += float(found.sum() + crops.buildings.sum())
            base = features.level_dbm + LEVEL_SCALE_DB * features.base
            squares += float(((maps.rsrp_dbm - crops.gain_db).square() * crops.free).sum())
            base_squares += float(((base - crops.gain_db).square() * crops.free).sum())
            pixels += float(crops.free.sum())
        return (
            2.0 * hits / max(sums, 1.0),
            (squares / max(pixels, 1.0)) ** 0.5,
            (base_squares / max(pixels, 1.0)) ** 0.5,
        )

    def state(self) -> dict[str, object]:
        """Return the history of the loss weights."""
        return {"dwa": self.dwa.history}

    def restore(self, state: dict[str, object]) -> None:
        """Restore the history of the loss weights."""
        self.dwa.restore(state.get("dwa"))
