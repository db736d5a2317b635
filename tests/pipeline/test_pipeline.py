"""The pipeline on small synthetic drive tests: from points to georeferenced maps."""

import json
import math
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from rm_geo.errors import (
    AreaTooLargeError,
    CancelledError,
    InputError,
    OutputError,
    TooSmallError,
    UsageError,
)
from rm_geo.estimators.base import Estimate
from rm_geo.inference.runner import Clock
from rm_geo.io.cog import read_raster
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell_progress import CellListener
from rm_geo.pipeline.dry_run import dry_run
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from rm_geo.pipeline.tile_pass import blend_cell
from rm_geo.products.summary import CellResult, skipped, skipped_line
from rm_geo.products.writer import write_cell
from rm_geo.progress import SilentProgress
from rm_geo.sites.selection import choose_site
from rm_geo.sites.site import Site
from tests.support.measurements import CORNER, drive, together

FAST = PredictOptions(
    method="nearest",
    tile_size_px=64,
    overlap_px=16,
    reach_m=10.0,
    preview=False,
    assimilate=False,
)


class Flat:
    """A method with buildings and uncertainty whose right answer is known everywhere."""

    name = "knn"
    maps_buildings = True
    provenance = {"flatness": "total"}  # noqa: RUF012 - a protocol's attribute

    def estimate(self, batch):
        shape = batch.rsrp_dbm.shape
        mean = np.nanmean(batch.rsrp_dbm, axis=(1, 2), keepdims=True)
        flat = np.broadcast_to(mean, shape).astype(np.float32)
        return Estimate(flat, np.full(shape, 0.25, np.float32), np.full(shape, 3.0, np.float32))


@pytest.fixture
def flat_method(monkeypatch):
    monkeypatch.setattr(
        "rm_geo.inference.methods.registry.get_method", lambda name, **options: Flat()
    )


@given(
    width=st.integers(1, 150),
    height=st.integers(1, 150),
    overlap=st.integers(0, 40),
    reach=st.sampled_from([0.0, 1.0, 30.0, 200.0]),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_constant_in_is_the_same_constant_out_everywhere(tmp_path, width, height, overlap, reach):
    points = drive(40, (width, height), level=-87.5)
    options = FAST.replace(overlap_px=overlap, reach_m=reach, min_pixels=1, assimilate=True)
    (result,) = predict(points, tmp_path, options)
    values = read_raster(tmp_path / "7_rsrp.tif").values
    known = np.isfinite(values)
    np.testing.assert_allclose(values[known], -87.5, atol=1e-4)
    assert result.mapped_pixels == known.sum() > 0


def test_exactly_the_pixels_in_reach_have_a_value(tmp_path):
    points = drive(25, (300.0, 200.0))
    predict(points, tmp_path, FAST.replace(reach_m=37.0))
    raster = read_raster(tmp_path / "7_rsrp.tif")
    rows, cols = raster.grid.to_pixel(points.x, points.y)
    measured = np.unique(np.column_stack([np.floor(rows), np.floor(cols)]), axis=0)
    everywhere = np.indices(raster.values.shape).reshape(2, -1).T
    distance, _ = cKDTree(measured).query(everywhere)
    in_reach = (distance <= 37.0).reshape(raster.values.shape)
    np.testing.assert_array_equal(np.isfinite(raster.values), in_reach)


def test_the_map_is_where_the_measurements_are(tmp_path):
    points = drive(60)
    predict(points, tmp_path, FAST)
    raster = read_raster(tmp_path / "7_rsrp.tif")
    west, south, east, north = raster.grid.bounds
    assert raster.grid.crs.to_epsg() == 32633
    assert west <= points.x.min() - 10.0 + 1e-6
    assert points.x.max() + 10.0 <= east
    assert south <= points.y.min() - 10.0 + 1e-6
    assert points.y.max() + 10.0 <= north
    rows, cols = (np.floor(axis).astype(int) for axis in raster.grid.to_pixel(points.x, points.y))
    # Method "nearest": a pixel with one measurement has its value.
    error = np.abs(raster.values[rows, cols] - points.rsrp_dbm)
    assert np.median(error) < 1e-3


@pytest.mark.parametrize("resolution", [0.5, 2.0, 5.0])
def test_the_resolution_is_that_of_the_raster(tmp_path, resolution):
    predict(drive(), tmp_path, FAST.replace(resolution_m=resolution))
    assert read_raster(tmp_path / "7_rsrp.tif").grid.spacing_m == resolution


def test_batches_do_not_change_the_map(tmp_path):
    points = drive(200, (200.0, 160.0))
    for batch_size in (1, 3, 50):
        predict(points, tmp_path / str(batch_size), FAST.replace(batch_size=batch_size))
    contents = [read_raster(tmp_path / n / "7_rsrp.tif").values for n in ("1", "3", "50")]
    np.testing.assert_array_equal(contents[0], contents[1])
    np.testing.assert_array_equal(contents[0], contents[2])


def test_the_same_input_gives_the_same_bytes(tmp_path):
    points = together(drive(), drive(seed=1, cell="8"))
    options = FAST.replace(preview=True, assimilate=True)
    for name in ("a", "b"):
        predict(points, tmp_path / name, options)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "7_preview.png",
        "7_rsrp.tif",
        "8_preview.png",
        "8_rsrp.tif",
        "summary.csv",
        "summary.json",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_assimilation_brings_the_map_nearer_to_its_measurements(tmp_path, flat_method):
    points = drive(150)
    error = {}
    for assimilate in (True, False):
        predict(points, tmp_path, FAST.replace(method="knn", assimilate=assimilate))
        raster = read_raster(tmp_path / "7_rsrp.tif")
        rows, cols = (np.floor(a).astype(int) for a in raster.grid.to_pixel(points.x, points.y))
        error[assimilate] = np.sqrt(np.mean((raster.values[rows, cols] - points.rsrp_dbm) ** 2))
    assert error[True] < 0.5 * error[False]


def test_methods_that_know_buildings_and_uncertainty_write_them(tmp_path, flat_method):
    options = FAST.replace(method="knn", mask=True, uncertainty=True, mask_threshold=0.2)
    (result,) = predict(drive(), tmp_path, options)
    assert result.files == (
        "7_rsrp.tif",
        "7_buildings.tif",
        "7_buildings_mask.tif",
        "7_uncertainty.tif",
    )
    level = read_raster(tmp_path / "7_rsrp.tif").values
    buildings = read_raster(tmp_path / "7_buildings.tif")
    np.testing.assert_array_equal(np.isfinite(buildings.values), np.isfinite(level))
    assert set(np.unique(buildings.values[np.isfinite(level)])) == {np.float32(0.25)}
    assert result.building_share == pytest.approx(0.25)
    import rasterio

    with rasterio.open(tmp_path / "7_buildings_mask.tif") as mask:
        assert mask.dtypes == ("uint8",)
        assert set(np.unique(mask.read(1))) == {1, 255}
    np.testing.assert_allclose(
        read_raster(tmp_path / "7_uncertainty.tif").values[np.isfinite(level)], 3.0, atol=1e-5
    )


def test_a_tile_in_reach_without_measurements_leaves_no_hole(tmp_path):
    east = np.array([5.0, 10.0, 15.0, 20.0, 25.0, 180.0, 185.0, 190.0])
    points = replace(drive(8), x=CORNER[0] + east, y=CORNER[1] + np.zeros(8))
    predict(points, tmp_path, FAST.replace(reach_m=90.0, tile_size_px=32, overlap_px=8))
    values = read_raster(tmp_path / "7_rsrp.tif").values
    assert np.isfinite(values[values.shape[0] // 2]).all()


def test_every_raster_says_where_it_comes_from(tmp_path, flat_method):
    site = Site(x=CORNER[0], y=CORNER[1], eirp_dbm=15.0, frequency_mhz=2600.0, cell="7")
    predict(drive(), tmp_path, FAST.replace(method="knn", sites=None, eirp_dbm=15.0))
    for name in ("7_rsrp.tif", "7_buildings.tif"):
        tags = read_raster(tmp_path / name).tags
        assert tags["method"] == "knn"
        assert tags["flatness"] == "total"
        assert tags["cell"] == "7"
        assert tags["software"].startswith("rm_geo ")
        assert tags["measurements_used"] == "60"
        assert tags["measurements_dropped"] == "0"
        # Estimated to 263 m: more than `max_site_uncertainty_m`.
        assert tags["transmitter"] == "unknown"
        assert tags["reach_m"] == "10"
    assert read_raster(tmp_path / "7_rsrp.tif").tags["units"] == "dBm"
    choice = choose_site(drive(), (site,))
    assert choice.tags["transmitter"] == "site table"
    assert choice.tags["intercept"] == "eirp"


def test_the_summary_has_a_row_for_each_cell(tmp_path):
    points = together(drive(60), drive(30, seed=1, cell="a/b"), drive(2, seed=2, cell="few"))
    results = predict(points, tmp_path, FAST)
    assert [result.status for result in results] == ["mapped", "mapped", "skipped"]
    document = json.loads((tmp_path / "summary.json").read_text())
    assert [row["status"] for row in document["cells"]] == ["mapped", "mapped", "skipped"]
    assert "2 pixels" in document["cells"][2]["message"]
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    assert len(lines) == 4
    assert all((tmp_path / name).exists() for result in results for name in result.files)


def test_points_without_any_cell_are_one_map(tmp_path):
    points = replace(drive(), cell=np.array([None] * 60, dtype=object))
    (result,) = predict(points, tmp_path, FAST)
    assert result.files == ("all_rsrp.tif",)


def test_one_cell_can_be_chosen(tmp_path):
    points = together(drive(60), drive(30, seed=1, cell="8"))
    results = predict(points, tmp_path, FAST.replace(cells=("8",)))
    assert [result.cell for result in results] == ["8"]
    with pytest.raises(UsageError, match="no cell '9'"):
        predict(points, tmp_path, FAST.replace(cells=("9",)))


def test_an_area_that_needs_too_many_tiles_is_refused_with_its_size(tmp_path):
    far = replace(drive(2), x=np.array([0.0, 400_000.0]) + CORNER[0])
    with pytest.raises(AreaTooLargeError, match=r"400\.2 km"):
        predict(far, tmp_path / "out", PredictOptions(method="nearest"))
    assert not (tmp_path / "out").exists()


def test_one_stray_cell_does_not_stop_the_others(tmp_path):
    far = replace(drive(2, cell="far"), x=np.array([0.0, 400_000.0]) + CORNER[0])
    results = predict(together(drive(), far), tmp_path, FAST.replace(max_tiles=100))
    assert {result.cell: result.status for result in results} == {"7": "mapped", "far": "failed"}


def test_where_nothing_is_mapped_a_failure_is_reported_before_cells_that_are_too_small(tmp_path):
    far = replace(drive(3, cell="far"), x=np.array([0.0, 1.0, 400_000.0]) + CORNER[0])
    few = together(far, drive(4, cell="few"), drive(2, seed=1, cell="fewer"))
    with pytest.raises(AreaTooLargeError):
        predict(few, tmp_path / "out", FAST.replace(max_tiles=100))
    with pytest.raises(TooSmallError, match="Cell few was measured in 4 pixels"):
        predict(few, tmp_path / "out", FAST.replace(max_tiles=100, cells=("few", "fewer")))


def test_skipped_cells_are_one_line_that_stays_short():
    error = TooSmallError("Too small.")
    small = [skipped(f"c{number}", "", 1, error) for number in range(200)]
    assert skipped_line([]) == skipped_line([CellResult("7", "mapped")]) == ""
    assert skipped_line([CellResult("7", "mapped"), small[0]]) == (
        "1 cell was skipped, measured in too few pixels to be mapped: c0."
    )
    assert skipped_line(small[:2]).startswith("2 cells were skipped")
    assert skipped_line(small).endswith(": c0, c1, c2, c3, c4 and 195 more.")
    assert len(skipped_line([replace(cell, cell="x" * 200) for cell in small])) < 250


def test_nothing_is_written_where_no_cell_can_be_mapped(tmp_path):
    (tmp_path / "7_rsrp.tif").write_text("precious")
    with pytest.raises(InputError, match="2 pixels"):
        predict(drive(2), tmp_path, FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["7_rsrp.tif"]
    assert (tmp_path / "7_rsrp.tif").read_text() == "precious"


def test_a_failure_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    predict(drive(), tmp_path, FAST)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_, **__):
        raise OutputError("Cannot write: the disk is full.")

    monkeypatch.setattr("rm_geo.products.preview.save_preview", full)
    with pytest.raises(OutputError, match="full"):
        predict(drive(seed=3), tmp_path, FAST.replace(preview=True))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_cancelled_run_leaves_what_was_there(tmp_path):
    class Impatient(SilentProgress):
        def advance(self, amount=1):
            raise CancelledError("Stopped.")

    (tmp_path / "7_rsrp.tif").write_text("precious")
    with pytest.raises(CancelledError):
        predict(drive(), tmp_path, FAST, Impatient())
    assert [path.name for path in tmp_path.iterdir()] == ["7_rsrp.tif"]


def test_a_cancelled_run_stops_the_fit_of_the_baseline(tmp_path, monkeypatch):
    """It runs in a thread while tiles are estimated."""
    stopped = []

    def fit(sparse, parameters, facts, check):
        try:
            for _ in range(2000):
                check()
                time.sleep(0.01)
        except CancelledError as error:
            stopped.append(error)
            raise

    class Impatient(SilentProgress):
        def advance(self, amount=1):
            raise CancelledError("Stopped.")

    monkeypatch.setattr("rm_geo.pipeline.cell.fit_classical_baseline", fit)
    options = FAST.replace(assimilate=True, method_weight=0.5)
    with pytest.raises(CancelledError, match="Stopped"):
        predict(drive(), tmp_path, options, Impatient())
    assert stopped


class TestSeveralCells:
    """The map of a cell is made while the next one is estimated."""

    @pytest.fixture
    def two_threads(self, monkeypatch):
        monkeypatch.setattr("rm_geo.pipeline.predict.available_threads", lambda: 2)

    @staticmethod
    def log():
        return together(*(drive(60 - 9 * n, seed=n, cell=str(n)) for n in range(3)))

    def test_the_next_cell_is_estimated_while_a_map_is_written(
        self, tmp_path, monkeypatch, two_threads
    ):
        estimated, waited = threading.Event(), []
        write, blend = write_cell, blend_cell

        def slow_write(files, *given):
            if files.cell == "0":
                waited.append(estimated.wait(60.0))
            return write(files, *given)

        def counted_blend(sparse, plan, *given):
            found = blend(sparse, plan, *given)
            if len(sparse) < 60:
                estimated.set()
            return found

        monkeypatch.setattr("rm_geo.pipeline.cell.write_cell", slow_write)
        monkeypatch.setattr("rm_geo.pipeline.cell.blend_cell", counted_blend)
        results = predict(self.log(), tmp_path, FAST)
        assert waited == [True]
        assert [result.cell for result in results] == ["0", "1", "2"]

    def test_the_bytes_do_not_depend_on_the_threads(self, tmp_path, monkeypatch):
        for threads in (1, 2):
            monkeypatch.setattr(
                "rm_geo.pipeline.predict.available_threads", lambda threads=threads: threads
            )
            predict(self.log(), tmp_path / str(threads), FAST.replace(assimilate=True))
        for name in ("0_rsrp.tif", "1_rsrp.tif", "2_rsrp.tif"):
            one, two = ((tmp_path / threads / name).read_bytes() for threads in "12")
            assert one == two

    def test_a_map_that_cannot_be_written_leaves_the_order_of_the_results(
        self, tmp_path, two_threads
    ):
        (tmp_path / "1_rsrp.tif").mkdir()
        results = predict(self.log(), tmp_path, FAST)
        assert [(result.cell, result.status) for result in results] == [
            ("0", "mapped"),
            ("1", "failed"),
            ("2", "mapped"),
        ]

    def test_a_cancelled_run_ends_the_map_that_is_being_made(
        self, tmp_path, monkeypatch, two_threads
    ):
        begun, stopped = threading.Event(), []

        def endless(sparse, blended, options, check, baseline):
            begun.set()
            try:
                while True:
                    check()
                    time.sleep(0.005)
            except CancelledError:
                stopped.append(True)
                raise
            yield

        class AtSecondCell(SilentProgress):
            def start(self, total, unit, label):
                if label == "Cell 1":
                    assert begun.wait(60.0)
                    raise KeyboardInterrupt

        monkeypatch.setattr("rm_geo.pipeline.cell.map_rows", endless)
        with pytest.raises(KeyboardInterrupt):
            predict(self.log(), tmp_path, FAST, AtSecondCell())
        assert stopped == [True]
        assert not list(tmp_path.glob("*.tif"))

    def test_maps_above_the_limit_are_made_one_after_another(
        self, tmp_path, monkeypatch, two_threads
    ):
        events = []

        class Ordered(CellListener):
            def at(self, cell, part):
                events.append(cell)

        monkeypatch.setattr("rm_geo.pipeline.predict._MOST_PIXELS_TOGETHER", 0)
        predict(self.log(), tmp_path, FAST, cell_listener=Ordered())
        assert events == sorted(events)


def test_a_target_that_is_a_folder_is_found_before_any_file_moves(tmp_path, flat_method):
    (tmp_path / "7_buildings.tif").mkdir()
    with pytest.raises(OutputError, match="folder"):
        predict(drive(), tmp_path, FAST.replace(method="knn"))
    assert [path.name for path in tmp_path.iterdir()] == ["7_buildings.tif"]


def test_progress_counts_every_computed_tile(tmp_path):
    class Counting(SilentProgress):
        announced = done = 0

        def start(self, total, unit, label):
            self.announced += total

        def advance(self, amount=1):
            self.done += amount

    progress, clock = Counting(), Clock()
    (result,) = predict(drive(), tmp_path, FAST, progress, clock)
    assert progress.announced == progress.done == result.tiles == clock.tiles > 1


def test_a_dry_run_counts_the_same_tiles_and_writes_nothing(tmp_path):
    points = together(drive(60), drive(30, seed=1, cell="8"))
    run = dry_run(points, FAST)
    results = predict(points, tmp_path, FAST)
    assert run.tiles == {result.cell: result.tiles for result in results}
    assert 0 < run.seconds < 60
    assert run.tiles_per_s > 0


def test_the_time_of_a_dry_run_has_more_than_tiles(tmp_path):
    """Two far clusters are two tiles, and a raster that takes most of the time."""
    near, far = drive(60), drive(60, seed=1)
    far = replace(far, x=far.x + 4000.0, y=far.y + 4000.0)
    options = FAST.replace(max_tiles=100_000)
    one, both = dry_run(near, options), dry_run(together(near, far), options)
    empty_s = 0.05e-6 * (both.pixels - one.pixels)
    assert both.pixels > 100 * one.pixels
    assert both.seconds > both.tiles["7"] / both.tiles_per_s + empty_s


@pytest.mark.usefixtures("flat_method")
def test_the_time_of_a_dry_run_has_the_tiles_that_judge_a_network():
    options = FAST.replace(method="radiocycle", assimilate=True)
    judged, given = dry_run(drive(), options), dry_run(drive(), options.replace(method_weight=0.5))
    tiles = judged.tiles["7"]
    finishing_s = given.seconds - tiles / given.tiles_per_s
    again = 4 * min(tiles, 4)  # folds and tiles
    assert judged.seconds == pytest.approx((tiles + again) / judged.tiles_per_s + finishing_s)


def test_a_dry_run_refuses_what_the_run_refuses(tmp_path):
    """A cell in too few pixels, in the words of the run; the first of them if all are."""
    points = together(drive(60), drive(3, seed=1, cell="8"))
    options = FAST.replace(min_pixels=5)
    rehearsed = {plan.cell: plan for plan in dry_run(points, options).run_plan.cells}
    made = {result.cell: result for result in predict(points, tmp_path / "out", options)}
    assert rehearsed["7"].refusal is None
    assert made["7"].is_mapped
    assert str(rehearsed["8"].refusal) == made["8"].message
    assert "8" not in dry_run(points, options).tiles
    with pytest.raises(InputError, match="at least 500"):
        dry_run(points, FAST.replace(min_pixels=500))


def test_the_run_plan_lays_out_grids_on_whole_metres():
    run_plan = plan_run(drive(), FAST)
    (cell,) = run_plan.cells
    west, south, _, _ = cell.grid.bounds
    assert west == math.floor(west)
    assert south == math.floor(south)


def test_no_measurements_at_all_are_refused(tmp_path):
    with pytest.raises(InputError):
        predict(drive(0), tmp_path, FAST)


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolution_m": 0.0},
        {"reach_m": -1.0},
        {"overlap_px": 256},
        {"batch_size": 0},
        {"mask_threshold": 1.0},
        {"max_tiles": 0},
        {"tile_size_px": 8},
        {"resolution_m": math.nan},
        {"resolution_m": math.inf},
        {"resolution_m": 1e-320},
        {"reach_m": math.inf},
        {"noise_db": math.inf},
        {"method_weight": 0.5, "assimilate": False},
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError):
        PredictOptions(**wrong)


def test_a_model_for_a_method_without_one_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no trained model"):
        predict(drive(), tmp_path, FAST.replace(model="x"))


def test_a_tiny_network_runs_through_the_whole_pipeline(tmp_path):
    from rm_geo.networks import build
    from rm_geo.zoo.weights import save_model

    config = {"f_widths": [8, 8], "f_depths": [1, 1], "g_widths": [8, 8], "g_depths": [1, 1]}
    model = tmp_path / "tiny"
    save_model(model, build("radiocycle-drive", config), "radiocycle-drive", config)
    options = FAST.replace(method="radiocycle", model=model, uncertainty=True, device="cpu")
    (result,) = predict(drive(), tmp_path / "maps", options)
    assert result.files == ("7_rsrp.tif", "7_buildings.tif", "7_uncertainty.tif")
    raster = read_raster(tmp_path / "maps" / "7_buildings.tif")
    known = raster.values[np.isfinite(raster.values)]
    assert 0.0 <= known.min() <= known.max() <= 1.0
    assert raster.tags["model"] == "tiny"
    assert len(raster.tags["model_sha256"]) == 64


def test_what_an_earlier_run_made_of_the_cell_does_not_stay(tmp_path, flat_method):
    options = FAST.replace(mask=True, uncertainty=True, preview=True)
    predict(drive(), tmp_path, options)
    (tmp_path / "7_notes.txt").write_text("somebody's")
    (tmp_path / "8_buildings.tif").write_text("of another cell")
    (tmp_path / "7_buildings_mask.tif").unlink()
    (tmp_path / "7_buildings_mask.tif").mkdir()  # a folder, not a map
    (cell,) = predict(drive(), tmp_path, FAST.replace(preview=False))
    summaries = {"summary.csv", "summary.json"}
    there = {path.name for path in tmp_path.iterdir()}
    kept = {"7_notes.txt", "8_buildings.tif", "7_buildings_mask.tif"}
    assert there == {*cell.files, *summaries, *kept}
    assert "7_uncertainty.tif" not in there


def test_a_cell_that_fails_for_good_does_not_stand_in_the_way_of_the_next_run(
    tmp_path, monkeypatch
):
    class Mute(Flat):
        def estimate(self, batch):
            made = super().estimate(batch)
            return replace(made, rsrp_dbm=np.where(made.rsrp_dbm > -85, made.rsrp_dbm, np.nan))

    monkeypatch.setattr(
        "rm_geo.inference.methods.registry.get_method", lambda name, **options: Mute()
    )
    monkeypatch.setattr("rm_geo.pipeline.predict.MIN_RESUMABLE_S", -1.0)
    both = together(drive(level=-80.0), drive(level=-90.0, cell="8"))
    assert [cell.status for cell in predict(both, tmp_path, FAST)] == ["mapped", "failed"]
    assert not [path for path in tmp_path.iterdir() if "journal" in path.name]
    again = predict(both, tmp_path, FAST.replace(reach_m=5.0))
    assert [cell.status for cell in again] == ["mapped", "failed"]


def test_many_cells_need_no_more_open_files_than_the_system_grants(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1000:
        pytest.skip("no more files are granted")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 25, hard))
        many = [drive(6, extent=(4.0, 4.0), cell=f"c{number}") for number in range(40)]
        options = FAST.replace(reach_m=1.0, min_pixels=1, preview=False)
        results = predict(together(*many), tmp_path, options)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [cell.status for cell in results] == ["mapped"] * 40
