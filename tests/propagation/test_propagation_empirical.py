from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rm_geo.errors import ConfigError, InputError
from rm_geo.propagation import (
    Antenna,
    SectorPattern,
    SpmConstants,
    fit_spm,
    free_space_path_loss_db,
    hata_path_loss_db,
    outside_hata_range,
    spm_predict,
)

ENVIRONMENTS = ("large-city", "urban", "suburban", "open")


class TestFreeSpace:
    @given(distance=st.floats(1, 1e5), frequency=st.floats(1e8, 1e11))
    def test_loss_grows_by_20_db_per_decade(self, distance, frequency):
        near, far = free_space_path_loss_db([distance, 10 * distance], frequency)
        assert far - near == pytest.approx(20.0)

    def test_agrees_with_the_reference_gain_of_an_antenna(self):
        assert Antenna(0, 0).reference_gain_db == pytest.approx(
            -float(free_space_path_loss_db(1.0, 5.9e9))
        )


class TestHata:
    # Worked values: f in MHz, hb, hm in m, d in m -> dB.
    @pytest.mark.parametrize(
        ("frequency", "base", "distance", "environment", "expected"),
        [
            (900.0, 30.0, 1000.0, "urban", 126.42),
            (900.0, 30.0, 5000.0, "urban", 151.04),
            (900.0, 30.0, 1000.0, "suburban", 116.48),
            (900.0, 30.0, 1000.0, "open", 97.91),
            (1800.0, 30.0, 1000.0, "urban", 136.20),
            (1800.0, 30.0, 1000.0, "large-city", 139.20),
        ],
    )
    def test_worked_values(self, frequency, base, distance, environment, expected):
        loss = hata_path_loss_db(
            distance, frequency_mhz=frequency, base_height_m=base, environment=environment
        )
        assert float(loss) == pytest.approx(expected, abs=0.1)

    @given(frequency=st.floats(150, 2000), base=st.floats(30, 200), distance=st.floats(1000, 20000))
    def test_loss_grows_with_distance_and_built_up_surroundings(self, frequency, base, distance):
        def loss(environment: str, d: float) -> float:
            return float(
                hata_path_loss_db(
                    d, frequency_mhz=frequency, base_height_m=base, environment=environment
                )
            )

        assert loss("urban", 2 * distance) > loss("urban", distance)
        assert loss("urban", distance) > loss("suburban", distance) > loss("open", distance)
        assert loss("urban", distance) > float(free_space_path_loss_db(distance, frequency * 1e6))

    def test_near_points_take_the_loss_of_the_minimum_distance(self):
        losses = hata_path_loss_db([0.0, 20.0], frequency_mhz=900.0, base_height_m=30.0)
        assert losses[0] == losses[1]

    def test_parameters_outside_the_range_are_listed(self):
        assert outside_hata_range(frequency_mhz=900.0, base_height_m=30.0) == []
        assert len(outside_hata_range(frequency_mhz=3500.0, distance_m=100.0)) == 2

    def test_invalid_parameters_are_rejected(self):
        with pytest.raises(ConfigError):
            hata_path_loss_db(1000.0, frequency_mhz=900.0, base_height_m=0.0)
        with pytest.raises(ConfigError):
            hata_path_loss_db(
                1000.0, frequency_mhz=900.0, base_height_m=30.0, environment="village"
            )


class TestSpm:
    @given(k1=st.floats(-50, 80), k2=st.floats(20, 60), base=st.floats(10, 60))
    def test_fit_recovers_the_constants(self, k1, k2, base):
        distance = np.geomspace(50, 3000, 40)
        truth = SpmConstants(k1=k1, k2=k2)
        loss = spm_predict(distance, truth, base_height_m=base)
        fitted = fit_spm(distance, loss, base_height_m=base)
        assert fitted.k1 == pytest.approx(k1, abs=1e-6)
        assert fitted.k2 == pytest.approx(k2, abs=1e-6)

    def test_one_distance_fits_only_the_offset(self):
        start = SpmConstants()
        loss = spm_predict(500.0, start, base_height_m=30.0) + np.array([7.0, 9.0])
        fitted = fit_spm([500.0, 500.0], loss, base_height_m=30.0, start=start)
        assert fitted.k2 == start.k2
        assert fitted.k1 == pytest.approx(start.k1 + 8.0)

    def test_defaults_are_hata_at_1800_mhz(self):
        distance = np.array([1000.0, 3000.0])
        spm = spm_predict(distance, SpmConstants(), base_height_m=30.0)
        hata = hata_path_loss_db(distance, frequency_mhz=1800.0, base_height_m=30.0)
        np.testing.assert_allclose(spm, hata, atol=0.5)

    def test_pairs_that_are_not_finite_are_ignored(self):
        distance = np.array([100.0, 1000.0, 500.0])
        loss = spm_predict(distance, SpmConstants(), base_height_m=30.0)
        loss[2] = np.nan
        assert fit_spm(distance, loss, base_height_m=30.0).k2 == pytest.approx(44.9)

    def test_no_finite_pair_is_rejected(self):
        with pytest.raises(InputError):
            fit_spm([100.0], [np.nan], base_height_m=30.0)


class TestSectorPattern:
    @given(azimuth=st.floats(-720, 720), elevation=st.floats(-90, 90))
    def test_gain_is_between_main_beam_and_back_lobe(self, azimuth, elevation):
        gain = float(SectorPattern(azimuth_deg=30.0).gain_dbi(azimuth, elevation))
        assert -22.0 <= gain <= 8.0

    def test_gain_is_3_db_lower_at_half_the_beamwidth(self):
        pattern = SectorPattern(azimuth_deg=350.0, downtilt_deg=5.0)
        assert float(pattern.gain_dbi(350.0, -5.0)) == 8.0
        assert float(pattern.gain_dbi(350.0 + 32.5, -5.0)) == pytest.approx(5.0)
        assert float(pattern.gain_dbi(-10.0, -5.0 + 32.5)) == pytest.approx(5.0)

    @pytest.mark.parametrize("field", ["horizontal_beamwidth_deg", "vertical_beamwidth_deg"])
    def test_zero_beamwidth_is_rejected(self, field):
        with pytest.raises(ConfigError):
            SectorPattern(**{field: 0.0})


@pytest.mark.parametrize("fault", [{"height_m": 0.0}, {"frequency_hz": 1800.0}])
def test_antennas_out_of_range_are_rejected(fault):
    with pytest.raises(ConfigError):
        Antenna(0.0, 0.0, **fault)
