"""How far a method is to be believed for one cell, judged on measurements held back from it.

A network learnt from simulated streets meets a real drive test: some cells are like what it
knows, some are not. So a few tiles are estimated again without blocks of their measurements;
what the network says at the blocks is compared with what inverse distance weighting says
there of the departures from the level's fall with distance (where measurements are few: its mean
with kriging), and the final map is the mixture of
the two that would have served best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo._types import BoolArray, FloatArray
from rm_geo.geostat.covariance import ExponentialCovariance, fit_reml
from rm_geo.geostat.idw import BLOCK_PX, InverseDistances
from rm_geo.geostat.kriging import FEW_VALUES, krige_at
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.grid import Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock, run_tiles
from rm_geo.progress import SilentProgress
from rm_geo.raster.reach import reach_samples
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_LARGEST_ERROR_DB: Final = 20.0
"""Larger errors count as this: outliers must not decide."""

PRIOR_WEIGHT: Final = 0.25
"""Share of the method believed beforehand: inverse distances never leave the range of what
was measured, networks can."""

KNOWN_BUILDINGS_PRIOR_WEIGHT: Final = 1.0
"""The same of a method that is told where buildings stand. Measurements held back lie on the
streets that were driven, where its advantage is smallest: on simulated drives of 1 % its maps of
scenes held out had 4.49 dB with a share of 0.75 beforehand and 4.40 with this one."""

_PRIOR_CELLS: Final = 20.0
_PRIOR_EVIDENCE: Final = 0.1
"""The prior counts as so many held-out cells, and as this share of all of them: neighbouring
cells err together, so that they are less evidence than they are many."""

_MAX_DEALT: Final = 1 << 22
"""Up to so many blocks are dealt out whether they hold measurements or not."""


@dataclass(frozen=True)
class TrustOptions:
    """What the judgement costs.

    Attributes
    ----------
    folds : int
        Parts that the measurements are split into; each is held back once.
    max_tiles : int
        Only so many tiles are judged, those with the most measurements.
    seed : int
        Of the split.
    """

    folds: int = 4
    max_tiles: int = 4
    seed: int = 0


@dataclass(frozen=True)
class MethodWeight:
    """How far a method is believed, and what is believed instead.

    Attributes
    ----------
    method, idw : float
        Shares of the method and of inverse distance weighting in the map; they sum to 1.
    held_out : int
        Cells of 4 x 4 pixels at which both were judged.
    rmse_db : tuple of float
        Errors there of method, inverse distance weighting and their mixture; empty if there
        were none.
    """

    method: float = 1.0
    idw: float = 0.0
    held_out: int = 0
    rmse_db: tuple[float, ...] = ()

    @classmethod
    def given(cls, share: float) -> MethodWeight:
        """Believe a method by a share that the user chose."""
        return cls(method=share, idw=1.0 - share)

    @property
    def alone(self) -> bool:
        """Whether the map is the method's own."""
        return self.method >= 1.0

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags."""
        tags = {"trust": f"method {self.method:.3f}, idw {self.idw:.3f}"}
        if self.rmse_db:
            tags["trust_rmse_db"] = " ".join(f"{value:.2f}" for value in self.rmse_db)
            tags["trust_held_out"] = str(self.held_out)
        return tags


def judge(
    sparse: SparseRaster,
    tiles: Sequence[Tile],
    facts: SiteInfo,
    method: OpenMethod,
    reach_m: float,
    options: TrustOptions | None = None,
    clock: Clock | None = None,
) -> MethodWeight:
    """Judge a method on measurements held back from it.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.
    tiles : sequence of Tile
        Tiles with measurements.
    facts : SiteInfo
        What is known of the cell.
    method : OpenMethod
        The method to judge.
    reach_m : float
        How far from measurements the map will go: its pixels' distances from them tell how
        large the blocks must be, so that the judgement asks what the map will have to answer.
    options : TrustOptions, optional
        Folds and tiles.
    clock : Clock, optional
        Filled with the time inside the estimator.

    Returns
    -------
    MethodWeight
        Where nothing could be judged an even mixture, or the method that is told the buildings.
    """
    chosen = options or TrustOptions()
    typical_px = _typical_distance_px(sparse, reach_m)
    counts = sparse.tile_counts(tiles)
    busiest = np.argsort(counts, kind="stable")[::-1][: chosen.max_tiles]
    judged = [tiles[int(index)] for index in busiest]
    covariance = _covariance(sparse, facts)
    columns: list[FloatArray] = []
    for fold in range(chosen.folds):
        # Blocks of two sizes: half of a map's pixels are nearer to a measurement than the
        # typical one.
        block_px = int(np.clip(typical_px * (2.0 if fold % 2 else 1.0), BLOCK_PX, 100))
        part = sparse.select(_folds(sparse, block_px, chosen) != fold)
        trend = DistanceTrend.fit(part, facts)
        usable = [tile for tile in judged if np.isfinite(part.tile(tile)).any()]
        batches = tile_batches(part, usable, facts, method.batch_size)
        levels = (
            level_dbm
            for estimate in run_tiles(method.estimator, batches, SilentProgress(), clock)
            for level_dbm in estimate.rsrp_dbm
        )
        for tile, level_dbm in zip(usable, levels, strict=True):
            trend_db = _on_cells(trend, tile, level_dbm.shape)
            columns.append(
                _at_held_out(sparse.tile(tile), part.tile(tile), level_dbm, trend_db, covariance)
            )
    prior_share = PRIOR_WEIGHT if facts.buildings is None else KNOWN_BUILDINGS_PRIOR_WEIGHT
    nothing = np.empty((3, 0), dtype=np.float32)
    return stack(np.concatenate([nothing, *columns], axis=1), prior_share)


def stack(held_out_dbm: FloatArray, prior_share: float = PRIOR_WEIGHT) -> MethodWeight:
    """Find the mixture of two maps that errs least at held-out places.

    Least squares with shares that are not negative and sum to 1, drawn towards those believed
    beforehand where there is little to go by. Source: Breiman, "Stacked regressions", Machine
    Learning 24 (1996).

    Parameters
    ----------
    held_out_dbm : ndarray of float32, shape (3, N)
        Truth, method and inverse distance weighting.
    prior_share : float
        Share of the method believed beforehand.

    Examples
    --------
    >>> truth = np.linspace(-100, -80, 4000, dtype=np.float32)
    >>> stack(np.stack([truth, truth, truth + 5])).method > 0.9
    True
    """
    known = held_out_dbm[:, np.isfinite(held_out_dbm).all(0)].astype(np.float64)
    number = known.shape[1]
    if number == 0:
        return MethodWeight.given(max(prior_share, 0.5))
    method, idw = np.clip(known[1:] - known[0], -_LARGEST_ERROR_DB, _LARGEST_ERROR_DB)
    # The mixture's error is idw + share * (method - idw): one unknown, solved directly.
    difference = idw - method
    evidence = float(np.dot(difference, difference))
    prior = (_PRIOR_CELLS / number + _PRIOR_EVIDENCE) * evidence
    share = prior_share
    if evidence > 0.0:
        best = float(np.dot(difference, idw)) + prior * prior_share
        share = float(np.clip(best / (evidence + prior), 0.0, 1.0))
    mixed = share * method + (1.0 - share) * idw
    rmse = np.sqrt(np.mean(np.square([method, idw, mixed]), axis=1))
    return MethodWeight(share, 1.0 - share, number, tuple(float(value) for value in rmse))


def combine_rows(method_dbm: FloatArray, idw_dbm: FloatArray, trust: MethodWeight) -> FloatArray:
    """Mix two maps of the same pixels; where the method is silent, the other speaks."""
    mixed = np.float32(trust.method) * method_dbm + np.float32(trust.idw) * idw_dbm
    return np.asarray(np.where(np.isfinite(method_dbm), mixed, idw_dbm), dtype=np.float32)


def _typical_distance_px(sparse: SparseRaster, reach_m: float) -> float:
    """Median distance of the map's pixels from the nearest measurement."""
    shape = sparse.grid.shape
    step = max(1, max(shape) // 512)
    rows, cols = (-(-length // step) for length in shape)
    coarse = np.zeros((rows, cols), dtype=np.bool_)
    coarse[sparse.row // step, sparse.col // step] = True
    wanted = reach_samples(sparse, step, reach_m)
    on_sample = (sparse.row % step == 0) & (sparse.col % step == 0)
    wanted[sparse.row[on_sample] // step, sparse.col[on_sample] // step] = False
    if not wanted.any():
        return 1.0
    distance_px = ndimage.distance_transform_edt(~coarse) * step
    return float(np.median(distance_px[wanted]))


def _folds(sparse: SparseRaster, block_px: int, options: TrustOptions) -> NDArray[np.int64]:
    """Fold of each measured pixel: blocks dealt out at random, (N,)."""
    rows, cols = (-(-length // block_px) for length in sparse.grid.shape)
    block = (sparse.row // block_px).astype(np.int64) * cols + sparse.col // block_px
    if rows * cols > _MAX_DEALT:
        # Too many blocks to deal out one by one: those with measurements alone.
        blocks, block = np.unique(block, return_inverse=True)
        number = blocks.size
    else:
        number = rows * cols
    rng = np.random.default_rng(options.seed)
    return np.asarray(rng.permutation(np.arange(number) % options.folds)[block])


def _on_cells(trend: DistanceTrend | None, tile: Tile, shape: tuple[int, ...]) -> FloatArray:
    """Give the trend at the centres of a tile's cells of 4 x 4 pixels; 0 without one."""
    rows, cols = (np.arange(length // BLOCK_PX) + 0.5 for length in shape)
    if trend is None:
        return np.zeros((rows.size, cols.size), dtype=np.float32)
    return trend.at(tile.row + BLOCK_PX * rows[:, None], tile.col + BLOCK_PX * cols[None, :])


def _covariance(sparse: SparseRaster, facts: SiteInfo) -> ExponentialCovariance | None:
    """Covariance in pixels of departures from the trend, where they are few enough to be kriged."""
    if not 0 < sparse.level_dbm.size <= FEW_VALUES:
        return None
    place = np.column_stack([sparse.row, sparse.col]).astype(np.float64)
    level_dbm = sparse.level_dbm.astype(np.float64)
    if (trend := DistanceTrend.fit(sparse, facts)) is not None:
        level_dbm -= trend.at(sparse.row + 0.5, sparse.col + 0.5)
    return fit_reml(place, level_dbm)


def _at_held_out(
    all_dbm: FloatArray,
    kept_dbm: FloatArray,
    method_dbm: FloatArray,
    trend_db: FloatArray,
    covariance: ExponentialCovariance | None,
) -> FloatArray:
    """Truth, method and partner at the coarse cells that were held back, shape (3, N).

    The method gets its residuals at the cells it was shown back by inverse distances: what
    assimilation does, at a hundredth of the cost.
    """
    held_dbm = np.where(np.isfinite(kept_dbm), np.float32(np.nan), all_dbm)
    truth, kept, method = (_coarse_mean(level) for level in (held_dbm, kept_dbm, method_dbm))
    where = np.isfinite(truth) & ~np.isfinite(kept)
    honoured = method[where] + _inverse_distance(kept - method, where)
    departures = kept - trend_db
    partner = _inverse_distance(departures, where)
    if covariance is not None:
        partner = 0.5 * (partner + _kriged(departures, where, covariance))
    return np.stack([truth[where], honoured, partner + trend_db[where]])


def _kriged(
    blocks_dbm: FloatArray, where: BoolArray, covariance: ExponentialCovariance
) -> FloatArray:
    """Krige the known cells onto the N cells of ``where``, shape (N,)."""
    known = np.isfinite(blocks_dbm)
    if not known.any():
        return np.full(np.count_nonzero(where), np.nan, dtype=np.float32)
    place, target = (BLOCK_PX * np.argwhere(cells).astype(np.float64) for cells in (known, where))
    level_dbm = blocks_dbm[known].astype(np.float64)
    mean_dbm = float(level_dbm.mean())
    departure_db = krige_at(place, level_dbm - mean_dbm, target, covariance)
    return np.asarray(mean_dbm + departure_db, dtype=np.float32)


def _inverse_distance(blocks_dbm: FloatArray, where: BoolArray) -> FloatArray:
    """Mean of the nearest known cells by the inverse square of their distance.

    At the N cells of ``where``, shape (N,); all NaN where no cell is known.
    """
    known = np.isfinite(blocks_dbm)
    return InverseDistances(np.argwhere(known), blocks_dbm[known]).at(np.argwhere(where))


def _coarse_mean(level_dbm: NDArray[np.floating]) -> FloatArray:
    """Mean over cells of 4 x 4 pixels, NaN where a cell has no value; whole cells only."""
    rows, cols = (length // BLOCK_PX for length in level_dbm.shape)
    inner = level_dbm[: rows * BLOCK_PX, : cols * BLOCK_PX]
    cells = inner.reshape(rows, BLOCK_PX, cols, BLOCK_PX)
    known = np.isfinite(cells)
    count = known.sum((1, 3))
    total = np.where(known, cells, 0.0).sum((1, 3))
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean, dtype=np.float32)
