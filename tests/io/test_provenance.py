"""Provenance tags of inputs."""

import hashlib
import json
import os

import pytest

from rm_geo.errors import InputError
from rm_geo.io import provenance
from rm_geo.io.provenance import InputFile, describe_input, describe_inputs
from rm_geo.measurements import reader
from rm_geo.measurements.reader import read_measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from rm_geo.progress import SilentProgress
from tests.support.measurements import drive


def test_describe_input_gives_name_size_and_checksum(tmp_path):
    file = tmp_path / "drive.csv"
    file.write_bytes(b"lon,lat,rsrp")
    checksum = hashlib.sha256(b"lon,lat,rsrp").hexdigest()
    assert describe_input(file) == {
        "input": "drive.csv",
        "input_bytes": "12",
        "input_sha256": checksum,
    }
    assert set(describe_input(file, "coarse_")) == {
        "coarse_input",
        "coarse_input_bytes",
        "coarse_input_sha256",
    }


def test_sidecars_checksum_changes_with_the_projection(tmp_path):
    file, projection = tmp_path / "outlines.shp", tmp_path / "outlines.PRJ"
    for path in (file, projection, file.with_suffix(".shx"), file.with_suffix(".txt")):
        path.write_bytes(b"before")
    before = describe_input(file)
    assert before["input_sha256"] == hashlib.sha256(b"before").hexdigest()
    file.with_suffix(".txt").write_bytes(b"not part of it")
    assert describe_input(file) == before
    projection.write_bytes(b"after")
    after = describe_input(file)
    assert {key for key in after if after[key] != before[key]} == {"input_sidecars_sha256"}


def test_describe_input_of_a_missing_file_and_of_memory(tmp_path):
    assert describe_input(tmp_path / "gone.csv") == {"input": "gone.csv"}
    assert describe_input(None) == {"input": "measurements in memory"}


def old(path):
    """Date a file back, so that its times alone tell whether it changed."""
    os.utime(path, ns=(10**18, 10**18))
    return path


def rewritten(path):
    path.write_text("bbb")


def rewritten_at_the_same_time(path):
    stamp = path.stat().st_mtime_ns
    path.write_text("bbb")
    os.utime(path, ns=(stamp, stamp))


def replaced(path):
    other = path.with_name("other")
    other.write_text("bbb")
    os.utime(other, ns=(10**18, 10**18))
    other.replace(path)


def removed(path):
    path.unlink()


CHANGES = [rewritten, rewritten_at_the_same_time, replaced, removed]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_old", [True, False])
@pytest.mark.parametrize("name", ["drive.csv", "drive.dbf"])
def test_a_file_that_changed_after_it_was_opened_is_refused(
    tmp_path, monkeypatch, name, is_old, change
):
    for file in ("drive.csv", "drive.shp", "drive.dbf"):
        (tmp_path / file).write_text("aaa")
    if is_old:
        for file in tmp_path.iterdir():
            old(file)
        # Their state changed now, by the dating itself.
        monkeypatch.setattr(provenance, "_TICK_NS", -(10**15))
    changed = tmp_path / name
    read = InputFile.of(changed if name == "drive.csv" else tmp_path / "drive.shp")
    assert (read.digests is None) is is_old
    read.require_unchanged()
    tags = read.tags()
    assert tags["input_sha256"] == hashlib.sha256(b"aaa").hexdigest()
    change(changed)
    for check in (read.require_unchanged, read.tags):
        with pytest.raises(InputError, match="changed while it was read") as refused:
            check()
        assert refused.value.path == read.path


def test_a_new_file_with_the_same_content_is_accepted(tmp_path):
    path = tmp_path / "drive.csv"
    path.write_text("aaa")
    read = InputFile.of(path)
    path.write_text("aaa")
    assert read.tags()["input_sha256"] == hashlib.sha256(b"aaa").hexdigest()


ROWS = "lon,lat,pci,rsrp\n" + "".join(f"13.{row:04d},52,40,-{90 + row % 7}\n" for row in range(40))


def test_measurements_that_change_while_they_are_read_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "drive.csv"
    path.write_text(ROWS)
    healthy = reader.to_metres

    def meanwhile(*arguments, **named):
        path.write_text(ROWS.replace("-9", "-8"))
        return healthy(*arguments, **named)

    monkeypatch.setattr(reader, "to_metres", meanwhile)
    with pytest.raises(InputError, match="changed while it was read"):
        read_measurements(path)


def test_measurements_that_change_before_their_checksum_is_computed_are_refused(tmp_path):
    path, options = tmp_path / "drive.csv", PredictOptions(method="idw", reach_m=5)
    path.write_text(ROWS)
    run_plan = plan_run(path, options)
    path.write_text(ROWS.replace("-9", "-8"))
    with pytest.raises(InputError, match="changed while it was read"):
        predict(run_plan, tmp_path / "out", options)
    assert list((tmp_path / "out").iterdir()) == []


def test_several_logs_keep_the_checksums_of_what_was_read(tmp_path):
    paths = [tmp_path / "monday.csv", tmp_path / "tuesday.csv"]
    for number, path in enumerate(paths):
        path.write_text(ROWS.replace("-90", f"-8{number}"))
    points = plan_run(paths, PredictOptions(method="idw", reach_m=5)).measurements
    assert describe_inputs(points.inputs) == describe_inputs(paths)
    paths[1].write_text(ROWS)
    with pytest.raises(InputError, match=r"tuesday\.csv changed"):
        describe_inputs(points.inputs)


def test_buildings_that_change_during_a_run_give_no_map(tmp_path):
    class Meanwhile(SilentProgress):
        def finish(self):
            outlines.write_text(outlines.read_text().replace("500010", "500011"))

    outlines = tmp_path / "buildings.geojson"
    corner = ((500010, 5400010), (500020, 5400010), (500020, 5400020), (500010, 5400010))
    outlines.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
                "features": [
                    {
                        "type": "Feature",
                        "properties": {},
                        "geometry": {"type": "Polygon", "coordinates": [corner]},
                    }
                ],
            }
        )
    )
    options = PredictOptions(reach_m=5, method_weight=1.0, buildings=outlines)
    with pytest.raises(InputError, match=r"buildings\.geojson changed"):
        predict(drive(60), tmp_path / "out", options, Meanwhile())
    assert list((tmp_path / "out").iterdir()) == []
