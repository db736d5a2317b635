"""Estimates at positions are those of the map."""

import numpy as np
import pytest

from rm_geo.estimators.base import PointEstimator
from rm_geo.estimators.registry import get_method, list_methods
from rm_geo.grid import Grid
from rm_geo.inference.batches import raster_batch
from rm_geo.raster.binning import bin_measurements
from rm_geo.sites.facts import SiteInfo
from tests.support.measurements import CORNER, drive


@pytest.mark.parametrize("name", [info.name for info in list_methods() if not info.is_network])
def test_estimates_at_positions_are_those_of_the_map(name) -> None:
    if name == "ordinary-kriging":
        pytest.importorskip("pykrige")
    points = drive(150, (120.0, 120.0))
    grid = Grid.covering(points.x, points.y, points.crs, spacing_m=2.0)
    sparse = bin_measurements(points, grid)
    estimator, site = get_method(name), SiteInfo(CORNER)
    assert isinstance(estimator, PointEstimator)
    row, col = (
        axis + 0.5
        for axis in np.divmod(np.arange(0, grid.shape[0] * grid.shape[1], 37), grid.shape[1])
    )
    there = estimator.estimate_at(sparse, row, col, site)
    by_map = estimator.estimate(raster_batch(sparse, site)).rsrp_dbm[0]
    np.testing.assert_allclose(there, by_map[row.astype(int), col.astype(int)], atol=2e-3)
