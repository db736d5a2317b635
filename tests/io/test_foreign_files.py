"""Files that name other files or addresses are refused before GDAL reads them."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import CRS

from rm_geo.buildings.mask import open_buildings
from rm_geo.buildings.reader import read_buildings
from rm_geo.errors import InputError
from rm_geo.grid import Grid
from rm_geo.io.features import FeatureTable, read_features, write_features
from rm_geo.io.gdal_environment import ALLOW_REMOTE, gdal_environment
from rm_geo.io.raster_reader import open_raster, read_raster
from rm_geo.measurements.reader import read_measurements
from rm_geo.planning.outlines import read_reduced
from rm_geo.sites.table import read_sites

GRID = Grid.create(500_000.0, 5_000_020.0, (20, 20), 1.0, "EPSG:32633")
SECRET = "root:x:0:0"


def sites_of(path):
    return read_sites(path, target_crs="EPSG:32633")


VECTOR_READERS = (read_measurements, sites_of, read_buildings, read_features)


@pytest.fixture
def listener():
    """A port that counts connections; nothing answers there."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        server.setblocking(False)
        yield server


def connections(server) -> int:
    """Count the connections that were made."""
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def address(server) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def vrt(source: str) -> str:
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{source}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )


@pytest.mark.parametrize("read", VECTOR_READERS)
@pytest.mark.parametrize(
    "name", ["drive.csv", "drive.gpkg", "drive.geojson", "drive.vrt", "drive.shp", "drive.tab"]
)
def test_a_virtual_data_source_is_refused_under_any_name(tmp_path, listener, read, name) -> None:
    secret = tmp_path / "passwd"
    secret.write_text(f"{SECRET}\n")
    for source in (f"/vsicurl/{address(listener)}/a.geojson", str(secret)):
        path = tmp_path / name
        path.write_text(f"<!-- a comment -->\n{vrt(source)}")
        for beside in (".shx", ".dbf"):
            path.with_suffix(beside).write_bytes(b"\x00" * 100)
        with pytest.raises(InputError) as caught:
            read(path)
        assert SECRET not in str(caught.value)
        assert str(path) in str(caught.value)
    assert connections(listener) == 0


POINT = {
    "type": "Feature",
    "properties": {"rsrp": -90},
    "geometry": {"type": "Point", "coordinates": [13.4, 52.5]},
}


@pytest.mark.parametrize("kind", ["link", "url", "Link"])
@pytest.mark.parametrize("read", VECTOR_READERS)
def test_a_crs_that_is_an_address_is_not_fetched(tmp_path, listener, kind, read) -> None:
    crs = {"type": kind, "properties": {"href": address(listener), "url": address(listener)}}
    path = tmp_path / "drive.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [POINT], "crs": crs}))
    with pytest.raises(InputError, match="CRS as an address"):
        read(path)
    hidden = path.read_text().replace('"crs"', '"\\u0063rs"')
    path.write_text(hidden)
    with pytest.raises(InputError, match="escaped ASCII letters"):
        read(path)
    assert connections(listener) == 0


def test_a_named_crs_and_properties_of_these_names_are_read(tmp_path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    points = [
        {**POINT, "properties": {"rsrp": -90 - k, "crs": "link", "note": "\u00e4 \\u"}}
        for k in range(3)
    ]
    path = tmp_path / "drive.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": points}))
    measurements, _ = read_measurements(path)
    assert measurements.x.size == 3


@pytest.mark.parametrize("name", ["drive.gdalg.json", "drive.geojson"])
def test_a_pipeline_is_refused(tmp_path, listener, name) -> None:
    command = f"gdal vector pipeline ! read /vsicurl/{address(listener)}/a.geojson"
    path = tmp_path / name
    path.write_text(json.dumps({"type": "gdal_streamed_alg", "command_line": command}, indent=1))
    with pytest.raises(InputError, match="virtual data source"):
        read_measurements(path)
    assert connections(listener) == 0


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.xml", "<OGRWFSDataSource><URL>{url}</URL></OGRWFSDataSource>", "virtual"),
        ("a.kml", '<!DOCTYPE kml [<!ENTITY a "b">]><kml>&a;</kml>', "entities"),
        ("a.svg", "<svg></svg>", "not read"),
        ("a.csv", "<kml></kml>", "Correct its extension"),
        ("a.tab", '!table\nDefinition Table\n"\\IsSeamless" = "TRUE"', "virtual"),
        ("a.zip", "PK\x03\x04", "cannot be unpacked"),
    ],
)
def test_other_texts_that_gdal_follows_are_refused(
    tmp_path, listener, name, text, complaint
) -> None:
    path = tmp_path / name
    path.write_text(text.replace("{url}", address(listener)))
    with pytest.raises(InputError, match=complaint):
        read_features(path)
    assert connections(listener) == 0


def geopackage(path: Path) -> Path:
    """Write a GeoPackage with one layer of a point and of a square."""
    shapes = np.array([shapely.Point(500_005, 5_000_005)], dtype=object)
    table = FeatureTable("drive", shapes, {"rsrp": np.array([-90.0])}, CRS(32633), "Point")
    return write_features(path, [table])


def altered(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path


def test_a_virtual_table_of_other_files_is_refused(tmp_path) -> None:
    path = geopackage(tmp_path / "drive.gpkg")
    definition = "CREATE VIRTUAL TABLE x USING VirtualOGR(''/etc/passwd'')"
    altered(
        path,
        "PRAGMA writable_schema = ON",
        f"INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, '{definition}')",
    )
    for read in VECTOR_READERS:
        with pytest.raises(InputError, match="virtual table"):
            read(path)


COUNTER = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0"
)


@pytest.mark.parametrize(
    ("view", "complaint"),
    [
        (COUNTER, "cannot be evaluated"),
        ("SELECT hex(zeroblob(500000000)) AS x", "cannot be evaluated"),
        ("SELECT gdal_get_pixel_value('/etc/passwd', 1, 'pixel', 0, 0)", "cannot be evaluated"),
    ],
)
def test_a_view_that_does_not_answer_is_refused(tmp_path, view, complaint) -> None:
    path = altered(geopackage(tmp_path / "drive.gpkg"), f"CREATE VIEW v AS {view}")
    with pytest.raises(InputError, match=complaint):
        read_measurements(path)


def test_tables_beside_a_harmless_view_are_read_and_the_view_is_not(tmp_path) -> None:
    path = altered(geopackage(tmp_path / "drive.gpkg"), "CREATE VIEW v AS SELECT * FROM drive")
    assert len(read_features(path, "drive")) == 1
    altered(
        path,
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
        "VALUES ('v', 'features', 'v', 32633)",
        "INSERT INTO gpkg_geometry_columns VALUES ('v', 'geom', 'POINT', 32633, 0, 0)",
    )
    with pytest.raises(InputError, match="is a view"):
        read_features(path, "v")


def test_a_computed_column_is_refused(tmp_path) -> None:
    path = geopackage(tmp_path / "drive.gpkg")
    altered(path, "ALTER TABLE drive ADD COLUMN big AS (hex(zeroblob(fid * 1000000)))")
    with pytest.raises(InputError, match="computed column"):
        read_measurements(path)


def plain_tiff(path: Path, **tags: str) -> Path:
    profile = {
        "driver": "GTiff",
        "width": 20,
        "height": 20,
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:32633",
        "transform": rasterio.transform.from_origin(500_000, 5_000_020, 1, 1),
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.ones((1, 20, 20), np.float32))
        if tags:
            dataset.update_tags(ns="OVERVIEWS", **tags)
    return path


RASTER_READERS = (
    read_raster,
    open_raster,
    lambda path: read_reduced(path, max_pixels=4),
    lambda path: open_buildings(path, GRID),
)


@pytest.mark.parametrize("read", RASTER_READERS)
@pytest.mark.parametrize("name", ["map.tif", "map.vrt", "map.xml"])
def test_a_virtual_raster_is_refused_under_any_name(tmp_path, listener, read, name) -> None:
    path = tmp_path / name
    for text in (
        f'<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>/vsicurl/{address(listener)}/a.tif</SourceFilename>"
        "</SimpleSource></VRTRasterBand></VRTDataset>",
        f'<GDAL_WMS><Service name="WMS"><ServerUrl>{address(listener)}</ServerUrl></Service>'
        "</GDAL_WMS>",
    ):
        path.write_text(text)
        with pytest.raises(InputError):
            read(path)
    assert connections(listener) == 0


def test_overviews_elsewhere_are_refused(tmp_path, listener) -> None:
    named = f"/vsicurl/{address(listener)}/overviews.tif"
    with pytest.raises(InputError, match="overviews"):
        read_raster(plain_tiff(tmp_path / "inside.tif", OVERVIEW_FILE=named))
    beside = plain_tiff(tmp_path / "beside.tif")
    beside.with_name("beside.tif.ovr").write_text("<VRTDataset></VRTDataset>")
    with pytest.raises(InputError, match="not a TIFF"):
        read_raster(beside)
    assert connections(listener) == 0


def test_allowed_files_may_name_others(tmp_path, monkeypatch) -> None:
    geopackage(tmp_path / "drive.gpkg")
    path = tmp_path / "drive.vrt"
    path.write_text(vrt(str(tmp_path / "drive.gpkg")).replace('"a"', '"drive"'))
    with pytest.raises(InputError, match="allow_remote"):
        read_features(path)
    with gdal_environment(allow_remote=True):
        assert len(read_features(path)) == 1
    monkeypatch.setenv(ALLOW_REMOTE, "1")
    assert len(read_features(path)) == 1


def test_a_file_named_like_a_service_is_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    geopackage(tmp_path / "drive.gpkg").rename("PG:host=127.0.0.1.gpkg")
    assert len(read_features(Path("PG:host=127.0.0.1.gpkg"))) == 1


def test_a_table_in_an_archive_is_checked_too(tmp_path) -> None:
    import zipfile

    path = tmp_path / "drive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("drive.geojson", vrt("/etc/passwd"))
    for read in VECTOR_READERS:
        with pytest.raises(InputError, match="virtual"):
            read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(geopackage(tmp_path / "drive.gpkg"), "folder/drive.gpkg")
    assert len(read_features(path)) == 1
