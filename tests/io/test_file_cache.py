"""Cache of remote files: one download for each version, removed with the process."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rm_geo._util.tempdirs import owned_folder, remove_abandoned
from rm_geo.errors import FetchError, InputError
from rm_geo.io.file_cache import FileCache

pytest.importorskip("fsspec")

PLACE = "memory://drive/a.csv"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files that nothing else uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def fetches(storage, monkeypatch):
    """What was fetched, in order; a fetch takes a moment."""
    seen, healthy = [], type(storage).get_file

    def watched(self, path, target, **extra):
        seen.append(path)
        time.sleep(0.02)
        return healthy(self, path, target, **extra)

    monkeypatch.setattr(type(storage), "get_file", watched)
    storage.pipe("/drive/a.csv", b"first")
    return seen


def test_concurrent_tasks_share_one_download(fetches):
    copies, start = FileCache(), threading.Barrier(4)

    def read(_):
        start.wait()
        with copies.copy_of(PLACE) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [b"first"] * 4
    with copies.copy_of(PLACE) as path:
        assert path.name == "a.csv"
    assert fetches == ["/drive/a.csv"]


def test_changed_file_is_downloaded_again(fetches, storage):
    copies = FileCache()
    with copies.copy_of(PLACE):
        pass
    storage.pipe("/drive/a.csv", b"second")
    with copies.copy_of(PLACE) as path:
        assert path.read_bytes() == b"second"
    assert len(fetches) == 2


def test_size_limit_removes_the_least_recently_used_copy(fetches, storage):
    copies = FileCache(max_bytes=9)
    storage.pipe("/drive/b.csv", b"other")
    with copies.copy_of(PLACE) as first:
        pass
    with copies.copy_of("memory://drive/b.csv") as second, copies.copy_of(PLACE) as again:
        assert again == first  # in use or lately used: both stay for now
        assert second.exists()
    assert not second.exists() or not first.exists()
    with copies.copy_of("memory://drive/b.csv"), copies.copy_of(PLACE):
        pass
    assert len(fetches) == 3


def test_missing_file_is_looked_up_again(fetches, storage):
    copies = FileCache()
    with (
        pytest.raises(InputError, match=r"memory://drive/c\.csv"),
        copies.copy_of("memory://drive/c.csv"),
    ):
        pass
    storage.pipe("/drive/c.csv", b"late")
    with copies.copy_of("memory://drive/c.csv") as path:
        assert path.read_bytes() == b"late"


def test_interrupted_download_is_repeated(storage, monkeypatch):
    """fsspec's own caches return the truncated file here."""
    healthy = type(storage).get_file

    def interrupted(self, path, target, **extra):
        Path(target).write_bytes(b"fi")
        raise ConnectionError("connection reset")

    storage.pipe("/drive/a.csv", b"first")
    copies = FileCache()
    monkeypatch.setattr(type(storage), "get_file", interrupted)
    with pytest.raises(FetchError, match="connection reset"), copies.copy_of(PLACE):
        pass
    monkeypatch.setattr(type(storage), "get_file", healthy)
    with copies.copy_of(PLACE) as path:
        assert path.read_bytes() == b"first"


def test_closed_cache_leaves_no_files(fetches, temporary):
    copies = FileCache()
    with copies.copy_of(PLACE):
        pass
    assert list(temporary.iterdir())
    copies.close()
    assert not list(temporary.iterdir())


KILLED = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from rm_geo._util.tempdirs import owned_folder
with owned_folder() as folder:
    (folder / "a.csv").write_text("a")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_folder_of_a_killed_process_is_removed_and_a_live_one_stays(temporary):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(temporary)], stdout=subprocess.PIPE, text=True
    ) as process:
        left = Path(process.stdout.readline().strip())
        remove_abandoned()
        assert (left / "a.csv").exists()
        os.kill(process.pid, signal.SIGKILL)
    with owned_folder() as ours:
        assert not left.exists()
        remove_abandoned()
        assert ours.exists()
    assert not list(temporary.iterdir())


def test_symbolic_links_among_temporary_folders_are_ignored(temporary, tmp_path):
    """The temporary folder is shared: a link there is not followed."""
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "photo.jpg").write_text("precious")
    (temporary / "rm_geo-copies-link").symlink_to(behind)
    inside = temporary / "rm_geo-copies-inside"
    inside.mkdir()
    (inside / ".lock").symlink_to(behind / "photo.jpg")
    with owned_folder() as ours:
        assert ours.exists()
    assert [path.name for path in behind.iterdir()] == ["photo.jpg"]
    assert (behind / "photo.jpg").read_text() == "precious"
    assert {path.name for path in temporary.iterdir()} == {
        "rm_geo-copies-link",
        "rm_geo-copies-inside",
    }
