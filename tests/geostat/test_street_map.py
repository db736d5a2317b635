"""The street ensemble on a raster."""

import numpy as np
import pytest

from rm_geo.geostat.street_ensemble import StreetEnsemble
from rm_geo.geostat.street_map import StreetMap
from rm_geo.grid import Grid
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.facts import SiteInfo


@pytest.fixture(scope="module")
def street() -> SparseRaster:
    level_dbm = np.full((90, 120), np.nan)
    level_dbm[40, 10:110] = -80.0 - 0.1 * np.arange(100)
    return SparseRaster.from_levels(Grid.create(0, 0, level_dbm.shape, 1.0, 32633), level_dbm)


def test_blocks_of_measurements_are_computed_once(street, monkeypatch) -> None:
    fresh = StreetMap.fit(street, SiteInfo(), 4, trees=5)
    computed = fresh.computed_near(street)
    rows, wanted = slice(30, 70), np.ones((40, 120), dtype=bool)
    expected = fresh.on_rows(rows, wanted)
    asked: list[np.ndarray] = []
    estimate = StreetEnsemble.at

    def watched(ensemble: StreetEnsemble, position_m: np.ndarray) -> np.ndarray:
        asked.append(position_m)
        return estimate(ensemble, position_m)

    monkeypatch.setattr(StreetEnsemble, "at", watched)
    np.testing.assert_array_equal(computed.on_rows(rows, wanted), expected)
    assert np.abs(np.concatenate(asked)[:, 0] - 40.5).min() > 4.0  # metres from the street
    observed = np.zeros_like(wanted)
    observed[10, 10:110] = True  # row 40
    asked.clear()
    computed.on_rows(rows, observed)
    assert sum(map(len, asked)) == 0
