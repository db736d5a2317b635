import pytest

from rm_geo.datasets.splits import SPLITS, get_split, require_training_maps
from rm_geo.errors import ConfigError


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_no_pair_of_map_and_transmitter_is_both_trained_on_and_tested(split):
    def pairs(maps, transmitters):
        return {(number, transmitter) for number in maps for transmitter in transmitters}

    train = pairs(split.train_maps, split.train_transmitters)
    validation = pairs(split.validation_maps, split.validation_transmitters)
    test = pairs(split.test_maps, split.test_transmitters)
    assert not train & validation
    assert not train & test
    assert not validation & test


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_every_split_trains_on_training_maps_only(split):
    require_training_maps(split.train_maps)


def test_radiocycle_has_500_100_and_100_maps():
    split = get_split("radiocycle")
    assert (split.train_maps[0], split.train_maps[-1]) == (1, 500)
    assert (split.validation_maps[0], split.validation_maps[-1]) == (501, 600)
    assert (split.test_maps[0], split.test_maps[-1]) == (601, 700)


def test_mars_tests_on_seen_maps_in_setting_one_and_on_unseen_ones_in_setting_two():
    assert not get_split("mars-i").unseen_maps
    assert get_split("mars-ii").unseen_maps
    assert get_split("mars-ii").train_maps == tuple(range(1, 251))


def test_training_on_a_test_map_is_refused_by_name():
    with pytest.raises(ConfigError, match="Maps 501, 650 "):
        require_training_maps([3, 650, 500, 501])


def test_an_unknown_split_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="radiocycle"):
        get_split("radiounet")
