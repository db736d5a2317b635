"""Threads respect what the process may use, and change no result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rm_geo._util import threads
from rm_geo._util.threads import available_threads, usable_cores


def system(folder: Path, groups: str, limits: dict[str, str]) -> Path:
    """Files of a system with control groups."""
    for name, text in {"proc/self/cgroup": groups, **limits}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


CGROUP = "sys/fs/cgroup"
CPU_1 = f"{CGROUP}/cpu/docker/a"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {f"{CGROUP}/cpu.max": "150000 100000\n"}, 2),
        (
            "0::/a/b\n",
            {f"{CGROUP}/a/cpu.max": "100000 100000", f"{CGROUP}/a/b/cpu.max": "max 1"},
            1,
        ),
        ("0::/a\n", {f"{CGROUP}/a/cpu.max": "max 100000\n"}, 8),
        (
            "4:memory:/docker/a\n1:cpu,cpuacct:/docker/a\n",
            {f"{CPU_1}/cpu.cfs_quota_us": "300000\n", f"{CPU_1}/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        (
            "1:cpu:/docker/a\n",
            {f"{CPU_1}/cpu.cfs_quota_us": "-1\n", f"{CPU_1}/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("", {}, 8),
    ],
)
def test_the_share_of_a_container_limits_the_cores(tmp_path, monkeypatch, groups, limits, expected):
    monkeypatch.setattr(threads, "_cores_of_process", lambda: 8)
    assert usable_cores(str(system(tmp_path, groups, limits))) == expected


def test_libraries_are_told_of_a_share_and_the_choice_of_the_user_stays(monkeypatch):
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(threads, "_cores_of_process", lambda: 8)
    monkeypatch.setattr(threads, "usable_cores", lambda: 3)
    threads.quiet_threads()
    assert [os.environ[name] for name in names] == ["3", "3", "1", "ACTIVE"]


def test_importing_the_package_has_openmp_wait_passively():
    kept = {k: v for k, v in os.environ.items() if k not in {"OMP_WAIT_POLICY", "KMP_BLOCKTIME"}}
    code = "import os, rm_geo; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["PASSIVE", "0"]


def test_files_do_not_depend_on_the_number_of_threads(tmp_path, monkeypatch):
    from pyproj import CRS

    from rm_geo import Measurements, PredictOptions, predict

    rng = np.random.default_rng(0)
    along = rng.uniform(0, 100, 200)
    drive = Measurements(
        x=500_000 + np.where(np.arange(200) % 2, along, 50.0),
        y=5_000_000 + np.where(np.arange(200) % 2, 50.0, along),
        rsrp_dbm=(-80 - along / 10 + rng.normal(0, 3, 200)).astype(np.float32),
        cell=np.full(200, "7"),
        crs=CRS.from_epsg(32633),
    )
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    written = []
    for number in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", number)
        assert available_threads() == int(number)
        predict(
            drive, tmp_path / number, PredictOptions(reach_m=10.0, method_weight=0.5, fresh=True)
        )
        written.append({p.name: p.read_bytes() for p in sorted((tmp_path / number).glob("*.tif"))})
    assert len(written[0]) >= 2
    assert written[0] == written[1]
