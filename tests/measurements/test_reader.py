"""Measurements are read from every format, and bad files end in one clear message."""

from __future__ import annotations

import gzip
import json
import sqlite3
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio.raw
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from rm_geo.errors import AreaTooLargeError, CrsError, RmGeoError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.tables.wkb import decode_points
from rm_geo.measurements.cleaning import DropReason
from rm_geo.measurements.reader import Measurements, read_measurements
from rm_geo.raster.tile_limit import check_area

LON = np.array([13.40, 13.41, 13.42, 13.40])
LAT = np.array([52.52, 52.52, 52.53, 52.52])
RSRP = np.array([-80.0, -90.5, -100.0, -81.0])
PCI = np.array([40, 7, 7, 40])
FORMATS = ("shp", "gpkg", "geojson", "fgb", "parquet", "csv", "csv.gz", "tsv")


def write(
    path: Path,
    *,
    lon=LON,
    lat=LAT,
    crs: str | None = "EPSG:4326",
    layer: str | None = None,
    geometry=None,
    kind: str = "Point",
    append: bool = False,
    **columns: np.ndarray,
) -> Path:
    """Write a small drive test in the format of the extension."""
    data = columns or {"rsrp": RSRP, "pci": PCI}
    name = path.name
    if name.endswith((".csv", ".csv.gz", ".tsv")):
        tab = "\t" if name.endswith(".tsv") else ","
        lines = [tab.join(["longitude", "latitude", *data])]
        lines += [tab.join(map(str, row)) for row in zip(lon, lat, *data.values(), strict=True)]
        text = "\n".join(lines) + "\n"
        path.write_bytes(
            gzip.compress(text.encode(), mtime=0) if name.endswith("gz") else text.encode()
        )
        return path
    wkb = shapely.to_wkb(shapely.points(lon, lat) if geometry is None else geometry)
    if name.endswith(".parquet"):
        geo = {
            "version": "1.0.0",
            "primary_column": "geometry",
            "columns": {
                "geometry": {
                    "encoding": "WKB",
                    "geometry_types": [],
                    "crs": None if crs is None else CRS.from_user_input(crs).to_json_dict(),
                }
            },
        }
        table = pa.table({**data, "geometry": pa.array(wkb, pa.binary())})
        table = table.replace_schema_metadata({"geo": json.dumps(geo)})
        pq.write_table(table, path)
        return path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a missing CRS is meant here
        _write_with_ogr(path, wkb, data, crs, kind, layer, append)
    return path


def _write_with_ogr(path, wkb, data, crs, kind, layer, append) -> None:
    pyogrio.raw.write(
        path,
        geometry=wkb,
        field_data=[np.asarray(values) for values in data.values()],
        fields=list(data),
        crs=crs,
        geometry_type=kind,
        layer=layer,
        append=append,
    )


def message_of(path: Path, **options: object) -> str:
    """The message that a bad file ends in: it names the file."""
    with pytest.raises(RmGeoError) as caught:
        read_measurements(path, **options)  # type: ignore[arg-type]
    assert path.name.split(".")[0] in str(caught.value)
    return str(caught.value)


# --- every format -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_measurements(tmp_path: Path, suffix: str) -> None:
    measurements, report = read_measurements(write(tmp_path / f"drive.{suffix}"))
    # FlatGeobuf sorts its rows by place; the levels tell them apart.
    measurements = measurements.select([[*measurements.rsrp_dbm].index(level) for level in RSRP])
    x, y = Transformer.from_crs(4326, 32633, always_xy=True).transform(LON, LAT)
    np.testing.assert_allclose(measurements.x, x, atol=1e-4)
    np.testing.assert_allclose(measurements.y, y, atol=1e-4)
    np.testing.assert_array_equal(measurements.rsrp_dbm, RSRP.astype(np.float32))
    assert measurements.rsrp_dbm.dtype == np.float32
    assert measurements.crs.to_epsg() == 32633
    assert measurements.cell.tolist() == ["40", "7", "7", "40"]
    assert (report.total, report.kept, report.dropped) == (4, 4, {})
    assert report.repeated_positions == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("semicolon and decimal comma", "lon;lat;rsrp\n13,4;52,52;-80,5\n13,5;52,5;-90\n"),
        ("quoted decimal comma", 'lon,lat,rsrp\n"13,4","52,52","-80,5"\n13.5,52.5,-90\n'),
        ("tab", "lon\tlat\trsrp\n13.4\t52.52\t-80.5\n13.5\t52.5\t-90\n"),
        ("bar", "lon|lat|rsrp\n13.4|52.52|-80.5\n13.5|52.5|-90\n"),
        ("byte-order mark", "\ufefflon,lat,rsrp\n13.4,52.52,-80.5\n13.5,52.5,-90\n"),
        ("carriage returns", "lon,lat,rsrp\r\n13.4,52.52,-80.5\r\n13.5,52.5,-90\r\n"),
        ("Excel's preamble", "sep=;\nlon;lat;rsrp\n13.4;52.52;-80.5\n13.5;52.5;-90\n"),
        ("comments", "# made by a logger\n\nlon,lat,rsrp\n13.4,52.52,-80.5\n13.5,52.5,-90\n"),
        ("units in values", "lon,lat,RSRP\n13.4,52.52,-80.5 dBm\n13.5,52.5,-90dBm\n"),
        ("unit in the name", "lon,lat,RSRP (dBm)\n13.4,52.52,-80.5\n13.5,52.5,-90\n"),
        ("minus sign", "lon,lat,rsrp\n13.4,52.52,\u221280.5\n13.5,52.5,\u221290\n"),
        ("column twice", "lon,lat,note,note,rsrp\n13.4,52.52,a,b,-80.5\n13.5,52.5,,,-90\n"),
        ("trailing separator", "lon,lat,rsrp,\n13.4,52.52,-80.5,\n13.5,52.5,-90,\n"),
    ],
)
def test_dialects_of_delimited_text(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "drive.csv"
    path.write_text(text, encoding="utf-8", newline="")
    measurements, _ = read_measurements(path)
    assert measurements.rsrp_dbm.tolist() == [-80.5, -90.0], name


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8"])
def test_text_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("lon,lat,rsrp,cell\n13.4,52.52,-80,Zürich\n", encoding=encoding)
    assert read_measurements(path)[0].cell.tolist() == ["Zürich"]


def test_late_undecodable_byte_does_not_stop_reading(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    rows = "13.4,52.52,-80,plain\n" * 5000
    path.write_bytes(f"lon,lat,rsrp,cell\n{rows}".encode() + b"13.4,52.52,-80,Z\xfcrich\n")
    assert read_measurements(path)[0].cell[-1] == "Zürich"


def test_rows_of_another_length_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("lon,lat,rsrp\n13.4,52.5,-80\n13.4,52.5\n13.4,52.5,-80,1,2\n")
    measurements, report = read_measurements(path)
    assert len(measurements) == 1
    assert report.total == 3
    assert report.dropped == {DropReason.MALFORMED: 2}


def test_format_is_detected_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "drive.parquet")
    assert len(read_measurements(path.rename(tmp_path / "drive.csv"))[0]) == 4
    path = write(tmp_path / "drive.fgb")
    assert "is a FlatGeobuf, not text" in message_of(path.rename(tmp_path / "other.csv"))


@pytest.mark.parametrize("suffix", ["gpkg", "parquet"])
def test_multipoints_become_points(tmp_path: Path, suffix: str) -> None:
    shapes = [
        shapely.MultiPoint([(13.40, 52.52), (13.41, 52.52)]),
        shapely.Point(13.42, 52.53),
        shapely.MultiPoint([(13.43, 52.53)]),
    ]
    path = write(
        tmp_path / f"m.{suffix}", geometry=shapes, kind="Unknown", rsrp=RSRP[:3], pci=PCI[:3]
    )
    measurements, report = read_measurements(path)
    assert measurements.rsrp_dbm.tolist() == [-80.0, -80.0, -90.5, -100.0]
    assert "2 multipoints became 3 points" in " ".join(report.notes)


def test_lines_among_points_are_dropped_and_counted(tmp_path: Path) -> None:
    shapes = [shapely.Point(13.4, 52.5), shapely.LineString([(13, 52), (14, 53)]), None]
    path = write(tmp_path / "m.gpkg", geometry=shapes, kind="Unknown", rsrp=RSRP[:3])
    measurements, report = read_measurements(path)
    assert len(measurements) == 1
    assert report.dropped == {DropReason.NOT_A_POINT: 1, DropReason.NO_POSITION: 1}
    assert report.total == 3


def test_parquet_without_geometry_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"lon": LON, "lat": LAT, "ssRsrp": RSRP.astype(np.int32)}), path)
    measurements, _ = read_measurements(path)
    assert len(measurements) == 4
    assert measurements.crs.to_epsg() == 32633


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.floats(-180, 180), st.floats(-90, 90)),
            st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=3),
        ),
        max_size=20,
    ),
    big_endian=st.booleans(),
    offset=st.integers(0, 3),
)
def test_wkb_decodes_to_what_was_encoded(rows, big_endian, offset) -> None:
    shapes, expected = [], []
    for row in rows:
        if row is None:
            shapes.append(None)
            expected.append((np.nan, np.nan))
        elif isinstance(row, tuple):
            shapes.append(shapely.Point(row))
            expected.append(row)
        else:
            shapes.append(shapely.MultiPoint(row))
            expected += row
    wkb = [
        None if s is None else shapely.to_wkb(s, byte_order=0 if big_endian else 1) for s in shapes
    ]
    # A slice that does not start at the buffer's first byte.
    padding = [shapely.to_wkb(shapely.Point(7, 7))] * offset
    column = pa.chunked_array([pa.array(padding + wkb, pa.binary())[offset:]])
    points = decode_points(column, "f")
    np.testing.assert_array_equal(
        np.column_stack([points.x, points.y]), np.array(expected).reshape(-1, 2)
    )


def test_wkb_with_heights_and_srid() -> None:
    shapes = [
        shapely.to_wkb(shapely.Point(1, 2, 3), output_dimension=3),
        shapely.to_wkb(shapely.set_srid(shapely.Point(4, 5), 4326), include_srid=True),
        shapely.to_wkb(shapely.Point(1, 2, 3), output_dimension=3, flavor="iso"),
        shapely.to_wkb(shapely.Point()),
    ]
    points = decode_points(pa.chunked_array([pa.array(shapes, pa.binary())]), "f")
    np.testing.assert_array_equal(points.x, [1, 4, 1, np.nan])
    np.testing.assert_array_equal(points.y, [2, 5, 2, np.nan])


# --- columns, values --------------------------------------------------------------------


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", a=RSRP, rsrp=RSRP - 5, b=np.array(["u", "v", "w", "x"]))
    measurements, report = read_measurements(path, rsrp_column="a", cell_column="b")
    np.testing.assert_array_equal(measurements.rsrp_dbm, RSRP.astype(np.float32))
    assert measurements.cell.tolist() == ["u", "v", "w", "x"]
    assert report.columns == {"RSRP": "a", "cell": "b"}


def test_a_cell_number_stored_as_a_float_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", rsrp=RSRP, PCI=np.array([40.0, np.nan, 7.0, 40.0]))
    measurements, _ = read_measurements(path)
    assert measurements.cell.tolist() == ["40", None, "7", "40"]
    assert {k: len(v) for k, v in measurements.by_cell().items()} == {"40": 2, "7": 1, "unknown": 1}


def test_times_and_channels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(
        "lon,lat,rsrp,timestamp,earfcn\n"
        "13.4,52.5,-80,2024-05-01T10:00:00Z,1300\n13.4,52.5,-80,2024-05-01T10:00:00Z,\n"
    )
    measurements, report = read_measurements(path)
    assert measurements.time is not None
    assert measurements.time[0] == np.datetime64("2024-05-01T10:00:00", "ms")
    np.testing.assert_array_equal(measurements.earfcn, [1300, np.nan])
    assert report.repeated_rows == 1


@pytest.mark.parametrize("stamp", ["1714557600", "1714557600000", "2024-05-01 10:00:00"])
def test_times_in_other_notations(tmp_path: Path, stamp: str) -> None:
    path = tmp_path / "d.parquet"
    value = int(stamp) if stamp.isdigit() else stamp
    pq.write_table(pa.table({"lon": [13.4], "lat": [52.5], "rsrp": [-80], "time": [value]}), path)
    time = read_measurements(path)[0].time
    assert time is not None
    assert time[0] == np.datetime64("2024-05-01T10:00:00", "ms")


def test_unreadable_times_are_dropped_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("lon,lat,rsrp,time\n13.4,52.5,-80,half past nine\n")
    measurements, report = read_measurements(path)
    assert measurements.time is None
    assert "'time'" in " ".join(report.notes)


def test_few_texts_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("lon,lat,rsrp\n" + "13.4,52.5,-80\n" * 99 + "13.4,52.5,oops\n13.4,52.5,n/a\n")
    measurements, report = read_measurements(path)
    assert len(measurements) == 99
    assert report.dropped == {DropReason.TEXT_RSRP: 1, DropReason.NO_RSRP: 1}


def test_column_of_text_is_an_error_with_examples(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("lon,lat,rsrp\n13.4,52.5,-80\n13.4,52.5,weak\n13.4,52.5,strong\n")
    text = message_of(path)
    assert "2 of 3 values" in text
    assert "'weak'" in text


def test_rows_outside_the_bounding_box_are_not_read(tmp_path: Path) -> None:
    for suffix in ("gpkg", "parquet", "csv"):
        path = write(tmp_path / f"drive.{suffix}")
        measurements, report = read_measurements(path, bounds=(13.39, 52.51, 13.405, 52.525))
        assert measurements.cell.tolist() == ["40", "40"]
        assert report.total == 2
        assert "bounding box" in message_of(path, bounds=(0, 0, 1, 1))


# --- CRS --------------------------------------------------------------------------------


def test_crs_with_true_metres_is_kept(tmp_path: Path) -> None:
    x, y = np.array([400_000.0, 400_010.0]), np.array([5_800_000.0, 5_800_010.0])
    path = write(tmp_path / "d.gpkg", lon=x, lat=y, crs="EPSG:25833", rsrp=RSRP[:2])
    measurements, report = read_measurements(path)
    np.testing.assert_array_equal(measurements.x, x)
    assert measurements.crs.to_epsg() == 25833
    assert report.warnings == ()


@pytest.mark.parametrize("epsg", [3857, 2263])
def test_crs_with_distorted_metres_is_reprojected(tmp_path: Path, epsg: int) -> None:
    lon, lat = np.array([-74.000, -73.999]), np.array([40.700, 40.700])
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    path = write(tmp_path / "d.gpkg", lon=x, lat=y, crs=f"EPSG:{epsg}", rsrp=RSRP[:2])
    measurements, report = read_measurements(path)
    assert measurements.crs.to_epsg() == 32618
    true_m = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])[2]
    assert np.hypot(*np.diff([measurements.x, measurements.y]).ravel()) == pytest.approx(
        true_m, rel=1e-3
    )
    assert bool(report.warnings) == (epsg == 3857)


@settings(max_examples=30, deadline=None)
@given(lon=st.floats(-180, 180), lat=st.floats(-89.9, 89.9))
def test_distances_are_true_anywhere_on_earth(tmp_path_factory, lon: float, lat: float) -> None:
    # A hundred metres to the south, and to the east across whatever is there.
    geod = Geod(ellps="WGS84")
    lons, lats, _ = geod.fwd([lon] * 3, [lat] * 3, [0.0, 180.0, 90.0], [0.0, 100.0, 100.0])
    path = tmp_path_factory.mktemp("p") / "d.parquet"
    pq.write_table(pa.table({"lon": lons, "lat": lats, "rsrp": [-80, -81, -82]}), path)
    if abs(lons[0]) < 1e-9 and abs(lats[0]) < 1e-9:
        return
    m, _ = read_measurements(path)
    for other in (1, 2):
        distance = np.hypot(m.x[other] - m.x[0], m.y[other] - m.y[0])
        assert distance == pytest.approx(100.0, rel=0.01)


def test_no_crs_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    for suffix in ("gpkg", "parquet", "shp"):
        path = write(tmp_path / f"bare.{suffix}", crs=None)
        assert "`crs`" in message_of(path)
        assert read_measurements(path, crs=4326)[0].crs.to_epsg() == 32633


@pytest.mark.parametrize("suffix", ["gpkg", "parquet", "shp"])
def test_crs_of_the_file_has_precedence_over_the_option(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"d.{suffix}")
    plain, plain_report = read_measurements(path)
    declared, report = read_measurements(path, crs="EPSG:4258")
    assert declared.crs == plain.crs
    assert declared.x.tolist() == plain.x.tolist()
    assert not plain_report.warnings
    (warning,) = report.warnings
    assert "`crs`" in warning


def test_geoparquet_without_the_key_is_wgs84(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet")
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    del geo["columns"]["geometry"]["crs"]
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    assert read_measurements(path)[0].crs.to_epsg() == 32633


def test_invalid_crs_can_be_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet")
    table = pq.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"] = {"type": "Nonsense"}
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    assert "not valid" in message_of(path)
    assert "`crs`" in message_of(path)
    assert read_measurements(path, crs=4326)[0].crs.to_epsg() == 32633


def test_x_and_y_in_text_need_a_crs(tmp_path: Path) -> None:
    path = tmp_path / "local.csv"
    path.write_text("x,y,rsrp\n400000,5800000,-80\n")
    assert "`crs`" in message_of(path)
    assert read_measurements(path, crs="EPSG:32633")[0].x.tolist() == [400_000.0]


def test_a_crs_without_a_place_on_earth_is_an_error(tmp_path: Path) -> None:
    local = (
        'LOCAL_CS["site grid",LOCAL_DATUM["d",0],UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    )
    path = write(tmp_path / "local.gpkg", lon=LON * 10, lat=LAT * 10, crs=local)
    with pytest.raises(CrsError, match="`crs`"):
        read_measurements(path)


def test_metres_in_a_geographic_crs_are_detected(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.gpkg", lon=LON * 1e5, lat=LAT * 1e5)
    assert "not degrees" in message_of(path)


def test_degrees_in_a_projected_crs_are_detected(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.gpkg", crs="EPSG:32633")
    assert "look like degrees" in message_of(path)


def test_target_crs_must_have_metres(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg")
    assert read_measurements(path, target_crs=25832)[0].crs.to_epsg() == 25832
    with pytest.raises(CrsError, match="metres"):
        read_measurements(path, target_crs=4326)
    with pytest.raises(CrsError, match="not a CRS"):
        read_measurements(path, crs="EPSG:banana")


def test_vertical_part_of_a_crs_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", crs="EPSG:4979")
    assert read_measurements(path)[0].crs.to_epsg() == 32633


# --- bad files --------------------------------------------------------------------------


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "does not exist" in message_of(tmp_path / "nowhere.shp")


def test_folder_error_names_its_readable_files(tmp_path: Path) -> None:
    write(tmp_path / "drive.gpkg")
    assert "drive.gpkg" in message_of(tmp_path)


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert "0 bytes" in message_of(tmp_path / "empty.csv")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG image"),
        ("letter.docx.gpkg", b"not a database at all, only words", "format"),
        ("noise.csv", bytes(range(256)) * 4, "not text"),
        ("noise.parquet", b"nothing of parquet in here", "not a Parquet file"),
        ("cut.parquet", b"PAR1" + bytes(200), "cannot be read as Parquet"),
        ("cut.csv.gz", gzip.compress(b"lon,lat,rsrp\n" * 999, mtime=0)[:-20], "decompress"),
        ("words.json", b'{"type": "FeatureCollection", "features": [', "cut short"),
        ("numbers.csv", b"13.4,52.5,-80\n13.4,52.5,-81\n", "no header"),
        ("alone.csv", b"lon,lat,rsrp\n", "no rows"),
        ("bare.csv", b"lon,lat,rsrp", "no rows"),
    ],
)
def test_unsupported_files_are_errors(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert says in message_of(path)


@pytest.mark.parametrize("suffix", ["shp", "gpkg", "fgb", "parquet", "geojson"])
def test_truncated_file_is_an_error_or_read_completely(tmp_path: Path, suffix: str) -> None:
    count = 400
    lon = 13.4 + np.arange(count) * 1e-5
    path = write(
        tmp_path / f"drive.{suffix}", lon=lon, lat=np.full(count, 52.5), rsrp=np.full(count, -80.5)
    )
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        message_of(path)


@pytest.mark.parametrize("lost", [".shx", ".dbf"])
def test_shapefile_without_sidecars_is_an_error(tmp_path: Path, lost: str) -> None:
    path = write(tmp_path / "drive.shp")
    path.with_suffix(lost).unlink()
    assert f"drive{lost}" in message_of(path)


@pytest.mark.parametrize("cut", [".shx", ".dbf"])
def test_shapefile_with_a_truncated_sidecar_is_an_error(tmp_path: Path, cut: str) -> None:
    path = write(tmp_path / "drive.shp")
    sidecar = path.with_suffix(cut)
    sidecar.write_bytes(sidecar.read_bytes()[:-10])
    assert "cut short" in message_of(path)


def test_lines_and_polygons_are_an_error(tmp_path: Path) -> None:
    line = shapely.LineString([(13, 52), (14, 53)])
    for suffix in ("gpkg", "parquet", "shp"):
        path = write(
            tmp_path / f"roads.{suffix}", geometry=[line], kind="LineString", rsrp=RSRP[:1]
        )
        assert "LineString geometries, not points" in message_of(path)


def test_layer_without_geometry_needs_coordinate_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "table.gpkg")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (fid INTEGER PRIMARY KEY, rsrp REAL)")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('notes', 'attributes', 'notes')"
        )
    database.close()
    assert "no geometry" in message_of(path, layer="notes")
    assert len(read_measurements(path)[0]) == 4


def test_several_layers_are_an_error_that_lists_them(tmp_path: Path) -> None:
    path = write(tmp_path / "many.gpkg", layer="monday")
    line = shapely.LineString([(13, 52), (14, 53)])
    write(
        path, layer="roads", geometry=[line], kind="LineString", append=True, name=np.array([1.0])
    )
    assert len(read_measurements(path)[0]) == 4
    write(path, layer="tuesday", append=True)
    text = message_of(path)
    assert "`layer`" in text
    assert "'monday'" in text
    assert len(read_measurements(path, layer="tuesday")[0]) == 4
    with pytest.raises(UsageError, match="no layer 'sunday'"):
        read_measurements(path, layer="sunday")
    with pytest.raises(UsageError, match="no layers"):
        read_measurements(write(tmp_path / "flat.csv"), layer="sunday")


def test_missing_rsrp_column_is_an_error_that_lists_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", rsrq=RSRP, sinr=RSRP)
    assert "'rsrq', 'sinr'" in message_of(path)


def test_two_rsrp_columns_are_an_error_that_lists_them(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", lte_rsrp=RSRP, nr_ss_rsrp=RSRP)
    assert "`rsrp_column`" in message_of(path)
    assert len(read_measurements(path, rsrp_column="lte_rsrp")[0]) == 4


def test_a_named_column_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg")
    for option in ("rsrp_column", "cell_column", "time_column"):
        with pytest.raises(UsageError, match="no column 'nope'"):
            read_measurements(path, **{option: "nope"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="go together"):
        read_measurements(path, x_column="rsrp")


def test_empty_layer_is_an_error(tmp_path: Path) -> None:
    for suffix in ("gpkg", "parquet", "geojson"):
        path = write(tmp_path / f"none.{suffix}", lon=[], lat=[], rsrp=np.array([], float))
        message_of(path)


def test_error_without_valid_rows_lists_the_reasons(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", rsrp=np.array([-200.0, np.nan, 0.0, np.inf]))
    text = message_of(path)
    assert "None of the 4 rows" in text
    assert "1 without an RSRP" in text
    path = write(tmp_path / "z.csv", lon=np.zeros(4), lat=np.zeros(4))
    assert "4 at position (0, 0)" in message_of(path)


def test_one_point_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "d.gpkg", lon=LON[:1], lat=LAT[:1], rsrp=RSRP[:1])
    assert len(read_measurements(path)[0]) == 1


def test_text_in_another_encoding_than_declared_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "d.shp", rsrp=RSRP, cell=np.array(["aaaaaa"] * 4, dtype=object))
    dbf = path.with_suffix(".dbf")
    dbf.write_bytes(dbf.read_bytes().replace(b"aaaaaa", b"Z\xfcrich"))
    assert ".cpg" in message_of(path)
    path.with_suffix(".cpg").write_text("ISO-8859-1")
    assert read_measurements(path)[0].cell[0] == "Zürich"


# --- cells ------------------------------------------------------------------------------


def measurements(cell: list[str | None], earfcn: list[float] | None = None) -> Measurements:
    count = len(cell)
    return Measurements(
        x=np.arange(count, dtype=np.float64),
        y=np.zeros(count),
        rsrp_dbm=np.full(count, -80, dtype=np.float32),
        cell=np.array([*cell, None], dtype=object)[:-1],
        crs=CRS.from_epsg(32633),
        earfcn=None if earfcn is None else np.array(earfcn, dtype=np.float64),
    )


@settings(max_examples=50, deadline=None)
@given(
    cells=st.lists(st.one_of(st.none(), st.sampled_from(["a", "A", "b/c", "..", "7"])), max_size=30)
)
def test_split_by_cell_is_a_partition(cells: list[str | None]) -> None:
    split = measurements(cells).by_cell()
    assert sorted(x for part in split.values() for x in part.x) == list(range(len(cells)))
    for part in split.values():
        assert len(set(part.cell)) == 1
        assert (np.diff(part.x) > 0).all()
    sizes = [len(part) for part in split.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_one_identity_on_two_carriers_is_two_cells() -> None:
    nan = float("nan")
    split = measurements(["40", "40", "40", "7", "7"], [1300, 6300, nan, 1300, nan]).by_cell()
    assert {name: len(part) for name, part in split.items()} == {
        "7": 2,
        "40": 1,
        "40_earfcn1300": 1,
        "40_earfcn6300": 1,
    }


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        Measurements(
            np.zeros(2),
            np.zeros(3),
            np.zeros(2, np.float32),
            np.array([None, None]),
            CRS.from_epsg(32633),
        )


# --- area -------------------------------------------------------------------------------


def far_apart(distance_m: float) -> Measurements:
    pair = measurements([None, None])
    return Measurements(
        np.array([0.0, distance_m]),
        np.array([0.0, 300.0]),
        pair.rsrp_dbm,
        pair.cell,
        pair.crs,
        source=Path("drive.csv"),
    )


def test_too_large_area_is_refused_with_its_size() -> None:
    with pytest.raises(AreaTooLargeError) as caught:
        check_area(far_apart(400_000.0), max_tiles=1000)
    assert "400.0 km x 0.3 km" in str(caught.value)
    assert "3,572 tiles" in str(caught.value)
    assert "drive.csv" in str(caught.value)
    assert "`max_tiles`" in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    distance_m=st.floats(0, 3000),
    size=st.integers(8, 256),
    share=st.floats(0, 0.9),
    spacing_m=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_tile_count_equals_number_of_tiles(distance_m, size, share, spacing_m) -> None:
    overlap = int(share * size)
    points = far_apart(distance_m)
    grid = Grid.covering(points.x, points.y, points.crs, spacing_m=spacing_m)
    counted = check_area(grid, max_tiles=10**9, tile_size=size, overlap=overlap)
    assert counted == len(grid.tiles(size, overlap))


# --- a real drive test ------------------------------------------------------------------


def test_reading_the_duke_campus_log(shared_data: Path) -> None:
    measurements, report = read_measurements(
        shared_data / "duke_cbrs" / "measurements.shp", cell_column="pci"
    )
    assert report.total == report.kept == 1175
    by_cell = measurements.by_cell()
    assert {k: len(v) for k, v in list(by_cell.items())[:4]} == {
        "7": 384,
        "40": 310,
        "20": 249,
        "6": 204,
    }
    west, south, east, north = measurements.bounds
    assert (east - west, north - south) == pytest.approx((250, 490), abs=5)
