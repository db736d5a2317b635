"""The weight of a network in the maps of a log."""

import numpy as np
import pytest

from rm_geo.estimators.base import Estimate
from rm_geo.io.cog import read_raster
from rm_geo.options import PredictOptions
from rm_geo.pipeline.log_weight import MAX_CELLS
from rm_geo.pipeline.method_weight import MethodWeight
from rm_geo.pipeline.plan import plan_run
from rm_geo.pipeline.predict import predict
from tests.support.measurements import drive, together

OPTIONS = PredictOptions(
    method="radiocycle", tile_size_px=64, overlap_px=16, reach_m=10.0, preview=False, reported=False
)


class Mean:
    """A network that maps the mean level of a tile everywhere."""

    name = "radiocycle"
    maps_buildings = False
    provenance: dict[str, str] = {}  # noqa: RUF012 - a protocol's attribute

    def estimate(self, batch):
        mean = np.nanmean(batch.rsrp_dbm, axis=(1, 2), keepdims=True)
        return Estimate(np.broadcast_to(mean, batch.rsrp_dbm.shape).astype(np.float32))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setattr(
        "rm_geo.inference.methods.registry.get_method", lambda name, **options: Mean()
    )


def log():
    """Six cells, each with fewer readings than the one before."""
    return together(*(drive(80 - 8 * number, seed=number, cell=str(number)) for number in range(6)))


def weights(results):
    return {result.cell: (result.method_weight, result.held_out_rmse_db) for result in results}


def test_all_cells_of_a_log_have_one_weight(tmp_path):
    found = weights(predict(log(), tmp_path, OPTIONS))
    assert len(found) == 6
    ((weight, errors),) = set(found.values())
    assert 0.0 < weight < 1.0
    assert len(errors) == 3


def test_cells_mapped_one_by_one_have_weights_of_their_own(tmp_path):
    found = weights(predict(log(), tmp_path, OPTIONS.replace(joint=False)))
    assert len(set(found.values())) == 6


def test_the_map_of_a_cell_does_not_depend_on_the_requested_cells(tmp_path):
    predict(log(), tmp_path / "all", OPTIONS)
    predict(log(), tmp_path / "one", OPTIONS.replace(cells=("5",)))
    whole, alone = (read_raster(tmp_path / run / "5_rsrp.tif").values for run in ("all", "one"))
    np.testing.assert_array_equal(whole, alone)


def test_the_weight_is_estimated_once_by_the_largest_cells():
    weight = plan_run(log(), OPTIONS).log_weight
    calls = []

    def estimate(cells):
        calls.append([cell.cell for cell in cells])
        return MethodWeight.given(0.3)

    assert not weight.is_known
    assert weight.estimate(estimate) is weight.estimate(estimate)
    assert calls == [["0", "1", "2", "3"]]
    assert len(weight) == MAX_CELLS


def test_measurements_of_a_weighed_cell_are_part_of_the_key():
    """A run that resumes with other measurements there would mix maps of two weights."""
    first, second = (
        plan_run(together(drive(80, level=level), drive(40, cell="8")), OPTIONS).log_weight
        for level in (-80.0, -81.0)
    )
    assert first.checksum != second.checksum


def test_a_weighed_cell_in_too_few_pixels_is_left_out(tmp_path):
    """Its readings are the most, all in one place."""
    place = drive(300, extent=(0.5, 0.5), cell="9")
    results = predict(together(place, drive(60)), tmp_path, OPTIONS)
    assert {result.cell: result.status for result in results} == {"9": "skipped", "7": "mapped"}
    assert weights(results)["7"][1]


def test_a_log_of_one_cell_is_weighed_by_it():
    assert plan_run(drive(), OPTIONS).log_weight is None
