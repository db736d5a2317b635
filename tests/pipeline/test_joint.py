"""Maps of all cells of a log together."""

from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

from rm_geo._util.own_folder import OwnFolder
from rm_geo.errors import CancelledError, UsageError
from rm_geo.grid import Grid
from rm_geo.io.cog import read_raster
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.joint import corrected_rows, log_evidence, with_reported
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from rm_geo.products.radio_map import open_radio_map
from rm_geo.products.rows import CellRows
from rm_geo.progress import SilentProgress

OPTIONS = PredictOptions(method="idw", tile_size_px=64, overlap_px=16, reach_m=30, preview=False)


def log(cells=4, hidden=slice(90, 130), seed=0):
    """A drive along a street: cells share their shadowing, and one is not reported for a while."""
    rng = np.random.default_rng(seed)
    x = np.arange(220.0)
    shadow = sum(6 * np.sin(x / period) for period in (4.0, 11.0, 31.0))
    truth = -90 - 3 * np.arange(cells)[:, None] + shadow
    level = truth + rng.normal(0, 1, truth.shape)
    level[0, hidden] = np.nan
    cell, place = np.nonzero(np.isfinite(level))
    drive = Measurements(
        500_000 + 4.0 * x[place],
        np.full(place.size, 5_000_000.0),
        level[cell, place].astype(np.float32),
        np.array([f"c{number}" for number in cell]),
        CRS.from_epsg(32633),
    )
    return drive, truth


class Lines(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def error_where_hidden(radio_map, truth):
    hidden = np.arange(90, 130)
    at = radio_map.sample(500_000 + 4.0 * hidden, np.full(40, 5_000_000.0))
    return float(np.sqrt(np.nanmean((at - truth[0, hidden]) ** 2)))


def map_of(maps, name):
    return next(radio_map for radio_map in maps if radio_map.tags["cell_name"] == name)


def test_a_map_is_corrected_where_the_cell_was_not_reported():
    drive, truth = log()
    options = OPTIONS.replace(reach_m=120)
    joint, single = (
        map_of(predict(drive, options=options.replace(joint=joint)), "c0")
        for joint in (True, False)
    )
    assert error_where_hidden(joint, truth) < 0.6 * error_where_hidden(single, truth)
    assert joint.tags["joint_cells"] == "3"
    assert int(joint.tags["joint_places"]) >= 30
    assert "joint_cells" not in single.tags


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Folder, results and log of a run of all four cells together."""
    folder, progress = tmp_path_factory.mktemp("joint"), Lines()
    return folder, predict(log()[0], folder, OPTIONS, progress), progress.lines


def test_a_map_is_the_same_as_alone_where_the_cell_was_reported_everywhere(mapped):
    drive, _ = log()
    joint = open_radio_map(mapped[0] / "c2_rsrp.tif").load().rsrp_dbm
    single = map_of(predict(drive, options=OPTIONS.replace(joint=False, cells=("c2",))), "c2")
    np.testing.assert_array_equal(joint, single.rsrp_dbm)


@pytest.mark.parametrize("cells", [1, 2])
def test_fewer_than_three_cells_are_mapped_one_by_one(cells):
    drive, _ = log(cells)
    progress = Lines()
    assert log_evidence(plan_run(drive, OPTIONS), progress, reported=False) is None
    assert progress.lines == []


def test_the_log_says_what_the_other_cells_contributed(mapped):
    folder, results, lines = mapped
    assert any("Joint estimate of 4 of 4 cells" in line for line in lines)
    by_name = {result.cell_name: result for result in results}
    assert by_name["c0"].joint_cells == 3
    assert by_name["c0"].joint_places >= 30
    assert by_name["c2"].joint_places == 0
    assert not list(folder.glob("**/*.f32"))


def test_cells_that_never_overlap_are_mapped_one_by_one_with_a_note(tmp_path):
    drive, _ = log()
    apart = Measurements(
        drive.x,
        drive.y + 1000.0 * np.array([int(name[1]) for name in drive.cell.tolist()]),
        drive.rsrp_dbm,
        drive.cell,
        drive.crs,
    )
    progress = Lines()
    results = predict(apart, tmp_path, OPTIONS, progress)
    assert any("Joint estimate: none" in line for line in progress.lines)
    assert {result.joint_cells for result in results} == {0}


def test_a_chosen_cell_is_estimated_from_all_cells_of_the_log(mapped, tmp_path):
    drive, _ = log()
    predict(drive, tmp_path, OPTIONS.replace(cells=("c0",)), summary=False)
    whole, alone = (
        open_radio_map(folder / "c0_rsrp.tif").load().rsrp_dbm for folder in (mapped[0], tmp_path)
    )
    np.testing.assert_array_equal(whole, alone)


def test_rows_are_corrected_in_bands_of_any_height(tmp_path):
    drive, _ = log()
    run_plan = plan_run(drive, OPTIONS)
    levels = log_evidence(run_plan, SilentProgress()).levels_of("c0")
    grid = next(cell.grid for cell in run_plan.cells if cell.cell == "c0")

    def bands(height):
        flat = np.full(grid.shape, -90, dtype=np.float32)
        for start in range(0, grid.shape[0], height):
            rows = slice(start, min(start + height, grid.shape[0]))
            yield CellRows(rows, flat[rows] * np.nan, flat[rows])

    def whole(height):
        corrected = corrected_rows(bands(height), grid, levels, OwnFolder(tmp_path, ()))
        return np.concatenate([band.rsrp_dbm for band in corrected])

    np.testing.assert_allclose(whole(7), whole(1000), atol=1e-4)
    assert np.abs(whole(1000) + 90).max() > 3.0


def test_a_cancelled_run_leaves_no_rows_behind(tmp_path):
    drive, _ = log()

    class Stop(SilentProgress):
        def check(self):
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        log_evidence(plan_run(drive, OPTIONS), Stop())


def test_the_probability_of_being_reported_falls_where_the_cell_was_not_reported(tmp_path):
    drive, _ = log()
    predict(drive, tmp_path, OPTIONS.replace(reach_m=120))
    probability, grid = (lambda file: (file.values, file.grid))(
        read_raster(tmp_path / "c0_reported.tif")
    )
    x = 500_000 + 4.0 * np.array([20, 60, 110, 150, 200])
    row, col = grid.to_pixel(x, np.full(5, 5_000_000.0))
    found = probability[row.astype(int), col.astype(int)]
    assert found[2] < 0.3
    assert found[[0, 1, 3, 4]].min() > 0.7
    mapped = np.isfinite(read_raster(tmp_path / "c0_rsrp.tif").values)
    np.testing.assert_array_equal(np.isfinite(probability), mapped)
    assert not (tmp_path / "c2_reported.tif").exists()  # reported everywhere


def test_a_log_of_serving_cells_has_no_map_of_being_reported(tmp_path):
    drive, _ = log()
    time = np.arange(len(drive)).astype("datetime64[s]").astype("datetime64[ms]")
    serving = replace(drive, x=drive.x + 0.001 * np.arange(len(drive)), time=time)
    progress = Lines()
    predict(serving, tmp_path, OPTIONS, progress)
    assert any("serving cell" in line for line in progress.lines)
    assert not list(tmp_path.glob("*_reported.tif"))


def test_a_log_of_one_cell_has_no_map_of_being_reported(tmp_path):
    drive, _ = log(1)
    predict(drive, tmp_path, OPTIONS)
    assert not list(tmp_path.glob("*_reported.tif"))


def test_the_probability_at_a_place_is_the_same_on_the_grids_of_all_cells():
    """Blocks begin at the same places, so that the cells share the weights of kriging."""
    drive, _ = log()
    reported = log_evidence(plan_run(drive, OPTIONS), SilentProgress()).reported_of("c0")

    def mapped(west, north, shape):
        grid = Grid.create(west, north, shape, 1.0, drive.crs)
        flat = np.zeros(shape, dtype=np.float32)
        (band,) = with_reported([CellRows(slice(0, shape[0]), flat, flat)], grid, reported)
        return band.reported_probability

    whole = mapped(500_300, 5_000_020, (40, 200))
    part = mapped(500_353, 5_000_013, (30, 100))
    np.testing.assert_allclose(part[8:-8, 8:-8], whole[15:29, 61:145], atol=1e-6)
    assert len(reported.weights.lattices) == 1


def test_rows_of_probabilities_equal_those_of_the_whole_map():
    drive, _ = log()
    run_plan = plan_run(drive, OPTIONS)
    probability = log_evidence(run_plan, SilentProgress()).reported_of("c0")
    grid = next(cell.grid for cell in run_plan.cells if cell.cell == "c0")

    def whole(height):
        flat = np.zeros(grid.shape, dtype=np.float32)
        ends = [min(start + height, grid.shape[0]) for start in range(0, grid.shape[0], height)]
        rows = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        bands = (CellRows(part, flat[part], flat[part]) for part in rows)
        found = with_reported(bands, grid, probability)
        return np.concatenate([band.reported_probability for band in found])

    np.testing.assert_allclose(whole(7), whole(1000), atol=1e-5)


class TestSelectionCorrection:
    """Weak readings of a cell are not in the log: where it is missing, it was weak."""

    @staticmethod
    def weak():
        """A log in which the first of three cells is not reported below -91 dBm."""
        rng = np.random.default_rng(0)
        x = np.arange(300.0)
        shadow = 8 * np.sin(x / 31) + 4 * np.sin(x / 12 + 1)
        truth = -90 - 3 * np.arange(3)[:, None] + shadow + rng.normal(0, 2, (3, x.size))
        reported = np.ones(truth.shape, dtype=bool)
        reported[0] = truth[0] > -91.0
        cell, place = np.nonzero(reported)
        drive = Measurements(
            500_000 + 4.0 * x[place],
            np.full(place.size, 5_000_000.0),
            truth[cell, place].astype(np.float32),
            np.array([f"c{number}" for number in cell]),
            CRS.from_epsg(32633),
        )
        return drive, 500_000 + 4.0 * x[~reported[0]], truth[0, ~reported[0]]

    @pytest.mark.parametrize("joint", [True, False])
    def test_the_map_is_lowered_where_the_cell_was_not_reported(self, joint):
        drive, x, truth = self.weak()
        options = OPTIONS.replace(joint=joint, cells=("c0",))
        bias_db, slope = [], []
        for selection in (False, True):
            maps = predict(drive, options=options.replace(selection_correction=selection))
            at = map_of(maps, "c0").sample(x, np.full(x.size, 5_000_000.0))
            bias_db.append(float(np.nanmean(at - truth)))
            slope.append(map_of(maps, "c0").tags.get("selection_slope_per_db"))
        assert 0.0 < bias_db[1] < bias_db[0] - 0.1
        assert slope[0] is None
        assert float(slope[1]) > 0.0

    def test_it_changes_nothing_where_the_cell_was_reported_everywhere(self, mapped):
        drive, _ = log()
        options = OPTIONS.replace(selection_correction=True, cells=("c2",))
        lowered = map_of(predict(drive, options=options), "c2")
        plain = open_radio_map(mapped[0] / "c2_rsrp.tif").load().rsrp_dbm
        np.testing.assert_array_equal(lowered.rsrp_dbm, plain)

    def test_it_is_left_out_with_a_note_where_only_the_serving_cell_is_listed(self):
        drive, _ = log()
        time = np.arange(len(drive)).astype("datetime64[s]").astype("datetime64[ms]")
        serving = replace(drive, x=drive.x + 0.001 * np.arange(len(drive)), time=time)
        progress = Lines()
        evidence = log_evidence(
            plan_run(serving, OPTIONS), progress, joint=False, reported=False, selection=True
        )
        assert evidence is None
        assert any("selection" in line and "serving cell" in line for line in progress.lines)

    def test_it_needs_the_correction_to_the_measurements(self):
        with pytest.raises(UsageError, match="selection_correction"):
            OPTIONS.replace(selection_correction=True, assimilate=False)
