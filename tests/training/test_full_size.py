"""Training of all full-size models with only torch and numpy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rm_geo.datasets.simulated import ANTENNA_COLUMNS
from rm_geo.errors import ConfigError
from rm_geo.evaluation.mars import mars_methods
from rm_geo.progress import SilentProgress
from rm_geo.training.full_size import PlannedModel, Work, full_size_plan, main, train_models
from rm_geo.training.run import check_config, read_config
from rm_geo.zoo.catalog import list_models
from rm_geo.zoo.weights import load_network
from tests.support.scenes import free_space_set, save_set

ROOT = Path(__file__).resolve().parents[2]

# Everything that rm_geo depends on but torch and numpy, and their own dependencies.
BARE = """
import sys
HIDDEN = set(sys.argv[1].split(","))
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from pathlib import Path
from rm_geo.progress import SilentProgress
from rm_geo.training.full_size import PlannedModel, Work, train_models
data, test, out = sys.argv[2:]
crops = {"batch": 1, "crop": 64, "final_crop": 64}
plan = [
    PlannedModel("radiocycle-ml-dwa", "radiocycle", {"network": {"width": 0.05}, "task": crops}, 1, "a"),
    PlannedModel("mars-4", "mars", {"network": {"width": 16, "blocks": 1, "repeats": 1, "masked": True},
                 "task": crops}, 1, "b"),
]
work = Work([data], Path(out), 0.04, "s", test, 1, "cpu", held_out=1)
made = train_models(plan, work, SilentProgress())
assert len(made) == 2
loaded = sorted({name.partition(".")[0] for name in sys.modules} & HIDDEN)
assert not loaded, loaded
"""  # noqa: E501 - a program for another interpreter
HIDDEN = (
    "scipy,safetensors,rasterio,pyogrio,geopandas,pandas,pyarrow,pyproj,shapely,odc,sklearn,"
    "threadpoolctl,affine,matplotlib,PIL,click,rich,yaml,numba,torchmetrics,pykrige"
)


def test_models_are_trained_evaluated_and_published_with_only_torch_and_numpy(tmp_path):
    data = save_set(free_space_set(), tmp_path / "scenes")
    test = save_set(free_space_set(scenes=1, map_ids=[[601]]), tmp_path / "test")
    done = subprocess.run(
        [sys.executable, "-c", BARE, HIDDEN, str(data), str(test), str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    models = tmp_path / "out" / "models"
    assert [record.name for record in list_models(models)] == ["mars-4-s", "radiocycle-ml-dwa-s"]
    for record in list_models(models):
        load_network(record)
        card = (record.path.parent / "card.md").read_text()
        assert "Unseen maps" in card
        assert "rmse" in card
    defaults = json.loads((models / "index.json").read_text())["default"]
    assert defaults == {"mars-4": "mars-4-s", "radiocycle-ml-dwa": "radiocycle-ml-dwa-s"}


@pytest.mark.parametrize("model", full_size_plan("full"), ids=lambda model: model.key)
def test_planned_recipes_are_valid(model):
    check_config(read_config(model.kind, model.recipe))


@pytest.mark.parametrize("setting", [1, 2])
@pytest.mark.parametrize("scale", [4, 8])
def test_the_plan_contains_the_models_of_the_mars_tables(setting, scale):
    plan = {model.key: model for model in full_size_plan("full")}
    for method in mars_methods(scale, setting):
        if method.model_key is not None:
            model = plan[method.model_key]
            assert (model.recipe.get("split") == "mars-i") is (setting == 1)
            assert (model.kind, model.recipe["network"]["scale"]) == (method.method, scale)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nowhere", "--minutes", "1"], "no training data at nowhere"),
        (["nowhere", "--minutes", "-1"], "must be a number above 0"),
        (["nowhere", "--minutes", "1", "--only", "gan"], "no model gan"),
        (["x", "--minutes", "1", "--maps", "none.npz"], "no archive of maps"),
        (["nowhere", "--minutes", "inf"], "must be a number above 0"),
        (["nowhere", "--minutes", "nan"], "must be a number above 0"),
        (["nowhere", "--minutes", "1", "--test-transmitters", "0"], "test_transmitters must be"),
        (
            ["x", "--minutes", "1", "--maps", "none.npz", "--test", "none"],
            "none contains no simulated",
        ),
    ],
)
def test_errors_give_one_message(tmp_path, capsys, arguments, match):
    code = main([*arguments, "--out", str(tmp_path / "out"), "--device", "cpu", "--size", "s"])
    assert code in {1, 2}
    assert match in capsys.readouterr().err


class Log(SilentProgress):
    """Progress that stores its messages."""

    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def tiny(key="mars-4", *, split=None, crop=64, **network):
    """Small super-resolution network."""
    sizes = {"width": 16, "blocks": 1, "repeats": 1, "heads": 4, **network}
    crops = {"batch": 1, "crop": crop, "final_crop": crop}
    return PlannedModel(key, "mars", {"network": sizes, "task": crops, "split": split}, 1, "tiny")


def wide_field():
    """Drive-test network that needs larger scenes than those of the test."""
    network = {"f_widths": [8] * 6, "f_depths": [1] * 6, "g_widths": [8] * 6, "g_depths": [1] * 6}
    recipe = {"network": network, "task": {"batch": 1, "crop": 128, "final_crop": 128}}
    return PlannedModel("radiocycle", "radiocycle-drive", recipe, 1, "tiny")


def mixed_antennas(data):
    data.antennas[0, 1, ANTENNA_COLUMNS.index("height_m")] = 30.0
    return data


def unseen_set(**options):
    return free_space_set(**{"scenes": 1, "map_ids": [[601]], **options})


@pytest.mark.parametrize(
    ("last", "test", "message"),
    [
        (tiny("mars-4-i", split="mars-i"), None, "mars-4-i cannot be trained.*mars-i"),
        (tiny("mars-8", crop=128), None, "mars-8 cannot be trained: Crops of 128 px"),
        (tiny("mars-8", crop=40, scale=8), None, "mars-8 cannot be trained.*multiple of 32"),
        (tiny("mars-8"), unseen_set(map_ids=[[600]]), "mars-4 cannot be evaluated.*601-700"),
        (
            PlannedModel("radiocycle", "radiocycle", {"network": {"width": 0.05}}, 1, ""),
            mixed_antennas(unseen_set()),
            "cannot be evaluated.*differ in height",
        ),
        (
            PlannedModel("radiocycle", "radiocycle", {"network": {"width": 0.05}}, 1, ""),
            unseen_set(side=96),
            "radiocycle cannot be evaluated.*multiples of 64",
        ),
        (wide_field(), unseen_set(), "radiocycle cannot be evaluated.*multiples of 128"),
        (tiny("mars-8"), unseen_set(scenes=2, map_ids=[[601], [2]]), r"of the training set .*: 2"),
    ],
)
def test_plans_are_checked_before_the_first_training(tmp_path, last, test, message):
    data = save_set(free_space_set(), tmp_path / "scenes")
    unseen = None if test is None else str(save_set(test, tmp_path / "test"))
    work = Work([str(data)], tmp_path / "out", 0.04, "s", unseen, 2, "cpu", held_out=1)
    with pytest.raises(ConfigError, match=message):
        train_models([tiny(), last], work, SilentProgress())
    assert not (tmp_path / "out" / "runs").exists()


def test_setting_1_requires_its_test_transmitters_in_the_training_set(tmp_path):
    data = save_set(free_space_set(antennas=65), tmp_path / "scenes")
    test = save_set(unseen_set(), tmp_path / "test")
    work = Work([str(data)], tmp_path / "out", 0.04, "s", str(test), 1, "cpu", held_out=1)
    with pytest.raises(ConfigError, match=r"mars-4-i cannot be evaluated.*setting 1"):
        train_models([tiny("mars-4-i", split="mars-i")], work, SilentProgress())


def test_sizes_have_separate_runs_and_models_without_protocol_are_not_evaluated(tmp_path):
    data = save_set(free_space_set(), tmp_path / "scenes")
    test = str(save_set(unseen_set(), tmp_path / "test"))
    out = tmp_path / "out"
    work = Work([str(data)], out, 0.02, "s", None, 1, "cpu", 1)
    train_models([tiny(), tiny("mars-8", scale=8)], work, SilentProgress())
    log = Log()
    work = Work([str(data)], out, 0.01, "full", test, 1, "cpu", 1)
    train_models([tiny(width=32, walled=True)], work, log)
    assert {path.name for path in (out / "runs").iterdir()} == {
        "mars-4-s",
        "mars-8-s",
        "mars-4-full",
    }
    defaults = json.loads((out / "models" / "index.json").read_text())["default"]
    assert defaults == {"mars-4": "mars-4-full", "mars-8": "mars-8-s"}  # of earlier runs too
    assert any("evaluate superres" in line for line in log.lines)
    assert "Unseen maps" not in (out / "models" / "mars-4-full" / "card.md").read_text()


def test_models_of_all_splits_share_unpacked_data(tmp_path):
    root = tmp_path / "RadioMapSeer"
    for folder in ("png/buildings_complete", "png/roads", "antenna", "gain/DPM"):
        (root / folder).mkdir(parents=True)
    image = Image.fromarray(np.full((64, 64), 9, np.uint8))
    street = Image.fromarray(np.repeat(np.uint8([[0], [255]]), [60, 4], axis=0).repeat(64, axis=1))
    for number in (249, 250, 251):
        Image.new("L", (64, 64)).save(root / f"png/buildings_complete/{number}.png")
        street.save(root / f"png/roads/{number}.png")
        (root / f"antenna/{number}.json").write_text(json.dumps([[3, 5]] * 80))
        for transmitter in range(80):
            image.save(root / f"gain/DPM/{number}_{transmitter}.png")
    plan = [tiny("mars-4-paper", split="mars-ii"), tiny()]
    work = Work([str(root)], tmp_path / "out", 0.02, "s", None, 1, "cpu", held_out=1)
    assert len(train_models(plan, work, SilentProgress())) == 2
    cards = [
        (tmp_path / "out" / "models" / f"{model.key}-s" / "card.md").read_text() for model in plan
    ]
    assert all("maps 249-251" in card for card in cards)
