"""GeoTIFFs keep levels, place, gaps and tags; failures are sentences and leave nothing behind."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint

from rm_geo.errors import CrsError, InputError, OutputError
from rm_geo.grid import Grid
from rm_geo.io import cog
from rm_geo.io.cog import raster_sink, read_raster, write_raster
from rm_geo.units import NODATA_DBM


def grid_of(rows: int, cols: int, spacing_m: float = 1.0) -> Grid:
    return Grid.create(689_321.0, 3_985_007.0, (rows, cols), spacing_m, 32617)


def levels_of(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-140.0, -40.0, shape).astype(np.float32)
    values[np.random.default_rng(seed + 1).random(shape) < 0.2] = np.nan
    return values


def make_tiff(path: Path, values: np.ndarray, **profile: object) -> Path:
    layers = values[None] if values.ndim == 2 else values
    settings_ = {
        "crs": "EPSG:32617",
        "transform": Affine(1.0, 0.0, 689_321.0, 0.0, -1.0, 3_985_007.0),
        **profile,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=layers.shape[0],
            height=layers.shape[1],
            width=layers.shape[2],
            dtype=layers.dtype,
            **settings_,
        ) as dataset:
            dataset.write(layers)
    return path


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([0.5, 1.0, 4.0, 1.0 / 3.0]),
    st.integers(0, 1000),
)
@example(rows=257, cols=1, spacing_m=1.0, seed=0)  # a street: its overviews are one column too
def test_write_and_read_are_bit_exact(tmp_path_factory, rows, cols, spacing_m, seed):
    path = tmp_path_factory.mktemp("rasters") / "map.tif"
    grid = grid_of(rows, cols, spacing_m)
    values = levels_of((rows, cols), seed)
    write_raster(path, values, grid, tags={"method": "knn"})
    raster = read_raster(path)
    assert raster.values.dtype == np.float32
    assert np.array_equal(raster.values, values, equal_nan=True)
    assert raster.grid.bounds == grid.bounds
    assert raster.grid == grid
    assert raster.tags["method"] == "knn"


def test_file_is_a_valid_cog_with_crs_nodata_and_overviews(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    grid = grid_of(700, 1030)
    write_raster(
        path,
        levels_of(grid.shape),
        grid,
        tags={"method": "radiocycle", "note": "äß"},
        band_descriptions=["RSRP"],
        unit="dBm",
    )
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
        assert dataset.compression.value in {"ZSTD", "DEFLATE"}
        assert dataset.dtypes == ("float32",)
        assert dataset.nodata == NODATA_DBM
        assert tuple(dataset.bounds) == grid.bounds
        assert dataset.crs.to_epsg() == 32617
        assert dataset.overviews(1) == [2, 4, 8]
        assert dataset.descriptions == ("RSRP",)
        assert dataset.units == ("dBm",)
        assert dataset.tags()["method"] == "radiocycle"
        assert dataset.tags()["note"] == "äß"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif"]


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    grid = grid_of(600, 400)
    for name in ("a.tif", "b.tif"):
        write_raster(tmp_path / name, levels_of(grid.shape), grid, tags={"k": "v"})
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("height", [1, 7, 64, 300])
def test_rows_in_blocks_give_the_same_bytes_as_the_whole(tmp_path: Path, height: int) -> None:
    grid = grid_of(301, 270)
    values = levels_of(grid.shape)
    write_raster(tmp_path / "whole.tif", values, grid)
    blocks = (values[row : row + height] for row in range(0, 301, height))
    write_raster(tmp_path / "blocks.tif", blocks, grid)
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "blocks.tif").read_bytes()


def test_overviews_of_levels_are_averages_without_nodata(tmp_path: Path) -> None:
    grid = grid_of(512, 512)
    values = np.full(grid.shape, -100.0, np.float32)
    values[::2, ::2] = -80.0
    values[1::2] = np.nan
    write_raster(tmp_path / "map.tif", values, grid)
    with rasterio.open(tmp_path / "map.tif", overview_level=0) as overview:
        assert overview.shape == (256, 256)
        assert overview.read(1) == pytest.approx(-90.0)


def test_overviews_of_masks_are_modes(tmp_path: Path) -> None:
    grid = grid_of(512, 512)
    mask = np.zeros(grid.shape, bool)
    mask[::2] = True
    mask[1::2, ::2] = True
    write_raster(tmp_path / "mask.tif", mask, grid, nodata=255, resampling="mode")
    with rasterio.open(tmp_path / "mask.tif") as dataset:
        assert dataset.dtypes == ("uint8",)
        assert dataset.nodata == 255
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert np.array_equal(dataset.read(1), mask)
    with rasterio.open(tmp_path / "mask.tif", overview_level=0) as overview:
        assert (overview.read(1) == 1).all()


def test_colours_of_a_mask_are_kept(tmp_path: Path) -> None:
    colours = {0: (255, 255, 255), 1: (200, 30, 30)}
    mask = np.eye(20, dtype=np.uint8)
    write_raster(tmp_path / "m.tif", mask, grid_of(20, 20), nodata=255, colormap=colours)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert {key: dataset.colormap(1)[key][:3] for key in colours} == colours
        assert np.array_equal(dataset.read(1), mask)


def test_integer_files_round_and_keep_gaps(tmp_path: Path) -> None:
    values = np.array([[0.4, 0.6, np.nan]], np.float32)
    write_raster(tmp_path / "m.tif", values, grid_of(1, 3), dtype="uint8", nodata=255)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.read(1).tolist() == [[0, 1, 255]]


def test_infinite_values_become_nodata(tmp_path: Path) -> None:
    values = np.array([[np.inf, -np.inf, -90.0]], np.float32)
    write_raster(tmp_path / "m.tif", values, grid_of(1, 3))
    assert np.isnan(read_raster(tmp_path / "m.tif").values).tolist() == [[True, True, False]]


def test_missing_values_need_a_nodata_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nodata"):
        write_raster(tmp_path / "m.tif", np.full((2, 2), np.nan), grid_of(2, 2), nodata=None)
    assert list(tmp_path.iterdir()) == []


def test_several_bands(tmp_path: Path) -> None:
    values = np.stack([levels_of((30, 40), 1), levels_of((30, 40), 2)])
    write_raster(tmp_path / "m.tif", values, grid_of(30, 40), band_descriptions=["mean", "std"])
    with pytest.raises(InputError, match=r"2 bands: 1 \(mean\), 2 \(std\)"):
        read_raster(tmp_path / "m.tif")
    assert np.array_equal(read_raster(tmp_path / "m.tif", band=2).values, values[1], equal_nan=True)
    with pytest.raises(InputError, match="no band 3"):
        read_raster(tmp_path / "m.tif", band=3)


def test_a_build_without_zstandard_falls_back_to_deflate(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cog, "_has_zstd", lambda: False)
    write_raster(tmp_path / "m.tif", levels_of((20, 20)), grid_of(20, 20))
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.compression.value == "DEFLATE"


def test_missing_or_unordered_rows_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    path.write_text("before")
    grid = grid_of(10, 5)
    with pytest.raises(ValueError, match="4 rows written of 10"), raster_sink(path, grid) as sink:
        sink.write_rows(0, np.zeros((4, 5)))
    with pytest.raises(ValueError, match="cannot follow"), raster_sink(path, grid) as sink:
        sink.write_rows(2, np.zeros((4, 5)))
    with pytest.raises(ValueError, match="do not fit"), raster_sink(path, grid) as sink:
        sink.write_rows(0, np.zeros((4, 6)))
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), raster_sink(path, grid_of(10, 5)) as sink:  # noqa: PT012
        sink.write_rows(0, np.zeros((4, 5)))
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_folder_that_is_missing_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_raster(tmp_path / "no" / "m.tif", np.zeros((2, 2)), grid_of(2, 2))


def test_full_disk_is_an_output_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    # 640 x 640 random floats: 2.4 MB of scratch, 3.2 MB with overviews. The limits stop the
    # first block, a later one, the overviews and the last flush.
    resource = pytest.importorskip("resource")
    assert resource.RLIMIT_FSIZE >= 0
    path = tmp_path / "m.tif"
    path.write_text("before")
    script = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from rm_geo.errors import OutputError\n"
        "from rm_geo.grid import Grid\n"
        "from rm_geo.io.cog import write_raster\n"
        "grid = Grid.create(0, 0, (640, 640), 1.0, 32617)\n"
        "values = np.random.default_rng(0).random((640, 640), dtype=np.float32)\n"
        "for limit in (2_000, 300_000, 1_200_000, 2_400_000, 3_140_000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        write_raster(sys.argv[1], values, grid)\n"
        "        print('written')\n"
        "    except OutputError as error:\n"
        "        print('OutputError', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(line.startswith(f"OutputError Cannot write {path}") for line in lines)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_integers_with_scale_and_offset_are_read_in_their_unit(tmp_path: Path) -> None:
    path = make_tiff(tmp_path / "m.tif", np.array([[0, 100, 255]], np.uint8), nodata=255)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5,), (-140.0,)
    values = read_raster(path).values
    assert values[0, :2].tolist() == [-140.0, -90.0]
    assert np.isnan(values[0, 2])


def test_nan_nodata_is_missing(tmp_path: Path) -> None:
    path = make_tiff(tmp_path / "m.tif", np.array([[np.nan, -90.0]], np.float32), nodata=np.nan)
    assert np.isnan(read_raster(path).values).tolist() == [[True, False]]


LEVELS = np.full((4, 4), -90.0, np.float32)


@pytest.mark.parametrize(
    ("profile", "error", "words"),
    [
        ({"crs": None, "transform": Affine.identity()}, InputError, "no georeferencing"),
        ({"crs": None}, CrsError, "no CRS"),
        ({"crs": "EPSG:4326"}, CrsError, "gdalwarp"),
        ({"crs": "EPSG:2263"}, CrsError, "metres"),
        ({"transform": Affine(0.9, 0.1, 0, 0.1, -0.9, 0)}, InputError, "rotated"),
        ({"transform": Affine(1, 0, 0, 0, -2, 0)}, InputError, "not square"),
        ({"transform": Affine(1, 0, 0, 0, 1, 0)}, InputError, "flipped"),
    ],
    ids=["nothing", "no crs", "geographic", "feet", "rotated", "oblong", "south up"],
)
def test_unusable_georeferencing_is_an_error_with_the_file_name(
    tmp_path, profile, error, words
) -> None:
    path = make_tiff(tmp_path / "m.tif", LEVELS, **profile)
    with pytest.raises(error, match=words) as caught:
        read_raster(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_ground_control_points_alone_are_refused(tmp_path: Path) -> None:
    points = [GroundControlPoint(r, c, c * 1.0, -r * 1.0) for r in (0, 4) for c in (0, 4)]
    path = make_tiff(
        tmp_path / "m.tif", LEVELS, gcps=points, transform=Affine.identity(), crs="EPSG:32617"
    )
    with pytest.raises(InputError, match="gdal"):
        read_raster(path)


def test_colour_tables_are_refused(tmp_path: Path) -> None:
    colours = {0: (0, 0, 0)}
    write_raster(
        tmp_path / "m.tif", np.eye(4, dtype=np.uint8), grid_of(4, 4), colormap=colours, nodata=None
    )
    with pytest.raises(InputError, match="colour"):
        read_raster(tmp_path / "m.tif")


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = make_tiff(tmp_path / "m.tif", LEVELS.astype(np.complex64))
    with pytest.raises(InputError, match="complex"):
        read_raster(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*gone\.tif"):
        read_raster(tmp_path / "gone.tif")


def test_folders_texts_and_damaged_files_are_input_errors(tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    empty = tmp_path / "empty.tif"
    empty.touch()
    whole = tmp_path / "whole.tif"
    write_raster(whole, levels_of((600, 600)), grid_of(600, 600))
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for path in (tmp_path, text, empty, cut):
        with pytest.raises(InputError) as caught:
            read_raster(path)
        assert str(path) in str(caught.value)
