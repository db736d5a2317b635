"""Evaluations of the papers: scores of an exact method, and methods without a model."""

import csv
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.errors import ModelError, UsageError
from rm_geo.estimators.base import Estimate
from rm_geo.estimators.registry import get_method
from rm_geo.evaluation.benchmark_methods import BenchmarkMethod, MethodSet, load_methods
from rm_geo.evaluation.cases import buildings_from_gains, grid_cases
from rm_geo.evaluation.mars import (
    WHOLE_SET,
    _typical_and_bad,
    evaluate_mars,
    mars_methods,
    score_mars,
    setting_pairs,
)
from rm_geo.evaluation.radiocycle import RADIOCYCLE_METHODS, evaluate_radiocycle
from rm_geo.networks import build
from rm_geo.units import gain_to_unit, unit_to_gain
from rm_geo.validation.known_buildings import KnownBuildingsEstimator
from rm_geo.zoo.catalog import models_root
from rm_geo.zoo.weights import save_model, write_index
from tests.support.scenes import free_space_set, save_set


def scenes(**options):
    data = free_space_set(**options)
    rows = np.unpackbits(data.buildings, axis=-1).view(bool)
    data.gains_db[np.broadcast_to(rows[:, None], data.gains_db.shape)] = -200.0
    return data


def cells(path):
    with path.open() as file:
        return list(csv.DictReader(file))


class Truth:
    """Method with the true maps of a set and a constant error."""

    name, maps_buildings = "truth", True

    provenance: dict[str, str] = {}  # noqa: RUF012 - a protocol's attribute

    def __init__(self, data, error_db=0.0):
        self.known = {}
        for index in range(len(data)):
            scene = data.scene(index)
            for gains, antenna in zip(scene.gains_db, scene.antennas, strict=True):
                self.known[tuple(antenna[:2] + 0.5)] = gains, scene.buildings
        self.error_db = error_db

    def estimate(self, batch):
        found = [self.known[tuple(place)] for place in batch.transmitter_rc]
        level = unit_to_gain(gain_to_unit(np.stack([gains for gains, _ in found])))
        buildings = np.stack([buildings for _, buildings in found]).astype(np.float32)
        return Estimate(level + np.float32(self.error_db), buildings, zero_in_buildings=True)


class TestRadioCycle:
    @pytest.fixture
    def made(self, tmp_path):
        data = scenes(scenes=2, map_ids=[[601], [602]])
        data = save_and_open(data, tmp_path / "scenes")
        line = MethodSet(
            {"ML w/ DWA": Truth(data), "KNN": Truth(data, -3.0)},
            {"SL": "no trained model radiocycle-sl"},
            ("KNN", "SL", "ML w/ DWA"),
        )
        evaluate_radiocycle(data, line, tmp_path / "out", rates=(0.1, 0.3), routes=(0.05,))
        return tmp_path / "out"

    def test_table_2_has_the_scores_of_the_truth_beside_the_published(self, made):
        knn, sl, ours = cells(made / "table2.csv")
        assert [row["method"] for row in (knn, sl, ours)] == ["KNN", "SL", "ML w/ DWA"]
        assert float(ours["rmse"]) == pytest.approx(0.0, abs=1e-6)
        assert float(ours["f1"]) == float(ours["jaccard"]) == 1.0
        assert float(knn["outdoor_db"]) == pytest.approx(3.0, abs=0.01)
        assert (float(ours["published_f1"]), float(knn["published_rmse"])) == (0.95, 0.123)

    def test_absent_methods_are_listed_without_scores(self, made):
        _, sl, _ = cells(made / "table2.csv")
        assert sl["note"] == "absent: no trained model radiocycle-sl"
        figures = [value for key, value in sl.items() if key not in {"method", "note"}]
        assert all(math.isnan(float(value)) for value in figures)
        assert "SL: no trained model radiocycle-sl" in (made / "report.md").read_text()

    def test_curves_cover_the_rates_and_20_percent(self, made):
        points = cells(made / "fig4.csv")
        assert {float(p["rate"]) for p in points} == {0.1, 0.2, 0.3}
        assert {p["method"] for p in points} == {"KNN", "ML w/ DWA"}
        assert {p["score"] for p in cells(made / "fig3.csv")} >= {"f1", "jaccard", "recall"}
        assert {p["method"] for p in cells(made / "fig5.csv")} == {"ML w/ DWA"}

    def test_routes_are_evaluated_and_figures_are_written(self, made):
        assert "route 5 %" in {row["sampling"] for row in cells(made / "scores.csv")}
        for name in ("fig3.png", "fig4.png", "fig5.png", "fig6.png"):
            assert (made / name).read_bytes().startswith(b"\x89PNG")

    def test_a_table_without_methods_is_rejected(self, tmp_path):
        with pytest.raises(UsageError, match="no method to evaluate"):
            evaluate_radiocycle(scenes(), MethodSet({}, {}, ()), tmp_path)


def save_and_open(data, folder):
    from rm_geo.datasets.simulated import SimulatedSet

    return SimulatedSet.open(save_set(data, folder))


class TestMars:
    def test_samples_are_at_the_centres_of_blocks_and_0_in_buildings(self):
        scene = scenes().scene(0)
        cases = grid_cases(scene, np.array([1]), 4)
        observed = cases.batch.observed[0]
        assert np.array_equal(np.argwhere(observed)[0], [2, 2])
        assert observed.sum() == 16 * 16
        unit = gain_to_unit(cases.batch.rsrp_dbm[0])
        np.testing.assert_allclose(unit[observed], cases.truth_unit[0][observed], atol=1e-6)
        assert (unit[observed & scene.buildings] == 0.0).all()
        assert not (cases.outdoor_batch.observed[0] & scene.buildings).any()

    def test_walls_are_pixels_without_gain_in_all_training_maps(self):
        scene = free_space_set().scene(0)
        buildings = buildings_from_gains(scene, np.array([0, 1]))
        assert buildings.any()
        assert (buildings <= scene.buildings).all()
        assert (buildings != scene.buildings).any()  # a rim of the building has a gain
        assert buildings_from_gains(scene, np.array([], dtype=np.int64)) is None
        cases = grid_cases(scene, np.array([1]), 4, buildings)
        assert (cases.truth_unit[0][buildings] == 0.0).all()
        assert cases.batch.buildings.shape == cases.truth_unit.shape

    def test_methods_with_known_walls_ignore_samples_in_them(self):
        data = scenes()
        scene = data.scene(0)
        buildings = buildings_from_gains(scene, np.array([0]))
        cases = grid_cases(scene, np.array([1]), 4, buildings)
        plain, with_walls = (
            wrap(get_method("linear")).estimate(cases.batch).rsrp_dbm[0]
            for wrap in (lambda e: e, KnownBuildingsEstimator)
        )
        truth = unit_to_gain(cases.truth_unit[0])
        assert (gain_to_unit(with_walls)[buildings] == 0.0).all()
        assert np.abs(with_walls - truth).mean() < 0.5 * np.abs(plain - truth).mean()
        unknown = replace(cases.batch, buildings=None)
        alike = KnownBuildingsEstimator(get_method("linear")).estimate(unknown).rsrp_dbm[0]
        np.testing.assert_array_equal(alike, plain)

    def test_examples_are_a_typical_and_a_bad_map_of_the_last_method(self):
        found = [(3.0, 0), (1.0, 1), (9.0, 2), (2.0, 3), (4.0, 4)]
        assert _typical_and_bad(found) == {"typical": (3.0, 0), "bad": (9.0, 2)}
        assert _typical_and_bad(found[:1]) == {"typical": (3.0, 0)}
        data = free_space_set(scenes=3, antennas=1, map_ids=[[601], [602], [603]])
        methods = MethodSet({"bilinear": get_method("linear")}, {}, ("bilinear",))
        _, examples = score_mars(data, {4: methods})
        titles = list(examples[4])
        assert titles[:2] == ["typical: samples", "typical: truth"]
        assert [title.split(":")[0] for title in titles] == ["typical"] * 3 + ["bad"] * 3
        assert float(titles[2].split()[-2]) <= float(titles[5].split()[-2])

    def test_only_setting_1_has_a_method_with_known_walls(self):
        assert "mars-4-buildings" in {c.model_key for c in mars_methods(4, setting=1)}
        assert "mars-4-buildings" not in {c.model_key for c in mars_methods(4, setting=2)}

    def test_settings_use_their_own_maps_and_transmitters(self):
        data = free_space_set(scenes=2, antennas=75, map_ids=[[250], [601]])
        (one,) = setting_pairs(data, 1, None, None)
        assert (one[0], one[1].tolist()) == (0, [70, 71, 72, 73, 74])
        (two,) = setting_pairs(data, 2, None, 3)
        assert (two[0], two[1].tolist()) == (1, [0, 1, 2])
        with pytest.raises(UsageError, match="no test map and transmitter of setting 2"):
            list(setting_pairs(data, 2, [602], None))

    def test_setting_all_evaluates_every_map(self):
        data = free_space_set(scenes=2, antennas=3, map_ids=[[3], [601]])
        pairs = list(setting_pairs(data, WHOLE_SET, None, 2))
        assert [(index, antennas.tolist()) for index, antennas in pairs] == [
            (0, [0, 1]),
            (1, [0, 1]),
        ]
        ((index, _),) = setting_pairs(data, WHOLE_SET, [3], None)
        assert index == 0
        with pytest.raises(UsageError, match="none of the requested maps"):
            list(setting_pairs(data, WHOLE_SET, [4], None))

    def test_the_table_has_the_scores_of_the_truth_beside_the_published(self, tmp_path):
        data = save_and_open(scenes(scenes=1, map_ids=[[601]]), tmp_path / "scenes")
        line = MethodSet(
            {"MARS": Truth(data, 1.0)}, {"Supreme": "no trained model"}, ("Supreme", "MARS")
        )
        evaluate_mars(data, {4: line}, tmp_path / "out")
        supreme, ours = cells(tmp_path / "out" / "mars_setting2.csv")
        built = 10 * 20 / 64**2
        # the error lifts buildings off 0 too
        assert float(ours["rmse_db"]) == pytest.approx(1.0, abs=0.01)
        assert float(ours["outdoor_db"]) == pytest.approx(1.0, abs=0.01)
        assert float(ours["psnr_db"]) == pytest.approx(20 * math.log10(79.3), abs=0.1)
        assert built < float(ours["ssim"]) <= 1.0
        assert float(ours["published_rmse_db"]) == 4.75
        assert supreme["note"] == "absent: no trained model"
        assert math.isnan(float(supreme["rmse_db"]))
        assert (tmp_path / "out" / "maps_setting2_4x.png").exists()


class TestLoadMethods:
    @pytest.fixture
    def no_models(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "none"))

    def test_networks_without_a_model_are_absent_with_the_reason(self, no_models):
        line = load_methods(RADIOCYCLE_METHODS, {}, only=["knn", "radiocycle-ml"])
        assert list(line.estimators) == ["KNN"]
        assert list(line.absent) == ["ML w/o DWA"]
        assert line.absent["ML w/o DWA"].startswith("no trained model radiocycle-ml.")
        assert line.labels == ("KNN", "ML w/o DWA")

    def test_given_model_replaces_the_default_of_its_row(self, no_models, tmp_path):
        config = {"width": 8, "blocks": 1}
        save_model(tmp_path / "model", build("srresnet", config), "srresnet", config)
        line = load_methods(mars_methods(4), {"srresnet-4": tmp_path / "model"}, device="cpu")
        assert line.estimators["SRResNet"].scale == 4

    def test_damaged_given_model_is_an_error(self, no_models, tmp_path):
        (tmp_path / "bad.safetensors").write_bytes(b"nothing")
        with pytest.raises(ModelError):
            load_methods(mars_methods(4), {"mars-4": tmp_path / "bad.safetensors"}, device="cpu")

    def test_the_error_for_unknown_names_lists_the_known_ones(self):
        with pytest.raises(UsageError, match=r"Keys: .*radiocycle-sl"):
            load_methods(RADIOCYCLE_METHODS, {"unet": "x"})
        with pytest.raises(UsageError, match=r"Methods: .*knn"):
            load_methods([BenchmarkMethod("KNN", "knn")], {}, only=["kn"])


class TestCommands:
    def run(self, *words):
        return CliRunner().invoke(rm_geo, ["evaluate", *(str(word) for word in words)])

    def test_radiocycle_from_the_command_line(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "none"))
        folder = save_set(scenes(scenes=1, map_ids=[[601]]), tmp_path / "scenes")
        result = self.run(
            "radiocycle",
            folder,
            "-o",
            tmp_path / "out",
            "--methods",
            "KNN,SL",
            "--rates",
            "0.1",
            "--transmitters",
            "1",
        )
        assert result.exit_code == 0, result.output
        assert "## Table 2" in result.output
        assert "absent: no trained model radiocycle-sl" in result.output

    def test_the_report_names_the_evaluated_maps(self, tmp_path):
        folder = save_set(scenes(scenes=2, map_ids=[[601], [602]]), tmp_path / "scenes")
        result = self.run(
            "radiocycle",
            folder,
            "-o",
            tmp_path / "out",
            "--methods",
            "KNN",
            "--rates",
            "",
            "--transmitters",
            "1",
            "--maps",
            "601",
        )
        assert result.exit_code == 0, result.output
        assert "scenes (maps 601), 1 radio maps" in (tmp_path / "out" / "report.md").read_text()

    @pytest.mark.parametrize(
        "words",
        [
            ("radiocycle", "--methods", "knn"),
            ("mars", "--setting", "all", "--methods", "linear"),
            ("superres",),
        ],
    )
    def test_generated_cities_have_no_map_numbers(self, tmp_path, words):
        folder = save_set(scenes(scenes=1, map_ids=[[]]), tmp_path / "scenes")
        result = self.run(*words, folder, "-o", tmp_path / "out", "--maps", "601")
        assert result.exit_code == 2, result.output
        assert "generated cities" in result.output
        assert not (tmp_path / "out").exists()

    def test_mars_from_the_command_line(self, tmp_path):
        torch.manual_seed(0)
        config = {"width": 8, "blocks": 1}
        save_model(tmp_path / "model", build("supreme", config), "supreme", config)
        folder = save_set(scenes(scenes=1, map_ids=[[601]]), tmp_path / "scenes")
        result = self.run(
            "mars",
            folder,
            "-o",
            tmp_path / "out",
            "--scale",
            "4",
            "--methods",
            "bilinear,supreme-4",
            "--model",
            f"supreme-4={tmp_path / 'model'}",
            "--transmitters",
            "1",
        )
        assert result.exit_code == 0, result.output
        bilinear, supreme = cells(tmp_path / "out" / "mars_setting2.csv")
        assert float(bilinear["outdoor_db"]) < float(supreme["outdoor_db"])
        assert int(supreme["parameters"]) > 0

    def test_a_method_of_one_scale_is_used_only_for_this_scale(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RM_GEO_MODELS", str(tmp_path / "none"))
        folder = save_set(scenes(scenes=1, map_ids=[[601]]), tmp_path / "scenes")
        words = ("mars", folder, "-o", tmp_path / "out", "--methods")
        result = self.run(*words, "linear,mars-8")
        assert result.exit_code == 0, result.output
        lines = [(row["method"], row["scale"]) for row in cells(tmp_path / "out/mars_setting2.csv")]
        assert lines[:2] == [("bilinear", "4"), ("bilinear", "8")]
        assert {scale for _, scale in lines[2:]} == {"8"}
        result = self.run(*words, "linear,mars-6")
        assert "This benchmark has no method mars-6" in result.output

    def test_mars_on_any_set_from_the_command_line(self, tmp_path):
        folder = save_set(scenes(scenes=1, map_ids=[[3]]), tmp_path / "scenes")
        words = ("mars", folder, "--scale", "4", "--methods", "bilinear")
        refused = self.run(*words, "-o", tmp_path / "none")
        assert refused.exit_code != 0
        result = self.run(*words, "-o", tmp_path / "out", "--setting", "all")
        assert result.exit_code == 0, result.output
        (bilinear,) = cells(tmp_path / "out" / "mars_all.csv")
        assert float(bilinear["outdoor_db"]) > 0
        assert (tmp_path / "out" / "mars_all.md").exists()

    def test_setting_1_excludes_models_trained_on_its_transmitters(self, tmp_path, monkeypatch):
        # An installation whose only model is one of setting 2.
        models = tmp_path / "models"
        shutil.copytree(models_root() / "mars-4x-lattice-s", models / "mars-4x-lattice-s")
        write_index(models, {"mars-4": "mars-4x-lattice-s"})
        monkeypatch.setenv("RM_GEO_MODELS", str(models))
        data = scenes(scenes=1, antennas=75, map_ids=[[7]])
        folder = save_set(data, tmp_path / "scenes")
        command = ("mars", folder, "-o", tmp_path / "out", "--scale", "4", "--setting", "1")
        result = self.run(*command, "--methods", "bilinear,mars-4-i", "--transmitters", "1")
        assert result.exit_code == 0, result.output
        assert "absent: no trained model mars-4-i" in result.output
        refused = self.run(*command, "--model", "mars-4=mars-4x-lattice-s")
        assert refused.exit_code == 2
        assert "mars-4-i" in refused.output

    @pytest.mark.parametrize(
        ("words", "match"),
        [
            (["radiocycle", "nowhere"], "no simulated scenes"),
            (["mars", "SCENES", "--setting", "1"], "It needs maps 1-250"),
            (["mars", "SCENES", "--model", "unet=x"], "Keys: "),
            (["mars", "SCENES", "--model", "mars-4"], "KEY=NAME|FILE"),
            (
                ["radiocycle", "SCENES", "--methods", "knn", "--model", "radiocycle-sl=nowhere"],
                "No selected method uses the model radiocycle-sl",
            ),
            (
                ["mars", "SCENES", "--methods", "mars-4", "--model", "mars-8=nowhere"],
                "No selected method uses the model mars-8",
            ),
            (["radiocycle", "SCENES", "--rates", "a"], "is not a list of fractions"),
            (["radiocycle", "SCENES", "--rates", "2"], "must be above 0 and at most 1"),
            (["radiocycle", "SCENES", "--maps", "7"], "none of the requested maps"),
        ],
    )
    def test_errors_give_one_message(self, tmp_path, words, match):
        folder = save_set(scenes(scenes=1, map_ids=[[601]]), tmp_path / "scenes")
        words = [folder if word == "SCENES" else word for word in words]
        result = self.run(*words, "-o", tmp_path / "out")
        assert result.exit_code in {1, 2}
        assert match in " ".join(result.output.split())
        assert "Traceback" not in result.output
