"""Validation of training configurations."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from rm_geo.cli.group import rm_geo
from rm_geo.errors import ConfigError
from rm_geo.training.builtin_recipes import builtin_recipe, builtin_recipe_names, network_of_size
from rm_geo.training.drive_task import DriveTestOptions
from rm_geo.training.loop import LoopOptions
from rm_geo.training.mars_task import MarsOptions
from rm_geo.training.measurements import MeasurementMixture
from rm_geo.training.options import make_options
from rm_geo.training.paper_task import PaperOptions
from rm_geo.training.run import RadioMapSeerOptions, check_config, read_config
from tests.support.scenes import free_space_set, save_set


@pytest.mark.parametrize(
    ("cls", "values", "match"),
    [
        (LoopOptions, {"minutes": 1}, r"Unknown key in section 'x': minutes"),
        (
            LoopOptions,
            {"max_minutes": "long"},
            r"x\.max_minutes must be a valid number, not 'long'",
        ),
        (LoopOptions, {"max_minutes": True}, r"x\.max_minutes must be a valid number"),
        (LoopOptions, {"max_minutes": -1}, "max_minutes must be positive"),
        (LoopOptions, {"max_minutes": float("nan")}, r"x\.max_minutes must be a finite number"),
        (LoopOptions, {"max_steps": 0}, "max_steps must be positive, not 0"),
        (LoopOptions, {"max_steps": 2.5}, r"x\.max_steps must be a valid integer"),
        (LoopOptions, {"steps_per_epoch": 2.5}, r"x\.steps_per_epoch must be a valid integer"),
        (LoopOptions, {"steps_per_epoch": float("inf")}, r"x\.steps_per_epoch must be a .*not inf"),
        (LoopOptions, {"max_minutes": float("inf")}, r"x\.max_minutes must be a finite number"),
        (LoopOptions, {"learning_rate": float("nan")}, r"x\.learning_rate must be a finite number"),
        (LoopOptions, {"seed": 10**20}, r"seed must be below"),
        (RadioMapSeerOptions, {"simulation": "XX"}, "Unknown simulation 'XX'"),
        (RadioMapSeerOptions, {"scale": "grey"}, "scale must be"),
        (LoopOptions, {"checkpoint_every_s": -1}, "checkpoint_every_s must not be negative"),
        (LoopOptions, {"ema_decay": 1.0}, "ema_decay"),
        (LoopOptions, {"precision": 16}, r"x\.precision must be a valid string"),
        (LoopOptions, {"precision": "half"}, "float32 or bfloat16"),
        (LoopOptions, "fast", "must be a mapping"),
        (PaperOptions, {"fraction": 0.2}, r"x\.fraction must be a valid tuple"),
        (PaperOptions, {"fraction": [0.1, 0.2, 0.3]}, r"x\.fraction must have at most 2 items"),
        (PaperOptions, {"fraction": [0.5, 0.1]}, "low <= high"),
        (PaperOptions, {"temperature": 0}, "temperature must be positive"),
        (DriveTestOptions, {"relative": "yes"}, r"x\.relative must be a valid boolean"),
        (DriveTestOptions, {"final_share": 1.5}, r"final_share must lie within 0\.\.1"),
        (MarsOptions, {"gradient_weight": -0.1}, "weights of a loss must not be negative"),
        (MeasurementMixture, {"uniform": 0, "grid": 0, "routes": 0}, "all 0"),
        (MeasurementMixture, {"outlier_probability": 2}, r"outlier_probability .* 0\.\.1"),
        (MeasurementMixture, {"uniform_fraction": [0.0, 0.5]}, "uniform_fraction must rise"),
        (MeasurementMixture, {"noise_db": [4, 1]}, "noise_db must rise"),
    ],
)
def test_invalid_options_are_rejected_by_name(cls, values, match):
    with pytest.raises(ConfigError, match=match):
        make_options(cls, values, "x")


def test_integers_are_accepted_as_floats_and_lists_as_tuples():
    options = make_options(PaperOptions, {"fraction": [1, 1], "temperature": 2, "batch": 4.0}, "x")
    assert options == PaperOptions(fraction=(1.0, 1.0), temperature=2.0, batch=4)


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        ({"lopp": {}}, "lopp"),
        ({"loop": [1]}, "Section 'loop'"),
        ({"data": 5}, "list of folders"),
        ({"data_weights": "equal"}, "data_weights"),
        ({"held_out": -1}, "held_out"),
        ({"held_out": "many"}, "held_out"),
        ({"start_parts": ["F"]}, "start_from"),
        ({"data_weights": [float("nan")]}, "data_weights"),
        ({"data_weights": [-1.0]}, "data_weights"),
        ({"start_from": "x", "start_parts": "F"}, "start_parts"),
        ({"start_from": "x", "start_parts": []}, "start_parts"),
        ({"radiomapseer": {"bogus": 1}}, "bogus"),
        ({"split": "third"}, "third"),
        ({"split": 3}, "split must be a name"),
        ({"kind": "mars"}, "for 'mars', not for 'radiocycle'"),
    ],
)
def test_invalid_recipes_are_rejected(recipe, match):
    with pytest.raises(ConfigError, match=match):
        check_config(read_config("radiocycle", recipe))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("radiocycle", "interpolation-net", "mars", "srresnet", "supreme")
        for name in builtin_recipe_names(kind)
    ],
)
def test_built_in_recipes_are_valid(kind, name):
    check_config(read_config(kind, builtin_recipe(kind, name)))


def test_there_are_recipes_of_the_ablations():
    modes = {
        name: builtin_recipe("radiocycle", name)["task"]["mode"]
        for name in builtin_recipe_names("radiocycle")
    }
    assert modes == {
        "ml-dwa": "dual-dwa",
        "ml-dwa-sampled": "dual-dwa",
        "ml": "dual",
        "sl": "single",
    }


@pytest.mark.parametrize("kind", ["radiocycle-drive", "srresnet", "supreme", "mars"])
@pytest.mark.parametrize("size", ["s", "full"])
def test_sizes_give_valid_networks(kind, size):
    check_config(read_config(kind, {"network": network_of_size(kind, size)}))


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        return save_set(free_space_set(), tmp_path / "scenes")

    def run(self, tmp_path, kind, *arguments):
        out = tmp_path / "out"
        command = ["train", kind, "--out", out, "--set", "held_out=1", *arguments]
        return CliRunner().invoke(rm_geo, [str(word) for word in command]), out

    @pytest.mark.parametrize(
        ("kind", "arguments", "match"),
        [
            ("mars", ["--set", "task.batch=eight"], "task.batch must be a valid integer"),
            ("mars", ["--set", "loop.max_minutes=-3"], "max_minutes must be positive"),
            ("mars", ["--config", "best"], "Built-in recipes: paper, plus, field"),
            (
                "mars",
                ["--set", "task.crop=36", "--set", "task.final_crop=64"],
                "multiple of 16 at 4x",
            ),
            ("mars", ["--set", "task.crop=64", "--set", "task.final_crop=512"], "do not fit"),
            ("mars", ["--setting", "1"], "no scene and transmitter for validation"),
            ("radiocycle", ["--scale", "4"], "scale"),
            ("radiocycle", ["--set", "network.width=-1"], "width must be positive"),
            ("unet", [], "There is no network 'unet'"),
        ],
    )
    def test_invalid_configurations_give_one_message_and_no_output(
        self, tmp_path, folder, kind, arguments, match
    ):
        result, out = self.run(tmp_path, kind, "--data", folder, *arguments)
        assert result.exit_code in {1, 2}
        assert match in result.output
        assert "Traceback" not in result.output
        assert not out.exists()

    def test_a_folder_with_the_name_of_a_recipe_is_ignored(self, tmp_path, monkeypatch):
        (tmp_path / "sl").mkdir()
        monkeypatch.chdir(tmp_path)
        result, _ = self.run(tmp_path, "radiocycle", "--config", "sl", "--data", "nowhere")
        assert "no training data at nowhere" in result.output

    def test_a_set_without_drives_is_rejected_before_any_work(self, tmp_path, folder):
        orders = np.load(folder / "orders.npy")
        np.save(folder / "orders.npy", orders[:, :0])
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["arrays"]["orders"]["shape"][1] = 0
        (folder / "manifest.json").write_text(json.dumps(manifest))
        result, out = self.run(tmp_path, "mars", "--data", folder)
        assert "has no simulated drives" in result.output
        assert not out.exists()

    def test_missing_and_damaged_data_are_named(self, tmp_path, folder):
        result, _ = self.run(tmp_path, "mars", "--data", tmp_path / "nowhere")
        assert "no training data at" in result.output
        (folder / "orders.npy").unlink()
        result, out = self.run(tmp_path, "mars", "--data", folder)
        assert "orders.npy is missing or damaged" in result.output
        assert not out.exists()

    def test_a_baseline_is_trained_in_a_setting_and_published(self, tmp_path):
        folder = save_set(free_space_set(scenes=2, antennas=65), tmp_path / "scenes")
        result, out = self.run(
            tmp_path,
            "srresnet",
            "--data",
            folder,
            "--setting",
            1,
            "--scale",
            8,
            "--size",
            "s",
            "--set",
            "network.blocks=1",
            "--set",
            "network.width=8",
            "--set",
            "task.batch=1",
            "--set",
            "task.crop=64",
            "--set",
            "task.final_crop=64",
            "--set",
            "held_out=0",
            "--set",
            "loop.steps_per_epoch=1",
            "--max-minutes",
            0.01,
        )
        assert result.exit_code == 0, result.output
        made = {path.name for path in (out / "model").iterdir()}
        assert made == {"card.json", "card.md", "curves.png", "model.safetensors", "recipe.yaml"}
        assert "rmse_db" in (out / "model" / "card.md").read_text()


@pytest.mark.parametrize("option", [("--scale", "4"), ("--setting", "1")])
def test_super_resolution_options_are_rejected_for_other_networks(tmp_path, option):
    words = ["train", "radiocycle", "--out", str(tmp_path / "run"), "--data", "x", *option]
    result = CliRunner().invoke(rm_geo, words)
    assert result.exit_code != 0
    assert "mars, srresnet, supreme" in result.output
    assert not (tmp_path / "run").exists()
