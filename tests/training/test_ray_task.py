"""Training of the network that finds buildings from many cells."""

import numpy as np
import pytest
import torch

from rm_geo.errors import ConfigError
from rm_geo.networks import build
from rm_geo.training.measurements import MeasurementMixture, sample_cells
from rm_geo.training.ray_task import RayOptions, RayTask, cell_samples
from rm_geo.training.run import read_config, train
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import StepContext
from rm_geo.zoo.catalog import find_model
from rm_geo.zoo.weights import save_model
from tests.support.scenes import free_space_set, save_set

TINY = {"widths": [16, 16], "depths": [1, 1]}


def pool(antennas=5, **options):
    return ScenePool([free_space_set(scenes=4, antennas=antennas)], held_out=1, **options)


def test_cells_of_a_crop_share_buildings_and_drive():
    crops = pool().draw_cells(np.random.default_rng(0), 4, 32)
    assert len(crops.gain_db) == 4
    assert (crops.buildings == crops.buildings[:1]).all()
    assert (crops.order == crops.order[:1]).all()
    assert len({tuple(place) for place in crops.transmitter_rc.tolist()}) == 4
    assert (crops.height_m == 1.5).all()


def test_a_scene_with_fewer_antennas_gives_fewer_cells():
    crops = pool(antennas=3).draw_cells(np.random.default_rng(0), 16, 32)
    assert len(crops.gain_db) == 3


def test_cells_are_measured_in_the_same_pixels():
    crops = pool().draw_cells(np.random.default_rng(0), 4, 64)
    tiles = sample_cells(crops, MeasurementMixture(), torch.Generator().manual_seed(0))
    shared = crops.free.amin(0) > 0
    observed = tiles.observed[:, shared]
    assert observed.any()
    assert (observed == observed[:1]).all()


def test_samples_are_those_of_each_cell():
    crops = pool().draw_cells(np.random.default_rng(0), 2, 64)
    clean = MeasurementMixture(
        noisy_probability=0.0, quantised_probability=0.0, outlier_probability=0.0
    )
    tiles = sample_cells(crops, clean, torch.Generator().manual_seed(0))
    for index, cell in enumerate(cell_samples(tiles, np.array([3.0, 30.0]))):
        assert cell.height_m == (3.0, 30.0)[index]
        expected = crops.gain_db[index, 0, cell.rows, cell.cols]
        np.testing.assert_array_equal(cell.level_dbm, expected)


def test_a_network_learns_the_building_that_all_scenes_have():
    torch.manual_seed(0)
    network = build("ray-buildings", TINY)
    options = RayOptions(batch=4, crop=32, final_crop=32, cells=(1, 4), validation_crops=1)
    task = RayTask(network, pool(), pool(validation=True), options, MeasurementMixture())
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for step in range(30):
        random = torch.Generator().manual_seed(step)
        loss = task.losses(StepContext(np.random.default_rng(step), random, 0.5))["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    scores = task.validate(network)
    assert set(scores) == {f"route_{r}_cells_{c}_f1" for r in (1, 4) for c in (1, 8, 16)}


def test_a_recipe_trains_and_its_model_is_listed(tmp_path):
    data = save_set(free_space_set(scenes=3, antennas=3), tmp_path / "set")
    recipe = {
        "network": TINY,
        "data": str(data),
        "held_out": 1,
        "loop": {"max_steps": 2, "steps_per_epoch": 1},
        "task": {"batch": 2, "crop": 32, "final_crop": 32, "validation_crops": 1},
    }
    network = train(read_config("ray-buildings", recipe), tmp_path / "run")
    save_model(tmp_path / "model", network, "ray-buildings", TINY)
    assert find_model(tmp_path / "model").kind == "ray-buildings"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cells": (0, 4)}, "cells must be"),
        ({"listed": (3, 2)}, "listed must be"),
        ({"unknown_height": 1.5}, "unknown_height"),
        ({"crop": 64, "final_crop": 32}, "final_crop"),
    ],
)
def test_invalid_options_are_refused_by_name(values, words):
    with pytest.raises(ConfigError, match=words):
        RayOptions(**values)


def test_crops_that_the_network_cannot_read_are_refused():
    options = RayOptions(crop=36, final_crop=64)
    with pytest.raises(ConfigError, match="multiple of 8"):
        RayTask(build("ray-buildings", TINY), pool(), pool(), options, MeasurementMixture())
