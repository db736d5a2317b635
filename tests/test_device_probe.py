"""A guess at the device that does not import PyTorch."""

import subprocess
import sys

import pytest

from rm_geo.device_probe import is_cuda_build, likely_device
from rm_geo.engine import choose_device


def test_the_guess_is_what_the_engine_chooses():
    assert likely_device() == choose_device("auto")


def test_guessing_does_not_import_pytorch():
    code = (
        "import sys; from rm_geo.device_probe import likely_device; likely_device();"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
