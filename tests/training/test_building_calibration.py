"""Calibration of the building probabilities of a model."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration
from rm_geo.errors import ConfigError
from rm_geo.evaluation.cases import Sampling
from rm_geo.networks import build
from rm_geo.training.building_calibration import (
    fit_building_calibration,
    main,
    write_calibration,
)
from rm_geo.zoo.catalog import find_model
from rm_geo.zoo.weights import save_model, write_index
from tests.support.scenes import free_space_set, save_set

UNIFORM = (Sampling("uniform", 0.1),)
TINY = {"widths": [8, 8], "depths": [1, 1]}


def distorted(buildings, rng, calibration):
    """Draw probabilities that are right after a calibration: evidence of normal log-odds."""
    share = buildings.mean()
    evidence = rng.normal(np.where(buildings, 1.0, -1.0), np.sqrt(2.0))  # log-likelihood ratios
    log_odds = (np.log(share / (1.0 - share)) + evidence - calibration.offset) / calibration.slope
    return (1.0 / (1.0 + np.exp(-log_odds))).astype(np.float32)


def test_the_fit_finds_the_calibration_of_distorted_probabilities():
    data = free_space_set(scenes=4, antennas=2)
    wanted, rng = Calibration(offset=-0.6, slope=0.8), np.random.default_rng(0)

    def method(cells, shape, spacing_m):
        return distorted(data.scene(0).buildings, rng, wanted)

    found = fit_building_calibration(data, method, cells=[1], samplings=UNIFORM, every=1)
    assert found.offset == pytest.approx(wanted.offset, abs=0.1)
    assert found.slope == pytest.approx(wanted.slope, abs=0.1)


@pytest.mark.parametrize(("cells", "message"), [([3], "2 antennas"), ([1], "say nothing")])
def test_what_cannot_be_fitted_is_refused(cells, message):
    data = free_space_set(scenes=1, antennas=2)

    def wrong(cells, shape, spacing_m):
        return np.where(data.scene(0).buildings, np.float32(0.2), np.float32(0.8))

    with pytest.raises(ConfigError, match=message):
        fit_building_calibration(data, wrong, cells=cells, samplings=UNIFORM, every=1)


def test_the_command_writes_the_calibration_to_the_card_and_the_index(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = build("ray-buildings", TINY)
    models = tmp_path / "models"
    save_model(models / "lines", network, "ray-buildings", TINY)
    write_index(models, {"ray-buildings": "lines"})
    (models / "lines" / "card.md").write_text("| network | x |\n| licence | Apache-2.0 |\n")
    calibration = Calibration(-0.25, 1.5)
    monkeypatch.setattr(
        "rm_geo.training.building_calibration.fit_building_calibration",
        lambda *_, **__: calibration,
    )
    data = save_set(free_space_set(scenes=1, antennas=2), tmp_path / "set")
    for _ in range(2):  # the second replaces the first
        result = CliRunner().invoke(main, [str(data), "lines", "--models", str(models)])
        assert result.exit_code == 0, result.output
    assert json.loads((models / "lines" / "card.json").read_text())[CALIBRATION_TAG] == str(
        calibration
    )
    lines = (models / "lines" / "card.md").read_text().splitlines()
    assert [line for line in lines if "calibration" in line] == [
        "| calibration of the buildings | log-odds: offset -0.250, slope 1.500 |"
    ]
    monkeypatch.setenv("RM_GEO_MODELS", str(models))
    for record in (find_model("lines"), find_model(models / "lines")):
        assert Calibration.parse(record.provenance[CALIBRATION_TAG]) == calibration


def test_a_calibration_needs_no_page(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    write_calibration(tmp_path, Calibration())
    assert not (tmp_path / "card.md").exists()
