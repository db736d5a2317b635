"""Training tasks of RadioCycle and InterpolationNet by the protocol of the RadioCycle paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.errors import ConfigError
from rm_geo.networks.radio_unet import InterpolationNet
from rm_geo.networks.radiocycle import RadioCycle
from rm_geo.training.drive_task import MODES
from rm_geo.training.losses import DynamicWeightAverage, dice_bce
from rm_geo.training.mars_task import unit_map
from rm_geo.training.options import require_share
from rm_geo.training.scenes import CropSource, SceneCrops
from rm_geo.training.task import StepContext, batch_and_crop


@dataclass(frozen=True)
class PaperOptions:
    """Batches and losses of the training in the RadioCycle paper.

    Attributes
    ----------
    batch, crop : int
        Crops per step and their side in pixels. Each contains its transmitter. The paper trains
        on whole maps of 256 pixels.
    final_crop, final_share : int, float
        Side for the last part of the training, and the fraction of the budget for it.
    fraction : tuple of float
        Smallest and largest fraction of sampled pixels, drawn uniformly. The paper trains one
        model for each rate, which is set by two equal numbers.
    mode : {"single", "dual", "dual-dwa"}
        Losses, as in the ablations of the paper: SL (no dual losses), ML without DWA, ML with
        DWA.
    temperature : float
        T of dynamic weight averaging, above 0.
    only : {"buildings", "map"} or None
        With mode ``single``, train only F or only G. The other one keeps its initial weights.
    turned : bool
        Whether crops are rotated and mirrored, see :class:`~rm_geo.training.scenes.ScenePool`.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    batch: int = 8
    crop: int = 256
    final_crop: int = 256
    final_share: float = 0.3
    fraction: tuple[float, float] = (0.2, 0.2)
    mode: str = "dual-dwa"
    temperature: float = 2.0
    only: str | None = None
    turned: bool = True

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}.")
        if self.only not in {None, "buildings", "map"}:
            raise ConfigError(f"only must be buildings or map, not {self.only!r}.")
        if self.only is not None and self.mode != "single":
            raise ConfigError("only goes with mode single: dual losses train both networks.")
        if self.batch < 1 or self.crop < 64 or self.crop % 64 or self.final_crop % 64:
            raise ConfigError("batch must be positive, crop and final_crop multiples of 64.")
        if self.final_crop < self.crop:
            raise ConfigError("final_crop must not be below crop.")
        require_share("final_share", self.final_share)
        if len(self.fraction) != 2 or not 0.0 < self.fraction[0] <= self.fraction[1] <= 1.0:
            raise ConfigError("fraction must be two shares with 0 < low <= high <= 1.")
        if not self.temperature > 0.0:
            raise ConfigError(f"temperature must be positive, not {self.temperature}.")


@dataclass(frozen=True)
class PaperBatch:
    """Images in the notation of the paper, each (B, 1, H, W).

    Attributes
    ----------
    x, y : Tensor
        Sparse and complete radio map on the unit scale.
    z : Tensor
        Buildings, 0 or 1.
    t : Tensor
        Transmitter, 1 in its pixel.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    t: Tensor


def paper_batch(
    crops: SceneCrops, fraction: tuple[float, float], random: torch.Generator
) -> PaperBatch:
    """Sample the outdoor pixels of crops uniformly.

    Parameters
    ----------
    crops : SceneCrops
        Crops with path gains.
    fraction : (float, float)
        Smallest and largest fraction of sampled pixels.
    random : torch.Generator
        Random generator on the device of the crops.

    Returns
    -------
    PaperBatch
    """
    y = unit_map(crops)
    low, high = fraction
    draw = torch.rand((len(y), 1, 1, 1), generator=random, device=random.device)
    chosen = torch.rand(y.shape, generator=random, device=random.device) < low + (high - low) * draw
    t = torch.zeros_like(y)
    rows, cols = int(y.shape[-2]), int(y.shape[-1])
    for image, (row, col) in zip(t, crops.transmitter_rc.floor().int().tolist(), strict=True):
        if 0 <= row < rows and 0 <= col < cols:
            image[0, row, col] = 1.0
    return PaperBatch(x=y * chosen * crops.free, y=y, z=crops.buildings, t=t)


class RadioCycleTask:
    """``l_G = MSE(G(z), y) + MSE(G(F(x)), y)``, ``l_F = DiceBCE(F(x), z) + DiceBCE(F(G(z)), z)``.

    Source: RadioCycle, dual losses with dynamic weight averaging. In mode ``single`` the losses
    are MSE(G(z), y) and DiceBCE(F(x), z).

    Parameters
    ----------
    network : RadioCycle
        Network to train.
    pool, validation : CropSource
        Sources of crops for training and validation.
    options : PaperOptions
        Batches and losses.
    """

    def __init__(
        self, network: RadioCycle, pool: CropSource, validation: CropSource, options: PaperOptions
    ) -> None:
        self._network, self.options = network, options
        self.pool, self.validation = pool, validation
        self.dwa = DynamicWeightAverage(tasks=2, temperature=options.temperature)
        if options.only is not None:
            resting = network.G if options.only == "buildings" else network.F
            resting.requires_grad_(False)

    @property
    def network(self) -> RadioCycle:
        """Network to train."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the losses of one batch by name."""
        crops = self.pool.draw(context.numpy_rng, *batch_and_crop(self.options, context.progress))
        b = paper_batch(crops, self.options.fraction, context.torch_rng)
        if self.options.only == "buildings":
            loss = dice_bce(self.network.buildings(b.x, b.t), b.z)
            return {"total": loss, "buildings": loss}
        from_truth = self.network.radio_map(b.z, b.t)
        loss_g = functional.mse_loss(from_truth, b.y)
        if self.options.only == "map":
            return {"total": loss_g, "map": loss_g}
        logits = self.network.buildings(b.x, b.t)
        loss_f = dice_bce(logits, b.z)
        if self.options.mode == "single":
            return {"total": loss_g + loss_f, "map": loss_g, "buildings": loss_f}
        chained = self.network.radio_map(torch.sigmoid(logits), b.t)
        loss_g = loss_g + functional.mse_loss(chained, b.y)
        loss_f = loss_f + dice_bce(self.network.buildings(from_truth, b.t), b.z)
        dynamic = self.options.mode == "dual-dwa"
        weight_g, weight_f = self.dwa.weights if dynamic else (1.0, 1.0)
        total = weight_g * loss_g + weight_f * loss_f
        return {"total": total, "map": loss_g, "buildings": loss_f}

    def end_epoch(self, means: dict[str, float]) -> None:
        """Update the loss weights."""
        if self.options.only is None:
            self.dwa.end_epoch([means["map"], means["buildings"]])

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute F1 of buildings and RMSE over all pixels on the unit scale, as in the paper."""
        hits = sums = squares = 0.0
        rounds = 6
        for b in _validation_batches(self.validation, self.options, rounds):
            logits, gain = network(b.x, b.t)
            found = (logits > 0).float()
            hits += float((found * b.z).sum())
            sums += float(found.sum() + b.z.sum())
            squares += float(functional.mse_loss(gain, b.y)) / rounds
        return {"f1": 2.0 * hits / max(sums, 1.0), "rmse": squares**0.5}

    def state(self) -> dict[str, object]:
        """Return the history of the loss weights."""
        return {"dwa": self.dwa.history}

    def restore(self, state: dict[str, object]) -> None:
        """Restore the history of the loss weights."""
        self.dwa.restore(state.get("dwa"))


class InterpolationTask:
    """Training of InterpolationNet with the loss ``MSE(U(x), y)``.

    Parameters
    ----------
    network : InterpolationNet
        Network to train.
    pool, validation : CropSource
        Sources of crops for training and validation.
    options : PaperOptions
        Batches.
    """

    def __init__(
        self,
        network: InterpolationNet,
        pool: CropSource,
        validation: CropSource,
        options: PaperOptions,
    ) -> None:
        self._network, self.options = network, options
        self.pool, self.validation = pool, validation

    @property
    def network(self) -> InterpolationNet:
        """Network to train."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the loss of one batch."""
        crops = self.pool.draw(context.numpy_rng, *batch_and_crop(self.options, context.progress))
        b = paper_batch(crops, self.options.fraction, context.torch_rng)
        loss = functional.mse_loss(self.network(b.x, b.t), b.y)
        return {"total": loss, "map": loss}

    def end_epoch(self, means: dict[str, float]) -> None:
        """Do nothing: there is one loss."""

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute the RMSE over all pixels on the unit scale, as in the paper."""
        rounds = 6
        batches = _validation_batches(self.validation, self.options, rounds)
        squares = sum(float(functional.mse_loss(network(b.x, b.t), b.y)) for b in batches)
        return {"rmse": (squares / rounds) ** 0.5}

    def state(self) -> dict[str, object]:
        """Return an empty state."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Do nothing: there is no state."""


def _validation_batches(pool: CropSource, options: PaperOptions, rounds: int) -> list[PaperBatch]:
    """Draw the batches of a validation, always the same ones."""
    rng = np.random.default_rng(1)
    random = torch.Generator(pool.device).manual_seed(1)
    return [
        paper_batch(pool.draw(rng, 4, options.final_crop), options.fraction, random)
        for _ in range(rounds)
    ]
