"""Provenance tags of inputs."""

import hashlib

from rm_geo.io.provenance import describe_input


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
