"""Publication of trained models."""

import json
from dataclasses import replace

import pytest
import torch
import yaml
from click.testing import CliRunner

from rm_geo.errors import DependencyError, InputError, UsageError
from rm_geo.networks import build
from rm_geo.training.card import CardText, publish
from rm_geo.training.checkpoint import TrainingState, save_checkpoint
from rm_geo.training.config import TrainingConfig
from rm_geo.training.default_keys import NetworkShape, require_suited
from rm_geo.training.publish import main
from rm_geo.zoo.catalog import default_model, find_model, list_models, models_root
from rm_geo.zoo.weights import load_network, write_index

NETWORK = {"f_widths": [8, 12], "f_depths": [1, 1], "g_widths": [8, 12], "g_depths": [1, 1]}
TEXT = CardText("A tiny pair.", "made-up streets", ("nothing",), "one core", {"Table": "| a |"})


@pytest.fixture
def finished(tmp_path):
    """Folder of a finished training."""
    torch.manual_seed(0)
    state = build("radiocycle-drive", NETWORK).state_dict()
    tensors = {
        f"{part}.{k}": v.clone() for part in ("network", "average") for k, v in state.items()
    }
    folder = tmp_path / "run"
    folder.mkdir()
    progress = TrainingState(step=7, trained_s=90.0)
    save_checkpoint(folder / "checkpoint.safetensors", progress, tensors)
    config = {"kind": "radiocycle-drive", "data": ["x"], "network": NETWORK, "loop": {"seed": 3}}
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


def test_the_card_contains_data_scores_and_limits(finished, tmp_path):
    publish(finished, tmp_path / "tiny", "s", TEXT)
    card = json.loads((tmp_path / "tiny" / "card.json").read_text())
    assert card["steps"] == 7
    assert card["minutes"] == 1.5
    assert card["seed"] == 3
    assert card["validation"] == {"f1": 0.5}
    text = (tmp_path / "tiny" / "card.md").read_text()
    for part in ("A tiny pair.", "made-up streets", "| a |", "- nothing", card["sha256"]):
        assert part in text


def test_pictures_are_copied_and_shown_on_the_card(finished, tmp_path):
    picture = tmp_path / "bad.png"
    picture.write_bytes(b"PNG")
    text = replace(TEXT, pictures={"A bad result": picture})
    publish(finished, tmp_path / "tiny", "s", text)
    assert (tmp_path / "tiny" / "picture-1.png").read_bytes() == b"PNG"
    assert "![A bad result](picture-1.png)" in (tmp_path / "tiny" / "card.md").read_text()


def test_the_recipe_repeats_the_training(finished, tmp_path):
    publish(finished, tmp_path / "tiny", "s", TEXT)
    recipe = yaml.safe_load((tmp_path / "tiny" / "recipe.yaml").read_text())
    config = TrainingConfig(kind="radiocycle-drive", data=["y"], **recipe)
    assert config.network == NETWORK
    assert config.loop == {"seed": 3}


def test_a_folder_without_a_training_is_rejected(tmp_path):
    with pytest.raises(InputError, match="not the folder of a training"):
        publish(tmp_path, tmp_path / "tiny", "s", TEXT)


@pytest.fixture
def command(finished, tmp_path):
    """Run the command on the finished training; return its result and the folder of models."""
    models = tmp_path / "models"

    def run(*more, name="tiny"):
        words = [
            finished,
            name,
            "--models",
            models,
            "--summary",
            "A",
            "--data",
            "B",
            "--device",
            "C",
            *more,
        ]
        return CliRunner().invoke(main, [str(word) for word in words]), models

    return run


@pytest.fixture
def without_onnx(monkeypatch):
    def missing(*_, **__):
        raise DependencyError("onnx is not installed.")

    monkeypatch.setattr("rm_geo.training.publish.write_graphs", missing)


def test_a_run_without_a_log_is_published(command, finished, without_onnx):
    (finished / "log.jsonl").unlink()
    result, models = command("--default", "radiocycle=tiny")
    assert result.exit_code == 0, result.output
    assert json.loads((models / "tiny" / "card.json").read_text())["validation"] == {}
    assert json.loads((models / "index.json").read_text())["default"] == {"radiocycle": "tiny"}
    assert not (models / "tiny" / "curves.png").exists()
    assert "curves.png" not in (models / "tiny" / "card.md").read_text()


def test_a_default_may_be_an_existing_model(command, finished, without_onnx):
    assert command(name="first")[0].exit_code == 0
    result, models = command("--default", "radiocycle=first", name="second")
    assert result.exit_code == 0, result.output
    assert json.loads((models / "index.json").read_text())["default"] == {"radiocycle": "first"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--default", "radiocycle"), "not KEY=NAME"),
        (("--default", "=tiny"), "not KEY=NAME"),
        (("--default", "radiocycle=nosuch"), "no model 'nosuch'"),
        (("--default", "mars-4=tiny"), "not valid for 'mars-4'"),
        (("--default", "radiocyle=tiny"), "Unknown key 'radiocyle'"),
        (("--scores", "T", "FOLDER"), "is a directory"),
        (("--scores", "T", "PICTURE"), "cannot be read"),
    ],
)
def test_options_are_checked_before_anything_is_written(command, tmp_path, words, message):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    places = {"FOLDER": tmp_path, "PICTURE": tmp_path / "picture.png"}
    result, models = command(*(places.get(word, word) for word in words))
    assert result.exit_code in {1, 2}
    assert isinstance(result.exception, SystemExit)
    assert message in " ".join(result.output.split())
    assert not models.exists()


@pytest.mark.parametrize("name", ["a/b", "tiny.safetensors", ".", ".."])
def test_a_model_name_must_be_a_folder_name(command, name):
    result, models = command(name=name)
    assert result.exit_code == 2, result.output
    assert "not a valid model name" in result.output
    assert not models.exists()


@pytest.mark.parametrize("entry", json.loads((models_root() / "index.json").read_text())["default"])
def test_built_in_defaults_match_their_keys(entry):
    record = default_model(entry)
    require_suited(entry, record.name, NetworkShape(record.kind, record.scale))
    for key in ("interpolation-net", "radiocycle", "mars-4", "srresnet-8", "superres-4-buildings"):
        if record.scale is not None and f"-{record.scale}" not in key:
            with pytest.raises(UsageError):
                require_suited(key, record.name, NetworkShape(record.kind, record.scale))


def test_a_run_without_configuration_gives_one_message(command, finished):
    (finished / "config.json").write_text("[]")
    result, models = command()
    assert result.exit_code == 1
    assert "config.json does not describe" in result.output
    assert not models.exists()
