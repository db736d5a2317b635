"""All cells of a log on one set of bins."""

import numpy as np
import pytest
from pyproj import CRS

from rm_geo.errors import InputError
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.visits import Visits
from rm_geo.raster import log_bins
from rm_geo.raster.log_bins import LogBins

UTM = CRS.from_epsg(32633)


def log(x, level_dbm, cell, y=None, **more):
    x = np.asarray(x, dtype=np.float64)
    y = np.zeros_like(x) if y is None else np.asarray(y, dtype=np.float64)
    return Measurements(x, y, np.asarray(level_dbm, dtype=np.float32), cell, UTM, **more)


def test_levels_are_means_in_db_of_each_bin_and_cell():
    bins = LogBins.of(log([0, 4, 6, 6], [-90, -80, -70, -95], ["1", "1", "1", "2"]))
    assert bins.cells == ("1", "2")
    assert bins.count.tolist() == [[2, 0], [1, 1]]
    np.testing.assert_array_equal(bins.level_dbm, np.float32([[-85, np.nan], [-70, -95]]))


def test_positions_are_means_of_the_visits_even_far_from_the_origin():
    x = 500_000.0 + np.array([0.5, 1.0, 1.5])
    bins = LogBins.of(log(x, [-90] * 3, ["1"] * 3, y=np.full(3, -5e6 - 1.25)))
    np.testing.assert_allclose(bins.position_m, [[500_001.0, -5e6 - 1.25]], atol=1e-9)


def test_places_without_a_level_are_visited_bins():
    places = Visits(np.array([21.0]), np.array([0.0]))
    bins = LogBins.of(log([0.0], [-90], ["1"], places=places))
    assert bins.reported.tolist() == [[True], [False]]
    assert np.isnan(bins.strongest_dbm).tolist() == [False, True]


def test_cells_that_are_left_out_count_as_visits():
    bins = LogBins.of(log([0, 9], [-90, -80], ["1", "2"]), ["1"])
    assert bins.cells == ("1",)
    assert bins.reported.tolist() == [[True], [False]]


def test_rows_in_blocks_give_the_same_bins(monkeypatch):
    rng = np.random.default_rng(0)
    drive = log(rng.uniform(0, 90, 500), rng.normal(-90, 5, 500), rng.choice(["1", "2"], 500))
    whole = LogBins.of(drive)
    monkeypatch.setattr(
        log_bins,
        "iter_blocks",
        lambda *columns: zip(*(np.array_split(c, 7) for c in columns), strict=False),
    )
    cut = LogBins.of(drive)
    np.testing.assert_allclose(cut.position_m, whole.position_m)
    np.testing.assert_allclose(cut.level_dbm, whole.level_dbm, rtol=1e-6)
    assert (cut.count == whole.count).all()
    assert (cut.visits == whole.visits).all()


def test_a_log_with_one_reading_a_visit_lists_the_serving_cell_only():
    time = np.arange(6).astype("datetime64[s]").astype("datetime64[ms]")
    x = np.arange(6.0)
    serving = log(x, [-90] * 6, ["1", "1", "2", "2", "1", "1"], time=time)
    assert serving.lists_serving_only
    listed = log(np.repeat(x, 2), [-90] * 12, ["1", "2"] * 6, time=np.repeat(time, 2))
    assert not listed.lists_serving_only


def test_hidden_entries_stay_visited():
    bins = LogBins.of(log([0, 6], [-90, -80], ["1", "1"]))
    hidden = bins.hidden(np.array([[True], [False]]))
    assert hidden.count.tolist() == [[0], [1]]
    assert len(hidden) == 2


def test_a_matrix_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(log_bins, "MAX_ENTRIES", 1)
    with pytest.raises(InputError, match="too many"):
        LogBins.of(log([0, 9], [-90, -80], ["1", "1"]))
