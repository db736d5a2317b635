"""Which device networks would run on, found out without importing PyTorch.

PyTorch takes seconds to import. Where no GPU can be there, nobody has to wait for it; where one
may be, the answer is a good guess, and that of :func:`rm_geo.inference.runner.choose_device` counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import platform
import re
import sys
from pathlib import Path
from typing import Final

_DRIVERS: Final = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")


def likely_device() -> str:
    """Guess ``cuda``, ``mps`` or ``cpu``; ``none`` where PyTorch is not installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "none"
    version = Path(spec.origin).with_name("version.py")
    if is_rocm_build(version) or (is_cuda_build(version) and _cuda_devices() > 0):
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


def _cuda_devices() -> int:
    """Ask NVIDIA's driver, if it is there, how many devices it has."""
    for name in _DRIVERS:
        with contextlib.suppress(OSError, AttributeError):
            driver = ctypes.CDLL(name)
            count = ctypes.c_int(0)
            if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
                return count.value
    return 0
