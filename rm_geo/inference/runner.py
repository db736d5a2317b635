"""Execution of an estimator on batches of tiles, with prefetching and out-of-memory handling.

While the device computes one batch, a thread prepares the next. A batch that does not fit the
memory of the device is halved until it does, and the smaller size is used for the rest of the run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.devices import is_out_of_memory
from rm_geo.errors import DeviceError
from rm_geo.estimators.base import Estimate, Estimator, TileBatch
from rm_geo.progress import Progress, SilentProgress


@dataclass
class Clock:
    """Computing time of a run.

    Attributes
    ----------
    forward_s : float
        Seconds inside :meth:`Estimator.estimate`.
    tiles : int
        Number of computed tiles.
    """

    forward_s: float = 0.0
    tiles: int = 0


@dataclass
class _Limit:
    """Largest batch that fits the memory of the device; never increased."""

    tiles: int = field(default=2**31)


def run_tiles(
    estimator: Estimator,
    batches: Iterable[TileBatch],
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Generator[Estimate, None, None]:
    """Estimate batches in order, and prepare the next one while the device computes.

    Parameters
    ----------
    estimator : Estimator
        The method.
    batches : iterable of TileBatch
        Consumed lazily, one batch ahead, in a separate thread.
    progress : Progress, optional
        Advanced by the tiles of each finished batch, and checked for cancellation between
        batches.
    clock : Clock, optional
        Receives the time spent in the estimator.

    Yields
    ------
    Estimate
        One per batch, in the order of the batches.

    Raises
    ------
    CancelledError
        If the run is cancelled.
    DeviceError
        If a single tile does not fit the device's memory.
    """
    listener = SilentProgress() if progress is None else progress
    watch = Clock() if clock is None else clock
    limit = _Limit()
    source = iter(batches)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rm_geo-tiles") as pool:
        upcoming = pool.submit(next, source, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, source, None)
            listener.check()
            begun = time.perf_counter()
            estimate = _estimate_within_memory(estimator, batch, limit)
            watch.forward_s += time.perf_counter() - begun
            watch.tiles += len(batch)
            listener.advance(len(batch))
            yield estimate


def _estimate_within_memory(estimator: Estimator, batch: TileBatch, limit: _Limit) -> Estimate:
    """Estimate a batch in parts of at most ``limit`` tiles, halving on out-of-memory."""
    parts: list[Estimate] = []
    start = 0
    while start < len(batch):
        count = min(limit.tiles, len(batch) - start)
        try:
            parts.append(estimator.estimate(batch.part(start, count)))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if count == 1:
                raise DeviceError(
                    "One tile does not fit the memory of the device.",
                    hint="Use a smaller `tile_size_px`, a smaller model (-s), or `device=cpu`.",
                ) from error
            limit.tiles = count // 2
            _release_memory()
            continue
        start += count
    return parts[0] if len(parts) == 1 else _joined(parts)


def _release_memory() -> None:
    """Release cached GPU memory before the next try."""
    if "torch" in sys.modules:  # classical methods do not import it
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _joined(parts: list[Estimate]) -> Estimate:
    """Concatenate the estimates of the parts of a batch."""
    return Estimate(
        rsrp_dbm=np.concatenate([part.rsrp_dbm for part in parts]),
        building_probability=_joined_optional([part.building_probability for part in parts]),
        std_db=_joined_optional([part.std_db for part in parts]),
        zero_in_buildings=all(part.zero_in_buildings for part in parts),
    )


def _joined_optional(arrays: list[FloatArray | None]) -> FloatArray | None:
    """Concatenate arrays; None if one is missing."""
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None
