"""A coarse map made finer: corners exact, nodata kept, no seams, any size."""

import math
import warnings

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from rm_geo.cli.group import rm_geo
from rm_geo.errors import AreaTooLargeError, InputError, ModelError, OutputError, UsageError
from rm_geo.grid import Grid
from rm_geo.inference.unit_scale import UnitScale
from rm_geo.io.cog import read_raster, write_raster
from rm_geo.progress import SilentProgress
from rm_geo.units import GAIN_SPAN_DB
from rm_geo.workflows.superresolve import coarse_rasters, superresolve, superresolve_all
from rm_geo.zoo import weights


class Enlarger(torch.nn.Module):
    """Repeats pixels: a network whose right answer is known everywhere."""

    def __init__(self, scale, walled=False):
        super().__init__()
        self.scale, self.walled = scale, walled
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, walls=None):
        assert (walls is not None) is self.walled
        fine = self.gain * torch.nn.functional.interpolate(x, scale_factor=self.scale)
        return fine if walls is None else fine * (1.0 - walls)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: Enlarger(**config))
    path = tmp_path / "models" / "enlarger-4"
    weights.save_model(path, Enlarger(4), "mars", {"scale": 4})
    return path


def coarse_map(path, values, spacing_m=4.0, tags=None):
    grid = Grid.create(500_000.0, 5_400_000.0, values.shape, spacing_m, 32633)
    write_raster(path, values.astype(np.float32), grid, tags=tags)
    return grid


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (64, 64), (65, 64), (130, 90)])
def test_every_raster_size_is_refined_in_place(tmp_path, model, shape):
    rng = np.random.default_rng(0)
    values = rng.uniform(-120, -60, shape)
    grid = coarse_map(tmp_path / "coarse.tif", values)
    made = superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model)
    fine = read_raster(tmp_path / "fine.tif")
    assert fine.grid == made.grid
    assert fine.grid.bounds == grid.bounds
    assert fine.grid.shape == (shape[0] * 4, shape[1] * 4)
    expected = np.repeat(np.repeat(values, 4, axis=0), 4, axis=1)
    # Windows overlap and are blended, which must not move a value that both agree on.
    np.testing.assert_allclose(fine.values, expected, atol=1e-3)


def test_nodata_stays_nodata_and_does_not_spread(tmp_path, model):
    values = np.full((80, 80), -90.0)
    values[10:20, 30:60] = np.nan
    values[70:, :] = np.nan
    coarse_map(tmp_path / "coarse.tif", values)
    superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model)
    fine = read_raster(tmp_path / "fine.tif").values
    missing = np.repeat(np.repeat(np.isnan(values), 4, axis=0), 4, axis=1)
    np.testing.assert_array_equal(np.isnan(fine), missing)
    np.testing.assert_allclose(fine[~missing], -90.0, atol=1e-3)


@given(
    low=st.floats(-156, -60),
    span=st.floats(0, 130),
    intercept=st.one_of(st.none(), st.floats(-60, 20), st.just(math.nan)),
)
@settings(max_examples=60, deadline=None)
def test_scaling_never_clips_and_is_invertible(low, span, intercept):
    values = np.array([low, low + span], np.float32)
    scale = UnitScale.fit(values, intercept)
    unit = scale.to_unit(values)
    assert unit.min() >= -1e-5
    assert unit.max() <= 1.0 + 1e-5
    assert scale.span_db >= GAIN_SPAN_DB
    np.testing.assert_allclose(scale.to_dbm(unit), values, atol=1e-3)


def test_raster_in_range_keeps_the_training_slope():
    values = np.array([-110, -60], np.float32)
    assert UnitScale.fit(values).span_db == GAIN_SPAN_DB


def test_known_intercept_is_the_top_of_the_scale():
    values = np.array([-80, -60], np.float32)
    scale = UnitScale.fit(values, -40.0)
    assert scale.to_unit(np.float32([-40.0]))[0] == pytest.approx(1.0)


def test_intercept_is_read_from_tags(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.full((4, 4), -70.0), tags={"intercept_dbm": "-30.0"})
    superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model)
    tags = read_raster(tmp_path / "fine.tif").tags
    assert f"zero at {-30.0 - GAIN_SPAN_DB:.2f} dBm" in tags["unit_scale"]


def test_output_has_provenance_tags(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.full((4, 4), -70.0), tags={"cell": "7"})
    superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model)
    tags = read_raster(tmp_path / "fine.tif").tags
    assert tags["cell"] == "7"
    assert tags["super_resolution_model"] == "enlarger-4"
    assert len(tags["super_resolution_sha256"]) == 64
    assert tags["coarse_input"] == "coarse.tif"


def test_the_same_input_gives_the_same_bytes(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.linspace(-120, -60, 900).reshape(30, 30))
    for name in ("a.tif", "b.tif"):
        superresolve(tmp_path / "coarse.tif", tmp_path / name, 4, model=model)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_scale_must_match_the_model(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.full((4, 4), -70.0))
    with pytest.raises(ModelError, match="refines 4x, not 8x"):
        superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 8, model=model)
    assert not (tmp_path / "fine.tif").exists()


def test_rasters_without_levels_are_refused(tmp_path, model):
    coarse_map(tmp_path / "empty.tif", np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="nodata"):
        superresolve(tmp_path / "empty.tif", tmp_path / "fine.tif", 4, model=model)
    coarse_map(tmp_path / "heights.tif", np.full((4, 4), 310.0))
    with pytest.raises(InputError, match="dBm"):
        superresolve(tmp_path / "heights.tif", tmp_path / "fine.tif", 4, model=model)


def test_too_many_windows_are_refused_with_the_size(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.full((200, 100), -70.0))
    with pytest.raises(AreaTooLargeError, match="200 x 100"):
        superresolve(tmp_path / "coarse.tif", tmp_path / "f.tif", 4, model=model, max_tiles=3)


def test_input_is_not_overwritten(tmp_path, model):
    coarse_map(tmp_path / "coarse.tif", np.full((4, 4), -70.0))
    with pytest.raises(UsageError):
        superresolve(tmp_path / "coarse.tif", tmp_path / "coarse.tif", 4, model=model)


def test_a_failure_leaves_the_old_result(tmp_path, model, monkeypatch):
    coarse_map(tmp_path / "coarse.tif", np.full((4, 4), -70.0))
    (tmp_path / "fine.tif").write_text("precious")

    def broken(self, x):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(Enlarger, "forward", broken)
    with pytest.raises(RuntimeError):
        superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model)
    assert (tmp_path / "fine.tif").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coarse.tif", "fine.tif", "models"]


def foreign_raster(path, values, *, crs="EPSG:32633", transform=None, nodata=-9999.0, palette=None):
    """Write a raster as other programs do."""
    values = np.atleast_3d(values.T).T if values.ndim == 2 else values
    transform = transform or from_origin(500_000.0, 5_400_000.0, 4.0, 4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=values.shape[0],
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            crs=crs,
            transform=transform,
            nodata=nodata,
        ) as file:
            file.write(values)
            if palette:
                file.write_colormap(1, palette)


PLANE = (-80.0 - 0.4 * np.arange(40)[:, None] - 0.2 * np.arange(30)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"crs": None, "transform": Affine.identity()}, "no georeferencing"),
        ({"crs": None}, "no CRS"),
        ({"crs": "EPSG:4326", "transform": from_origin(15.0, 48.0, 4e-5, 4e-5)}, "projected CRS"),
        ({"crs": "EPSG:2263", "transform": from_origin(98e4, 2e5, 13.0, 13.0)}, "with metres"),
        ({"transform": from_origin(5e5, 54e5, 4.0, 8.0)}, "not square"),
        ({"transform": Affine(4.0, 0.0, 5e5, 0.0, 4.0, 54e5)}, "flipped"),
        ({"transform": from_origin(5e5, 54e5, 4.0, 4.0) @ Affine.rotation(20.0)}, "rotated"),
        ({"values": np.stack([PLANE, PLANE])}, "2 bands"),
        (
            {"values": np.ones((9, 9), np.uint8), "nodata": None, "palette": {1: (9, 9, 9, 255)}},
            "colour numbers",
        ),
        ({"values": np.full((9, 9), 70, np.uint8), "nodata": None}, "does not hold levels in dBm"),
        ({"values": np.where(PLANE > -90, PLANE, -32768.0), "nodata": None}, "not declared"),
        ({"values": np.where(PLANE > -90, PLANE, 0.0), "nodata": None}, "not declared"),
        ({"values": np.where(PLANE > -90, PLANE, -200.0), "nodata": None}, "not declared"),
        ({"values": (10.0 ** (PLANE / 10.0)).astype(np.float32)}, "milliwatts"),
        ({"values": -PLANE}, "Path loss"),
        ({"values": PLANE + 1j * PLANE, "nodata": None}, "complex"),
    ],
)
def test_invalid_input_is_refused_and_nothing_written(tmp_path, model, options, match):
    source = tmp_path / "coarse.tif"
    foreign_raster(source, **{"values": PLANE, **options})
    with pytest.raises(InputError, match=match):
        superresolve(source, tmp_path / "fine.tif", 4, model=model, device="cpu")
    assert not (tmp_path / "fine.tif").exists()


def test_pixels_that_are_smaller_on_the_ground_are_a_warning(tmp_path, model):
    source = tmp_path / "coarse.tif"
    foreign_raster(source, PLANE, crs="EPSG:3857", transform=from_origin(1.49e6, 6.89e6, 4.0, 4.0))
    progress = Lines()
    superresolve(source, tmp_path / "fine.tif", 4, model=model, device="cpu", progress=progress)
    assert any("EPSG" not in line and "on the ground" in line for line in progress.lines)


class Lines(SilentProgress):
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float64])
def test_other_number_types_are_accepted(tmp_path, model, dtype):
    foreign_raster(tmp_path / "coarse.tif", PLANE.astype(dtype))
    superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model, device="cpu")
    fine = read_raster(tmp_path / "fine.tif")
    assert fine.values.dtype == np.float32
    np.testing.assert_allclose(fine.values[::4, ::4], PLANE.astype(dtype), atol=0.01)


def test_islands_of_data_and_nodata_keep_their_position(tmp_path, model):
    values = PLANE.copy()
    values[3:6, 4:7] = values[20:] = -9999.0
    values[30, 20:22] = -80.0
    foreign_raster(tmp_path / "coarse.tif", values)
    superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=model, device="cpu")
    fine = read_raster(tmp_path / "fine.tif").values
    np.testing.assert_array_equal(np.isfinite(fine), np.kron(values > -9000.0, np.ones((4, 4))) > 0)


class PointNet(torch.nn.Module):
    """A perfect network for samples at the pixel south-east of their cell's centre, on planes."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        fine = torch.nn.functional.interpolate(x, scale_factor=self.scale, mode="bilinear")
        return self.gain * 0.5 * (fine + fine.roll((1, 1), (-2, -1)))  # half a pixel south-east


@pytest.mark.parametrize(("sampling", "largest_db"), [("point", 0.01), ("cell", 0.2)])
def test_network_trained_on_points_does_not_shift_means(
    tmp_path, monkeypatch, sampling, largest_db
):
    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: PointNet(**config))
    recipe = {"recipe": {"task": {"sampling": sampling}}}
    weights.save_model(tmp_path / "net", PointNet(4), "mars", {"scale": 4}, recipe)
    foreign_raster(tmp_path / "coarse.tif", PLANE)
    superresolve(
        tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, model=tmp_path / "net", device="cpu"
    )
    fine = read_raster(tmp_path / "fine.tif").values
    row, col = np.mgrid[: fine.shape[0], : fine.shape[1]]
    truth = -80.0 - 0.4 * ((row + 0.5) / 4 - 0.5) - 0.2 * ((col + 0.5) / 4 - 0.5)
    error = np.abs(fine - truth)[8:-8, 8:-8].max()
    assert error < largest_db
    # the test would not notice a shift that it could not see
    assert sampling == "point" or error > 0.05


def test_missing_scale_lists_available_scales(tmp_path):
    foreign_raster(tmp_path / "coarse.tif", PLANE)
    with pytest.raises(ModelError, match=r"refines 3x.*installation") as refusal:
        superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 3, device="cpu")
    assert "Scales: 4" in refusal.value.hint


def test_other_kinds_of_networks_are_refused(tmp_path, monkeypatch):
    weights.save_model(tmp_path / "net", Enlarger(4), "radiocycle", {"scale": 4})
    foreign_raster(tmp_path / "coarse.tif", PLANE)
    with pytest.raises(ModelError, match="refines no rasters"):
        superresolve(tmp_path / "coarse.tif", tmp_path / "f.tif", 4, model=tmp_path / "net")


def test_model_for_means_precedes_the_one_for_points(tmp_path, monkeypatch):
    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: Enlarger(**config))
    monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "models"))
    for name in ("points", "rasters"):
        weights.save_model(
            tmp_path / "models" / name, Enlarger(4), "mars", {"scale": 4}, {"scale": 4}
        )
    foreign_raster(tmp_path / "coarse.tif", PLANE)
    for defaults, expected in (
        ({"mars-4": "points"}, "points"),
        ({"mars-4": "points", "superres-4": "rasters"}, "rasters"),
    ):
        weights.write_index(tmp_path / "models", defaults)
        made = superresolve(tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, device="cpu")
        assert made.model == expected


@pytest.fixture
def walled(tmp_path, monkeypatch):
    """A network that returns the bottom of its scale on known buildings."""
    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: Enlarger(**config))
    path = tmp_path / "models" / "walled-4"
    weights.save_model(path, Enlarger(4, walled=True), "mars", {"scale": 4, "walled": True})
    return path


@pytest.mark.parametrize("symmetries", [1, 8])
@pytest.mark.parametrize("shape", [(3, 5), (70, 90)])
def test_building_input_is_aligned_with_the_raster(tmp_path, walled, shape, symmetries):
    grid = coarse_map(tmp_path / "coarse.tif", np.full(shape, -90.0))
    fine_grid = grid.scaled(4)
    built = np.random.default_rng(0).random(fine_grid.shape) < 0.2
    write_raster(tmp_path / "built.tif", built, fine_grid, dtype="uint8", nodata=None)
    superresolve(
        tmp_path / "coarse.tif",
        tmp_path / "fine.tif",
        4,
        model=walled,
        buildings=tmp_path / "built.tif",
        symmetries=symmetries,
    )
    fine = read_raster(tmp_path / "fine.tif")
    np.testing.assert_allclose(fine.values[~built], -90.0, atol=1e-3)
    assert (fine.values[built] < -100.0).all()
    with rasterio.open(tmp_path / "fine.tif") as dataset:
        assert dataset.tags()["buildings_input"] == "built.tif"


def test_model_and_buildings_must_match(tmp_path, model, walled):
    grid = coarse_map(tmp_path / "coarse.tif", PLANE)
    built = np.ones(grid.shape, bool)
    write_raster(tmp_path / "built.tif", built, grid, dtype="uint8", nodata=None)
    arguments = tmp_path / "coarse.tif", tmp_path / "fine.tif", 4
    with pytest.raises(ModelError, match="needs the buildings"):
        superresolve(*arguments, model=walled)
    with pytest.raises(ModelError, match="reads no buildings"):
        superresolve(*arguments, model=model, buildings=tmp_path / "built.tif")
    assert not (tmp_path / "fine.tif").exists()


def test_a_scale_without_a_model_that_reads_buildings_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("rm_geo.networks.build", lambda kind, config: Enlarger(**config))
    monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "models"))
    weights.save_model(
        tmp_path / "models" / "plain", Enlarger(4), "mars", {"scale": 4}, {"scale": 4}
    )
    weights.write_index(tmp_path / "models", {"superres-4": "plain"})
    grid = coarse_map(tmp_path / "coarse.tif", PLANE)
    write_raster(
        tmp_path / "built.tif", np.ones(grid.shape, bool), grid, dtype="uint8", nodata=None
    )
    with pytest.raises(ModelError, match="reads buildings and refines 4x") as refusal:
        superresolve(
            tmp_path / "coarse.tif", tmp_path / "fine.tif", 4, buildings=tmp_path / "built.tif"
        )
    assert "`buildings`" in refusal.value.hint


def test_an_input_is_never_the_output(tmp_path, walled):
    grid = coarse_map(tmp_path / "coarse.tif", PLANE)
    write_raster(
        tmp_path / "built.tif", np.ones(grid.shape, bool), grid, dtype="uint8", nodata=None
    )
    before = (tmp_path / "built.tif").read_bytes()
    with pytest.raises(UsageError, match=r"the input .*built\.tif"):
        superresolve(
            tmp_path / "coarse.tif",
            tmp_path / "built.tif",
            4,
            model=walled,
            buildings=tmp_path / "built.tif",
        )
    assert (tmp_path / "built.tif").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        {"intercept_dbm": math.nan},
        {"intercept_dbm": 1e30},
        {"buildings_layer": "houses"},
        {"symmetries": 8.0},
        {"symmetries": True},
    ],
)
def test_invalid_options_are_refused(tmp_path, model, options):
    coarse_map(tmp_path / "coarse.tif", PLANE)
    with pytest.raises(UsageError):
        superresolve(tmp_path / "coarse.tif", tmp_path / "new" / "f.tif", 4, model=model, **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", "x" * 300 + ".tif", "nu\0ll.tif"])
def test_invalid_output_names_are_refused(tmp_path, model, name):
    coarse_map(tmp_path / "coarse.tif", PLANE)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError):
        superresolve(tmp_path / "coarse.tif", tmp_path / name if name else "", 4, model=model)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["fine.png", "fine", "fine.v2"])
def test_output_needs_a_geotiff_extension(tmp_path, model, name):
    coarse_map(tmp_path / "coarse.tif", PLANE)
    with pytest.raises(UsageError, match="GeoTIFF") as caught:
        superresolve(tmp_path / "coarse.tif", tmp_path / name, 4, model=model)
    assert "fine.tif" in str(caught.value)
    assert not (tmp_path / name).exists()


class TestSeveral:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "coarse").mkdir()
        for name in ("1_rsrp.tif", "2_rsrp.tif", "1_uncertainty.tif"):
            coarse_map(tmp_path / "coarse" / name, np.full((8, 9), -90.0))
        return tmp_path / "coarse"

    def test_levels_of_a_folder_are_refined_under_their_names(self, tmp_path, model, folder):
        made, failed = superresolve_all([folder], tmp_path / "fine", 4, model=model)
        assert not failed
        assert [one.path for one in made] == [
            tmp_path / "fine" / "1_rsrp.tif",
            tmp_path / "fine" / "2_rsrp.tif",
        ]
        superresolve(folder / "1_rsrp.tif", tmp_path / "alone.tif", 4, model=model)
        assert (tmp_path / "alone.tif").read_bytes() == made[0].path.read_bytes()

    def test_a_folder_without_levels_stands_for_its_rasters(self, folder):
        for name in ("1_rsrp.tif", "2_rsrp.tif"):
            (folder / name).unlink()
        assert coarse_rasters([folder, folder / "1_uncertainty.tif"]) == [
            folder / "1_uncertainty.tif"
        ]

    def test_a_raster_that_cannot_be_refined_does_not_stop_the_others(
        self, tmp_path, model, folder
    ):
        coarse_map(folder / "0_rsrp.tif", np.full((8, 9), 300.0))
        words = ["superres", str(folder), "-o", str(tmp_path / "fine"), "--model", str(model)]
        run = CliRunner().invoke(rm_geo, words)
        assert run.exit_code == 1
        assert "1 of 3 rasters could not be refined. 0_rsrp.tif: " in " ".join(run.output.split())
        assert sorted(path.name for path in (tmp_path / "fine").iterdir()) == [
            "1_rsrp.tif",
            "2_rsrp.tif",
        ]

    def test_outputs_that_cannot_be_meant_are_refused(self, tmp_path, model, folder):
        with pytest.raises(UsageError, match="output is the folder"):
            superresolve_all([folder], folder, 4, model=model)
        with pytest.raises(UsageError, match="name of a file"):
            superresolve_all([folder], tmp_path / "fine.tif", 4, model=model)
        (tmp_path / "other").mkdir()
        coarse_map(tmp_path / "other" / "1_rsrp.tif", np.full((8, 9), -90.0))
        with pytest.raises(UsageError, match="have one name"):
            superresolve_all([folder, tmp_path / "other"], tmp_path / "fine", 4, model=model)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="holds no GeoTIFF"):
            superresolve_all([tmp_path / "empty"], tmp_path / "fine", 4, model=model)
        with pytest.raises(InputError, match=r"no\.tif"):
            superresolve_all([tmp_path / "no.tif", tmp_path / "nor.tif"], tmp_path / "fine", 4)
        assert not (tmp_path / "fine").exists()
