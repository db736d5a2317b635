"""QGIS for tests: found, with a profile of its own and the plugin installed in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import HANG_S

QGIS_PYTHON = "/usr/bin/python3"
CHECKS = Path(__file__).resolve().parents[1] / "qgis_python"


def qgis_process_path() -> str | None:
    """Find ``qgis_process``; Debian's wrapper of that name passes an option it refuses."""
    for path in ("/usr/bin/qgis_process.bin", shutil.which("qgis_process")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def is_qgis_expected() -> bool:
    """Whether QGIS has to be there: asked for, or a machine where the tests install it."""
    asked = os.environ.get("RM_GEO_TEST_QGIS", "")
    if asked:
        return asked != "0"
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


@dataclass(frozen=True)
class Qgis:
    """A QGIS with the plugin in a profile of its own.

    Attributes
    ----------
    process : str
        Path of ``qgis_process``.
    config : Path
        Folder of the profiles.
    """

    process: str
    config: Path

    @property
    def plugins(self) -> Path:
        """Folder in which the plugin is installed."""
        return self.config / "profiles" / "default" / "python" / "plugins"

    def environment(self, **more: str) -> dict[str, str]:
        """Variables that keep a QGIS to this profile, away from screens and from our Python."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
        return {
            **kept,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "QT_QPA_PLATFORM": "offscreen",
            "QGIS_CUSTOM_CONFIG_PATH": str(self.config),
            "RM_GEO_TEST_PLUGINS": str(self.plugins),
            "XDG_RUNTIME_DIR": str(self.config / "run"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def call(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Call ``qgis_process``."""
        return subprocess.run(
            [self.process, *arguments],
            env=self.environment(**variables),
            text=True,
            capture_output=True,
            timeout=HANG_S,
            cwd=self.config,
        )

    def run(self, algorithm: str, **parameters: object) -> dict[str, object]:
        """Run an algorithm that has to succeed; gives the whole JSON answer."""
        done = self.call("--json", "run", algorithm, "--", *_as_arguments(parameters))
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def fail(
        self, algorithm: str, *, variables: dict[str, str] | None = None, **parameters: object
    ) -> str:
        """Run an algorithm that has to fail; gives all that was said."""
        done = self.call(
            "--json", "run", algorithm, "--", *_as_arguments(parameters), **(variables or {})
        )
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert "Traceback" not in said, said
        return said

    def run_checks(self, name: str, *arguments: str, **variables: str) -> None:
        """Run a file of unit tests in QGIS's own Python."""
        done = subprocess.run(
            [QGIS_PYTHON, str(CHECKS / name), "-v", *arguments],
            text=True,
            capture_output=True,
            env=self.environment(**variables),
            timeout=2 * HANG_S,
            cwd=self.config,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        assert "\nOK" in done.stderr, done.stderr[-3000:]
        assert "Ran 0 tests" not in done.stderr


def install_plugin(config: Path) -> Qgis:
    """Install the plugin as a user does, into a profile below ``config``."""
    process = qgis_process_path()
    if process is None:
        message = "QGIS is not installed: see tests/install_qgis.sh"
        if is_qgis_expected():
            pytest.fail(message)
        pytest.skip(message)
    assert process is not None
    (config / "run").mkdir(parents=True, mode=0o700)
    subprocess.run(
        [sys.executable, "-m", "rm_geo", "qgis", "install", "--profiles-path", str(config)],
        check=True,
        capture_output=True,
    )
    return Qgis(process, config)


def _as_arguments(parameters: dict[str, object]) -> list[str]:
    """Write parameters as ``qgis_process`` takes them."""
    return [f"{name}={value}" for name, value in parameters.items()]
