"""Errors of readers carry the file that is at fault."""

from pathlib import Path

import pytest

from rm_geo.buildings.reader import read_buildings
from rm_geo.errors import CrsError, InputError, UsageError
from rm_geo.io.raster_reader import read_raster
from rm_geo.measurements.reader import read_measurements
from rm_geo.sites.table import read_sites


@pytest.mark.parametrize(
    ("name", "content"),
    [("none.csv", None), ("empty.csv", b""), ("cut.parquet", b"PAR1"), ("shape.shp", b"x" * 200)],
)
def test_an_unreadable_table_is_the_path_of_the_error(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_measurements(path)
    assert Path(str(caught.value.path)) == path


@pytest.mark.parametrize("read", [read_buildings, read_raster])
def test_a_missing_layer_or_raster_is_the_path_of_the_error(tmp_path: Path, read) -> None:
    path = tmp_path / "none.tif"
    with pytest.raises(InputError) as caught:
        read(path)
    assert Path(str(caught.value.path)) == path


@pytest.mark.parametrize("parameter", ["crs", "target_crs"])
def test_an_invalid_crs_names_its_parameter(tmp_path: Path, parameter: str) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("lon,lat,rsrp\n13.4,52.5,-90\n13.4,52.5,-91\n")
    with pytest.raises(CrsError) as caught:
        read_measurements(path, **{parameter: "EPSG:nothing"})
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("text", "options", "parameter"),
    [
        ("lon,lat,rsrp\n", {}, None),
        ("lon,lat,thing\n13.4,52.5,-90\n", {}, "rsrp_column"),
        ("a,b,rsrp\n13.4,52.5,-90\n", {}, "x_column"),
        ("lon,lat,rsrp\n13.4,52.5,-90\n", {"bounds": (0, 0, 1, 1)}, "bbox"),
        ("lon,lat,rsrp\n13.4,52.5,-90\n", {"where": "rsrp > -50"}, "where"),
        ("lon,lat,rsrp\n13.4,52.5,what\n", {}, None),
    ],
)
def test_a_table_that_cannot_be_used_is_the_path_of_the_error(
    tmp_path: Path, text: str, options: dict[str, object], parameter: str | None
) -> None:
    path = tmp_path / "drive.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_measurements(path, **options)
    assert (Path(str(caught.value.path)), caught.value.parameter) == (path, parameter)


@pytest.mark.parametrize("text", ["cell,height_m\n7,30\n", "cell,longitude,latitude\n7,,45\n"])
def test_a_site_table_that_cannot_be_used_is_the_path_of_the_error(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "sites.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_sites(path, target_crs=32633)
    assert Path(str(caught.value.path)) == path


def test_an_unknown_column_is_its_parameter(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("lon,lat,rsrp\n13.4,52.5,-90\n")
    with pytest.raises(UsageError) as caught:
        read_measurements(path, time_column="when")
    assert (str(caught.value.path), caught.value.parameter) == (str(path), "time_column")
