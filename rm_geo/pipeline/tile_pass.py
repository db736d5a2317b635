"""Tile pass of a cell: tiles are estimated in order and blended into a file, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.estimators.base import Estimate
from rm_geo.grid import Tile
from rm_geo.inference.batches import tile_batches
from rm_geo.inference.executor import LocalExecutor, TileExecutor
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock
from rm_geo.pipeline.journal import BlendedRows, Journal
from rm_geo.progress import Progress
from rm_geo.raster.mosaic import Band, Mosaic
from rm_geo.raster.scratch import Scratch
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo

_MAX_PENDING: Final = 2
"""Maximum number of estimates that are queued for blending; bounds the memory."""

MIN_KEPT_S: Final = 0.2
"""Computing time of a batch from which its estimate is written to the journal. A faster one is
computed again after an interruption."""


@dataclass(frozen=True)
class BlendedCell:
    """Blended estimates of a whole cell, in a file.

    Attributes
    ----------
    scratch : Scratch
        Channels: RSRP in dBm, then building probability (0..1) and standard deviation (dB), if
        the method gives them.
    has_buildings, has_std : bool
        Whether there is a building probability, and a standard deviation.
    at_measured_dbm : ndarray of float32, shape (N,)
        Estimated RSRP in dBm at each measured pixel; NaN where the method gives no estimate.
    """

    scratch: Scratch
    has_buildings: bool
    has_std: bool
    at_measured_dbm: FloatArray

    def rsrp_rows(self, rows: slice) -> FloatArray:
        """Read the RSRP in dBm of some rows, shape (rows, W)."""
        return self.scratch.read_rows(0, rows)

    def building_rows(self, rows: slice) -> FloatArray | None:
        """Read the building probability of some rows, shape (rows, W); None without one."""
        return self.scratch.read_rows(1, rows) if self.has_buildings else None

    def std_rows(self, rows: slice) -> FloatArray | None:
        """Read the standard deviation in dB of some rows, shape (rows, W); None without one."""
        return self.scratch.read_rows(self.scratch.channels - 1, rows) if self.has_std else None


@dataclass(frozen=True)
class TilePlan:
    """Tiles of a cell and their division into batches.

    Attributes
    ----------
    all_tiles : sequence of Tile
        All tiles of the grid, which define the blending weights.
    tiles : sequence of Tile
        Tiles that hold measurements, row by row. These are estimated.
    batch_size : int
        Tiles per batch. Batches are cut from the whole list, so that a resumed run has the same
        batches.
    """

    all_tiles: Sequence[Tile]
    tiles: Sequence[Tile]
    batch_size: int

    @property
    def batches(self) -> list[Sequence[Tile]]:
        """Tiles of each batch."""
        starts = range(0, len(self.tiles), self.batch_size)
        return [self.tiles[start : start + self.batch_size] for start in starts]

    @property
    def covered_rows(self) -> int:
        """Number of rows that the estimated tiles cover."""
        covered = 0
        end = self.tiles[0].row if self.tiles else 0
        for tile in self.tiles:
            covered += max(tile.row + tile.size - max(tile.row, end), 0)
            end = max(end, tile.row + tile.size)
        return covered


def blend_cell(
    sparse: SparseRaster,
    plan: TilePlan,
    facts: SiteInfo,
    method: OpenMethod,
    journal: Journal,
    progress: Progress,
    clock: Clock,
    executor: TileExecutor | None = None,
) -> BlendedCell | None:
    """Estimate the tiles of a cell and blend them, starting at the first row not in the journal.

    Parameters
    ----------
    sparse : SparseRaster
        Measured pixels.
    plan : TilePlan
        Tiles and batches.
    facts : SiteInfo
        Transmitter, carrier and known buildings of the cell.
    method : OpenMethod
        The method.
    journal : Journal
        Stores final rows and estimates; holds those of an earlier run.
    progress, clock
        As for :func:`rm_geo.inference.runner.run_tiles`.
    executor : TileExecutor, optional
        Computes the tiles (default: this process).

    Returns
    -------
    BlendedCell or None
        None if there are no tiles to estimate.

    Raises
    ------
    OutputError
        If the journal cannot be written, or the disk is full.
    RmGeoError
        If a tile cannot be estimated.
    """
    rows = journal.resumed_rows(sparse.grid.shape)
    first_row = 0 if rows is None else rows.first_row
    batches = plan.batches
    first = next((k for k, tiles in enumerate(batches) if _end(tiles) > first_row), len(batches))
    progress.advance(sum(len(tiles) for tiles in batches[:first]))
    estimates = _estimates(
        sparse, plan, first, facts, method, journal, progress, clock, executor or LocalExecutor()
    )
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="rm_geo-blend") as pool,
        closing(estimates),  # stops the computation of further tiles after an error
    ):
        head = list(islice(estimates, 1))
        if rows is None:
            if not head:
                return None
            _, estimate = head[0]
            rows = journal.new_rows(
                sparse.grid.shape,
                plan.covered_rows,
                has_buildings=estimate.building_probability is not None,
                has_std=estimate.std_db is not None,
            )
        mosaic = Mosaic(sparse.grid, plan.all_tiles, rows.scratch.channels, rows.first_row)
        blender = _Blender(mosaic, plan, rows, journal)
        waiting: deque[Future[None]] = deque()
        for number, estimate in chain(head, estimates):
            waiting.append(pool.submit(blender.add, number, estimate))
            while len(waiting) > _MAX_PENDING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    blender.finish()
    scratch = rows.scratch
    at_measured_dbm = sparse.map_bands(
        lambda band: band.from_dense(scratch.read_rows(0, band.rows))
    )
    return BlendedCell(scratch, rows.has_buildings, rows.has_std, at_measured_dbm)


def _estimates(
    sparse: SparseRaster,
    plan: TilePlan,
    first: int,
    facts: SiteInfo,
    method: OpenMethod,
    journal: Journal,
    progress: Progress,
    clock: Clock,
    executor: TileExecutor,
) -> Generator[tuple[int, Estimate], None, None]:
    """Yield number and estimate of each batch from ``first`` on, from the journal or computed."""
    batches = plan.batches
    numbers = range(first, len(batches))
    missing = [k for k in numbers if journal.recall_estimate(k) is None]
    cut = (tile_batches(sparse, batches[k], facts, plan.batch_size) for k in missing)
    estimates = executor.estimates(
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
                # The time inside the estimator, not the waiting time: workers compute ahead.
                if clock.forward_s - spent_s > MIN_KEPT_S:
                    journal.keep_estimate(number, estimate)
            else:
                kept = journal.recall_estimate(number)
                if kept is None:  # removed since it was checked above
                    estimate = method.estimator.estimate(
                        next(tile_batches(sparse, batches[number], facts, plan.batch_size))
                    )
                else:
                    estimate = kept
                progress.advance(len(batches[number]))
            yield number, estimate


class _Blender:
    """Blends estimates in order, and writes final rows to the journal."""

    def __init__(self, mosaic: Mosaic, plan: TilePlan, rows: BlendedRows, journal: Journal) -> None:
        self._mosaic = mosaic
        self._batches = plan.batches
        self._scratch = rows.scratch
        self._first_row = rows.first_row
        self._journal = journal
        self._final_row = rows.first_row
        self._final_batches = 0  # number of leading batches all of whose rows are final

    def add(self, number: int, estimate: Estimate) -> None:
        """Blend the estimate of a batch."""
        layers = [
            layer
            for layer in (estimate.rsrp_dbm, estimate.building_probability, estimate.std_db)
            if layer is not None
        ]
        for index, tile in enumerate(self._batches[number]):
            if tile.row + tile.size > self._first_row:
                values = np.stack([layer[index] for layer in layers])
                self._store(self._mosaic.push(tile, values))
        while (
            self._final_batches < number
            and _end(self._batches[self._final_batches]) <= self._final_row
        ):
            self._final_batches += 1
        self._journal.drop_estimates(self._final_batches)

    def finish(self) -> None:
        """Write the remaining rows."""
        self._store(self._mosaic.finish())

    def _store(self, bands: Sequence[Band]) -> None:
        for band in bands:
            self._journal.note_band(band, self._scratch)
            self._final_row = band.row + band.rows


def _end(tiles: Sequence[Tile]) -> int:
    """Return the row after the last row of a batch; tiles are ordered row by row."""
    return tiles[-1].row + tiles[-1].size
