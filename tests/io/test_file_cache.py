"""Copies of remote files: fetched once for each version, gone with their process."""

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
from rm_geo.errors import InputError
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


def test_a_file_is_fetched_once_by_however_many_tasks_want_it(fetches):
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


def test_a_file_that_changed_is_fetched_again(fetches, storage):
    copies = FileCache()
    with copies.copy_of(PLACE):
        pass
    storage.pipe("/drive/a.csv", b"second")
    with copies.copy_of(PLACE) as path:
        assert path.read_bytes() == b"second"
    assert len(fetches) == 2


def test_the_longest_unused_copies_go_where_all_take_too_much(fetches, storage):
    copies = FileCache(kept_bytes=9)
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


def test_a_file_that_is_missing_is_looked_for_again(fetches, storage):
    copies = FileCache()
    with (
        pytest.raises(InputError, match=r"memory://drive/c\.csv"),
        copies.copy_of("memory://drive/c.csv"),
    ):
        pass
    storage.pipe("/drive/c.csv", b"late")
    with copies.copy_of("memory://drive/c.csv") as path:
        assert path.read_bytes() == b"late"


def test_closed_copies_leave_nothing(fetches, temporary):
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


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_lives_stays(temporary):
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


def test_links_among_temporary_folders_are_passed_over(temporary, tmp_path):
    """Whoever may write there may lay one: it stops nobody, and nothing behind it is touched."""
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
