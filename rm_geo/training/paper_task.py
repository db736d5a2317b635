"""Training tasks of RadioCycle and InterpolationNet by the protocol of the RadioCycle paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.errors import ConfigError
from rm_geo.networks.radio_unet import InterpolationNet
from rm_geo.networks.radiocycle import RadioCycle
from rm_geo.training.drive_task import MODES
from rm_geo.training.losses import DynamicWeightAverage, RunningMeans, dice_bce
from rm_geo.training.mars_task import unit_map
from rm_geo.training.options import require_share
from rm_geo.training.scenes import CropSource, SceneCrops
from rm_geo.training.task import StepContext, batch_and_crop

LOOP_INPUTS: Final = ("dense", "sampled")
LOOP_GRADIENTS: Final = ("both", "outer", "inner")


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
    loop_input : {"dense", "sampled"}
        Whether F sees G(z) in all pixels, as in the paper, or in the sampled pixels of x, as in
        an application.
    loop_gradient : {"both", "outer", "inner"}
        Networks that G(F(x)) and F(G(z)) train: both, as in the paper, only the one that is
        applied last, or only the one that is applied first.
    loop_statistics : bool
        Whether the batch normalisation of F collects its running statistics from G(z) too.
    balanced : bool
        Whether each of the two losses is divided by its running mean. The squared error of a map
        is a hundred times smaller than the loss of its buildings.
    warm_up : float
        Fraction of the budget at the start with single losses, 0..1.

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
    loop_input: str = "dense"
    loop_gradient: str = "both"
    loop_statistics: bool = True
    balanced: bool = False
    warm_up: float = 0.0

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
        if self.loop_input not in LOOP_INPUTS:
            raise ConfigError(
                f"loop_input must be {' or '.join(LOOP_INPUTS)}, not {self.loop_input!r}."
            )
        if self.loop_gradient not in LOOP_GRADIENTS:
            raise ConfigError(
                f"loop_gradient must be one of {', '.join(LOOP_GRADIENTS)}, "
                f"not {self.loop_gradient!r}."
            )
        require_share("warm_up", self.warm_up)
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
    sampled : Tensor
        1 in the sampled pixels of ``x``, else 0.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    t: Tensor
    sampled: Tensor


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
    sampled = chosen * crops.free
    return PaperBatch(x=y * sampled, y=y, z=crops.buildings, t=t, sampled=sampled)


class RadioCycleTask:
    """``l_G = MSE(G(z), y) + MSE(G(F(x)), y)``, ``l_F = DiceBCE(F(x), z) + DiceBCE(F(G(z)), z)``.

    Source: RadioCycle, dual losses with dynamic weight averaging. In mode ``single`` the losses
    are MSE(G(z), y) and DiceBCE(F(x), z). The options describe variants of the dual losses.

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
        self.means = RunningMeans()
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
        if self.options.mode != "single" and context.progress >= self.options.warm_up:
            loop_g, loop_f = self._loops(b, from_truth, logits)
            loss_g, loss_f = loss_g + loop_g, loss_f + loop_f
        weight_g, weight_f = self.dwa.weights if self.options.mode == "dual-dwa" else (1.0, 1.0)
        scale_g, scale_f = (1.0, 1.0)
        if self.options.balanced:
            scale_g, scale_f = self.means.update([float(loss_g.detach()), float(loss_f.detach())])
        total = weight_g / scale_g * loss_g + weight_f / scale_f * loss_f
        return {"total": total, "map": loss_g, "buildings": loss_f}

    def _loops(self, b: PaperBatch, from_truth: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Compute MSE(G(F(x)), y) and DiceBCE(F(G(z)), z)."""
        options, network = self.options, self.network
        buildings, level = torch.sigmoid(logits), from_truth
        if options.loop_gradient == "outer":
            buildings, level = buildings.detach(), level.detach()
        if options.loop_input == "sampled":
            level = level * b.sampled
        only_inner = options.loop_gradient == "inner"
        with _without_gradients(network.G, active=only_inner):
            loop_g = functional.mse_loss(network.radio_map(buildings, b.t), b.y)
        with (
            _without_gradients(network.F, active=only_inner),
            _fixed_statistics(network.F, active=not options.loop_statistics),
        ):
            loop_f = dice_bce(network.buildings(level, b.t), b.z)
        return loop_g, loop_f

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
        """Return the history of the loss weights and the running means."""
        return {"dwa": self.dwa.history, "means": self.means.state()}

    def restore(self, state: dict[str, object]) -> None:
        """Restore the history of the loss weights and the running means."""
        self.dwa.restore(state.get("dwa"))
        self.means.restore(state.get("means"))


@contextmanager
def _without_gradients(network: nn.Module, *, active: bool) -> Iterator[None]:
    """Compute with the parameters of a network as constants; its inputs keep their gradients."""
    trained = [
        parameter for parameter in network.parameters() if active and parameter.requires_grad
    ]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _fixed_statistics(network: nn.Module, *, active: bool) -> Iterator[None]:
    """Normalise by the statistics of the batch without adding them to the running statistics."""
    layers = [m for m in network.modules() if active and isinstance(m, nn.BatchNorm2d)]
    momentum = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, before in zip(layers, momentum, strict=True):
            layer.momentum = before


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
