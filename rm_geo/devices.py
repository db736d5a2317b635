"""Device and precision of networks: CPU, CUDA or MPS; float32 or bfloat16.

On a CPU the precision is float32, whatever instructions the processor has, so that results do
not depend on it. PyTorch is imported only where a GPU may be present: its import takes seconds,
and on a CPU ONNX Runtime computes without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import platform
import re
import sys
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

import numpy as np

from rm_geo._util.threads import available_threads
from rm_geo.errors import DependencyError, DeviceError, UsageError

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Number format of a network's convolutions and matrix products."""

CUDA_HINT: Final = (
    "PyTorch's CPU build cannot use a GPU: install the CUDA build that fits the driver "
    "(https://pytorch.org/get-started/locally), or choose `device=cpu`."
)

TORCH_HINT: Final = 'Install it with: pip install "rm-geo[torch]"'

_DRIVERS: Final = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")

_CPU_BATCH: Final = 4
_MAX_CPU_BATCH: Final = 16
_MAX_BATCH: Final = 64

# Peak memory of one 256 x 256 tile in the largest network (the paper's residual U-Net, float32).
_TILE_BYTES: Final = 400 * 2**20


def torch_is_installed() -> bool:
    """Whether PyTorch is installed; it is not imported.

    Returns
    -------
    bool
    """
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec("torch") is not None
    return False


def require_torch(purpose: str) -> None:
    """Require that PyTorch is installed.

    Parameters
    ----------
    purpose : str
        What needs it: the subject of the message.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    if not torch_is_installed():
        raise DependencyError(f"{purpose} needs PyTorch, which is not installed.", hint=TORCH_HINT)


def likely_device() -> str:
    """Guess what :func:`choose_device` would choose, without importing PyTorch.

    Returns
    -------
    str
        ``cuda``, ``mps`` or ``cpu``; ``cpu`` where PyTorch is not installed: ONNX Runtime
        computes there.
    """
    if not torch_is_installed():
        return "cpu"
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "cpu"
    version = Path(spec.origin).with_name("version.py")
    if is_rocm_build(version) or (is_cuda_build(version) and count_cuda_devices() > 0):
        return "cuda"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def is_cuda_build(version_file: Path) -> bool:
    """Whether the ``torch/version.py`` of an installation states a version of CUDA.

    Parameters
    ----------
    version_file : Path
        The ``torch/version.py`` of an installation.

    Returns
    -------
    bool
    """
    return _states_version(version_file, "cuda")


def is_rocm_build(version_file: Path) -> bool:
    """Whether it states a version of ROCm, whose devices PyTorch calls ``cuda`` too.

    Parameters
    ----------
    version_file : Path
        The ``torch/version.py`` of an installation.

    Returns
    -------
    bool
    """
    return _states_version(version_file, "hip")


def _states_version(version_file: Path, name: str) -> bool:
    """Whether a line of the file assigns a quoted version to a name."""
    try:
        text = version_file.read_text("utf-8", "replace")
    except OSError:
        return False
    return re.search(rf"^{name}\b[^=\n]*=\s*['\"]\d", text, re.MULTILINE) is not None


def count_cuda_devices() -> int:
    """Count the devices that NVIDIA's driver reports; 0 without a driver.

    Returns
    -------
    int
    """
    for name in _DRIVERS:
        with contextlib.suppress(OSError, AttributeError):
            driver = ctypes.CDLL(name)
            count = ctypes.c_int(0)
            if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
                return count.value
    return 0


def choose_device(name: str = "auto") -> str:
    """Resolve a device by name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``.

    Returns
    -------
    str
        A name that PyTorch accepts.

    Raises
    ------
    DeviceError
        If the device is not present.
    DependencyError
        If a GPU was asked for and PyTorch is not installed.
    UsageError
        If the name is none of the above.

    Examples
    --------
    >>> choose_device("cpu")
    'cpu'
    """
    require_device_name(name)
    if name == "cpu" or (name == "auto" and likely_device() == "cpu"):
        return "cpu"
    require_torch(f"The device {name!r}")
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
    """Require the name of a device, present on this machine or not.

    Parameters
    ----------
    name : str
        As for :func:`choose_device`.

    Raises
    ------
    UsageError
        If it is not one of ``auto``, ``cpu``, ``cuda``, ``cuda:<number>`` and ``mps``.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise UsageError(
            f"The device {name!r} is not known.",
            hint="Choose one of auto, cpu, cuda, cuda:0, mps.",
        )


def choose_precision(device: str, wanted: str = "auto") -> Precision:
    """Choose the number format that networks compute in.

    Parameters
    ----------
    device : str
        As :func:`choose_device` returns it.
    wanted : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 on CUDA devices that multiply it natively, and float32 elsewhere:
        on every CPU, so that maps do not depend on the processor.

    Returns
    -------
    {"float32", "bfloat16"}

    Raises
    ------
    UsageError
        If another precision is wanted.

    Examples
    --------
    >>> choose_precision("cpu")
    'float32'
    >>> choose_precision("cpu", "bfloat16")
    'bfloat16'
    """
    require_precision(wanted)
    if wanted != "auto":
        return cast("Precision", wanted)
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "float32"


def require_precision(wanted: str) -> None:
    """Require the name of a precision.

    Parameters
    ----------
    wanted : str
        As for :func:`choose_precision`.

    Raises
    ------
    UsageError
        If it is not one of ``auto``, ``float32`` and ``bfloat16``.
    """
    if wanted not in {"auto", "float32", "bfloat16"}:
        raise UsageError(f"precision must be auto, float32 or bfloat16, not {wanted!r}.")


def choose_batch_size(device: str, tile_size: int = 256) -> int:
    """Choose the number of tiles in a batch by the memory of the device.

    Parameters
    ----------
    device : str
        As :func:`choose_device` returns it.
    tile_size : int
        Side of a tile in pixels.

    Returns
    -------
    int
        4 to 16 on a CPU, one a thread; 1 to 64 on a GPU.
    """
    if not device.startswith("cuda"):
        return min(max(_CPU_BATCH, available_threads()), _MAX_CPU_BATCH)
    import torch

    free_bytes, _ = torch.cuda.mem_get_info(torch.device(device))
    tile_bytes = _TILE_BYTES * (tile_size / 256) ** 2
    return int(np.clip(0.6 * free_bytes // tile_bytes, 1, _MAX_BATCH))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception reports that the memory of a device is exhausted.

    Parameters
    ----------
    error : BaseException
        As ONNX Runtime, PyTorch or NumPy raised it.

    Returns
    -------
    bool
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text
