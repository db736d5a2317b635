"""Fingerprints of jobs, and the record of complete cells."""

import shutil
from dataclasses import replace

import pytest

from rm_geo._util.checksummed import from_line, to_line
from rm_geo.distributed.batch_state import BatchRecord, weights_version
from rm_geo.distributed.jobs import read_jobs
from rm_geo.options import PredictOptions
from rm_geo.products.summary import CellResult
from rm_geo.zoo.weights import write_index
from tests.support.models import save_tiny_model


def key_of(drive, output, options):
    (job,) = read_jobs([drive], output, options)
    return BatchRecord(output / "state.json", fresh=True).restored(job).key


@pytest.fixture
def drive(tmp_path):
    folder = tmp_path / "drives"
    folder.mkdir()
    (folder / "one.csv").write_text("x,y,rsrp,cell\n1,2,-90,7\n")
    return folder


def test_changed_weights_in_the_same_file_change_the_job_key(drive, tmp_path):
    options = PredictOptions(model=tmp_path / "model", device="cpu")
    keys = []
    for seed in (0, 1, 0):
        save_tiny_model(tmp_path / "model", seed)
        keys.append(key_of(drive, tmp_path, options))
    assert keys[0] == keys[2] != keys[1]


def test_changed_default_model_changes_the_key_of_network_jobs_only(drive, tmp_path, monkeypatch):
    monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "models"))
    network, plain = PredictOptions(device="cpu"), PredictOptions(method="idw", device="cpu")
    keys = []
    for seed in (0, 1):
        save_tiny_model(tmp_path / "models" / "tiny", seed)
        write_index(tmp_path / "models", {"radiocycle": "tiny"})
        keys.append([key_of(drive, tmp_path, options) for options in (network, plain)])
    assert keys[0][0] != keys[1][0]
    assert keys[0][1] == keys[1][1]


def test_missing_model_is_reported_by_the_job(drive, tmp_path):
    model = tmp_path / "model"
    options = PredictOptions(model=model, device="cpu")
    save_tiny_model(model, 0)
    (job,) = read_jobs([drive], tmp_path, options)
    shutil.rmtree(model)  # after the jobs were read
    assert weights_version("radiocycle", model) == ""
    other = replace(job, options=options.replace(overlap_px=16))
    record = BatchRecord(tmp_path / "state.json", fresh=True)
    assert record.restored(other).key != record.restored(job).key


@pytest.mark.parametrize(
    "noted", [5, {}, {"cells": 3, "complete": True}, {"complete": True}, {"cells": [1]}]
)
def test_record_of_another_format_is_ignored(drive, tmp_path, noted):
    (job,) = read_jobs([drive], tmp_path, PredictOptions(method="idw"))
    key = BatchRecord(tmp_path / "state.json", fresh=True).restored(job).key
    if isinstance(noted, dict):
        noted = {**noted, "key": key}
    (tmp_path / "state.json").write_bytes(to_line([job.name, noted], "job of a batch"))
    state = BatchRecord(tmp_path / "state.json", fresh=False).restored(job)
    assert (state.results, state.skipped) == ({}, False)


@pytest.mark.parametrize("place", [0, 40, -20, -2])
def test_job_whose_line_is_damaged_is_made_again(complete, tmp_path, place):
    assert is_skipped(complete, tmp_path / "state.json")
    content = bytearray((tmp_path / "state.json").read_bytes())
    content[place] ^= 1
    (tmp_path / "state.json").write_bytes(bytes(content))
    assert not is_skipped(complete, tmp_path / "state.json")


def test_large_record_is_written_at_intervals_and_completely(drive, tmp_path, monkeypatch):
    (job,) = read_jobs([drive], tmp_path, PredictOptions(method="idw"))
    record = BatchRecord(tmp_path / "state.json", fresh=True)
    now_s = iter([0.0, 0.0, 2.0, 10.0, 50.0, 50.0, 51.0])
    monkeypatch.setattr("rm_geo.distributed.batch_state.time.monotonic", lambda: next(now_s))
    state = record.restored(job)
    record.note(state)  # written from 0 to 2 s
    first = record.path.stat().st_mtime_ns, record.path.read_text()
    state.results["7"] = CellResult("7", "mapped")
    record.note(state)  # at 10 s: not due
    assert (record.path.stat().st_mtime_ns, record.path.read_text()) == first
    record.note(state)  # at 50 s
    assert from_line(record.path.read_bytes(), "job of a batch")[1]["cells"] != []


@pytest.fixture
def complete(drive, tmp_path):
    """A job whose one file was written, and the record that says so."""
    (job,) = read_jobs([drive], tmp_path / "out", PredictOptions(method="idw"))
    record = BatchRecord(tmp_path / "state.json", fresh=True)
    state = record.restored(job)
    job.output.mkdir(parents=True)
    (job.output / "7_rsrp.tif").write_bytes(b"map")
    state.results["7"] = CellResult("7", "mapped", files=("7_rsrp.tif",), file_bytes=(3,))
    record.note(state)
    record.write()
    return job


def is_skipped(job, record):
    return BatchRecord(record, fresh=False).restored(job).skipped


@pytest.mark.parametrize("content", [b"", b"mop!", None])
def test_truncated_or_missing_file_is_made_again(complete, tmp_path, content):
    assert is_skipped(complete, tmp_path / "state.json")
    path = complete.output / "7_rsrp.tif"
    path.unlink() if content is None else path.write_bytes(content)
    assert not is_skipped(complete, tmp_path / "state.json")


def test_record_without_file_sizes_is_accepted(complete, tmp_path):
    path = tmp_path / "state.json"
    name, noted = from_line(path.read_bytes(), "job of a batch")
    del noted["cells"][0]["file_bytes"]
    path.write_bytes(to_line([name, noted], "job of a batch"))
    assert is_skipped(complete, path)


def test_fresh_job_is_never_complete(complete, tmp_path):
    anew = replace(complete, options=complete.options.replace(fresh=True))
    assert not is_skipped(anew, tmp_path / "state.json")
