"""STAC items: where and when a cell was mapped, in a form that catalogues read."""

import json
from datetime import datetime, timezone

import numpy as np
import pystac
import pytest
from pyproj import CRS
from shapely.geometry import box, shape

from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.products.stac import MeasuringTime, write_item

GRID = Grid.create(500_000, 5_400_000, (40, 60), 2.0, 32633)
NOON = datetime(2024, 5, 14, 12, tzinfo=timezone.utc)


def points(time=None, source=None):
    steps = np.arange(0.0, 60.0)
    return Measurements(
        x=500_000.0 + steps,
        y=5_400_000.0 + steps,
        rsrp_dbm=(-80.0 - steps / 3).astype(np.float32),
        cell=np.array(["7"] * steps.size, dtype=object),
        crs=CRS.from_epsg(32633),
        time=time,
        source=source,
    )


def item_of(tmp_path, grid=GRID, files=("7_rsrp.tif",), time=None):
    time = time or MeasuringTime(NOON, NOON)
    write_item(tmp_path / "7.stac.json", "7", grid, files, {"method": "knn"}, time)
    return pystac.Item.from_file(str(tmp_path / "7.stac.json"))


def test_footprint_is_the_grid_in_degrees(tmp_path):
    item = item_of(tmp_path)
    outline = shape(item.geometry)
    assert outline.is_valid
    assert outline.exterior.is_ccw
    assert outline.bounds == pytest.approx(item.bbox)
    # At the central meridian of zone 33, 500 km east, 15 degrees.
    assert item.bbox[0] == pytest.approx(15.0, abs=1e-6)
    assert outline.area == pytest.approx(box(*item.bbox).area, rel=0.01)
    assert item.properties["proj:code"] == "EPSG:32633"
    assert item.properties["proj:shape"] == [40, 60]
    assert item.properties["proj:transform"][:6] == list(GRID.transform)[:6]


def test_only_files_that_exist_are_assets(tmp_path):
    item = item_of(tmp_path, files=("7_rsrp.tif", "7_preview.png"))
    assert set(item.assets) == {"rsrp", "preview"}
    band = item.assets["rsrp"].extra_fields["bands"][0]
    assert (band["unit"], band["nodata"]) == ("dBm", -9999.0)


def test_item_has_the_time_range_of_the_drive(tmp_path):
    start = np.datetime64("2024-05-14T09:00:00", "ms")
    time = start + np.arange(60) * np.timedelta64(1000, "ms")
    time[3] = np.datetime64("NaT")
    item = item_of(tmp_path, time=MeasuringTime.of(points(time)))
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2024-05-14T09:00:00Z"
    assert item.properties["end_datetime"] == "2024-05-14T09:00:59Z"


def test_file_time_is_used_without_measurement_times(tmp_path):
    source = tmp_path / "drive.csv"
    source.write_text("x")
    stamp = datetime.fromtimestamp(int(source.stat().st_mtime), timezone.utc)
    assert MeasuringTime.of(points(source=source)) == MeasuringTime(stamp, stamp)
    assert MeasuringTime.of(points(), fallback=NOON) == MeasuringTime(NOON, NOON)


def test_predict_writes_an_item_with_its_files(tmp_path):
    options = PredictOptions(method="knn", stac=True, reach_m=20.0)
    (result,) = predict(points(), tmp_path, options)
    item = pystac.Item.from_file(str(tmp_path / "7.stac.json"))
    assert "7.stac.json" in result.files
    for asset in item.assets.values():
        assert (tmp_path / asset.href).is_file()
    named = {asset.href.removeprefix("./") for asset in item.assets.values()}
    assert named == set(result.files) - {"7.stac.json"}
    raw = json.loads((tmp_path / "7.stac.json").read_text("utf-8"))
    assert raw["properties"]["rm_geo:method"] == "knn"
    assert not any(link["rel"] == "self" for link in raw["links"])
