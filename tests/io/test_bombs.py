"""Small inputs that stand for large ones end soon, with one message."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

from rm_geo._util.key_value import parse_key_value
from rm_geo.cli.train import _read_recipe
from rm_geo.distributed.job_table import read_table
from rm_geo.errors import AreaTooLargeError, ConfigError, InputError, ModelError
from rm_geo.io.raster_reader import read_raster
from rm_geo.io.tables import Request, open_source
from rm_geo.io.yaml_file import read_yaml_mapping
from rm_geo.measurements.column_file import read_column_file
from rm_geo.measurements.reader import read_measurements
from rm_geo.pipeline.options_file import read_options
from rm_geo.planning.settings import read_plan_settings
from rm_geo.zoo.model_file import description_in

YAML_READERS = (
    read_yaml_mapping,
    read_column_file,
    read_options,
    read_plan_settings,
    read_table,
    lambda path: _read_recipe("mars", str(path)),
)
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML_BOMBS = {
    "aliases": ALIASES,
    "merged aliases": "a: &a {x: 1, y: 2}\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 30)}]\n"
        for old, new in zip("abcd", "bcde", strict=True)
    ),
    "cycle": "a: &a {b: *a}",
    "flow levels": "a: " + "[" * 100_000,
    "block levels": "- " * 100_000,
    "digits": f"a: {'9' * 100_000}",
    "sexagesimal": f"a: 1{':1' * 100_000}",
    "date": "a: 2020-99-99",
    "object": "a: !!python/object/apply:os.system [ls]",
    "control character": "a: \x01",
    "no number": "a: !!float x",
}


@pytest.mark.parametrize("read", YAML_READERS)
@pytest.mark.parametrize("bomb", YAML_BOMBS.values(), ids=YAML_BOMBS)
def test_yaml_beyond_the_bounds_is_one_clear_line(tmp_path, read, bomb) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(bomb)
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200


def test_an_error_of_yaml_quotes_nothing_of_the_file(tmp_path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("root:x:0:0:secret\ndaemon: [secret\nsecret: '")
    with pytest.raises(ConfigError) as caught:
        read_yaml_mapping(path)
    assert "secret" not in str(caught.value).replace(str(path), "")
    assert "line" in str(caught.value)


def test_a_value_of_an_option_beyond_the_bounds_is_text() -> None:
    assert parse_key_value(f"a={'[' * 1000}") == ("a", "[" * 1000)


def safetensors_file(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"__metadata__": ' + b'{"a":' * 50_000,
        b'{"a": 1, ' + b" " * (5 << 20) + b'"b": 1}',
        b'{"__metadata__": {"rm_geo": "' + b"[" * 50_000 + b'"}}',
        b'{"__metadata__": []}',
        b"\xff" * 8,
    ],
)
def test_a_header_of_a_model_beyond_the_bounds_is_refused(header) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        description_in(safetensors_file(header), Path("model.safetensors"))


def test_a_model_file_of_any_size_is_refused_unread(tmp_path) -> None:
    from rm_geo.zoo.model_file import read_model

    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(ModelError, match="GiB"):
        read_model(path)


ROW = b"13.4,52.5,-90.0\n"
HEADER = b"longitude,latitude,rsrp\n"


@pytest.mark.parametrize("separator", [b",", b" "])
def test_a_gzip_that_unpacks_without_end_is_refused(tmp_path, monkeypatch, separator) -> None:
    monkeypatch.setattr("rm_geo.io.tables.delimited._LEAST_BOUND_BYTES", 1 << 22)
    path = tmp_path / "drive.csv.gz"
    block = (HEADER + ROW * 6_000).replace(b",", separator)
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(block)
        for _ in range(12):
            stream.write(b"\n" * (1 << 20))
    with pytest.raises(InputError, match="times its size") as caught:
        read_measurements(path)
    assert str(path) in str(caught.value)


def test_an_archive_that_unpacks_to_much_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("rm_geo.io.zip_files.LARGEST_RATIO", 20)
    path = tmp_path / "drive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("drive.csv", "drive.a", "drive.b"):  # each is within the bounds
            with archive.open(name, "w") as member:
                for _ in range(2):
                    member.write(b"\n" * (1 << 20))
    with pytest.raises(InputError, match="would unpack"):
        open_source(path)


def test_a_spreadsheet_that_unpacks_to_much_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("rm_geo.io.zip_files.LARGEST_RATIO", 20)
    path = tmp_path / "drive.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("xl/worksheets/sheet1.xml", "w") as member:
            for _ in range(6):
                member.write(b" " * (1 << 20))
    with pytest.raises(InputError, match="would unpack"):
        open_source(path)


def test_a_parquet_of_many_rows_in_few_bytes_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("rm_geo.io.tables.geoparquet._LEAST_BOUND", 1 << 20)
    monkeypatch.setattr("rm_geo.io.tables.geoparquet.LARGEST_RATIO", 20)
    path = tmp_path / "drive.parquet"
    constant = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1 << 20, np.int8)), ["a"])
    table = pa.table({"a": constant})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(3):
            writer.write_table(table)
    with pytest.raises(InputError, match="times its size"):
        open_source(path)


def test_a_raster_of_many_pixels_in_few_bytes_is_refused(tmp_path) -> None:
    path = tmp_path / "map.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=60_000,
        height=60_000,
        count=1,
        dtype="uint8",
        crs="EPSG:32633",
        transform=rasterio.transform.from_origin(0, 60_000, 1, 1),
        tiled=True,
        sparse_ok=True,
    ):
        pass
    assert path.stat().st_size < 1_000_000
    with pytest.raises(AreaTooLargeError, match="too many"):
        read_raster(path)


def read_all(path: Path) -> None:
    source = open_source(path)
    list(source.chunks(Request(source.names)))


@pytest.mark.parametrize("start", ["", '{"a": '])
def test_deep_json_lines_and_geojson_are_refused(tmp_path, start) -> None:
    for name in ("drive.jsonl", "drive.geojson"):
        path = tmp_path / name
        path.write_text(start + "[" * 200_000)
        with pytest.raises(InputError, match=name):
            read_all(path)


def test_deep_metadata_of_a_parquet_file_is_refused(tmp_path) -> None:
    path = tmp_path / "drive.parquet"
    table = pa.table({"a": [1]}).replace_schema_metadata({"geo": "[" * 100_000})
    pq.write_table(table, path)
    with pytest.raises(InputError, match=r"drive\.parquet"):
        open_source(path)
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps([])}), path)
    with pytest.raises(InputError, match=r"drive\.parquet"):
        open_source(path)
