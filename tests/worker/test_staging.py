"""Results in the making: published together, or nothing of them stays."""

import threading

import pytest

from rm_geo.errors import CancelledError, OutputError
from rm_geo.worker.staging import Staging


def test_published_files_lie_in_the_folder_and_nothing_else_does(tmp_path):
    staging = Staging(tmp_path / "new" / "deep")
    (staging.path / "b.tif").write_text("b")
    (staging.path / "a.tif").write_text("a")
    assert staging.hidden.parent == tmp_path / "new" / "deep"
    assert staging.path.is_relative_to(staging.hidden)
    made = staging.publish()
    assert [path.name for path in made] == ["a.tif", "b.tif"]
    assert sorted(path.name for path in (tmp_path / "new" / "deep").iterdir()) == ["a.tif", "b.tif"]


def test_discarding_removes_created_folders(tmp_path):
    staging = Staging(tmp_path / "new" / "deep")
    (staging.path / "a.tif").write_text("a")
    staging.discard()
    assert list(tmp_path.iterdir()) == []


def test_discarding_keeps_existing_files(tmp_path):
    (tmp_path / "a.tif").write_text("precious")
    staging = Staging(tmp_path)
    (staging.path / "a.tif").write_text("new")
    staging.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_text() == "precious"


@pytest.mark.parametrize("has_links", [True, False])
def test_shared_files_are_there_at_once_and_stay_when_the_rest_is_discarded(
    tmp_path, monkeypatch, has_links
):
    if not has_links:

        def no_links(*_):
            raise OSError("not supported")

        monkeypatch.setattr("os.link", no_links)
    folder = tmp_path / "out"
    for ends_well in (True, False):
        staging = Staging(folder)
        for name in ("7_rsrp.tif", "8_rsrp.tif"):
            (staging.path / name).write_text(f"{name} {ends_well}")
        assert staging.share(["7_rsrp.tif"]) == (folder / "7_rsrp.tif",)
        assert (folder / "7_rsrp.tif").read_text() == f"7_rsrp.tif {ends_well}"
        assert (staging.path / "7_rsrp.tif").exists(), "later steps read it there"
        if ends_well:
            assert [path.name for path in staging.publish()] == ["7_rsrp.tif", "8_rsrp.tif"]
        else:
            staging.discard()
            with pytest.raises(CancelledError):
                staging.share(["8_rsrp.tif"])
    assert sorted(path.name for path in folder.iterdir()) == ["7_rsrp.tif", "8_rsrp.tif"]
    assert (folder / "8_rsrp.tif").read_text() == "8_rsrp.tif True"


def test_discarded_results_cannot_be_published(tmp_path):
    staging = Staging(tmp_path / "out")
    staging.discard()
    with pytest.raises(CancelledError):
        staging.publish()


def test_discarding_after_publishing_removes_nothing(tmp_path):
    staging = Staging(tmp_path / "out")
    (staging.path / "a.tif").write_text("a")
    staging.publish()
    staging.discard()
    assert (tmp_path / "out" / "a.tif").read_text() == "a"


def test_a_target_that_is_a_folder_is_found_before_anything_moves(tmp_path):
    (tmp_path / "b.tif").mkdir()
    staging = Staging(tmp_path)
    for name in ("a.tif", "b.tif"):
        (staging.path / name).write_text("new")
    with pytest.raises(OutputError, match="is a folder"):
        staging.publish()
    staging.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["b.tif"]


@pytest.mark.parametrize("attempt", range(20))
def test_discarding_from_another_thread_while_files_are_written(tmp_path, attempt):
    staging = Staging(tmp_path / "out")
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            try:
                (staging.path / f"{number}.tif").write_text("x")
            except OSError:
                return
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    staging.discard()
    stop.set()
    writer.join()
    assert list(tmp_path.iterdir()) == []


def test_symbolic_link_in_place_of_the_staging_folder_is_refused(tmp_path):
    behind = tmp_path / "behind"
    behind.mkdir()
    (behind / "photo.jpg").write_text("precious")
    staging = Staging(tmp_path / "out")
    staging.path.rmdir()
    staging.path.symlink_to(behind)
    with pytest.raises(OutputError, match="symbolic link"):
        staging.publish()
    staging.discard()
    assert (behind / "photo.jpg").read_text() == "precious"
