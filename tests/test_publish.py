"""A training becomes a model that says all about itself, and can be trained again."""

import json

import pytest
import torch
import yaml

from rm_geo.errors import InputError
from rm_geo.networks import build
from rm_geo.training.card import CardText, publish
from rm_geo.training.checkpoint import TrainingState, save_checkpoint
from rm_geo.training.run import TrainingConfig
from rm_geo.weights import load_network, write_index
from rm_geo.zoo import find_model, list_models

NETWORK = {"f_widths": [8, 12], "f_depths": [1, 1], "g_widths": [8, 12], "g_depths": [1, 1]}
TEXT = CardText("A tiny pair.", "made-up streets", ("nothing",), "one core", {"Table": "| a |"})


@pytest.fixture
def finished(tmp_path):
    """Folder of a training that has ended."""
    torch.manual_seed(0)
    state = build("radiocycle-field", NETWORK).state_dict()
    tensors = {
        f"{part}.{k}": v.clone() for part in ("network", "average") for k, v in state.items()
    }
    folder = tmp_path / "run"
    folder.mkdir()
    progress = TrainingState(step=7, trained_s=90.0)
    save_checkpoint(folder / "checkpoint.safetensors", progress, tensors)
    config = {"kind": "radiocycle-field", "data": ["x"], "network": NETWORK, "loop": {"seed": 3}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "log.jsonl").write_text('{"step": 7, "validation": {"f1": 0.5}}\n')
    return folder


def test_a_published_model_is_found_verified_and_loaded(finished, tmp_path):
    models = tmp_path / "models"
    checksum = publish(finished, models / "tiny", "s", TEXT)
    write_index(models, {"radiocycle": "tiny"})
    (record,) = list_models(models)
    network, loaded = load_network(find_model("tiny", root=models))
    assert record.sha256 == loaded.sha256 == checksum
    assert network.F.stem.weight.dtype == torch.float32


def test_the_card_tells_what_matters(finished, tmp_path):
    publish(finished, tmp_path / "tiny", "s", TEXT)
    card = json.loads((tmp_path / "tiny" / "card.json").read_text())
    assert card["steps"] == 7
    assert card["minutes"] == 1.5
    assert card["seed"] == 3
    assert card["validation"] == {"f1": 0.5}
    text = (tmp_path / "tiny" / "card.md").read_text()
    for part in ("A tiny pair.", "made-up streets", "| a |", "- nothing", card["sha256"]):
        assert part in text


def test_the_recipe_trains_the_same_network_again(finished, tmp_path):
    publish(finished, tmp_path / "tiny", "s", TEXT)
    recipe = yaml.safe_load((tmp_path / "tiny" / "recipe.yaml").read_text())
    config = TrainingConfig(kind="radiocycle-field", data=["y"], **recipe)
    assert config.network == NETWORK
    assert config.loop == {"seed": 3}


def test_a_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(InputError, match="not the folder of a training"):
        publish(tmp_path, tmp_path / "tiny", "s", TEXT)
