"""``rm-geo models``, ``info`` and ``doctor``: what is installed, and whether it is whole."""

import json

import pytest
import torch
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.zoo import weights


@pytest.fixture
def root(tmp_path, monkeypatch):
    weights.save_model(
        tmp_path / "tiny-s", torch.nn.Linear(2, 2), "tiny", {}, {"summary": "A test.", "size": "s"}
    )
    (tmp_path / "tiny-s" / "card.md").write_text("# Tiny\nTrained on nothing.\n")
    weights.write_index(tmp_path, {"tiny": "tiny-s"})
    monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(rm_geo, list(arguments))


def test_list_and_show_tell_what_the_index_and_the_card_say(root):
    assert "tiny-s" in run("models", "list").output
    listed = json.loads(run("models", "list", "--json").stdout)["models"]
    assert [model["name"] for model in listed] == ["tiny-s"]
    assert "Trained on nothing." in run("models", "show", "tiny-s").output


def test_verify_notices_damage_and_exits_with_1(root):
    assert run("models", "verify").exit_code == 0
    path = root / "tiny-s" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = run("models", "verify")
    assert result.exit_code == 1
    assert str(path) in result.stderr


def test_showing_an_unknown_model_suggests(root):
    result = run("models", "show", "tiny-x")
    assert result.exit_code == 1
    assert "tiny-s" in result.stderr


def test_doctor_names_damaged_models(root, monkeypatch):
    monkeypatch.setattr("rm_geo.workflows.dependencies.import_errors", lambda _: {})
    path = root / "tiny-s" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = run("doctor")
    assert result.exit_code == 1
    assert "tiny-s" in result.stderr
    assert "damaged" in result.output
    assert str(path) in result.output


def test_info_lists_the_methods():
    result = run("info", "--json")
    names = [method["name"] for method in json.loads(result.stdout)["methods"]]
    assert {"radiocycle", "mars", "knn"} <= set(names)
