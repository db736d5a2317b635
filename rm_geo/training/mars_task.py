"""Training task of the super-resolution networks: from coarse regular samples to the radio map."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rm_geo.errors import ConfigError
from rm_geo.networks import MARS, SuperResolutionNet
from rm_geo.training.losses import mars_loss, masked_mse
from rm_geo.training.options import require_share
from rm_geo.training.scenes import CropSource, SceneCrops
from rm_geo.training.task import StepContext, batch_and_crop
from rm_geo.units import GAIN_FLOOR_DB, GAIN_SPAN_DB


@dataclass(frozen=True)
class MarsOptions:
    """Batches and losses of the training of MARS, SRResNet and Supreme.

    Attributes
    ----------
    batch, crop : int
        Crops per step, and their side in pixels of the fine map.
    final_crop, final_share : int, float
        Side for the last part of the training, and the fraction of the budget for it.
    sampling : {"point", "cell", "filled"}
        Definition of a coarse value. ``point``: the pixel at the centre of the block, as in the
        paper. An even block has no central pixel, so this pixel is half a pixel south-east of
        the centre, and a network trained with it shifts rasters of block means by that much.
        ``cell``: the mean of the block or of its four central pixels, as in rasters of planning
        tools. ``filled``: like ``cell``, but with the nearest level instead of 0 in buildings,
        as :func:`rm_geo.superresolve` fills nodata. The loss is then the squared error outdoors
        alone.
    level_shift_db : float
        Largest random shift of all levels of a tile. The maps of the papers have one known
        transmit power, rasters of planning tools do not. 0 in the paper.
    gradient_weight, focal_weight, outdoor_weight : float
        Weights of the loss, see :func:`~rm_geo.training.losses.mars_loss`. The defaults are
        those of the paper.
    turned : bool
        Whether crops are rotated and mirrored, see :class:`~rm_geo.training.scenes.ScenePool`.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    batch: int = 8
    crop: int = 128
    final_crop: int = 256
    final_share: float = 0.3
    sampling: str = "point"
    level_shift_db: float = 0.0
    gradient_weight: float = 0.01
    focal_weight: float = 0.1
    outdoor_weight: float = 0.0
    turned: bool = True

    def __post_init__(self) -> None:
        if self.sampling not in {"point", "cell", "filled"}:
            raise ConfigError(f"sampling must be point, cell or filled, not {self.sampling!r}.")
        if self.batch < 1 or self.crop < 1 or self.final_crop < self.crop:
            raise ConfigError("batch and crop must be positive, and final_crop not below crop.")
        if min(self.gradient_weight, self.focal_weight, self.outdoor_weight) < 0.0:
            raise ConfigError("The weights of a loss must not be negative.")
        require_share("final_share", self.final_share)
        if not self.level_shift_db >= 0.0:
            raise ConfigError(f"level_shift_db must not be negative, but is {self.level_shift_db}.")


def unit_map(crops: SceneCrops, shift_db: Tensor | float = 0.0) -> Tensor:
    """Convert path gains to the unit scale.

    The walls in the gain maps of RadioMapSeer and of the simulator have an offset of half a pixel
    from the building maps, so that 1 % of the pixels are buildings with a gain. Targets contain
    these pixels, as in the papers: without them, a perfect map would have an error of 2 dB.

    Parameters
    ----------
    crops : SceneCrops
        Crops with path gains.
    shift_db : Tensor or float
        Value in dB added to the gains.

    Returns
    -------
    Tensor, shape (B, 1, h, w)
        0..1, with 0 in pixels without a gain.
    """
    unit = (crops.gain_db + shift_db - GAIN_FLOOR_DB) / GAIN_SPAN_DB
    return unit.clamp(0.0, 1.0) * (crops.gain_db > GAIN_FLOOR_DB)


def coarse_samples(fine: Tensor, scale: int) -> Tensor:
    """Sample a map at the centres of blocks of pixels (MARS).

    Parameters
    ----------
    fine : Tensor, shape (B, 1, h, w)
        The map.
    scale : int
        Pixels along a block.

    Returns
    -------
    Tensor, shape (B, 1, h / scale, w / scale)
        The samples.
    """
    return fine[..., scale // 2 :: scale, scale // 2 :: scale].contiguous()


def cell_means(fine: Tensor, free: Tensor, scale: int, part: int) -> Tensor:
    """Average the outdoor pixels among the central ``part`` x ``part`` pixels of each block.

    Parameters
    ----------
    fine, free : Tensor, shape (B, 1, h, w)
        Map, and 1 in outdoor pixels.
    scale : int
        Side of a block in pixels.
    part : int
        Side of the central part in pixels.

    Returns
    -------
    Tensor, shape (B, 1, h / scale, w / scale)
        Means; 0, as for a building, if less than half of these pixels are outdoors.
    """
    margin = (scale - part) // 2
    shape = (*fine.shape[:-2], fine.shape[-2] // scale, scale, fine.shape[-1] // scale, scale)
    inner = slice(margin, margin + part)
    values = (fine * free).reshape(shape)[..., inner, :, inner].sum((-3, -1))
    count = free.reshape(shape)[..., inner, :, inner].sum((-3, -1))
    return torch.where(2.0 * count >= part**2, values / count.clamp(min=1.0), 0.0)


def filled_from_nearest(coarse: Tensor, known: Tensor) -> Tensor:
    """Fill unknown blocks with the value of the nearest known one.

    Parameters
    ----------
    coarse, known : Tensor, shape (B, 1, h, w)
        Map, and positive values in known blocks.

    Returns
    -------
    Tensor, shape (B, 1, h, w)
        Filled map. A map without a known block is unchanged.

    Notes
    -----
    The torch counterpart of the nearest fill of :func:`rm_geo.superresolve`, which uses SciPy: a
    training machine may have only torch and numpy, and the map is on the device.
    """
    rows, cols = int(coarse.shape[-2]), int(coarse.shape[-1])
    place = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).to(coarse.device).float()
    filled = coarse.flatten(1).clone()
    for values, mask in zip(filled, known.flatten(1) > 0.0, strict=True):
        if bool(mask.any()) and not bool(mask.all()):
            nearest = torch.cdist(place[~mask], place[mask]).argmin(1)
            values[~mask] = values[mask][nearest]
    return filled.reshape(coarse.shape)


class MarsTask:
    """Training of a super-resolution network with the three losses of MARS.

    Parameters
    ----------
    network : MARS, SRResNet or Supreme
        Network to train.
    pool, validation : CropSource
        Sources of crops for training and validation.
    options : MarsOptions
        Batches and losses.

    Raises
    ------
    ConfigError
        If the crops are not multiples of four times the scale.
    """

    def __init__(
        self,
        network: SuperResolutionNet,
        pool: CropSource,
        validation: CropSource,
        options: MarsOptions,
    ) -> None:
        multiple = 4 * network.scale  # the attention pyramid halves the coarse map twice
        for name in ("crop", "final_crop"):
            if getattr(options, name) % multiple:
                raise ConfigError(
                    f"{name} must be a multiple of {multiple} at {network.scale}x, not "
                    f"{getattr(options, name)}."
                )
        self._network, self.options = network, options
        self.pool, self.validation = pool, validation

    @property
    def network(self) -> SuperResolutionNet:
        """Network to train."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the losses of one batch by name."""
        batch, crop = batch_and_crop(self.options, context.progress)
        crops = self.pool.draw(context.numpy_rng, batch, crop)
        draw = torch.rand((batch, 1, 1, 1), generator=context.torch_rng, device=crops.free.device)
        fine = unit_map(crops, self.options.level_shift_db * (2.0 * draw - 1.0))
        whole_cell = float(torch.rand((), generator=context.torch_rng, device=draw.device)) < 0.5
        coarse = self._coarse(fine, crops.free, whole_cell=whole_cell)
        prediction = self._enlarged(self.network, coarse, crops)
        if self.options.sampling == "filled":
            total = masked_mse(prediction, fine, crops.free)
        else:
            total = mars_loss(
                prediction,
                fine,
                1.0 - crops.free,
                gradient_weight=self.options.gradient_weight,
                focal_weight=self.options.focal_weight,
                outdoor_weight=self.options.outdoor_weight,
            )
        return {"total": total, "mse": functional.mse_loss(prediction.detach(), fine)}

    def _coarse(self, fine: Tensor, free: Tensor, *, whole_cell: bool) -> Tensor:
        """Compute the coarse input of the network."""
        scale = self.network.scale
        if self.options.sampling == "point":
            return coarse_samples(fine, scale)
        part = scale if whole_cell else 2
        means = cell_means(fine, free, scale, part)
        if self.options.sampling == "cell":
            return means
        known = cell_means(torch.ones_like(free), free, scale, part)
        return filled_from_nearest(means, known)

    def _enlarged(self, network: nn.Module, coarse: Tensor, crops: SceneCrops) -> Tensor:
        """Apply a network, with known buildings if it has them as an input.

        With ``filled`` these are the building maps, as rasters of planning tools come with
        footprints. Otherwise they are the pixels without a gain, and the result there is 0.
        """
        if not (isinstance(self.network, MARS) and self.network.walled):
            return torch.as_tensor(network(coarse))
        if self.options.sampling == "filled":
            return torch.as_tensor(network(coarse, crops.buildings))
        known = (crops.gain_db <= GAIN_FLOOR_DB).to(coarse.dtype)
        return torch.as_tensor(network(coarse, known)) * (1.0 - known)

    def end_epoch(self, means: dict[str, float]) -> None:
        """Do nothing: the loss weights are constant."""

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute the RMSE in dB, total and outdoors, of network and bilinear enlargement."""
        rng = np.random.default_rng(1)
        squares = np.zeros(4)
        rounds = 6
        for _ in range(rounds):
            crops = self.validation.draw(rng, 4, self.options.final_crop)
            fine = unit_map(crops)
            coarse = self._coarse(fine, crops.free, whole_cell=True)
            plain = functional.interpolate(
                coarse, scale_factor=float(self.network.scale), mode="bilinear"
            )
            for index, (image, weight) in enumerate(
                product(
                    (self._enlarged(network, coarse, crops), plain),
                    (torch.ones_like(fine), crops.free),
                )
            ):
                squares[index] += float(masked_mse(image, fine, weight)) / rounds
        names = ("rmse_db", "rmse_outdoor_db", "bilinear_db", "bilinear_outdoor_db")
        return dict(zip(names, (np.sqrt(squares) * GAIN_SPAN_DB).tolist(), strict=True))

    def state(self) -> dict[str, object]:
        """Return an empty state."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Do nothing: there is no state."""
