"""A guess at the device that does not import PyTorch."""

import subprocess
import sys

import pytest

from rm_geo.devices import choose_device, is_cuda_build, is_rocm_build, likely_device


def test_the_guess_is_what_pytorch_has():
    import torch

    assert (likely_device() == "cuda") == torch.cuda.is_available()
    assert likely_device() == choose_device("auto")


def test_guessing_does_not_import_pytorch():
    code = (
        "import sys; from rm_geo.devices import likely_device; likely_device();"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(
    likely_device() != "cpu" or sys.platform != "linux", reason="a GPU, or no /proc, asks PyTorch"
)
def test_choosing_a_cpu_does_not_import_pytorch():
    code = (
        "import sys; from rm_geo.devices import choose_batch_size, choose_device, choose_precision;"
        "device = choose_device('auto'); assert device == 'cpu';"
        "choose_precision(device); choose_batch_size(device); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_build_for_rocm_may_have_a_gpu_too(tmp_path):
    path = tmp_path / "version.py"
    path.write_text("__version__ = '2.9.0+rocm6.4'\ncuda: Optional[str] = None\nhip = '6.4.1'\n")
    assert is_rocm_build(path)
    path.write_text("cuda = '12.6'\nhip: Optional[str] = None\n")
    assert not is_rocm_build(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '12.6'\n", True),
        ("cuda = '11.8'\n", True),
        ("cuda: Optional[str] = None\n", False),
        ("__version__ = '2.13.0+cpu'\ncuda: str | None = None\nhip = '6.2'\n", False),
        ("", False),
    ],
)
def test_a_cuda_build_is_known_by_its_version_file(tmp_path, text, expected):
    path = tmp_path / "version.py"
    path.write_text(text)
    assert is_cuda_build(path) is expected


def test_an_absent_version_file_is_no_cuda_build(tmp_path):
    assert is_cuda_build(tmp_path / "version.py") is False
