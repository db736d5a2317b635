"""Training task of the network that finds buildings from the lines of many cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rm_geo.buildings.rays import POINT_CHANNELS, RAY_CHANNELS, CellSamples, ray_rasters
from rm_geo.errors import ConfigError
from rm_geo.networks.features import SparseTiles
from rm_geo.networks.ray_buildings import RayBuildings
from rm_geo.training.losses import dice_bce
from rm_geo.training.measurements import MeasurementMixture, sample_cells
from rm_geo.training.options import require_share
from rm_geo.training.scenes import CropSource
from rm_geo.training.task import StepContext, batch_and_crop

_VALIDATION_CELLS: Final = (1, 8, 16)
_VALIDATION_ROUTES: Final = (0.01, 0.04)


@dataclass(frozen=True)
class RayOptions:
    """Batches of the training of :class:`~rm_geo.networks.ray_buildings.RayBuildings`.

    Attributes
    ----------
    batch, crop : int
        Crops per step and their side in pixels.
    final_crop, final_share : int, float
        Side for the last part of the training, and the fraction of the budget for it.
    cells : tuple of int
        Smallest and largest number of cells, drawn log-uniformly. Scenes with fewer have fewer.
    listed_probability : float
        Probability that each pixel of a crop reports only its strongest cells, as phones do.
    listed : tuple of int
        Smallest and largest number of these cells.
    unknown_height : float
        Probability that the height of a site is unknown.
    assumed_height_m : float
        Height of these sites in the input.
    validation_crops : int
        Crops for each score of a validation.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    batch: int = 16
    crop: int = 128
    final_crop: int = 256
    final_share: float = 0.3
    cells: tuple[int, int] = (1, 16)
    listed_probability: float = 0.4
    listed: tuple[int, int] = (1, 8)
    unknown_height: float = 0.25
    assumed_height_m: float = 25.0
    validation_crops: int = 12

    def __post_init__(self) -> None:
        if min(self.batch, self.crop, self.validation_crops) < 1 or self.final_crop < self.crop:
            raise ConfigError(
                "batch, crop and validation_crops must be positive, final_crop not below crop."
            )
        require_share("final_share", self.final_share)
        require_share("listed_probability", self.listed_probability)
        require_share("unknown_height", self.unknown_height)
        for name in ("cells", "listed"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not 1 <= bounds[0] <= bounds[1]:
                raise ConfigError(f"{name} must be two numbers with 1 <= low <= high: {bounds}.")


@dataclass(frozen=True)
class RayBatch:
    """Inputs and target of the network.

    Attributes
    ----------
    points, rays : Tensor, shape (B, C, H, W), (B, C, H / 2, W / 2)
        Rasters of measurements and of lines.
    buildings : Tensor, shape (B, 1, H, W)
        1 in buildings, else 0.
    """

    points: Tensor
    rays: Tensor
    buildings: Tensor


class RayTask:
    """Training with DiceBCE on crops of scenes that several cells cover.

    Parameters
    ----------
    network : RayBuildings
        Network to train.
    pool, validation : CropSource
        Sources of crops for training and validation.
    options : RayOptions
        Batches.
    mixture : MeasurementMixture
        Distribution of the measurements, with errors of sites and unknown sites.

    Raises
    ------
    ConfigError
        If the crops are not multiples of the size that the network needs, or the network reads
        other rasters.
    """

    def __init__(
        self,
        network: RayBuildings,
        pool: CropSource,
        validation: CropSource,
        options: RayOptions,
        mixture: MeasurementMixture,
    ) -> None:
        for name in ("crop", "final_crop"):
            if getattr(options, name) % network.multiple:
                raise ConfigError(
                    f"{name} must be a multiple of {network.multiple} for this network, not "
                    f"{getattr(options, name)}."
                )
        if (network.point_channels, network.ray_channels) != (POINT_CHANNELS, RAY_CHANNELS):
            raise ConfigError(
                f"point_channels and ray_channels must be {POINT_CHANNELS} and {RAY_CHANNELS}."
            )
        self._network = network
        self.pool, self.validation = pool, validation
        self.options, self.mixture = options, mixture

    @property
    def network(self) -> RayBuildings:
        """Network to train."""
        return self._network

    def losses(self, context: StepContext) -> dict[str, Tensor]:
        """Compute the loss of one batch."""
        batch, crop = batch_and_crop(self.options, context.progress)
        drawn = self._batch(context.numpy_rng, context.torch_rng, batch, crop)
        loss = dice_bce(self.network(drawn.points, drawn.rays), drawn.buildings)
        return {"total": loss, "buildings": loss}

    def _batch(
        self, rng: np.random.Generator, random: torch.Generator, batch: int, crop: int
    ) -> RayBatch:
        """Draw crops with random numbers of cells."""
        low, high = np.log(self.options.cells[0]), np.log(self.options.cells[1] + 1.0)
        drawn = []
        for _ in range(batch):
            count = int(np.exp(rng.uniform(low, high)))
            listed = None
            if rng.random() < self.options.listed_probability:
                first, last = self.options.listed
                listed = int(rng.integers(first, last + 1))
            how = _Drive(
                self.mixture,
                count,
                crop,
                listed,
                self.options.unknown_height,
                self.options.assumed_height_m,
            )
            drawn.append(_item(self.pool, how, rng, random))
        return _stacked(drawn)

    def end_epoch(self, means: dict[str, float]) -> None:
        """Do nothing: there is one loss."""

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Compute F1 along routes for several numbers of cells."""
        plain = replace(
            self.mixture,
            uniform=0.0,
            grid=0.0,
            routes=1.0,
            block_probability=0.0,
            noisy_probability=0.0,
            quantised_probability=0.0,
            outlier_probability=0.0,
            unknown_transmitter=0.0,
            unknown_intercept=0.0,
            position_error_m=0.0,
        )
        scores = {}
        for fraction in _VALIDATION_ROUTES:
            mixture = replace(plain, route_fraction=(fraction, fraction))
            for cells in _VALIDATION_CELLS:
                rng = np.random.default_rng(1)
                random = torch.Generator(self.validation.device).manual_seed(1)
                hits = sums = 0.0
                for _ in range(self.options.validation_crops):
                    one = _item(
                        self.validation,
                        _Drive(mixture, cells, self.options.final_crop),
                        rng,
                        random,
                    )
                    found = (network(one.points, one.rays) > 0).float()
                    hits += float((found * one.buildings).sum())
                    sums += float(found.sum() + one.buildings.sum())
                scores[f"route_{100 * fraction:g}_cells_{cells}_f1"] = 2.0 * hits / max(sums, 1.0)
        return scores

    def state(self) -> dict[str, object]:
        """Return an empty state."""
        return {}

    def restore(self, state: dict[str, object]) -> None:
        """Do nothing: there is no state."""


@dataclass(frozen=True)
class _Drive:
    """One crop with some cells; each pixel reports its strongest ones if ``listed`` is set."""

    mixture: MeasurementMixture
    cells: int
    crop: int
    listed: int | None = None
    unknown_height: float = 0.0
    assumed_height_m: float = 25.0


def _item(
    source: CropSource, drive: _Drive, rng: np.random.Generator, random: torch.Generator
) -> RayBatch:
    """Draw one crop with its measurements."""
    crops = source.draw_cells(rng, drive.cells, drive.crop)
    tiles = sample_cells(crops, drive.mixture, random)
    if drive.listed is not None:
        level = torch.where(tiles.observed > 0, tiles.rsrp_dbm, -torch.inf)
        rank = level.argsort(0, descending=True).argsort(0)
        tiles = replace(tiles, observed=tiles.observed * (rank < drive.listed))
    heights = crops.height_m.cpu().numpy()
    hidden = rng.random(len(heights)) < drive.unknown_height
    cells = cell_samples(tiles, np.where(hidden, drive.assumed_height_m, heights))
    points, rays = (
        torch.from_numpy(raster).to(source.device)[None]
        for raster in ray_rasters(cells, (drive.crop, drive.crop), tiles.spacing_m)
    )
    return RayBatch(points, rays, crops.buildings[:1])


def _stacked(items: Sequence[RayBatch]) -> RayBatch:
    """Join the items of a batch."""
    return RayBatch(
        torch.cat([item.points for item in items]),
        torch.cat([item.rays for item in items]),
        torch.cat([item.buildings for item in items]),
    )


def cell_samples(tiles: SparseTiles, heights_m: NDArray[np.floating]) -> list[CellSamples]:
    """List the measurements of each tile of a batch, the tiles being cells of one place.

    Parameters
    ----------
    tiles : SparseTiles
        One tile for each cell.
    heights_m : ndarray, shape (B,)
        Heights of their antennas.

    Returns
    -------
    list of CellSamples
        Without the cells that have no measurement.
    """
    observed = tiles.observed[:, 0].cpu().numpy() > 0
    levels = tiles.rsrp_dbm[:, 0].cpu().numpy()
    sites, intercepts = tiles.transmitter_rc.cpu().numpy(), tiles.intercept_dbm.cpu().numpy()
    cells = []
    for index, mask in enumerate(observed):
        rows, cols = np.nonzero(mask)
        if len(rows):
            row, col = sites[index].tolist()
            level = levels[index, rows, cols]
            cells.append(
                CellSamples(
                    rows,
                    cols,
                    level,
                    (row, col),
                    float(intercepts[index]),
                    float(heights_m[index]),
                )
            )
    return cells
