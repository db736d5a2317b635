import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rm_geo.datasets.cities import generate_city
from rm_geo.datasets.drive_test import drive_test
from rm_geo.datasets.parcels import Parcel, rectangle
from rm_geo.errors import ConfigError


def city(seed=0, shape=(192, 256), spacing_m=1.0):
    return generate_city(np.random.default_rng(seed), shape, spacing_m)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_built_up_fraction_is_in_the_range_of_cities(seed):
    made = city(seed)
    assert 0.10 <= made.buildings.mean() <= 0.45
    assert made.roads.any()
    assert not (made.roads & made.buildings).any()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_heights_are_positive_in_buildings_and_zero_outdoors(seed):
    made = city(seed)
    assert (made.heights_m[~made.buildings] == 0).all()
    assert made.heights_m[made.buildings].min() >= 2
    assert made.heights_m.max() <= 100


def test_the_city_depends_only_on_the_seed():
    first, second, other = city(4), city(4), city(5)
    assert (first.heights_m == second.heights_m).all()
    assert (first.roads == second.roads).all()
    assert (first.buildings != other.buildings).any()


def test_built_up_fraction_does_not_depend_on_the_spacing():
    fine, coarse = city(7, (256, 256), 1.0), city(7, (64, 64), 4.0)
    assert coarse.buildings.shape == (64, 64)
    assert abs(fine.buildings.mean() - coarse.buildings.mean()) < 0.1


@pytest.mark.parametrize("shape", [(50, 400), (400, 50)])
def test_scenes_smaller_than_a_block_are_rejected(shape):
    with pytest.raises(ConfigError):
        city(shape=shape)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 3.14), st.floats(-0.9, 0.9), st.floats(0.1, 50))
def test_a_cut_parcel_keeps_its_area(angle, share, width):
    block = rectangle((3.0, 4.0), (np.cos(angle), np.sin(angle)), 40.0, width)
    direction = (np.cos(1.0), np.sin(1.0))
    low, high = block.extent(direction)
    below, above, line = block.cut((low + high + share * (high - low)) / 2, direction, 2.0)
    assert line is not None
    assert below.area_m2 + above.area_m2 == pytest.approx(block.area_m2)
    assert max(below.margins_m) == max(above.margins_m) == 2.0


def test_inset_removes_the_margin_of_each_edge():
    block = Parcel(((0.0, 0.0), (30.0, 0.0), (30.0, 20.0), (0.0, 20.0)), (1.0, 2.0, 3.0, 4.0))
    assert block.inset().area_m2 == pytest.approx((30 - 2 - 4) * (20 - 1 - 3))
    assert block.inset(10.0) is None


class TestDriveTest:
    """Simulated drive through a city with two cells."""

    gains = np.stack([np.full((192, 256), -90.0), np.full((192, 256), -190.0)])

    def log(self, seed=0, **options):
        return drive_test(np.random.default_rng(seed), city(), self.gains, **options)

    def test_rows_are_ordered_by_time_and_inside_the_city(self):
        log = self.log(origin=(1000.0, 5000.0))
        assert (np.diff(log.time) >= np.timedelta64(0)).all()
        assert log.x.min() > 990
        assert log.x.max() < 1266
        assert log.y.min() > 4798
        assert log.y.max() < 5010

    def test_cells_below_the_sensitivity_are_not_logged(self):
        assert set(self.log(cells=("A", "B")).cell) == {"A"}

    def test_levels_are_noisy_and_rounded_to_1_db(self):
        level = self.log().rsrp_dbm
        assert (level == np.round(level)).all()
        assert abs(np.median(level) - (28 - 90)) <= 1
        assert 1.0 < level.std() < 4.0

    def test_the_log_depends_only_on_the_seed(self):
        first, second = self.log(3), self.log(3)
        assert (first.x == second.x).all()
        assert (first.rsrp_dbm == second.rsrp_dbm).all()

    def test_gains_of_another_size_are_rejected(self):
        with pytest.raises(ConfigError):
            drive_test(np.random.default_rng(0), city(), np.zeros((1, 8, 8)))
