"""Behaviour on Windows and macOS, tested by substituting what those systems do differently."""

import os
import pathlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from rm_geo._util import own_folder
from rm_geo._util.atomic import publish_files, replacing
from rm_geo._util.disk_columns import empty_column
from rm_geo._util.locks import output_lock, raise_open_file_limit
from rm_geo._util.memory import trim_malloc
from rm_geo._util.own_folder import OwnFolder, is_link, refuse_link
from rm_geo.errors import OutputError


@pytest.fixture
def staged(tmp_path: Path) -> list[Path]:
    """Two finished files in a staging folder, and old files at their targets."""
    staging = tmp_path / "staging"
    staging.mkdir()
    for name in ("a.tif", "b.tif"):
        (staging / name).write_text("new")
        (tmp_path / name).write_text("old")
    return [staging / "a.tif", staging / "b.tif"]


def open_elsewhere(monkeypatch, locked: Path) -> None:
    """Refuse renames from and to a file, as Windows does while another program has it open."""
    healthy = pathlib.Path.replace

    def replace(self, target):
        if locked in (self, Path(target)):
            error = PermissionError(13, "The process cannot access the file", str(locked))
            error.winerror = 32
            raise error
        return healthy(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace)


def test_publish_files_changes_nothing_if_a_target_is_open(staged, tmp_path, monkeypatch):
    open_elsewhere(monkeypatch, tmp_path / "b.tif")
    with pytest.raises(OutputError, match=r"b\.tif.*have it open"):
        publish_files(staged, tmp_path)
    assert [(tmp_path / name).read_text() for name in ("a.tif", "b.tif")] == ["old", "old"]


def test_replacing_an_open_file_is_an_output_error(tmp_path, monkeypatch):
    target = tmp_path / "map.tif"
    target.write_text("old")
    open_elsewhere(monkeypatch, target)
    with pytest.raises(OutputError, match="have it open"), replacing(target) as part:
        part.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


def test_publish_files_refuses_a_folder_before_the_first_move(staged, tmp_path):
    (tmp_path / "b.tif").unlink()
    (tmp_path / "b.tif").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        publish_files(staged, tmp_path)
    assert (tmp_path / "a.tif").read_text() == "old"


def test_publish_files_replaces_all(staged, tmp_path):
    assert publish_files(staged, tmp_path) == (tmp_path / "a.tif", tmp_path / "b.tif")
    assert [(tmp_path / name).read_text() for name in ("a.tif", "b.tif")] == ["new", "new"]


@pytest.mark.parametrize("relative", [True, False])
def test_own_folder_follows_no_link_on_any_system(tmp_path, monkeypatch, relative):
    if not relative:  # as on Windows
        monkeypatch.setattr(own_folder, "can_open_relative", lambda: False)
    behind = tmp_path / "behind"
    (behind / "inside").mkdir(parents=True)
    (behind / "inside" / "a").write_text("precious")
    (behind / "a").write_text("precious")
    root = tmp_path / "root"
    root.mkdir()
    own = OwnFolder(root, (".own",)).folder("inside")
    own.create()
    own.write("a", b"one ", memoryview(b"two"))
    assert own.read("a") == b"one two"
    with own.open_file("a", "ab") as file:
        file.write(b"!")
    with own.open_file("a", "r+b") as file:
        file.write(b"O")
    assert own.read("a") == b"One two!"
    with pytest.raises(OSError, match="large"):
        own.read("a", 3)
    with pytest.raises(FileNotFoundError):
        own.read("b")
    own.remove_file("b")
    (own.path / "link").symlink_to(behind / "a")
    (own.path / "deep").symlink_to(behind, target_is_directory=True)
    for mode in ("rb", "wb", "ab", "r+b"):
        with pytest.raises(OutputError, match="symbolic link"):
            own.open_file("link", mode)
        with pytest.raises(OutputError, match="symbolic link"):
            own.folder("deep").open_file("a", mode)
    for action in ("create", "clear", "refuse_links"):
        with pytest.raises(OutputError, match="symbolic link"):
            getattr(own.folder("deep"), action)()
    with pytest.raises(OutputError, match="symbolic link"):
        own.folder("deep").folder("inside").remove()
    with pytest.raises(OutputError, match="symbolic link"):
        own.folder("deep").remove_file("a")
    own.clear(keep="a")
    assert [path.name for path in own.path.iterdir()] == ["a"]
    (own.path / "deep").symlink_to(behind, target_is_directory=True)
    OwnFolder(root, (".own",)).remove()
    assert list(root.iterdir()) == []
    assert sorted(path.name for path in behind.rglob("*")) == ["a", "a", "inside"]
    assert (behind / "a").read_text() == (behind / "inside" / "a").read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_own_folder_writes_to_no_pipe_and_to_no_second_name_of_a_file(tmp_path):
    (tmp_path / "precious").write_text("precious")
    os.link(tmp_path / "precious", tmp_path / "again")
    os.mkfifo(tmp_path / "pipe")
    own = OwnFolder(tmp_path)
    with pytest.raises(OutputError, match="second name"):
        own.open_file("again", "wb")
    with pytest.raises(OutputError, match="device"):
        own.open_file("pipe", "rb")
    assert (tmp_path / "precious").read_text() == "precious"


def test_output_lock_where_a_locked_file_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "write_text", refuse)
    with output_lock(tmp_path / "lock", "maps"):
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


def test_junctions_are_links(tmp_path, monkeypatch):
    junction = types.SimpleNamespace(st_reparse_tag=0xA0000003, st_mode=0o040777)
    assert not is_link(tmp_path)
    monkeypatch.setattr(pathlib.Path, "lstat", lambda self: junction)
    with pytest.raises(OutputError, match="link"):
        refuse_link(tmp_path)


def test_disk_columns_without_posix_fallocate(monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    column = empty_column(1000, np.float64, in_memory_rows=10)
    column[:] = np.arange(1000)
    assert column.sum() == 499_500


def test_no_limit_of_open_files_on_windows(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # an import would fail
    raise_open_file_limit(10_000)


def test_trim_malloc_without_glibc(monkeypatch):
    def no_library(name):
        raise TypeError("bad argument type for built-in operation")

    monkeypatch.setattr("ctypes.CDLL", no_library)
    trim_malloc()
