"""A run that is cut off goes on from its journal, and gives the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import kill
from rm_geo._util.locks import output_lock
from rm_geo._util.own_folder import OwnFolder
from rm_geo.errors import CancelledError, JournalError, OutputError, OutputInUseError
from rm_geo.estimators.base import Estimate
from rm_geo.grid import Grid
from rm_geo.options import PredictOptions
from rm_geo.pipeline import predict as predict_module
from rm_geo.pipeline import tile_pass
from rm_geo.pipeline.journal import JournalKey, open_journal
from rm_geo.pipeline.predict import predict
from rm_geo.products.writer import CellFiles, write_cell
from rm_geo.progress import SilentProgress
from rm_geo.raster.mosaic import Band
from tests.support.interruption import KilledError
from tests.support.measurements import CORNER, drive, together
from tests.support.outputs import contents

OPTIONS = PredictOptions(
    method="idw", tile_size_px=64, overlap_px=16, reach_m=20.0, batch_size=3, method_weight=0.6
)
KEY = JournalKey("abc", {"input": "a.csv", "method": "idw"})


class Dying(SilentProgress):
    """Ends the run after some tiles, leaving everything as a kill would."""

    def __init__(self, tiles):
        self.left = tiles

    def advance(self, amount=1):
        self.left -= amount
        if self.left < 0:
            raise KilledError


class Counting(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


@pytest.fixture
def keeping(monkeypatch):
    """Every estimate is kept, and a run that is stopped leaves what it did."""
    monkeypatch.setattr(tile_pass, "MIN_KEPT_S", 0.0)
    monkeypatch.setattr(predict_module, "MIN_RESUMABLE_S", 0.0)


@pytest.fixture(scope="module")
def points():
    return drive(300, (200.0, 260.0))


@pytest.fixture(scope="module")
def whole(points, tmp_path_factory):
    """Result and files of a run that nothing cut off."""
    folder = tmp_path_factory.mktemp("whole")
    (result,) = predict(points, folder, OPTIONS)
    return result, contents(folder)


@pytest.mark.parametrize("tiles", [0, 3, 7, 12, 18])
def test_a_run_that_is_cut_off_goes_on_and_gives_the_same_bytes(
    tmp_path, keeping, points, whole, tiles
):
    result, files = whole
    assert result.tiles > 15
    with pytest.raises(KilledError):
        predict(points, tmp_path / "cut", OPTIONS, Dying(tiles))
    assert (tmp_path / "cut" / ".7.rmgeo-journal").is_dir()
    assert not (tmp_path / "cut" / "7_rsrp.tif").exists()
    clock = predict_module.Clock()
    predict(points, tmp_path / "cut", OPTIONS, clock=clock)
    assert contents(tmp_path / "cut") == files
    # At most the batch that died, and nothing that was kept, is computed again.
    assert clock.tiles <= result.tiles - tiles + OPTIONS.method.batch_size


def test_damage_to_a_journal_is_found_and_computed_again(tmp_path, keeping, points, whole):
    for number, name in enumerate(["blended.f32", "bands.txt", "estimates", "channels.txt"]):
        folder = tmp_path / f"cut{number}"
        with pytest.raises(KilledError):
            predict(points, folder, OPTIONS, Dying(14))
        victim = folder / ".7.rmgeo-journal" / name
        if victim.is_dir():
            victim = max(victim.iterdir())
        content = bytearray(victim.read_bytes())
        del content[len(content) // 2 + 3 :]
        victim.write_bytes(bytes(content))
        predict(points, folder, OPTIONS)
        assert contents(folder) == whole[1], name


def test_a_journal_of_other_inputs_is_refused_and_can_be_discarded(tmp_path, keeping, points):
    with pytest.raises(KilledError):
        predict(points, tmp_path, OPTIONS, Dying(7))
    before = sorted(path.name for path in (tmp_path / ".7.rmgeo-journal").iterdir())
    with pytest.raises(JournalError, match="reach") as refused:
        predict(points, tmp_path, OPTIONS.replace(reach_m=30.0))
    assert "`fresh`" in refused.value.hint
    with pytest.raises(JournalError, match="measurements"):
        predict(drive(299, (200.0, 260.0)), tmp_path, OPTIONS)
    assert sorted(path.name for path in (tmp_path / ".7.rmgeo-journal").iterdir()) == before
    (result,) = predict(points, tmp_path, OPTIONS.replace(reach_m=30.0, fresh=True))
    assert result.is_mapped
    assert not (tmp_path / ".7.rmgeo-journal").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_complete_cell_is_not_computed_again_unless_its_files_are_damaged(
    tmp_path, keeping, damaged
):
    points = together(drive(300, (200.0, 260.0)), drive(200, seed=1, cell="8"))
    predict(points, tmp_path / "whole", OPTIONS)
    first = json.loads((tmp_path / "whole" / "summary.json").read_text())["cells"][0]["tiles"]
    with pytest.raises(KilledError):
        predict(points, tmp_path / "cut", OPTIONS, Dying(first + 1))
    assert (tmp_path / "cut" / "7_rsrp.tif").exists()
    if damaged:
        (tmp_path / "cut" / "7_rsrp.tif").write_bytes(b"")
    clock, progress = predict_module.Clock(), Counting()
    results = predict(points, tmp_path / "cut", OPTIONS, progress, clock)
    assert ("Cell 7: complete already" in progress.lines) is not damaged
    assert damaged or clock.tiles <= results[1].tiles
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_work_of_seconds_is_not_left_behind_by_a_cancelled_run(tmp_path):
    class Impatient(Dying):
        def advance(self, amount=1):
            raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        predict(drive(), tmp_path, OPTIONS, Impatient(0))
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_with_the_same_output_is_refused(tmp_path):
    class Meanwhile(SilentProgress):
        refusal: Exception | None = None

        def advance(self, amount=1):
            if self.refusal is None:
                with pytest.raises(OutputInUseError) as refused:
                    predict(drive(), tmp_path, OPTIONS)
                self.refusal = refused.value

    first = Meanwhile()
    (result,) = predict(drive(), tmp_path, OPTIONS, first)
    assert result.is_mapped
    assert str(os.getpid()) in str(first.refusal)
    assert not list(tmp_path.glob(".*"))


def test_a_lock_falls_with_the_process_that_held_it(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from rm_geo._util.locks import output_lock\n"
        "with output_lock(Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(OutputInUseError, match=str(process.pid)), output_lock(path, "it"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    with output_lock(path, "it"):
        pass
    assert not path.exists()


@settings(max_examples=20, deadline=None)
@given(st.booleans(), st.booleans(), st.integers(1, 4), st.integers(0, 99))
def test_a_kept_estimate_comes_back_to_the_bit(tmp_path_factory, buildings, std, count, seed):
    journal = open_journal(tmp_path_factory.mktemp("out"), "7", KEY)
    rng = np.random.default_rng(seed)
    layers = [rng.normal(size=(count, 5, 5)).astype(np.float32) for _ in range(3)]
    layers[0][0, 0] = np.nan
    journal.keep_estimate(
        3, Estimate(layers[0], layers[1] if buildings else None, layers[2] if std else None)
    )
    back = journal.recall_estimate(3)
    np.testing.assert_array_equal(back.rsrp_dbm, layers[0])
    for array, layer, given_ in (
        (back.building_probability, layers[1], buildings),
        (back.std_db, layers[2], std),
    ):
        if given_:
            np.testing.assert_array_equal(array, layer)
        else:
            assert array is None
    assert journal.recall_estimate(2) is None


def test_rows_come_back_until_the_first_that_is_damaged(tmp_path):
    journal = open_journal(tmp_path, "7", KEY)
    shape, bands = (40, 6), []
    scratch = journal.new_rows(shape, 40, has_buildings=True, has_std=False).scratch
    for row in range(0, 40, 10):
        values = np.full((2, 10, 6), float(row), np.float32)
        bands.append(Band(row, 10, values if row != 10 else None))
        journal.note_band(bands[-1], scratch)
    again = open_journal(tmp_path, "7", KEY)
    assert again.resumed
    rows = again.resumed_rows(shape)
    assert (rows.first_row, rows.has_buildings, rows.has_std) == (40, True, False)
    restored = rows.scratch
    assert np.isnan(restored.read_rows(0, slice(10, 20))).all()
    np.testing.assert_array_equal(restored.read_rows(1, slice(20, 22)), 20.0)
    with (again.folder / "blended.f32").open("r+b") as file:
        file.seek(4 * 6 * (40 + 25))
        file.write(b"\1")
    assert again.resumed_rows(shape).first_row == 20


def test_a_folder_without_a_manifest_is_no_journal(tmp_path):
    folder = tmp_path / ".7.rmgeo-journal"
    folder.mkdir()
    (folder / "bands.txt").write_text("[0, 10, null]\n")
    assert not open_journal(tmp_path, "7", KEY).resumed
    assert not (folder / "bands.txt").exists()


def test_kills_at_random_moments_change_no_byte(tmp_path):
    seed = int(os.environ.get("RM_GEO_KILL_SEED", "1"))
    outcome = kill.kill_run(tmp_path, kills=2, seed=seed, side_m=200.0)
    assert outcome.identical
    assert outcome.killed == 2


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """Forked runs of commands that end at file events; all of them by benchmarks/kill.py."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    with kill.prepared(tmp_path_factory.mktemp("rounds")) as prepared:
        yield prepared


def test_kills_at_file_events_leave_nothing_and_change_no_byte(rounds):
    outcome = kill.kill_at_events(rounds, every=41, seed=int(os.environ.get("RM_GEO_SEED", "1")))
    assert outcome.differences == []
    assert outcome.events["predict"] > 100
    assert outcome.kills >= outcome.rounds >= 5


def test_damage_to_journals_counts_as_absent(rounds):
    outcome = kill.damage_journals(rounds, 8, seed=int(os.environ.get("RM_GEO_SEED", "1")))
    assert outcome.differences == []
    assert outcome.rounds == 8


def test_planted_links_are_refused_or_replaced(rounds):
    outcome = kill.plant_links(rounds, most=12, seed=int(os.environ.get("RM_GEO_SEED", "1")))
    assert outcome.differences == []
    assert outcome.rounds == 12


FACTS = ("method_weight", "batch_size", "channels", "result")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FACTS), st.integers(0, 10**6), st.integers(0, 255))
def test_a_value_with_a_changed_byte_counts_as_absent(tmp_path_factory, name, place, byte):
    journal = open_journal(tmp_path_factory.mktemp("out"), "7", KEY)
    journal.note(name, {"method": 0.042, "held_out": 7})
    path = journal.folder / f"{name}.txt"
    content = bytearray(path.read_bytes())
    changed = content[place % (len(content) - 1)] != byte
    content[place % (len(content) - 1)] = byte
    path.write_bytes(bytes(content))
    assert (journal.recall(name) is None) == changed


def test_values_of_another_run_or_name_count_as_absent(tmp_path):
    journal = open_journal(tmp_path, "7", KEY)
    journal.note("method_weight", 0.3)
    other = open_journal(tmp_path, "8", JournalKey("def", {}))
    shutil.copy(journal.folder / "method_weight.txt", other.folder / "method_weight.txt")
    shutil.copy(journal.folder / "method_weight.txt", journal.folder / "batch_size.txt")
    assert journal.recall("method_weight") == 0.3
    assert journal.recall("batch_size") is None
    assert other.recall("method_weight") is None
    journal.keep_estimate(3, Estimate(np.ones((1, 2, 2), np.float32)))
    estimates = journal.folder / "estimates"
    shutil.copy(estimates / "0000003.f32", estimates / "0000004.f32")
    shutil.copytree(estimates, other.folder / "estimates")
    assert journal.recall_estimate(3) is not None
    assert journal.recall_estimate(4) is None
    assert other.recall_estimate(3) is None
    (journal.folder / "channels.txt").write_bytes(b"[" * 100_000)
    assert journal.recall("channels") is None


def test_work_of_another_batch_size_is_forgotten(tmp_path, keeping):
    points = drive(300, (200.0, 260.0))
    predict(points, tmp_path / "whole", OPTIONS)
    with pytest.raises(KilledError):
        predict(points, tmp_path / "cut", OPTIONS.replace(batch_size=None), Dying(14))
    journal = tmp_path / "cut" / ".7.rmgeo-journal"
    (journal / "batch_size.txt").write_text("damaged")
    predict(points, tmp_path / "cut", OPTIONS.replace(batch_size=None))
    assert (tmp_path / "cut" / "7_rsrp.tif").exists()
    assert not journal.exists()


@pytest.fixture
def photos(tmp_path):
    """A folder of somebody's that a link may lead to, with names that a run uses itself."""
    folder = tmp_path / "photos"
    (folder / "estimates").mkdir(parents=True)
    for name in ("photo.jpg", "7_rsrp.tif", "0000000.f32", "estimates/a.jpg"):
        (folder / name).write_text("precious")
    return folder


def refused(tmp_path, photos, link, fresh, kept):
    """Run with a link in the output folder: one message that names it, nothing changed."""
    link.symlink_to(photos, target_is_directory=photos.is_dir())
    before = {path: path.is_file() and path.read_bytes() for path in kept.rglob("*")}
    with pytest.raises(OutputError, match="symbolic link") as caught:
        predict(
            together(drive(90), drive(60, seed=1, cell="8")),
            tmp_path / "out",
            OPTIONS.replace(fresh=fresh),
        )
    assert str(link) in str(caught.value)
    assert "Remove the link" in str(caught.value)
    assert {path: path.is_file() and path.read_bytes() for path in kept.rglob("*")} == before
    assert link.is_symlink()
    assert not list((tmp_path / "out").glob("*.tif"))


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("cell", ["7", "8"])
@pytest.mark.parametrize("kind", ["journal", "lock"])
def test_a_link_in_place_of_a_journal_or_a_lock_is_refused(tmp_path, photos, cell, kind, fresh):
    (tmp_path / "out").mkdir()
    target = photos / "photo.jpg" if kind == "lock" else photos
    refused(tmp_path, target, tmp_path / "out" / f".{cell}.rmgeo-{kind}", fresh, photos)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("staging", "."),
        ("estimates", "."),
        ("blended.f32", "photo.jpg"),
        ("bands.txt", "photo.jpg"),
        ("estimates/0000000.f32.part", "photo.jpg"),
    ],
)
def test_a_link_inside_a_journal_is_refused(tmp_path, keeping, photos, name, target, fresh):
    with pytest.raises(KilledError):
        predict(drive(300, (200.0, 260.0)), tmp_path / "cut", OPTIONS, Dying(7))
    journal = tmp_path / "out" / ".7.rmgeo-journal"
    (tmp_path / "cut").rename(tmp_path / "out")
    link = journal / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.parent.mkdir(exist_ok=True)
    refused(tmp_path, photos / target, link, fresh, photos)


def test_a_journal_that_became_a_link_meanwhile_is_not_emptied(tmp_path, photos):
    for action in ("remove", "finish", "keep_estimate"):
        journal = open_journal(tmp_path, action, KEY)
        journal.remove()
        journal.folder.symlink_to(photos)
        arguments = {
            "remove": (),
            "finish": ({},),
            "keep_estimate": (0, Estimate(np.ones((1, 2, 2)))),
        }
        with pytest.raises(OutputError, match="symbolic link"):
            getattr(journal, action)(*arguments[action])
    assert (photos / "estimates" / "a.jpg").read_text() == "precious"
    assert sorted(path.name for path in photos.iterdir()) == [
        "0000000.f32",
        "7_rsrp.tif",
        "estimates",
        "photo.jpg",
    ]


def test_a_lock_does_not_write_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(OutputError, match="symbolic link"),
        output_lock(tmp_path / "lock", "it"),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "lock").is_symlink()


def test_files_are_not_made_behind_a_link(tmp_path, photos):
    (tmp_path / "staging").symlink_to(photos)
    grid = Grid.create(*CORNER, (9, 9), 1.0, "EPSG:32633")
    files = CellFiles(tmp_path, OwnFolder(tmp_path, ("staging",)), "7", grid)
    with pytest.raises(OutputError, match="symbolic link"):
        write_cell(files, [], {})
    assert (photos / "7_rsrp.tif").read_text() == "precious"
