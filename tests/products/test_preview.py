"""A preview shows the points, the map and the buildings, whatever the raster's size."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.products.colormap import RSRP_RAMP
from rm_geo.products.preview import save_preview, thicken
from rm_geo.products.preview_layers import PictureBuilder, downsample

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


def save(path: Path, shape: tuple[int, int], share: float = 0.01, title: str = "Cell 1") -> Path:
    radio_map = np.full(shape, -95.0, np.float32)
    save_preview(path, sparse(*shape, share, 0), radio_map, np.zeros(shape), grid_of(shape), title)
    return path


@settings(max_examples=50, deadline=None)
@given(sparse_rasters, st.integers(1, 9))
def test_downsampling_loses_no_measured_block(case, factor: int) -> None:
    raster = sparse(*case)
    small = downsample(raster, factor, keep_points=True)
    for row in range(small.shape[0]):
        for col in range(small.shape[1]):
            block = raster[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor]
            known = block[np.isfinite(block)]
            if known.size:
                assert small[row, col] == pytest.approx(known.mean(), abs=1e-3)
            else:
                assert np.isnan(small[row, col])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_downsampling_keeps_a_constant_up_to_the_edge(rows, cols, factor) -> None:
    small = downsample(np.full((rows, cols), -90.0), factor, keep_points=False)
    assert (small == -90.0).all()


def test_downsampled_map_is_known_where_half_of_it_is() -> None:
    raster = np.full((4, 4), np.nan)
    raster[:2, 0] = -80.0
    raster[2, 2] = -80.0
    known = np.isfinite(downsample(raster, 2, keep_points=False))
    assert known.tolist() == [[True, False], [False, False]]


@settings(max_examples=30, deadline=None)
@given(sparse_rasters, st.integers(0, 3))
def test_thick_points_cover_disks_and_keep_the_strongest_level(case, radius) -> None:
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
def test_picture_is_made_for_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", shape))
    assert 300 < picture.shape[0] < 2600
    assert 800 < picture.shape[1] < 2600
    assert picture[..., :3].std() > 0.01


def test_rare_points_are_visible(tmp_path: Path) -> None:
    shape = (1000, 1000)
    points = np.full(shape, np.nan)
    points[100::200, 100::200] = -70.0  # 25 points of a million pixels
    empty = np.full(shape, np.nan)
    save_preview(tmp_path / "p.png", points, empty, None, grid_of(shape))
    picture = matplotlib.image.imread(tmp_path / "p.png")[..., :3]
    panel = picture[:, : int(0.42 * picture.shape[1])]
    red = (panel[..., 0] > 0.6) & (panel[..., 1] < 0.4) & (panel[..., 2] < 0.4)
    assert red.sum() > 25 * 8


def test_map_has_the_colour_of_its_level(tmp_path: Path) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", (256, 256)))[..., :3]
    expected = RSRP_RAMP.rgb(np.array([-95.0]))[0] / 255.0
    assert (np.abs(picture - expected).max(axis=-1) < 0.01).mean() > 0.1


def test_heading_that_is_too_long_ends_within_the_picture(tmp_path: Path) -> None:
    picture = matplotlib.image.imread(save(tmp_path / "p.png", (40, 40), title="W" * 5000))
    assert (picture[:60, :10, :3] == 1.0).all()
    assert (picture[:60, -10:, :3] == 1.0).all()
    assert (picture[:60, :, :3] < 0.5).any()


def test_another_font_serves_where_the_first_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_it = save(tmp_path / "a.png", (40, 40)).read_bytes()
    monkeypatch.setattr("rm_geo.products.preview.find_spec", lambda name: None)
    assert save(tmp_path / "b.png", (40, 40)).read_bytes() != with_it


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save(tmp_path / name, (60, 50)).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_picture_without_buildings_or_data(tmp_path: Path) -> None:
    shape = (50, 60)
    nothing = np.full(shape, np.nan, np.float32)
    save_preview(tmp_path / "p.png", nothing, nothing, None, grid_of(shape))
    assert matplotlib.image.imread(tmp_path / "p.png").size > 0


@pytest.mark.parametrize("title", ["", "$x_", "cell\x00\x07", "ü 基站", "x" * 300])
def test_titles_are_drawn_as_they_are(tmp_path: Path, title: str) -> None:
    assert save(tmp_path / "p.png", (40, 40), title=title).stat().st_size > 1000


def test_raster_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        save_preview(tmp_path / "p.png", np.zeros((3, 4)), np.zeros((4, 3)), None, grid_of((3, 4)))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_missing_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        save(tmp_path / "no" / "p.png", (40, 40))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1400), st.integers(1, 40), st.integers(1, 300), st.integers(0, 99))
def test_rows_in_any_pieces_give_the_same_picture(rows, cols, step, seed) -> None:
    layers = [sparse(rows, cols, 0.3, seed), sparse(rows, cols, 0.9, seed + 1)]
    whole, pieces = (PictureBuilder(grid_of((rows, cols)), buildings=False) for _ in range(2))
    whole.add_rows(0, layers)
    for row in range(0, rows, step):
        pieces.add_rows(row, [layer[row : row + step] for layer in layers])
    assert np.array_equal(whole.picture().points, pieces.picture().points, equal_nan=True)
    assert np.array_equal(whole.picture().radio_map, pieces.picture().radio_map, equal_nan=True)
    assert whole.picture().measured == pieces.picture().measured
