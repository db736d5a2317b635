"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

# Tests run in several processes: threads of BLAS and PyTorch would only wait for each other.
# Set before anything imports them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

LONGEST_FIRST = (
    "tests/qgis",
    "tests/test_docs.py",
    "tests/test_without_torch.py",
    "tests/validation/test_log_holdout.py",
    "tests/pipeline",
    "tests/distributed",
    "tests/workflows",
    "tests/worker",
    "tests/test_same_on_every_cpu.py",
    "tests/test_benchmarks.py",
)
"""Files with long tests, run first, so that no process works on one of them alone at the end."""

NO_TORCH = "needs PyTorch (the extra torch)"


def pytest_collection_modifyitems(config, items):
    """Put the files with the longest tests first."""

    def rank(item):
        path = item.path.relative_to(config.rootpath).as_posix()
        longest = (k for k, start in enumerate(LONGEST_FIRST) if path.startswith(start))
        return next(longest, len(LONGEST_FIRST))

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Skip modules that import PyTorch where it is not installed."""
    report = yield
    if report.failed and "No module named 'torch'" in str(report.longrepr):
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {NO_TORCH}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Skip tests that import PyTorch where it is not installed."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {NO_TORCH}")
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the reference data; tests that need it are skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RM_GEO_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("reference data not at hand; set RM_GEO_SHARED_DATA to their folder")
    return folder


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """An empty storage, and a cache of results of this test's own."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
