"""Which device networks would run on, found out without importing PyTorch.

PyTorch takes seconds to import. Where no GPU can be there, nobody has to wait for it; where one
may be, the answer is a good guess, and that of :func:`rm_geo.devices.choose_device` counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import platform
import re
import sys
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from rm_geo.errors import DeviceError, UsageError

_DRIVERS: Final = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")


def likely_device() -> str:
    """Guess ``cuda``, ``mps`` or ``cpu``; ``none`` where PyTorch is not installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "none"
    version = Path(spec.origin).with_name("version.py")
    if is_rocm_build(version) or (is_cuda_build(version) and count_cuda_devices() > 0):
        return "cuda"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def is_cuda_build(version_file: Path) -> bool:
    """Whether the ``torch/version.py`` of an installation names a version of CUDA."""
    return _names_version(version_file, "cuda")


def is_rocm_build(version_file: Path) -> bool:
    """Whether it names one of ROCm, whose devices PyTorch calls ``cuda`` too."""
    return _names_version(version_file, "hip")


def _names_version(version_file: Path, name: str) -> bool:
    """Whether a line of the file sets a name to a version in quotes."""
    try:
        text = version_file.read_text("utf-8", "replace")
    except OSError:
        return False
    return re.search(rf"^{name}\b[^=\n]*=\s*['\"]\d", text, re.MULTILINE) is not None


def count_cuda_devices() -> int:
    """Count the GPUs that NVIDIA's driver reports; 0 without a driver. PyTorch is not needed."""
    for name in _DRIVERS:
        with contextlib.suppress(OSError, AttributeError):
            driver = ctypes.CDLL(name)
            count = ctypes.c_int(0)
            if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
                return count.value
    return 0


Precision: TypeAlias = Literal["float32", "bfloat16"]


CUDA_HINT: Final = (
    "PyTorch's CPU build cannot use a GPU: install the CUDA build that fits the driver "
    "(https://pytorch.org/get-started/locally), or choose `device=cpu`."
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
                hint="Choose a smaller number, or `device=cuda`.",
            )
        return name
    if not torch.backends.mps.is_available():
        raise DeviceError(
            "The device 'mps' was asked for, but it exists on Apple silicon only.",
            hint="Choose `device=cpu` or `device=auto`.",
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device's memory is exhausted."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text
