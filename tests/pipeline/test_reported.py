"""Map of the probability that a cell is reported."""

import numpy as np
import pytest
from pyproj import CRS

from rm_geo.io.raster_reader import read_raster
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.selection import Selection
from rm_geo.measurements.visits import Visits
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from rm_geo.progress import SilentProgress

OPTIONS = PredictOptions(
    method="idw", tile_size_px=64, overlap_px=16, reach_m=150, preview=False, joint=False
)


class Lines(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def drive(reported, places=None, time=None):
    """A street along which cells are reported or not: array of bool, shape (bins, cells)."""
    place, cell = np.nonzero(reported)
    return Measurements(
        500_000 + 5.0 * place,
        np.full(place.size, 5_000_000.0),
        np.full(place.size, -90, np.float32),
        np.array([f"c{number}" for number in cell]),
        CRS.from_epsg(32633),
        time=None if time is None else time[place],
        places=places,
    )


def halves():
    reported = np.ones((80, 2), dtype=bool)
    reported[40:, 1] = False
    return drive(reported)


def files_of(results):
    return [name for result in results for name in result.files]


def test_the_probability_falls_where_a_cell_was_not_reported(tmp_path):
    results = predict(halves(), tmp_path, OPTIONS)
    assert "c1_reported.tif" in files_of(results)
    found = read_raster(tmp_path / "c1_reported.tif")
    assert found.values.dtype == np.float32
    row, col = found.grid.to_pixel(np.array([500_052.0, 500_302.0]), np.full(2, 5_000_000.0))
    near, far = found.values[row.astype(int), col.astype(int)]
    assert near > 0.95
    assert far < 0.05
    known = np.isfinite(found.values)
    assert found.values[known].min() >= 0
    assert found.values[known].max() <= 1
    assert np.array_equal(known, np.isfinite(read_raster(tmp_path / "c1_rsrp.tif").values))


def test_tags_say_what_it_means(tmp_path):
    import rasterio

    predict(halves(), tmp_path, OPTIONS)
    with rasterio.open(tmp_path / "c1_reported.tif") as dataset:
        tags = dataset.tags()
        assert dataset.nodata == -9999
    assert tags["quantity"] == "probability of being reported"
    assert "within 5 m" in tags["meaning"]


def test_is_an_option(tmp_path):
    assert "c1_reported.tif" not in files_of(
        predict(halves(), tmp_path, OPTIONS.replace(reported=False))
    )


def test_a_log_of_one_cell_has_none(tmp_path):
    assert files_of(predict(drive(np.ones((40, 1), bool)), tmp_path, OPTIONS)) == ["c0_rsrp.tif"]


def test_a_log_of_one_cell_has_one_if_other_places_were_visited(tmp_path):
    beyond = Visits(500_000 + 5.0 * np.arange(40, 80), np.full(40, 5_000_000.0))
    predict(drive(np.ones((40, 1), bool), beyond), tmp_path, OPTIONS)
    found = read_raster(tmp_path / "c0_reported.tif").values
    assert np.nanmin(found) < 0.05


def test_a_log_of_the_serving_cell_alone_has_none_and_says_so(tmp_path):
    reported = np.zeros((80, 2), dtype=bool)
    reported[:40, 0] = reported[40:, 1] = True
    lines = Lines()
    results = predict(drive(reported), tmp_path, OPTIONS, lines)
    assert not any("reported" in name for name in files_of(results))
    assert sum("serving cell" in line for line in lines.lines) == 1


def test_repeated_readings_of_one_cell_at_a_place_do_not_hide_that_it_is_the_serving_one():
    reported = np.zeros((80, 2), dtype=bool)
    reported[:40, 0] = reported[40:, 1] = True
    once = drive(reported)
    thrice = once.select(np.repeat(np.arange(len(once)), 3))
    assert thrice.lists_serving_only
    assert not halves().lists_serving_only


def test_cells_that_are_left_out_leave_their_places():
    mixed = np.zeros((80, 2), dtype=bool)
    mixed[:50, 0] = mixed[30:, 1] = True
    selected, _ = Selection(top=1).apply(drive(mixed))
    assert len(selected.visits()) == 80
    serving = np.zeros((80, 2), dtype=bool)
    serving[:50, 0] = serving[50:, 1] = True
    assert Selection(top=1).apply(drive(serving))[0].places is None


@pytest.mark.parametrize("cells", [60])
def test_many_cells(tmp_path, cells):
    rng = np.random.default_rng(0)
    reported = rng.random((60, cells)) < 0.4
    results = predict(drive(reported), tmp_path, OPTIONS.replace(cells=("c0", "c1")))
    assert len([name for name in files_of(results) if name.endswith("_reported.tif")]) == 2
