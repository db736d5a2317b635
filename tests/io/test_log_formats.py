"""Logs as tools write them: headers, separators, times, JSON lines and Nemo's text logs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
from click.testing import CliRunner
from pyproj import Transformer

from rm_geo.cli.group import rm_geo
from rm_geo.errors import ConfigError, InputError
from rm_geo.io.tables.arrow import TimeReader
from rm_geo.measurements.column_file import read_column_file
from rm_geo.measurements.reader import read_measurements, read_selected
from rm_geo.options import PredictOptions

ROWS = [
    ("13.405000", "52.520000", "101", "-86.5"),
    ("13.405050", "52.520030", "101", "-87.5"),
    ("13.405100", "52.520060", "202", "-90.0"),
    ("13.405150", "52.520090", "202", "-91.0"),
]
HEADER = ("lon", "lat", "PCI", "RSRP")


def text(separator: str, *, before: str = "", header: bool = True, end: str = "") -> str:
    """A log as delimited text."""
    lines = [separator.join(HEADER)] if header else []
    lines += [separator.join(row) + end for row in ROWS]
    return before + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trailing.txt", text("\t", end="\t")),
        ("trailing.csv", text(";", end=";")),
        ("spaces.txt", text(" ")),
        ("columns.txt", text("    ", end="   ")),
        ("log.dat", text(",")),
        ("log.log", text(";")),
        ("log", text("\t")),
        ("title.csv", text(",", before="Drive test of Monday\n\n")),
        ("metadata.csv", text(",", before="Logger-1.4,appRelease=1,model=x\n")),
        ("several.csv", text(",", before="Project: A\nUser: B\nDate: 2024-05-01\n\n")),
        ("units.csv", text(",").replace("RSRP\n", "RSRP\ndeg,deg,,dBm\n")),
        ("comment.csv", text(",", before="# made by a logger\n")),
    ],
)
def test_delimited_text_in_its_variants(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, "utf-8")
    measurements, report = read_measurements(file)
    assert measurements.rsrp_dbm.tolist() == [-86.5, -87.5, -90.0, -91.0]
    assert list(measurements.cell) == ["101", "101", "202", "202"]
    assert report.dropped_total == 0


@pytest.mark.parametrize("cells", ["52.52,13.405,40,999,LTE,-86", "52.52,13.405,-86"])
def test_a_file_without_a_header_is_refused_by_name(tmp_path, cells):
    file = tmp_path / "log.csv"
    file.write_text(f"{cells}\n{cells}\n")
    with pytest.raises(InputError, match="has no header"):
        read_measurements(file)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1686317667", "2023-06-09T13:34:27"),
        ("1686317667.25", "2023-06-09T13:34:27.250"),
        ("1686317667250", "2023-06-09T13:34:27.250"),
        ("2023.06.09_13.34.27", "2023-06-09T13:34:27"),
        ("2023-06-09 13:34:27.250000", "2023-06-09T13:34:27.250"),
        ("2023-06-09T13:34:27.25Z", "2023-06-09T13:34:27.250"),
        ("2023-06-09T15:34:27+02:00", "2023-06-09T13:34:27"),
        ("9.6.2023 13:34:27,25", "2023-06-09T13:34:27.250"),
        ("20230609_133427", "2023-06-09T13:34:27"),
        ("2023-06-09 13:34:27 UTC", "2023-06-09T13:34:27"),
    ],
)
def test_notations_of_a_time(written, expected):
    reader = TimeReader()
    values = reader.read(pa.chunked_array([[written, ""]]))
    assert values is not None
    found = reader.finish(values)
    assert found is not None
    assert found[0] == np.datetime64(expected)
    assert np.isnat(found[1])


def test_dates_with_slashes_are_not_guessed():
    reader = TimeReader()
    values = reader.read(pa.chunked_array([["05/06/2023 10:00:00"]]))
    assert values is None or reader.finish(values) is None


def test_json_lines_with_nested_fields_and_lists(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"gps": {"lat": 52.52, "lon": 13.4}, "pci": [1, 2], "rsrp": [-80.5, -90.0]}\n'
        '{"gps": {"lat": 52.521, "lon": 13.4}, "pci": [1], "rsrp": [-81.0]}\n'
    )
    measurements, _ = read_measurements(file)
    found = {name: rows.rsrp_dbm.tolist() for name, rows in measurements.by_cell().items()}
    assert found == {"1": [-80.5, -81.0], "2": [-90.0]}


def test_broken_json_lines_are_one_message(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"lat": 52.52, "lon": 13.4, "rsrp": -80}\n{"lat": \n')
    with pytest.raises(InputError, match="JSON lines"):
        read_measurements(file)


NEMO = """#PRODUCT,,,"NEMO OUTDOOR","8.0.2.22"
#FF,,,"2.31"
#UT,,,120,120
#START,23:59:58.000,,"23.1.2019"
GPS,23:59:58.000,,13.400000,52.520000,30,0,1,12,0,,,,
OFDMSCAN,23:59:59.000,,8,5,38852,1,6,-63.7,80040,2,5,304,1,3,-84.0,-12.5,154,1,3,-90.5,-13.0,
OFDMSCAN,23:59:59.000,,8,5,38852,2,6,-63.7,80040,1,5,304,1,-74.0,-70.0,0.0,
PILOTSCAN,23:59:59.500,,5,4,10563,1,-60.3,50001,1,6,114,-13.0,-73.3,,,,
GPS,00:00:00.000,,13.400020,52.520000,30,0,1,12,0,,,,
CELLMEAS,00:00:01.000,,7,0,2,9,0,70003,1850,51,-41.3,-68.8,-6.0,,,2,70003,1850,52,-44.7,-89.3,-25.8,,
CELLMEAS,00:00:01.500,,7,0,broken
GPS,00:00:02.000,,13.400040,52.520000,30,0,1,12,0,,,,
#STOP,00:00:03.000,,"24.1.2019"
"""


def test_a_text_log_of_nemo(tmp_path):
    file = tmp_path / "log.nmf"
    file.write_text(NEMO)
    measurements, report = read_measurements(file)
    levels = {name: rows.rsrp_dbm.tolist() for name, rows in measurements.by_cell().items()}
    assert levels == {
        "304": [-84.0],
        "154": [-90.5],
        "51": [np.float32(-68.8)],
        "52": [np.float32(-89.3)],
    }
    assert set(measurements.earfcn) == {38852.0, 1850.0}
    # UTC is two hours behind the log's clock; the second fix comes after midnight.
    assert measurements.time is not None
    assert measurements.time[0] == np.datetime64("2019-01-23T21:59:59")
    assert measurements.time[-1] == np.datetime64("2019-01-23T22:00:01")
    # Half way between the fixes before and after.
    scanned = measurements.by_cell()["304"].x[0]
    phone = measurements.by_cell()["51"].x[0]
    assert phone - scanned == pytest.approx(1.357, abs=0.01)
    assert {reason.value: n for reason, n in report.dropped.items()} == {
        "malformed_row": 1,
        "not_lte_or_nr": 1,
    }


def test_a_nemo_log_without_positions(tmp_path):
    file = tmp_path / "log.nmf"
    file.write_text("\n".join(line for line in NEMO.splitlines() if not line.startswith("GPS")))
    with pytest.raises(InputError, match="no GPS records"):
        read_measurements(file)


@pytest.mark.parametrize("suffix", [".trp", ".isf", ".drm", ".qmdl"])
def test_binary_logs_say_how_to_export_them(tmp_path, suffix):
    file = tmp_path / f"log{suffix}"
    file.write_bytes(b"\x01\x02\x03\x00" * 20)
    with pytest.raises(InputError, match="binary log") as caught:
        read_measurements(file)
    assert "CSV" in str(caught.value)


def test_the_reference_log_of_nemo(shared_data: Path):
    measurements, report = read_measurements(shared_data / "scanner_bangkok" / "sample.nmf")
    assert report.kept == 1114
    assert len(measurements.by_cell()) > 10


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("lat,lon", '"52°31\'12.1""N","13°24\'18""E"'),
        ("lat,lon", "52.52003 N,13.405 E"),
        ("lat,lon", "N52 31 12.1,E13 24 18"),
        ("lat,ns,lon,ew", "5231.2017,N,01324.3000,E"),
        ("Latitude,LatDir,Longitude,LonDir", "52.520028,N,13.405,E"),
    ],
)
def test_notations_of_coordinates(tmp_path, header, row):
    file = tmp_path / "log.csv"
    file.write_text(f"{header},PCI,RSRP\n" + f"{row},1,-90\n" * 5, "utf-8")
    measurements, _ = read_measurements(file)
    to_degrees = Transformer.from_crs(measurements.crs, 4326, always_xy=True)
    found = to_degrees.transform(measurements.x[0], measurements.y[0])
    assert found == pytest.approx((13.405, 52.520028), abs=2e-5)


def test_longitudes_of_nmea_near_greenwich(tmp_path):
    file = tmp_path / "log.csv"
    rows = ["5130.7500,N,00007.6600,W,1,-90", "5130.7510,N,00007.6610,W,1,-91"]
    file.write_text("\n".join(["lat,ns,lon,ew,PCI,RSRP", *rows]))
    measurements, _ = read_measurements(file)
    to_degrees = Transformer.from_crs(measurements.crs, 4326, always_xy=True)
    found = to_degrees.transform(measurements.x[0], measurements.y[0])
    assert found == pytest.approx((-0.127667, 51.5125), abs=2e-5)


def test_errors_in_an_archive_name_the_archive(tmp_path):
    file = tmp_path / "log.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("day/log.csv", "a,b\n1,2\n")
    with pytest.raises(InputError) as caught:
        read_measurements(file)
    assert str(file) in str(caught.value)
    assert "rm_geo-zip" not in str(caught.value)


def test_the_southern_and_western_hemispheres_are_negative(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("lat,ns,lon,ew,PCI,RSRP\n" + "33.45,S,70.66,W,1,-90\n" * 5)
    measurements, _ = read_measurements(file)
    assert measurements.crs.to_epsg() == 32719


@pytest.mark.parametrize("inner", ["log.csv", "drive/day 1/log.csv", "a/b/log.txt"])
def test_a_table_in_an_archive(tmp_path, inner):
    file = tmp_path / "log.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(inner, text(","))
        archive.writestr("__MACOSX/._log.csv", "x")
        archive.writestr("read me.md", "hello")
    measurements, report = read_measurements(file)
    assert len(measurements) == 4
    assert measurements.source == file
    assert report.source == str(file)


def test_several_tables_in_an_archive_are_a_question(tmp_path):
    file = tmp_path / "log.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", text(","))
        archive.writestr("b.csv", text(","))
    with pytest.raises(InputError, match=r"2 tables: a\.csv, b\.csv"):
        read_measurements(file)


def test_a_damaged_archive_is_one_message(tmp_path):
    file = tmp_path / "log.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text(",") * 50)
    content = bytearray(file.read_bytes())
    content[60:90] = b"\x00" * 30
    file.write_bytes(content)
    with pytest.raises(InputError):
        read_measurements(file)


def test_a_file_of_column_names(tmp_path):
    log, names = tmp_path / "log.csv", tmp_path / "vendor.yaml"
    log.write_text(text(",").replace("PCI", "thing").replace("RSRP", "value"))
    names.write_text("rsrp_column: value\ncell_column: thing\n")
    measurements, _ = read_selected(log, PredictOptions(columns=str(names)))
    assert set(measurements.by_cell()) == {"101", "202"}
    names.write_text("rsrp: value\n")
    with pytest.raises(ConfigError, match="not an option of a column"):
        read_selected(log, PredictOptions(columns=str(names)))
    names.write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_selected(log, PredictOptions(columns=str(names)))


def test_columns_that_were_recognised_can_be_saved(tmp_path):
    log, names = tmp_path / "log.csv", tmp_path / "vendor.yaml"
    log.write_text(text(","))
    result = CliRunner().invoke(rm_geo, ["inspect", str(log), "--save-columns", str(names)])
    assert result.exit_code == 0, result.output
    assert read_column_file(names) == {
        "x_column": "lon",
        "y_column": "lat",
        "rsrp_column": "RSRP",
        "cell_column": "PCI",
    }


def test_reading_gml_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "drive.gml"
    points = geopandas.points_from_xy([13.0, 13.001, 13.002], [52.0, 52.0, 52.001])
    frame = geopandas.GeoDataFrame({"rsrp": [-90.0, -91.0, -92.0]}, geometry=points, crs=4326)
    frame.to_file(path, driver="GML")
    for file in tmp_path.glob("*.xsd"):
        file.unlink()
    measurements, _ = read_measurements(path)
    assert len(measurements) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["drive.gml"]
    pyogrio.list_layers(path)
    assert (tmp_path / "drive.gfs").exists()
    read_measurements(path)
    assert (tmp_path / "drive.gfs").exists()  # it was there before
