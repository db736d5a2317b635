"""Standard deviations that are written: of the map, everywhere, and possible ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rm_geo.estimators.base import Estimate
from rm_geo.geostat.intervals import spread_db
from rm_geo.inference import method_spec
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.predict import predict
from tests.support.measurements import CORNER, drive


def walk(spacing_m: float, count: int, noise_db: float = 3.0) -> Measurements:
    """Levels along a diagonal, with noise."""
    rng = np.random.default_rng(1)
    along = np.arange(count) * spacing_m
    level = -80.0 + np.cumsum(rng.normal(0, 0.5, count)) + rng.normal(0, noise_db, count)
    return replace(
        drive(count),
        x=CORNER[0] + along,
        y=CORNER[1] + along,
        rsrp_dbm=level.astype(np.float32),
    )


OPTIONS = PredictOptions(
    method="ordinary-kriging", uncertainty=True, tile_size_px=64, overlap_px=16, reach_m=20
)


@pytest.mark.parametrize("noise_db", [None, 6.0])
@pytest.mark.parametrize("assimilate", [True, False])
def test_kriging_is_not_certain_at_measured_pixels(noise_db, assimilate) -> None:
    points = walk(2.0, 150)
    (radio_map,) = predict(
        points, options=OPTIONS.replace(noise_db=noise_db, assimilate=assimilate)
    )
    std_db = radio_map.std_db
    assert std_db is not None
    row, col = (np.floor(axis).astype(int) for axis in radio_map.grid.to_pixel(points.x, points.y))
    assert std_db[row, col].min() > 1.5  # most of it is noise, of 3 dB
    assert np.array_equal(np.isfinite(std_db), np.isfinite(radio_map.rsrp_dbm))
    assert np.nanmax(std_db) <= spread_db(points.rsrp_dbm) + 1e-4


def test_kriging_of_single_samples_has_a_deviation_wherever_it_has_a_level() -> None:
    points = walk(70.0, 12)  # one measurement in a tile
    (radio_map,) = predict(points, options=OPTIONS)
    assert radio_map.std_db is not None
    assert np.array_equal(np.isfinite(radio_map.std_db), np.isfinite(radio_map.rsrp_dbm))
    assert np.nanmin(radio_map.std_db) > 0.5
    assert np.nanmax(radio_map.std_db) <= max(spread_db(points.rsrp_dbm), 3.0) + 1e-4


class Certain:
    """A network that is far too uncertain, and silent about its deviation in half of its tiles."""

    name = "radiocycle"
    maps_buildings = False
    predicts_std = True
    provenance: dict[str, str] = {}  # noqa: RUF012 - no parameters

    def estimate(self, batch):
        level = np.full(batch.rsrp_dbm.shape, -85.0, dtype=np.float32)
        std = np.full_like(level, 148.0)
        std[:, :, ::2] = np.nan
        return Estimate(level, std_db=std)


@pytest.mark.parametrize("assimilate", [True, False])
def test_deviations_of_a_network_are_bounded_by_the_spread_of_the_levels(
    monkeypatch, assimilate
) -> None:
    healthy = method_spec.open_method

    def opened(*arguments, **named):
        return replace(healthy(*arguments, **named), estimator=Certain())

    monkeypatch.setattr(method_spec, "open_method", opened)
    points = walk(2.0, 100)
    (radio_map,) = predict(
        points,
        options=OPTIONS.replace(
            method="radiocycle", assimilate=assimilate, method_weight=0.5 if assimilate else None
        ),
    )
    assert radio_map.std_db is not None
    assert np.array_equal(np.isfinite(radio_map.std_db), np.isfinite(radio_map.rsrp_dbm))
    assert np.nanmax(radio_map.std_db) <= spread_db(points.rsrp_dbm) + 1e-4
