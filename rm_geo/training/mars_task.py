"""Training super-resolution: coarse regular samples in, the whole radio map out."""

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
        Side for the last part of the training, and the share of the budget it takes.
    sampling : {"point", "cell", "filled"}
        What a coarse value is: the pixel at the cell's centre, as in the paper, or the mean
        of the cell or of its four central pixels, as planners' rasters have it. An even
        cell has no central pixel: ``point`` is half a pixel south-east of the centre, and a
        network that learnt from it shifts a raster of cell means by that much. ``filled``
        is ``cell`` with the nearest level in place of a building's 0, which is how
        :func:`rm_geo.superresolve` fills nodata; the error counts outdoors alone then, and
        the loss has no other part.
    level_shift_db : float
        Largest shift of a whole tile's levels. The papers' maps have one known power;
        planners' rasters do not, so the field model learns not to rely on it. 0 is the
        paper's protocol.
    gradient_weight, focal_weight, outdoor_weight : float
        Of the loss, see :func:`~rm_geo.training.losses.mars_loss`; the defaults are the
        paper's.
    turned : bool
        Whether crops are turned and mirrored; see :class:`~rm_geo.training.scenes.ScenePool`.
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
    """Radio maps on the unit scale, shifted by ``shift_db``; 0 where there is no gain.

    The walls of RadioMapSeer's gains, and of the simulator's, lie half a pixel from those of its
    building maps: a rim of 1 % of the pixels is building and has a gain. Targets keep it, as the
    papers' do; without it a perfect map is judged 2 dB wrong.
    """
    unit = (crops.gain_db + shift_db - GAIN_FLOOR_DB) / GAIN_SPAN_DB
    return unit.clamp(0.0, 1.0) * (crops.gain_db > GAIN_FLOOR_DB)


def coarse_samples(fine: Tensor, scale: int) -> Tensor:
    """Take samples at the centres of cells of ``scale`` pixels, as in the MARS paper."""
    return fine[..., scale // 2 :: scale, scale // 2 :: scale].contiguous()


def cell_means(fine: Tensor, free: Tensor, scale: int, part: int) -> Tensor:
    """Mean over the outdoor pixels of the central ``part`` x ``part`` pixels of each cell.

    0, as a building, where less than half of them are outdoors.
    """
    margin = (scale - part) // 2
    shape = (*fine.shape[:-2], fine.shape[-2] // scale, scale, fine.shape[-1] // scale, scale)
    inner = slice(margin, margin + part)
    values = (fine * free).reshape(shape)[..., inner, :, inner].sum((-3, -1))
    count = free.reshape(shape)[..., inner, :, inner].sum((-3, -1))
    return torch.where(2.0 * count >= part**2, values / count.clamp(min=1.0), 0.0)


def filled_from_nearest(coarse: Tensor, known: Tensor) -> Tensor:
    """Give cells that are not known the value of the nearest that is; both (B, 1, h, w).

    A map without any known cell stays as it is. Distances of all pairs of cells replace SciPy's
    distance transform, because a training needs torch and numpy only.
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
    """A super-resolution network with MARS's three losses.

    Raises
    ------
    ConfigError
        If the crops do not suit the network's scale.
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
        """The network."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Losses of one batch."""
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
        """Take the coarse values that the network is given."""
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
        """Run a network; one that knows the walls is told them, and has no gain to paint there.

        Planners' rasters come with outlines of buildings, not with where gains end: with
        ``filled`` those are the walls, and nothing is painted.
        """
        if not (isinstance(self.network, MARS) and self.network.walled):
            return torch.as_tensor(network(coarse))
        if self.options.sampling == "filled":
            return torch.as_tensor(network(coarse, crops.buildings))
        walls = (crops.gain_db <= GAIN_FLOOR_DB).to(coarse.dtype)
        return torch.as_tensor(network(coarse, walls)) * (1.0 - walls)

    def end_epoch(self, means: dict[str, float]) -> None:
        """Nothing to adapt."""

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """RMSE in dB over all pixels and outdoors, of the network and of bilinear enlargement."""
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
        """Nothing beside the network."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Nothing to take back."""
