"""dBm and milliwatts are inverse; RadioMapSeer's scale keeps its two ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo import units

levels = st.floats(-200.0, 60.0)


@settings(deadline=None)
@given(levels)
def test_power_conversion_is_inverse(level_dbm: float) -> None:
    assert float(units.mw_to_dbm(units.dbm_to_mw(level_dbm))) == pytest.approx(level_dbm, abs=1e-9)


@settings(deadline=None)
@given(levels, levels)
def test_power_conversion_keeps_order(first: float, second: float) -> None:
    assert (first < second) <= bool(units.dbm_to_mw(first) <= units.dbm_to_mw(second))


def test_ten_db_are_a_factor_of_ten() -> None:
    assert units.dbm_to_mw([0.0, 10.0, -30.0]) == pytest.approx([1.0, 10.0, 1e-3])


def test_zero_power_is_minus_infinity_without_a_warning() -> None:
    with np.errstate(all="raise"):
        assert float(units.mw_to_dbm(0.0)) == -np.inf


@settings(deadline=None)
@given(st.floats(units.GAIN_FLOOR_DB, units.GAIN_TOP_DB))
def test_unit_scale_is_inverse_between_floor_and_top(gain_db: float) -> None:
    unit = units.gain_to_unit(gain_db)
    assert 0.0 <= float(unit) <= 1.0
    assert float(units.unit_to_gain(unit)) == pytest.approx(gain_db, abs=1e-3)


@settings(deadline=None)
@given(st.floats(-1000.0, 1000.0))
def test_unit_scale_is_clipped_outside(gain_db: float) -> None:
    unit = float(units.gain_to_unit(gain_db))
    if gain_db <= units.GAIN_FLOOR_DB:
        assert unit == 0.0
    elif gain_db >= units.GAIN_TOP_DB:
        assert unit == 1.0


def test_unit_scale_is_the_noise_floor_form_of_the_data_set() -> None:
    # Grey g of the data set's own images runs from -147 to -47.84 dB; y = max(g - 0.2, 0) / 0.8.
    gain_db = np.linspace(-147.0, -47.84, 50)
    grey = (gain_db + 147.0) / (147.0 - 47.84)
    expected = np.maximum(grey - 0.2, 0.0) / 0.8
    assert units.gain_to_unit(gain_db) == pytest.approx(expected, abs=0.002)


def test_scales_give_float32() -> None:
    assert units.gain_to_unit([-60.0]).dtype == np.float32
    assert units.unit_to_gain([0.5]).dtype == np.float32


def test_nodata_is_no_possible_level() -> None:
    assert np.isfinite(units.NODATA_DBM)
    assert units.NODATA_DBM < units.RSRP_MIN_DBM < units.RSRP_MAX_DBM
    assert float(np.float32(units.NODATA_DBM)) == units.NODATA_DBM
