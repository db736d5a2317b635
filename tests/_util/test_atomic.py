"""A target is the new file, whole, or exactly what it was before."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rm_geo._util.atomic import (
    PART_SUFFIX,
    output_folder,
    part_folder,
    prepare_output_folder,
    replacing,
)
from rm_geo._util.own_folder import OwnFolder, refuse_link
from rm_geo.errors import OutputError

needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file with something in it."""
    path = tmp_path / "map.tif"
    path.write_text("before")
    return path


def test_new_content_replaces_the_old(target: Path) -> None:
    with replacing(target) as part:
        part.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert names_in(target.parent) == ["map.tif"]


def test_new_file_is_created(tmp_path: Path) -> None:
    with replacing(tmp_path / "new.txt") as part:
        part.write_text("x")
    assert names_in(tmp_path) == ["new.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_failure_leaves_the_old_content_and_nothing_else(target, error) -> None:
    with pytest.raises(error), replacing(target) as part:  # noqa: PT012
        part.write_text("half")
        raise error
    assert target.read_text() == "before"
    assert names_in(target.parent) == ["map.tif"]


def test_part_is_in_a_private_folder_beside_the_target(target: Path) -> None:
    with replacing(target) as part:
        part.write_text("x")
        folder = part.relative_to(target.parent).parts[0]
        assert folder == f".map.tif{PART_SUFFIX}"
        assert part.name == target.name
        if os.name == "posix":
            assert (target.parent / folder).stat().st_mode & 0o077 == 0


def test_what_a_killed_process_left_is_removed_by_the_next_write(target: Path) -> None:
    script = (
        "import os, sys\n"
        "from rm_geo._util.atomic import replacing\n"
        "with replacing(sys.argv[1]) as part:\n"
        "    part.write_text('half')\n"
        "    part.with_name('scratch.tif').write_text('more')\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == 9
    assert target.read_text() == "before"
    assert names_in(target.parent) == [f".map.tif{PART_SUFFIX}", "map.tif"]
    with replacing(target) as part:
        assert list(part.parent.iterdir()) == []
        part.write_text("after")
    assert target.read_text() == "after"
    assert names_in(target.parent) == ["map.tif"]


def test_link_in_place_of_the_lock_of_parts_is_removed_and_not_followed(
    target: Path, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    parts = tmp_path / f".map.tif{PART_SUFFIX}"
    parts.mkdir()
    (parts / ".lock").symlink_to(tmp_path / "precious")
    with replacing(target) as part:
        part.write_text("after")
    assert target.read_text() == "after"
    assert (tmp_path / "precious").read_text() == "precious"
    assert names_in(target.parent) == ["map.tif", "precious"]


def test_link_in_place_of_the_folder_for_parts_is_refused(target: Path, tmp_path: Path) -> None:
    behind = tmp_path / "behind"
    (behind / "files").mkdir(parents=True)
    (behind / "files" / "map.tif").write_text("precious")
    (tmp_path / f".map.tif{PART_SUFFIX}").symlink_to(behind)
    with pytest.raises(OutputError, match="symbolic link"), replacing(target):
        raise AssertionError
    assert (behind / "files" / "map.tif").read_text() == "precious"
    assert target.read_text() == "before"


def test_link_that_takes_the_place_of_a_new_folder_for_parts_is_not_followed(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = tmp_path / "behind"
    behind.mkdir()
    create = OwnFolder.create

    def replaced(own: OwnFolder) -> None:
        create(own)
        if own.path.name == f".map.tif{PART_SUFFIX}" and not own.path.is_symlink():
            own.path.rmdir()
            own.path.symlink_to(behind)

    monkeypatch.setattr(OwnFolder, "create", replaced)
    with pytest.raises(OutputError, match="symbolic link"), replacing(target):
        raise AssertionError
    assert names_in(behind) == []
    assert target.read_text() == "before"


def test_folder_for_parts_is_emptied_before_it_is_used(tmp_path: Path) -> None:
    left = tmp_path / f".maps{PART_SUFFIX}"
    (left / "files" / "deep").mkdir(parents=True)
    (left / "files" / "deep" / "old.tif").write_text("half")
    with part_folder(tmp_path / "maps") as folder:
        assert list(folder.iterdir()) == []
        assert names_in(left) == [".lock", "files"]
    assert names_in(tmp_path) == []


def test_target_that_is_a_link_is_replaced_and_its_goal_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "map.tif").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "map.tif") as part:
        part.write_text("new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "map.tif").is_symlink()
    assert (tmp_path / "map.tif").read_text() == "new"


def test_two_runs_with_one_target_do_not_share_a_part(target: Path) -> None:
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"


def test_new_file_has_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with replacing(tmp_path / "replaced") as part:
        part.write_text("x")
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "replaced")}
    assert len(modes) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_full_disk_is_an_output_error_that_says_so(target: Path, code: int) -> None:
    with pytest.raises(OutputError, match="disk is full"), replacing(target) as part:  # noqa: PT012
        part.write_text("half")
        raise OSError(code, os.strerror(code))
    assert target.read_text() == "before"
    assert names_in(target.parent) == ["map.tif"]


def test_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE >= 0
    script = (
        "import resource, sys\n"
        "from rm_geo._util.atomic import replacing\n"
        "from rm_geo.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    with replacing(sys.argv[1]) as part:\n"
        "        part.write_bytes(bytes(20_000))\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "map.tif")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk is full" in done.stdout
    assert names_in(tmp_path) == []


def test_error_about_another_file_passes_through(target: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(target):
        (target.parent / "input.csv").read_text()


def test_part_that_was_never_written_is_an_output_error(target: Path) -> None:
    with pytest.raises(OutputError), replacing(target):
        pass
    assert target.read_text() == "before"


def test_target_that_is_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), replacing(tmp_path):
        pytest.fail("the work must not begin")


def test_missing_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="missing"),
        replacing(tmp_path / "missing" / "map.tif"),
    ):
        pytest.fail("the work must not begin")


def test_parent_that_is_a_file_is_refused_before_the_work(target: Path) -> None:
    with pytest.raises(OutputError), replacing(target / "map.tif"):
        pytest.fail("the work must not begin")


@needs_permissions
def test_read_only_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="may write"), replacing(tmp_path / "map.tif"):
            pytest.fail("the work must not begin")
        with pytest.raises(OutputError, match="may write"):
            prepare_output_folder(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_long_names_are_replaced_too(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 125 + ".tif")
    with replacing(path) as part:
        part.write_text("x")
    assert path.read_text() == "x"


def test_name_that_is_too_long_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="shorter"), replacing(tmp_path / ("x" * 300)):
        pytest.fail("the work must not begin")


def test_output_folder_is_created_with_its_parents(tmp_path: Path) -> None:
    folder = prepare_output_folder(tmp_path / "a" / "b")
    assert names_in(folder) == []
    assert prepare_output_folder(folder) == folder


def test_output_folder_that_is_a_file_is_refused(target: Path) -> None:
    with pytest.raises(OutputError, match="is a file"):
        prepare_output_folder(target)
    with pytest.raises(OutputError):
        prepare_output_folder(target / "sub")


def test_output_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError, match="read-only"):
        prepare_output_folder(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_devices_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="a device"), replacing(pipe):
        raise AssertionError
    assert pipe.is_fifo()
    assert names_in(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_invalid_file_names_are_refused(name: str) -> None:
    with pytest.raises(OutputError), replacing(name):
        raise AssertionError


def test_refused_output_leaves_no_new_folders(tmp_path: Path) -> None:
    with pytest.raises(KeyError), output_folder(tmp_path / "new" / "results"):
        raise KeyError
    assert names_in(tmp_path) == []
    with pytest.raises(FileExistsError), output_folder(tmp_path / "some" / "results") as folder:
        [(folder / name).mkdir() for name in ("kept", "kept")]
    assert names_in(tmp_path / "some" / "results") == ["kept"]
    with pytest.raises(KeyError), output_folder(tmp_path):
        raise KeyError
    assert tmp_path.is_dir()


@pytest.mark.parametrize("name", ["x" * 300, "nu\0ll"])
def test_invalid_folder_names_are_one_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError), output_folder(tmp_path / name):
        raise AssertionError


@pytest.mark.parametrize("is_there", [True, False])
def test_symbolic_link_is_refused_with_a_hint(tmp_path: Path, is_there: bool) -> None:
    behind = tmp_path / "behind"
    if is_there:
        behind.mkdir()
    link = tmp_path / "link"
    link.symlink_to(behind)
    with pytest.raises(OutputError, match="symbolic link") as caught:
        refuse_link(link)
    assert str(link) in str(caught.value)
    assert "Remove the link" in str(caught.value)
    refuse_link(tmp_path)
    refuse_link(tmp_path / "nothing")
