"""Errors of readers carry the file that is at fault."""

from pathlib import Path

import pytest

from rm_geo.buildings.reader import read_buildings
from rm_geo.errors import CrsError, InputError
from rm_geo.io.raster_reader import read_raster
from rm_geo.measurements.reader import read_measurements


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
