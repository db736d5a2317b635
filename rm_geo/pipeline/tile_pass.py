"""The first pass over a cell: tiles estimated in order and blended onto disk, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate
from rm_geo.grid import Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.executor import LocalExecutor, TileExecutor
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock
from rm_geo.pipeline.journal import Journal
from rm_geo.progress import Progress
from rm_geo.raster.mosaic import Band, Mosaic
from rm_geo.raster.scratch import Scratch
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_WAITING: Final = 2
"""Estimates that may wait for being blended; bounds the memory."""

_WORTH_KEEPING_S: Final = 0.2
"""Estimates that took less are computed again after an interruption, not kept."""


@dataclass(frozen=True)
class BlendedCell:
    """The estimates of a whole cell, on disk.

    Attributes
    ----------
    scratch : Scratch
        RSRP in dBm, then building probability and standard deviation where there are any.
    has_buildings, has_std : bool
        Which of them there are.
    at_measured_dbm : ndarray of float32, shape (N,)
        The RSRP at each measured pixel; NaN where the method says nothing.
    """

    scratch: Scratch
    has_buildings: bool
    has_std: bool
    at_measured_dbm: FloatArray

    def rsrp_rows(self, rows: slice) -> FloatArray:
        """RSRP in dBm on some rows, shape (rows, W)."""
        return self.scratch.read_rows(0, rows)

    def building_rows(self, rows: slice) -> FloatArray | None:
        """Give the building probability on some rows."""
        return self.scratch.read_rows(1, rows) if self.has_buildings else None

    def std_rows(self, rows: slice) -> FloatArray | None:
        """Give the standard deviation in dB on some rows."""
        return self.scratch.read_rows(self.scratch.channels - 1, rows) if self.has_std else None


@dataclass(frozen=True)
class TilePlan:
    """Which tiles are estimated, in which batches.

    Attributes
    ----------
    all_tiles : sequence of Tile
        All tiles of the grid; the blending weights come from them.
    tiles : sequence of Tile
        Those that hold measurements, in order.
    batch_size : int
        Tiles in each batch. Batches are cut from the whole list, so that they are the same
        after an interruption.
    """

    all_tiles: Sequence[Tile]
    tiles: Sequence[Tile]
    batch_size: int

    @property
    def batches(self) -> list[Sequence[Tile]]:
        """The tiles in batches."""
        starts = range(0, len(self.tiles), self.batch_size)
        return [self.tiles[start : start + self.batch_size] for start in starts]


def blend_cell(
    sparse: SparseRaster,
    plan: TilePlan,
    facts: SiteInfo,
    method: OpenMethod,
    journal: Journal,
    progress: Progress,
    clock: Clock,
    computer: TileExecutor | None = None,
) -> BlendedCell | None:
    """Estimate the tiles of a cell and blend them, from wherever the journal ends.

    Parameters
    ----------
    sparse : SparseRaster
        What was measured.
    plan : TilePlan
        Tiles and batches.
    facts : SiteInfo
        What is known of the cell.
    method : OpenMethod
        The method.
    journal : Journal
        Takes what is final, and gives what an earlier run left.
    progress, clock
        As for :func:`rm_geo.inference.runner.run_tiles`.
    computer : TileExecutor, optional
        Who computes the tiles; this process if not given.

    Returns
    -------
    BlendedCell or None
        None where the method says nothing at all.
    """
    height = sparse.grid.shape[0]
    layout = journal.recall("channels")
    scratch, first_row = None, 0
    if layout is not None:
        scratch = journal.scratch(sparse.grid.shape, 1 + sum(layout))
        first_row = journal.accept_bands(scratch)
    batches = plan.batches
    first = next((k for k, tiles in enumerate(batches) if _end(tiles) > first_row), len(batches))
    progress.advance(sum(len(tiles) for tiles in batches[:first]))
    blender = None
    estimates = _estimates(
        sparse, plan, first, facts, method, journal, progress, clock, computer or LocalExecutor()
    )
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="rm_geo-blend") as pool,
        closing(estimates),  # whatever ends this: no tiles are computed that nobody takes
    ):
        waiting: deque[Future[None]] = deque()
        for number, estimate in estimates:
            if blender is None:
                if scratch is None:
                    layout = [
                        estimate.building_probability is not None,
                        estimate.std_db is not None,
                    ]
                    scratch = journal.scratch(sparse.grid.shape, 1 + sum(layout))
                    scratch.require_space(_rows_of(plan.tiles))
                    journal.note("channels", layout)
                blender = _Blender(sparse, plan, scratch, first_row, journal)
            waiting.append(pool.submit(blender.take, number, estimate))
            while len(waiting) > _WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    if scratch is None or layout is None:
        return None
    if first_row < height:
        blender = blender or _Blender(sparse, plan, scratch, first_row, journal)
        blender.finish()
    at_measured_dbm = sparse.map_bands(
        lambda band: band.from_dense(scratch.read_rows(0, band.rows))
    )
    return BlendedCell(scratch, layout[0], layout[1], at_measured_dbm)


def _estimates(
    sparse: SparseRaster,
    plan: TilePlan,
    first: int,
    facts: SiteInfo,
    method: OpenMethod,
    journal: Journal,
    progress: Progress,
    clock: Clock,
    computer: TileExecutor,
) -> Generator[tuple[int, Estimate], None, None]:
    """Give the batches from the first on, and their numbers: kept ones, and computed ones."""
    batches = plan.batches
    numbers = range(first, len(batches))
    missing = [k for k in numbers if journal.recall_estimate(k) is None]
    cut = (tile_batches(sparse, batches[k], facts, plan.batch_size) for k in missing)
    estimates = computer.estimates(
        method,
        (batch for parts in cut for batch in parts),
        sum(len(batches[k]) for k in missing),
        progress,
        clock,
    )
    waiting = set(missing)
    with closing(estimates):
        for number in numbers:
            if number in waiting:
                spent_s = clock.forward_s
                estimate = next(estimates)
                # Not the time that was waited: workers compute ahead.
                if clock.forward_s - spent_s > _WORTH_KEEPING_S:
                    journal.keep_estimate(number, estimate)
            else:
                kept = journal.recall_estimate(number)
                if kept is None:  # it was there a moment ago
                    estimate = method.estimator.estimate(
                        next(tile_batches(sparse, batches[number], facts, plan.batch_size))
                    )
                else:
                    estimate = kept
                progress.advance(len(batches[number]))
            yield number, estimate


class _Blender:
    """Blends estimates in order, and hands final rows to the journal."""

    def __init__(
        self,
        sparse: SparseRaster,
        plan: TilePlan,
        scratch: Scratch,
        first_row: int,
        journal: Journal,
    ) -> None:
        self._plan = plan
        self._batches = plan.batches
        self._scratch = scratch
        self._first_row = first_row
        self._journal = journal
        self._mosaic = Mosaic(sparse.grid, plan.all_tiles, scratch.channels, first_row)
        self._final_row = first_row
        self._past = 0  # batches all of whose rows are final

    def take(self, number: int, estimate: Estimate) -> None:
        """Blend a batch."""
        layers = [
            layer
            for layer in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
            if layer is not None
        ]
        for index, tile in enumerate(self._batches[number]):
            if tile.row + tile.size > self._first_row:
                values = np.stack([layer[index] for layer in layers])
                self._store(self._mosaic.push(tile, values))
        while self._past < number and _end(self._batches[self._past]) <= self._final_row:
            self._past += 1
        self._journal.drop_estimates(self._past)

    def finish(self) -> None:
        """Hand out the rows that are left."""
        self._store(self._mosaic.finish())

    def _store(self, bands: Sequence[Band]) -> None:
        for band in bands:
            self._journal.note_band(band, self._scratch)
            self._final_row = band.row + band.rows


def _end(tiles: Sequence[Tile]) -> int:
    """Row after the last one of a batch; tiles come row by row."""
    return tiles[-1].row + tiles[-1].size


def _rows_of(tiles: Sequence[Tile]) -> int:
    """Count the rows that tiles cover; they come row by row."""
    covered = 0
    end = tiles[0].row if tiles else 0
    for tile in tiles:
        covered += max(tile.row + tile.size - max(tile.row, end), 0)
        end = max(end, tile.row + tile.size)
    return covered
