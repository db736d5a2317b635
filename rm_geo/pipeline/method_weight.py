"""Weight of a method in the maps of a log, by leave-block-out cross-validation.

A network that was trained on simulated streets fits some drive tests better than others. Therefore
a few tiles of the largest cells are estimated again without blocks of their measurements. At these
held-out blocks the estimates of the method are compared with the baseline: the street ensemble or,
where a twentieth of all pixels is measured, inverse distance weighting of the residuals from a
path-loss trend. The map is the convex combination of the two with the smallest error at the
held-out blocks.

All cells of a log have one weight. The blocks of a single cell are few and their errors correlated:
on real drives the weights of single cells did not predict which of them the network fits better.

Blocks can be held out near other measurements only. Far from all of them a network is less accurate
than the baseline, so that its weight falls with the square of the distance there. With known
buildings the weight is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.geostat.block_folds import leave_block_out
from rm_geo.geostat.classical_baseline import BLOCK_PX
from rm_geo.geostat.held_out_blocks import HeldOutBlocks
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.geostat.street_ensemble import TREES_OF_FOLDS
from rm_geo.geostat.street_map import StreetMap, street_map_helps
from rm_geo.grid import Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.options import MethodOptions
from rm_geo.progress import SilentProgress
from rm_geo.raster.reach import typical_distance_px
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_LARGEST_ERROR_DB: Final = 20.0
"""Errors are clipped to this value, which bounds the influence of outliers."""

PRIOR_WEIGHT: Final = 0.45
"""Prior weight of the network. On three real drives all weights from 0.25 to 0.5 had the same
error within 1 %; on simulated drives more is better."""

KNOWN_BUILDINGS_PRIOR_WEIGHT: Final = 0.8
"""Prior weight of a network with known buildings. Held-out measurements lie along the driven
streets, where the advantage of such a network is smallest. On simulated drives 0.8 to 1 had the
same error within 1 %."""

LIMIT_PX: Final = 40.0
"""Distance from the nearest measurement from which the weight of a network falls. It is a
compromise: at held-out blocks of 200 m of real drives 32 has 7 % less error than no limit and 50
has 6 % less; on simulated drives of 1 % of the pixels 80 has 1 % less and 32 has 2 % more."""

_MAX_BLOCK_PX: Final = 100
"""Largest held-out blocks, in pixels."""

_MAX_TILES_OF_CELLS: Final = 8
"""Largest number of tiles of all cells that are estimated again."""

_PRIOR_BLOCKS: Final = 20.0
_PRIOR_EVIDENCE: Final = 0.25
"""The prior counts as a number of held-out blocks, and as a share of all of them: errors of
neighbouring blocks are correlated, so that the evidence is less than their number."""


@dataclass(frozen=True)
class MethodWeightOptions:
    """Cost of the cross-validation.

    Attributes
    ----------
    folds : int
        Number of folds of each cell; each is held out once.
    max_tiles : int
        Maximum number of tiles of each cell that are estimated again: those with the most
        measurements.
    seed : int
        Seed of the folds.
    """

    folds: int = 4
    max_tiles: int = 4
    seed: int = 0

    @classmethod
    def for_cells(cls, number: int) -> MethodWeightOptions:
        """Choose the tiles of each cell so that those of all cells are eight at most.

        Parameters
        ----------
        number : int
            Number of cells, at least 1.

        Examples
        --------
        >>> [MethodWeightOptions.for_cells(number).max_tiles for number in (1, 2, 3, 4)]
        [4, 4, 2, 2]
        """
        return cls(max_tiles=max(min(cls.max_tiles, _MAX_TILES_OF_CELLS // number), 1))


@dataclass(frozen=True)
class WeighedCell:
    """A cell at whose measurements a method is compared with the baseline.

    Attributes
    ----------
    sparse : SparseRaster
        Its measurements.
    tiles : sequence of Tile
        Tiles with measurements.
    facts : SiteInfo
        Transmitter and carrier.
    """

    sparse: SparseRaster
    tiles: Sequence[Tile]
    facts: SiteInfo


@dataclass(frozen=True)
class MethodWeight:
    """Weights of a method and of the classical baseline in a map.

    Attributes
    ----------
    method, idw : float
        Weights; they sum to 1.
    held_out : int
        Blocks of 4 x 4 pixels, of all cells, at which both were compared with measurements.
    rmse_db : tuple of float
        RMSE in dB at these blocks of the method, the baseline and their combination; empty
        without held-out blocks.
    limit_px : float or None
        Distance from the nearest measurement in pixels, from which the weight of the method falls
        with the square of the distance; None for the same weight everywhere.

    Examples
    --------
    >>> MethodWeight.given(0.6).tags
    {'trust': 'method 0.600, idw 0.400'}
    """

    method: float = 1.0
    idw: float = 0.0
    held_out: int = 0
    rmse_db: tuple[float, ...] = ()
    limit_px: float | None = None

    @classmethod
    def given(cls, weight: float) -> MethodWeight:
        """Create the weights from that of the method, 0..1."""
        return cls(method=weight, idw=1.0 - weight)

    @property
    def alone(self) -> bool:
        """Whether the baseline has no weight anywhere."""
        return self.method >= 1.0 and self.limit_px is None

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags."""
        tags = {"trust": f"method {self.method:.3f}, idw {self.idw:.3f}"}
        if self.rmse_db:
            tags["trust_rmse_db"] = " ".join(f"{value:.2f}" for value in self.rmse_db)
            tags["trust_held_out"] = str(self.held_out)
        if self.limit_px is not None:
            tags["trust_limit_px"] = f"{self.limit_px:.0f}"
        return tags

    def at_distance(self, distance_px: FloatArray) -> FloatArray:
        """Weight of the method by the distance from the nearest measurement.

        Parameters
        ----------
        distance_px : ndarray of float32
            Distances in pixels.

        Returns
        -------
        ndarray of float32
            Weights of the same shape.

        Examples
        --------
        >>> weight = MethodWeight(0.5, 0.5, limit_px=40.0)
        >>> weight.at_distance(np.float32([10.0, 40.0, 80.0])).tolist()
        [0.5, 0.5, 0.125]
        """
        if self.limit_px is None:
            return np.full_like(distance_px, self.method)
        share = np.minimum(self.limit_px / np.maximum(distance_px, 1.0), 1.0)
        return np.asarray(self.method * np.square(share), dtype=np.float32)


def is_weighed(options: MethodOptions, method: OpenMethod) -> bool:
    """Return whether the weight of a method is estimated: that of a network.

    Parameters
    ----------
    options : MethodOptions
        Options of the run.
    method : OpenMethod
        Its method.

    Returns
    -------
    bool
    """
    return options.method_weight is None and options.assimilate and method.is_network


def estimate_method_weight(
    cells: Iterable[WeighedCell],
    method: OpenMethod,
    reach_m: float,
    options: MethodWeightOptions | None = None,
    clock: Clock | None = None,
    fold_done: Callable[[], None] = lambda: None,
) -> MethodWeight:
    """Estimate the weight of a method by leave-block-out cross-validation.

    Parameters
    ----------
    cells : iterable of WeighedCell
        Cells of one log. All blocks count alike.
    method : OpenMethod
        The method.
    reach_m : float
        Reach of the map in metres. The block size depends on the median distance of the map's
        pixels from the measurements.
    options : MethodWeightOptions, optional
        Folds and tiles.
    clock : Clock, optional
        Accumulates the time inside the estimator.
    fold_done : callable
        Called after each fold of each cell; may raise to cancel.

    Returns
    -------
    MethodWeight
        Without held-out blocks the method has weight 0.5, or 0.8 with known buildings.

    Raises
    ------
    DeviceError
        If a tile does not fit the memory of the device.
    """
    chosen = options or MethodWeightOptions()
    columns: list[FloatArray] = [np.empty((3, 0), dtype=np.float32)]
    known = False
    for cell in cells:
        known = known or cell.facts.buildings is not None
        columns += _held_out_estimates(cell, method, reach_m, chosen, clock, fold_done)
    weight = stacking_weight(
        np.concatenate(columns, axis=1), KNOWN_BUILDINGS_PRIOR_WEIGHT if known else PRIOR_WEIGHT
    )
    return weight if known else replace(weight, limit_px=LIMIT_PX)


def _held_out_estimates(
    cell: WeighedCell,
    method: OpenMethod,
    reach_m: float,
    options: MethodWeightOptions,
    clock: Clock | None,
    fold_done: Callable[[], None],
) -> Iterator[FloatArray]:
    """Yield measurement, method and baseline at held-out blocks, shape (3, N), tile by tile."""
    sparse, facts = cell.sparse, cell.facts
    order = np.argsort(sparse.tile_counts(cell.tiles), kind="stable")[::-1]
    busiest = [cell.tiles[int(index)] for index in order[: options.max_tiles]]
    typical_px = typical_distance_px(sparse, reach_m)
    # The baseline of the map, and not the one that a part with fewer measurements would have.
    streets = street_map_helps(sparse)
    held_out = HeldOutBlocks(None) if streets else HeldOutBlocks.fit(sparse, facts)
    parts = leave_block_out(
        sparse, typical_px, options.folds, limits_px=(BLOCK_PX, _MAX_BLOCK_PX), seed=options.seed
    )
    for part in parts:
        street = StreetMap.fit(part, facts, BLOCK_PX, TREES_OF_FOLDS) if streets else None
        trend = None if streets else DistanceTrend.fit(part, facts)
        usable = [tile for tile in busiest if np.isfinite(part.tile(tile)).any()]
        estimates = run_tiles(
            method.estimator,
            tile_batches(part, usable, facts, method.batch_size),
            SilentProgress(),
            clock,
        )
        levels = (level_dbm for estimate in estimates for level_dbm in estimate.rsrp_dbm)
        for tile, level_dbm in zip(usable, levels, strict=True):
            yield held_out.compare(
                sparse.tile(tile), part.tile(tile), level_dbm, tile, trend, street
            )
        fold_done()


def stacking_weight(held_out_dbm: FloatArray, prior_weight: float = PRIOR_WEIGHT) -> MethodWeight:
    """Find the combination of two maps with the smallest error at held-out blocks.

    Least squares with non-negative weights that sum to 1, shrunk towards the prior weight where
    the evidence is small. Source: Breiman, "Stacked regressions", Machine Learning 24 (1996).

    Parameters
    ----------
    held_out_dbm : ndarray of float32, shape (3, N)
        Measurement, method and baseline at each block; blocks with a NaN are left out.
    prior_weight : float
        Prior weight of the method.

    Returns
    -------
    MethodWeight

    Examples
    --------
    >>> truth = np.linspace(-100, -80, 4000, dtype=np.float32)
    >>> stacking_weight(np.stack([truth, truth, truth + 5])).method > 0.8
    True
    """
    known = held_out_dbm[:, np.isfinite(held_out_dbm).all(0)].astype(np.float64)
    number = known.shape[1]
    if number == 0:
        return MethodWeight.given(max(prior_weight, 0.5))
    method, idw = np.clip(known[1:] - known[0], -_LARGEST_ERROR_DB, _LARGEST_ERROR_DB)
    # The error of the combination is idw + weight * (method - idw): one unknown, solved directly.
    difference = idw - method
    evidence = float(np.dot(difference, difference))
    prior = (_PRIOR_BLOCKS / number + _PRIOR_EVIDENCE) * evidence
    weight = prior_weight
    if evidence > 0.0:
        best = float(np.dot(difference, idw)) + prior * prior_weight
        weight = float(np.clip(best / (evidence + prior), 0.0, 1.0))
    combined = weight * method + (1.0 - weight) * idw
    rmse = np.sqrt(np.mean(np.square([method, idw, combined]), axis=1))
    return MethodWeight(weight, 1.0 - weight, number, tuple(float(value) for value in rmse))


def combine_rows(
    method_dbm: FloatArray,
    idw_dbm: FloatArray,
    method_weight: MethodWeight,
    distance_px: FloatArray | None = None,
) -> FloatArray:
    """Combine two maps of the same pixels.

    Parameters
    ----------
    method_dbm, idw_dbm : ndarray of float32
        Maps of the method and of the baseline in dBm.
    method_weight : MethodWeight
        Their weights.
    distance_px : ndarray of float32, optional
        Distance of each pixel from the nearest measurement, for weights that depend on it.

    Returns
    -------
    ndarray of float32
        The baseline alone where the method gives no estimate.

    Examples
    --------
    >>> method_dbm, idw_dbm = np.float32([-90.0, np.nan]), np.float32([-80.0, -70.0])
    >>> combine_rows(method_dbm, idw_dbm, MethodWeight.given(0.5)).tolist()
    [-85.0, -70.0]
    """
    weight: FloatArray | np.float32 = np.float32(method_weight.method)
    if distance_px is not None:
        weight = method_weight.at_distance(distance_px)
    combined = weight * method_dbm + (np.float32(1.0) - weight) * idw_dbm
    return np.asarray(np.where(np.isfinite(method_dbm), combined, idw_dbm), dtype=np.float32)
