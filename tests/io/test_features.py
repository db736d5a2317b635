"""Tables of features: written complete, read back by another reader, refused where open."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
import shapely
from pyproj import CRS

from rm_geo.errors import DependencyError, OutputError
from rm_geo.io.features import FeatureTable, write_features


def table(name="areas", count=3):
    boxes = np.array([shapely.box(i, 0, i + 1, 2) for i in range(count)], dtype=object)
    return FeatureTable(
        name,
        boxes,
        {
            "area_m2": np.full(count, 2.0),
            "cell": np.array([f"c{i}" for i in range(count)], dtype=object),
            "rank": np.arange(count),
            "mean_dbm": np.where(np.arange(count) == 1, np.nan, -90.0),
        },
        CRS(32633),
        metadata={"definition": "squares"},
    )


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.fgb", "a.shp"])
def test_features_are_read_back(tmp_path, name):
    geopandas = pytest.importorskip("geopandas")
    write_features(tmp_path / name, [table("a")])
    read = geopandas.read_file(tmp_path / name)
    assert len(read) == 3
    assert read.geometry.area.tolist() == [2.0] * 3
    assert sorted(read["cell"]) == ["c0", "c1", "c2"]
    assert read["mean_dbm"].isna().sum() == 1
    assert not list(tmp_path.glob(".rm_geo*"))


def test_layers_and_an_empty_one(tmp_path):
    import pyogrio

    write_features(tmp_path / "a.gpkg", [table("one"), table("none", 0)])
    assert sorted(pyogrio.list_layers(tmp_path / "a.gpkg")[:, 0]) == ["none", "one"]
    info = pyogrio.read_info(tmp_path / "a.gpkg", layer="none")
    assert (info["features"], info["geometry_type"]) == (0, "Polygon")
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer="one")["layer_metadata"] == {
        "definition": "squares"
    }


def test_geopackages_are_of_a_version_that_older_programs_read(tmp_path):
    path = write_features(tmp_path / "a.gpkg", [table("one"), table("two")])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)


def test_a_file_is_replaced_and_one_that_is_open_is_not(tmp_path):
    import pyogrio

    path = tmp_path / "a.gpkg"
    write_features(path, [table()])
    write_features(path, [table(count=5)])
    assert pyogrio.read_info(path)["features"] == 5
    beside = tmp_path / "a.gpkg-wal"
    beside.write_bytes(b"x")
    with pytest.raises(OutputError, match="another program has it open"):
        write_features(path, [table()])
    beside.unlink()
    assert pyogrio.read_info(path)["features"] == 5


def test_unknown_endings_and_uneven_columns_are_refused(tmp_path):
    with pytest.raises(OutputError, match="no ending of a vector format"):
        write_features(tmp_path / "a.xyz", [table()])
    with pytest.raises(ValueError, match="2 values for 3"):
        FeatureTable("a", table().geometry, {"x": np.zeros(2)}, CRS(32633))


def test_a_driver_that_is_absent_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("pyogrio.list_drivers", lambda: {"GPKG": "r"})
    with pytest.raises(DependencyError, match=r"cannot write GPKG files, such as a\.gpkg"):
        write_features(tmp_path / "a.gpkg", [table()])
    assert not list(tmp_path.iterdir())
