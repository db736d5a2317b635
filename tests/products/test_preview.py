"""Previews show the measured points, the radio map and the building map at any raster size."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.products.colormap import RSRP_RAMP
from rm_geo.products.preview import MeasuredPoints, save_preview, thicken

sparse_rasters = st.tuples(
    st.integers(1, 40), st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1)
)


def grid_of(shape: tuple[int, int], spacing_m: float = 1.0) -> Grid:
    return Grid.create(500_000.0, 5_000_000.0, shape, spacing_m, 32633)


def sparse(rows: int, cols: int, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.uniform(-130.0, -60.0, (rows, cols)).astype(np.float32)
    values[rng.random((rows, cols)) >= share] = np.nan
    return values


def draw(path: Path, points_dbm, radio_map_dbm, buildings=None, title: str = "") -> Path:
    """Write the maps of a cell beside its preview, and draw it."""
    grid = grid_of(points_dbm.shape)
    points = MeasuredPoints(grid)
    points.add_rows(0, points_dbm)
    folder = path.parent if path.parent.exists() else path.parent.parent
    write_raster(folder / "rsrp.tif", np.asarray(radio_map_dbm, np.float32), grid)
    if buildings is not None:
        write_raster(folder / "buildings.tif", np.asarray(buildings, np.float32), grid)
    there = None if buildings is None else folder / "buildings.tif"
    save_preview(path, points, folder / "rsrp.tif", there, title)
    return path


def save(path: Path, shape: tuple[int, int], share: float = 0.01, title: str = "Cell 1") -> Path:
    radio_map = np.full(shape, -95.0, np.float32)
    return draw(path, sparse(*shape, share, 0), radio_map, np.zeros(shape), title)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1400), st.integers(1, 40), st.integers(1, 300), st.integers(0, 99))
def test_measured_points_do_not_depend_on_the_rows_per_call(rows, cols, step, seed) -> None:
    raster = sparse(rows, cols, 0.3, seed)
    whole, pieces = (MeasuredPoints(grid_of((rows, cols))) for _ in range(2))
    whole.add_rows(0, raster)
    for row in range(0, rows, step):
        pieces.add_rows(row, raster[row : row + step])
    assert np.array_equal(whole.mean_dbm(), pieces.mean_dbm(), equal_nan=True)
    assert whole.count == pieces.count == np.isfinite(raster).sum()


@settings(max_examples=20, deadline=None)
@given(st.integers(1201, 1400), st.integers(1, 40), st.integers(0, 99))
def test_measured_points_are_means_of_blocks(rows, cols, seed) -> None:
    raster = sparse(rows, cols, 0.1, seed)
    points = MeasuredPoints(grid_of((rows, cols)))
    points.add_rows(0, raster)
    assert points.factor == 3
    small = points.mean_dbm()
    assert small.shape == (-(-rows // 3), -(-cols // 3))
    for row, col in np.ndindex(small.shape):
        block = raster[3 * row : 3 * row + 3, 3 * col : 3 * col + 3]
        known = block[np.isfinite(block)]
        expected = known.mean(dtype=np.float64) if known.size else np.nan
        assert small[row, col] == pytest.approx(expected, abs=1e-3, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(sparse_rasters, st.integers(0, 3))
def test_thicken_draws_disks_with_the_strongest_level(case, radius) -> None:
    raster = sparse(*case)
    thick = thicken(raster, radius)
    known = np.isfinite(raster)
    assert (thick[known] >= raster[known]).all()
    assert np.isin(thick[np.isfinite(thick)], raster[known]).all()
    for row, col in np.argwhere(known)[:5]:
        if row + radius < raster.shape[0]:
            assert np.isfinite(thick[row + radius, col])


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (246, 492), (1100, 640)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_preview_is_drawn_for_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", shape))
    assert 300 < picture.shape[0] < 2600
    assert 800 < picture.shape[1] < 2600
    assert picture[..., :3].std() > 0.01


def test_rare_points_are_visible(tmp_path: Path) -> None:
    shape = (1000, 1000)
    points = np.full(shape, np.nan)
    points[100::200, 100::200] = -70.0  # 25 points of a million pixels
    empty = np.full(shape, np.nan)
    draw(tmp_path / "p.png", points, empty)
    picture = matplotlib.image.imread(tmp_path / "p.png")[..., :3]
    panel = picture[:, : int(0.42 * picture.shape[1])]
    red = (panel[..., 0] > 0.6) & (panel[..., 1] < 0.4) & (panel[..., 2] < 0.4)
    assert red.sum() > 25 * 8


def test_radio_map_has_the_colour_of_its_level(tmp_path: Path) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", (256, 256)))[..., :3]
    expected = RSRP_RAMP.rgb(np.array([-95.0]))[0] / 255.0
    assert (np.abs(picture - expected).max(axis=-1) < 0.01).mean() > 0.1


def test_long_title_is_cut(tmp_path: Path) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", (40, 40), title="W" * 5000))
    assert (picture[:60, :10, :3] == 1.0).all()
    assert (picture[:60, -10:, :3] == 1.0).all()
    assert (picture[:60, :, :3] < 0.5).any()


def test_missing_font_falls_back_to_the_one_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it = save(tmp_path / "a.png", (40, 40)).read_bytes()
    monkeypatch.setattr("rm_geo.products.fonts.find_spec", lambda name: None)
    assert save(tmp_path / "b.png", (40, 40)).read_bytes() != with_it


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save(tmp_path / name, (60, 50)).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_preview_without_buildings_or_data(tmp_path: Path) -> None:
    shape = (50, 60)
    nothing = np.full(shape, np.nan, np.float32)
    draw(tmp_path / "p.png", nothing, nothing)
    assert matplotlib.image.imread(tmp_path / "p.png").size > 0


@pytest.mark.parametrize("title", ["", "$x_", "cell\x00\x07", "ü 基站", "x" * 300])
def test_titles_with_special_characters(tmp_path: Path, title: str) -> None:
    assert save(tmp_path / "p.png", (40, 40), title=title).stat().st_size > 1000


def test_large_map_keeps_the_colours_of_its_halves(tmp_path: Path) -> None:
    shape = (1500, 1500)
    radio_map = np.full(shape, -75.0, np.float32)
    radio_map[:, 750:] = -115.0
    path = draw(tmp_path / "p.png", np.full(shape, np.nan, np.float32), radio_map)
    picture = matplotlib.image.imread(path)[..., :3]
    places = []
    for level in (-75.0, -115.0):
        colour = RSRP_RAMP.rgb(np.array([level]))[0] / 255.0
        there = np.abs(picture - colour).max(axis=-1) < 0.01
        assert there.sum() > 100_000
        places.append(np.nonzero(there)[1].mean())
    assert places[0] < places[1] - 200


def test_damaged_map_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "rsrp.tif").write_bytes(b"II*\x00")
    with pytest.raises(OutputError, match=r"rsrp\.tif cannot be read"):
        save_preview(tmp_path / "p.png", MeasuredPoints(grid_of((3, 4))), tmp_path / "rsrp.tif")
    assert not (tmp_path / "p.png").exists()


def test_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        save(tmp_path / "no" / "p.png", (40, 40))
