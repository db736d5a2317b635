"""All models in one go, where torch and numpy are and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_scenes import free_space_set, save_set

from rm_geo.evaluation.mars import contestants
from rm_geo.training.full_size import full_size_plan, main
from rm_geo.training.run import check_config, read_config
from rm_geo.weights import load_network
from rm_geo.zoo import list_models

ROOT = Path(__file__).resolve().parents[1]

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
from rm_geo.training.full_size import PlannedModel, Work, make_models
data, test, out = sys.argv[2:]
crops = {"batch": 1, "crop": 64, "final_crop": 64}
plan = [
    PlannedModel("radiocycle-ml-dwa", "radiocycle", {"network": {"width": 0.05}, "task": crops}, 1, "a"),
    PlannedModel("mars-4", "mars", {"network": {"width": 16, "blocks": 1, "repeats": 1, "masked": True},
                 "task": crops}, 1, "b"),
]
work = Work([data], Path(out), 0.04, "s", test, 1, "cpu", held_out=1)
made = make_models(plan, work, SilentProgress())
assert len(made) == 2
loaded = sorted({name.partition(".")[0] for name in sys.modules} & HIDDEN)
assert not loaded, loaded
"""  # noqa: E501 - a program for another interpreter
HIDDEN = (
    "scipy,safetensors,rasterio,pyogrio,geopandas,pandas,pyarrow,pyproj,shapely,odc,sklearn,"
    "threadpoolctl,affine,matplotlib,PIL,click,rich,yaml,numba,torchmetrics,pykrige"
)


def test_models_are_trained_judged_and_published_with_torch_and_numpy_alone(tmp_path):
    data = save_set(free_space_set(), tmp_path / "scenes")
    test = save_set(free_space_set(scenes=1, map_ids=[[601]]), tmp_path / "test")
    done = subprocess.run(
        [sys.executable, "-c", BARE, HIDDEN, str(data), str(test), str(tmp_path / "out")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
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
def test_every_planned_recipe_can_be_meant(model):
    check_config(read_config(model.kind, model.recipe))


@pytest.mark.parametrize("setting", [1, 2])
@pytest.mark.parametrize("scale", [4, 8])
def test_every_line_of_the_mars_tables_has_a_model_in_the_plan_of_its_own_split(setting, scale):
    plan = {model.key: model for model in full_size_plan("full")}
    for contestant in contestants(scale, setting):
        if contestant.model_key is not None:
            model = plan[contestant.model_key]
            assert (model.recipe.get("split") == "mars-i") is (setting == 1)
            assert (model.kind, model.recipe["network"]["scale"]) == (contestant.method, scale)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nowhere", "--minutes", "1"], "no training data at nowhere"),
        (["nowhere", "--minutes", "-1"], "minutes"),
        (["nowhere", "--minutes", "1", "--only", "gan"], "no model gan"),
        (["x", "--minutes", "1", "--maps", "none.npz"], "no archive of maps"),
    ],
)
def test_errors_are_one_message(tmp_path, capsys, arguments, match):
    code = main([*arguments, "--out", str(tmp_path / "out"), "--device", "cpu", "--size", "s"])
    assert code in {1, 2}
    assert match in capsys.readouterr().err
