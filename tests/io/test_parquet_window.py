"""A bounding box reads only what it must, and finds what reading everything finds."""

import tracemalloc
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from shapely import MultiPoint, Point

from rm_geo.io.tables import Request, open_source, parquet_window
from rm_geo.measurements.reader import read_measurements

ROWS = 600


def drive():
    """Points in the order of a route from west to east, so that row groups are places."""
    rng = np.random.default_rng(0)
    lon = np.sort(rng.uniform(13.0, 14.0, ROWS))
    lat = rng.uniform(52.0, 53.0, ROWS)
    shapes = [Point(a, b) for a, b in zip(lon, lat, strict=True)]
    shapes[5] = None
    shapes[7] = MultiPoint([(lon[7], lat[7]), (13.95, 52.5)])
    return gpd.GeoDataFrame({"rsrp": np.arange(ROWS) % 60 - 120.0}, geometry=shapes, crs=4326)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parquet")
    frame = drive()
    frame.to_parquet(folder / "plain.parquet", row_group_size=50)
    frame.to_parquet(folder / "covering.parquet", row_group_size=50, write_covering_bbox=True)
    points = frame[frame.geometry.geom_type == "Point"]
    points.to_parquet(
        folder / "native.parquet",
        row_group_size=50,
        geometry_encoding="geoarrow",
        schema_version="1.1.0",
    )
    return folder


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["plain", "covering", "native"]), st.floats(13.0, 13.9), st.floats(0.05, 0.6)
)
def test_row_group_filter_finds_the_rows_of_a_full_read(files, kind, west, width) -> None:
    path = files / f"{kind}.parquet"
    bounds = (west, 52.2, west + width, 52.9)
    everything, _ = read_measurements(path, target_crs=32633)
    inside, report = read_measurements(path, bounds=bounds, target_crs=32633)
    assert report.total < ROWS
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(32633, 4326, always_xy=True).transform(
        everything.x, everything.y
    )
    near = 1e-7
    # Whether a row on an edge is inside depends on the last digits of its reprojection.
    assume(min(np.abs(lon - edge).min() for edge in bounds[::2]) > near)
    kept = (lon > bounds[0] - near) & (lon < bounds[2] + near) & (lat > 52.2) & (lat < 52.9)
    np.testing.assert_allclose(np.sort(inside.x), np.sort(everything.x[kept]), atol=1e-3)


@pytest.mark.parametrize("kind", ["covering", "native"])
def test_row_groups_outside_are_not_read(files, kind, monkeypatch) -> None:
    chosen = []
    original = parquet_window.groups_inside

    def watched(*arguments):
        chosen.append(original(*arguments))
        return chosen[-1]

    monkeypatch.setattr("rm_geo.io.tables.geoparquet.groups_inside", watched)
    read_measurements(files / f"{kind}.parquet", bounds=(13.4, 52.0, 13.5, 53.0))
    groups = pq.ParquetFile(files / f"{kind}.parquet").num_row_groups
    assert groups == 12
    # The multipoint reaches across the map, so that its group is read as well.
    assert 1 <= len(chosen[0]) <= 4


def test_window_without_row_groups_is_empty(files) -> None:
    source = open_source(files / "covering.parquet")
    assert list(source.chunks(Request(["rsrp"], bounds=(0.0, 0.0, 1.0, 1.0)))) == []


def test_plain_columns_of_coordinates_skip_row_groups_too(tmp_path, monkeypatch) -> None:
    lon, lat = np.linspace(13.0, 14.0, ROWS), np.full(ROWS, 52.5)
    read = []
    original = parquet_window.read_groups
    monkeypatch.setattr(
        "rm_geo.io.tables.geoparquet.read_groups",
        lambda file, columns, groups, rows: (
            read.append(groups) or original(file, columns, groups, rows)
        ),
    )
    for name, kind in (("number", float), ("text", str)):
        table = pa.table({"lon": lon.astype(kind), "lat": lat.astype(kind), "rsrp": lat - 150})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=50)
        inside, _ = read_measurements(tmp_path / f"{name}.parquet", bounds=(13.4, 52, 13.5, 53))
        assert len(inside) == np.count_nonzero((lon >= 13.4) & (lon <= 13.5))
    assert len(read[0]) <= 3
    assert len(read[1]) == 12  # text is ordered otherwise than numbers


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for the memory")
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_small_box_of_a_large_file_takes_little_memory(tmp_path, kind) -> None:
    rows = 600_000
    table = pa.table(
        {
            "lon": np.linspace(13.0, 14.0, rows),
            "lat": np.full(rows, 52.5),
            "rsrp": np.full(rows, -90.0),
            "pci": np.arange(rows) % 7,
        }
    )
    path = tmp_path / f"large.{kind}"
    if kind == "csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=20_000)
    # Allocations of numpy alone: Arrow's own pool is asked for its peak.
    before = pa.default_memory_pool().bytes_allocated()
    tracemalloc.start()
    inside, _ = read_measurements(path, bounds=(13.5, 52.0, 13.501, 53.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 500 < len(inside) < 700
    assert peak < 20 * rows  # a column of float64 has 8 bytes a row, the whole table 40
    assert pa.default_memory_pool().bytes_allocated() - before < 1_000_000
