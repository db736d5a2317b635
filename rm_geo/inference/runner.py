"""Where and how tiles are computed: device, precision, batches, prefetch, memory back-off.

Nothing here knows what a tile holds. :func:`run_tiles` keeps the device busy: while it
computes one batch, a thread prepares the next. A batch that does not fit the device's memory
is halved until it does, and the smaller size is kept for the rest of the run.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from rm_geo.devices import likely_device
from rm_geo.errors import DeviceError, UsageError
from rm_geo.estimators.base import Estimate, Estimator, FloatArray, TileBatch
from rm_geo.progress import Progress, SilentProgress

Precision: TypeAlias = Literal["float32", "bfloat16"]

CUDA_HINT: Final = (
    "PyTorch's CPU build cannot use a GPU: install the CUDA build that fits the driver "
    "(https://pytorch.org/get-started/locally), or choose --device cpu."
)

_CPU_BATCH: Final = 4
_MAX_BATCH: Final = 64
# Peak memory of one 256 x 256 tile in the largest network (the paper's residual U-Net, float32).
_TILE_BYTES: Final = 400 * 2**20


def choose_device(name: str = "auto") -> str:
    """Resolve a device by name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.

    Returns
    -------
    str
        A name that torch accepts.

    Raises
    ------
    DeviceError
        If the device is not there.
    UsageError
        If the name is none of the above.
    """
    require_device_name(name)
    if name == "cpu" or (name == "auto" and likely_device() in {"cpu", "none"}):
        return "cpu"
    import torch

    kind, _, number = name.partition(":")
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                f"The device {name!r} was asked for, but no CUDA GPU can be used.", hint=CUDA_HINT
            )
        if number and int(number) >= torch.cuda.device_count():
            raise DeviceError(
                f"There is no device {name!r}: the machine has {torch.cuda.device_count()} GPU(s).",
                hint="Choose a smaller number, or --device cuda.",
            )
        return name
    if not torch.backends.mps.is_available():
        raise DeviceError(
            "The device 'mps' was asked for, but it exists on Apple silicon only.",
            hint="Choose --device cpu or auto.",
        )
    return "mps"


def require_device_name(name: str) -> None:
    """Refuse what is the name of no device, here or elsewhere.

    Raises
    ------
    UsageError
        If it is none.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise UsageError(
            f"The device {name!r} is not known.",
            hint="Choose one of auto, cpu, cuda, cuda:0, mps.",
        )


def choose_precision(device: str) -> Precision:
    """Choose bfloat16 where the hardware multiplies it natively, else float32.

    On a CPU without such instructions bfloat16 is emulated and ten times slower.
    """
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device == "cpu" and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has AVX512-BF16 or AMX tiles, by Linux or else by torch."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        return re.search(r"\b(avx512_bf16|amx_tile)\b", flags) is not None
    import torch

    # Private names of torch.cpu: absent in some releases, which then count as "no".
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)


def choose_batch_size(device: str, tile_size: int = 256) -> int:
    """Tiles per batch that fit the device's memory; more than some tens bring nothing."""
    if not device.startswith("cuda"):
        return _CPU_BATCH
    import torch

    free_bytes, _ = torch.cuda.mem_get_info(torch.device(device))
    tile_bytes = _TILE_BYTES * (tile_size / 256) ** 2
    return int(np.clip(0.6 * free_bytes // tile_bytes, 1, _MAX_BATCH))


@dataclass
class Clock:
    """What a run of tiles took.

    Attributes
    ----------
    forward_s : float
        Seconds inside :meth:`Estimator.estimate`.
    tiles : int
        Tiles computed.
    """

    forward_s: float = 0.0
    tiles: int = 0


@dataclass
class _Limit:
    """The largest batch that the device has been found to take; shrinks, never grows."""

    tiles: int = field(default=2**31)


def run_tiles(
    estimator: Estimator,
    batches: Iterable[TileBatch],
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Generator[Estimate, None, None]:
    """Estimate batches in order, preparing the next while the device computes.

    Parameters
    ----------
    estimator : Estimator
        The method.
    batches : iterable of TileBatch
        Consumed lazily, one batch ahead, in a thread of its own.
    progress : Progress, optional
        Advanced by the tiles of each finished batch, and asked between batches whether the
        work is to stop.
    clock : Clock, optional
        Filled with the time spent in the estimator.

    Yields
    ------
    Estimate
        One for each batch, in the batches' order.

    Raises
    ------
    CancelledError
        If the caller asked for the work to stop.
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
            parts.append(estimator.estimate(_part(batch, start, count)))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if count == 1:
                raise DeviceError(
                    "One tile does not fit the memory of the device.",
                    hint="Use a smaller --tile-size, a smaller model (-s), or --device cpu.",
                ) from error
            limit.tiles = count // 2
            _release_memory()
            continue
        start += count
    return parts[0] if len(parts) == 1 else _joined(parts)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device's memory is exhausted."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def _release_memory() -> None:
    """Give cached GPU memory back before a smaller batch is tried."""
    if "torch" in sys.modules:  # a classical method runs without it
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _part(batch: TileBatch, start: int, count: int) -> TileBatch:
    """Tiles ``start`` to ``start + count`` of a batch."""
    if count == len(batch):
        return batch
    chosen = slice(start, start + count)
    return replace(
        batch,
        rsrp_dbm=batch.rsrp_dbm[chosen],
        transmitter_rc=batch.transmitter_rc[chosen],
        intercept_dbm=batch.intercept_dbm[chosen],
        walls=None if batch.walls is None else batch.walls[chosen],
    )


def _joined(parts: list[Estimate]) -> Estimate:
    """One estimate of the parts of a batch."""
    return Estimate(
        rsrp_dbm=np.concatenate([part.rsrp_dbm for part in parts]),
        building_probability=_joined_optional([part.building_probability for part in parts]),
        std_db=_joined_optional([part.std_db for part in parts]),
        zero_in_buildings=all(part.zero_in_buildings for part in parts),
    )


def _joined_optional(arrays: list[FloatArray | None]) -> FloatArray | None:
    """Concatenate arrays that are all there, or None."""
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None
