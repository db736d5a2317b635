import pytest

from rm_geo.datasets.splits import SPLITS, get_split, require_training_maps
from rm_geo.errors import ConfigError


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_training_validation_and_test_pairs_are_disjoint(split):
    def pairs(maps, transmitters):
        return {(number, transmitter) for number in maps for transmitter in transmitters}

    train = pairs(split.train_maps, split.train_transmitters)
    validation = pairs(split.validation_maps, split.validation_transmitters)
    test = pairs(split.test_maps, split.test_transmitters)
    assert not train & validation
    assert not train & test
    assert not validation & test


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_splits_train_only_on_training_maps(split):
    require_training_maps(split.train_maps)


def test_radiocycle_has_500_100_and_100_maps():
    split = get_split("radiocycle")
    assert (split.train_maps[0], split.train_maps[-1]) == (1, 500)
    assert (split.validation_maps[0], split.validation_maps[-1]) == (501, 600)
    assert (split.test_maps[0], split.test_maps[-1]) == (601, 700)


def test_only_mars_setting_two_tests_on_unseen_maps():
    assert not get_split("mars-i").unseen_maps
    assert get_split("mars-ii").unseen_maps
    assert get_split("mars-ii").train_maps == tuple(range(1, 251))


def test_training_on_test_maps_is_rejected_with_their_numbers():
    with pytest.raises(ConfigError, match="Maps 501, 650 "):
        require_training_maps([3, 650, 500, 501])


def test_the_error_for_an_unknown_split_lists_the_known_ones():
    with pytest.raises(ConfigError, match="radiocycle"):
        get_split("radiounet")
