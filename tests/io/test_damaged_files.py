"""Damaged files on which libraries fail with errors of their own: one message, with the file."""

import math
import sqlite3
import zipfile
from contextlib import closing

import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import InputError
from rm_geo.measurements.reader import read_measurements
from tests.support.measurements import drive_frame, write_frame


def refused(path):
    with pytest.raises(InputError) as caught:
        read_measurements(path)
    assert path.name in str(caught.value)


def test_a_crs_that_is_not_utf8(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.shp")
    crs = path.with_suffix(".prj")
    crs.write_bytes(crs.read_bytes().replace(b'["', b'["\xd7', 1))
    refused(path)


def test_a_definition_of_a_table_that_is_not_utf8(tmp_path):
    path = write_frame(drive_frame(), tmp_path / "drive.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema=ON")
        database.execute(
            "UPDATE sqlite_master SET sql = CAST(CAST(sql AS BLOB) || x'C5' AS TEXT) "
            "WHERE name = 'drive'"
        )
        database.commit()
    refused(path)


def test_a_member_of_an_archive_without_a_name(tmp_path):
    path = tmp_path / "drive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "lon,lat,rsrp\n13,52,-90\n")
    path.write_bytes(path.read_bytes().replace(b"x", b"\0"))
    refused(path)


def test_names_of_json_that_are_not_utf8(tmp_path):
    path = tmp_path / "drive.jsonl"
    path.write_bytes(b'{"lon": 13, "lat": 52, "rs\xebp": -90}\n')
    refused(path)


def test_a_date_of_a_log_out_of_all_bounds(tmp_path):
    path = tmp_path / "drive.nmf"
    path.write_text("#START,10:00:00.000,,01.01.99999999999999999999\nGPS,10:00:00.000,,13,52\n")
    refused(path)


def test_a_channel_out_of_all_bounds_is_unknown(tmp_path):
    path = tmp_path / "drive.csv"
    path.write_text(f"lon,lat,pci,earfcn,rsrp\n13,52,7,{'9' * 400},-90\n")
    measurements, _ = read_measurements(path)
    assert math.isnan(measurements.identities[0].channel)


def test_a_name_that_is_longer_than_the_system_allows(tmp_path):
    name = f"{'a' * 300}.csv"
    table = tmp_path / "jobs.csv"
    table.write_text(f"measurements,output\n{name},out\n")
    with pytest.raises(InputError, match="does not exist"):
        read_jobs([table], tmp_path)
    done = CliRunner().invoke(rm_geo, ["predict", name, "-o", str(tmp_path / "out"), "--dry-run"])
    assert done.exit_code == 1
