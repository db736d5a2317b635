"""All full-size models in one go, on a GPU machine with torch and numpy and nothing else.

``python -m rm_geo.training.full_size DATA --out DIR --minutes 25 [--test SET]``

DATA is a folder of scenes, a packed archive of them (``python -m rm_geo.datasets.packing``),
RadioMapSeer as published (needs Pillow and SciPy), or with ``--maps maps.npz`` a folder that is
simulated first (needs numba and SciPy). Each model gets its share of the minutes, is trained,
judged on the test set if there is one, and written with its card to ``DIR/models``. A run that was
interrupted goes on where it stood when it is started again; under torchrun all GPUs work together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rm_geo.console import PlainConsole
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.datasets.splits import MARS_SETTING_I
from rm_geo.engine import choose_device, choose_precision
from rm_geo.errors import ConfigError, RmGeoError
from rm_geo.estimators.registry import create
from rm_geo.evaluation.cases import Sampling
from rm_geo.evaluation.contestants import Line
from rm_geo.evaluation.mars import judge_mars
from rm_geo.evaluation.result_table import markdown_table
from rm_geo.evaluation.simulated import run_protocol
from rm_geo.progress import Progress, SilentProgress
from rm_geo.training.card import CardText, publish
from rm_geo.training.data import describe_data, needing, prepare_data
from rm_geo.training.ready import network_of_size, ready_recipe
from rm_geo.training.run import check_config, read_config, train
from rm_geo.training.team import Team, local_device
from rm_geo.weights import write_index
from rm_geo.zoo import list_models


@dataclass(frozen=True)
class PlannedModel:
    """A model to be made.

    Attributes
    ----------
    key : str
        Key of the index's defaults that it becomes.
    kind : str
        Kind of network.
    recipe : mapping
        As :func:`~rm_geo.training.run.read_config` takes it, without data and budget.
    share : float
        Of the minutes, among those that are made.
    summary : str
        One line for its card.
    by_default : bool
        Whether it is made without being asked for.
    """

    key: str
    kind: str
    recipe: Mapping[str, Any]
    share: float
    summary: str
    by_default: bool = True


def _super_resolution(kind: str, scale: int, name: str) -> dict[str, Any]:
    """Give a ready recipe at a scale."""
    recipe = ready_recipe(kind, name)
    recipe["network"] = {**recipe.get("network", {}), "scale": scale}
    return recipe


def full_size_plan(size: str = "full") -> tuple[PlannedModel, ...]:
    """List the models of the papers, their ablations, and this project's own.

    Parameters
    ----------
    size : {"full", "s"}
        The papers' sizes, or compact ones to try the road on.
    """
    field = _started(
        {
            "loop": {"learning_rate": 1e-3},
            "task": {"batch": 64, "crop": 128, "coarse_shares": [0.2, 0.1]},
        },
        "radiocycle-field-s",
    )
    plan = (
        PlannedModel("radiocycle-ml-dwa", "radiocycle", _published("ml-dwa"), 8,
                     "RadioCycle as published: dual losses with dynamic weight averaging."),
        PlannedModel("radiocycle", "radiocycle-field", field, 8,
                     "RadioCycle for drive tests, full size."),
        PlannedModel("interpolation-net", "interpolation-net",
                     ready_recipe("interpolation-net", "paper"), 3,
                     "InterpolationNet: RadioCycle's baseline."),
        PlannedModel("mars-4", "mars", _super_resolution("mars", 4, "plus"), 3,
                     "MARS 4x that reads a mask of buildings and corrects bilinear."),
        PlannedModel("mars-8", "mars", _super_resolution("mars", 8, "plus"), 2,
                     "MARS 8x that reads a mask of buildings and corrects bilinear."),
        PlannedModel("superres-4", "mars", _super_resolution("mars", 4, "field"), 3,
                     "MARS 4x for planners' rasters: means of cells, any power."),
        PlannedModel("superres-4-walls", "mars", _super_resolution("mars", 4, "field-walls"), 2,
                     "MARS 4x for planners' rasters that come with outlines of the buildings."),
        PlannedModel("mars-4-paper", "mars", _super_resolution("mars", 4, "paper"), 3,
                     "MARS 4x as published, setting II."),
        PlannedModel("mars-8-paper", "mars", _super_resolution("mars", 8, "paper"), 2,
                     "MARS 8x as published, setting II."),
        PlannedModel("srresnet-4", "srresnet", _super_resolution("srresnet", 4, "paper"), 1.5,
                     "SRResNet 4x, MARS's baseline, setting II."),
        PlannedModel("supreme-4", "supreme", _super_resolution("supreme", 4, "paper"), 1.5,
                     "Supreme 4x, MARS's baseline, setting II."),
        PlannedModel("superres-8", "mars", _super_resolution("mars", 8, "field"), 2,
                     "MARS 8x for planners' rasters: means of cells, any power.",
                     by_default=False),
        PlannedModel("superres-8-walls", "mars", _super_resolution("mars", 8, "field-walls"), 2,
                     "MARS 8x for planners' rasters that come with outlines of the buildings.",
                     by_default=False),
        PlannedModel("radiocycle-ml", "radiocycle", _published("ml"), 4,
                     "RadioCycle's ablation without dynamic weights.", by_default=False),
        PlannedModel("radiocycle-sl", "radiocycle", _published("sl"), 4,
                     "RadioCycle's ablation without dual losses.", by_default=False),
        PlannedModel("srresnet-8", "srresnet", _super_resolution("srresnet", 8, "paper"), 1,
                     "SRResNet 8x, MARS's baseline, setting II.", by_default=False),
        PlannedModel("supreme-8", "supreme", _super_resolution("supreme", 8, "paper"), 1,
                     "Supreme 8x, MARS's baseline, setting II.", by_default=False),
        *_known_scenes(),
    )  # fmt: skip
    return tuple(replace(model, recipe=_sized(model, size)) for model in plan)


def _published(name: str) -> dict[str, Any]:
    """Give a recipe of the published pair; F starts from the compact one, whose widths divide."""
    return _started(ready_recipe("radiocycle", name), "radiocycle-sl-wide-s", "F")


def _known_scenes() -> Iterator[PlannedModel]:
    """List the models of the MARS paper's setting I, which no other model may stand for.

    Those of setting II, and this project's, have learnt from the transmitters it tests on.
    """
    for scale in (4, 8):
        for key, kind, name in (
            (f"srresnet-{scale}-i", "srresnet", "paper"),
            (f"supreme-{scale}-i", "supreme", "paper"),
            (f"mars-{scale}-paper-i", "mars", "paper"),
            (f"mars-{scale}-i", "mars", "plus"),
            (f"mars-{scale}-walls", "mars", "walls"),
        ):
            recipe = {**_super_resolution(kind, scale, name), "split": MARS_SETTING_I.name}
            yield PlannedModel(key, kind, recipe, 1.5,
                               f"{kind} {scale}x ({name}) for setting I: unseen transmitters in "
                               "known scenes.", by_default=False)  # fmt: skip


def _started(recipe: dict[str, Any], model: str, *parts: str) -> dict[str, Any]:
    """Start a recipe from a compact model, or parts of it, where it came with rm_geo.

    Some minutes of a GPU are better spent on from there than from nothing.
    """
    if model not in {record.name for record in list_models()}:
        return recipe
    started = {**recipe, "start_from": model}
    return {**started, "start_parts": list(parts)} if parts else started


def _sized(model: PlannedModel, size: str) -> dict[str, Any]:
    """Give a model's recipe the network of a size; what the recipe says itself stays."""
    network = {**network_of_size(model.kind, size), **model.recipe.get("network", {})}
    return {**model.recipe, "network": network}


@dataclass(frozen=True)
class Work:
    """How a plan is carried out.

    Attributes
    ----------
    data : sequence of str
        What :func:`~rm_geo.training.data.prepare_data` takes.
    out : Path
        Folder of ``data``, ``runs`` and ``models``.
    minutes : float
        Of training, all models together.
    size : str
        For the cards.
    test : str or None
        A set of unseen maps to judge on.
    test_transmitters : int
        At most so many of each of its maps.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    held_out : int
        Scenes at the end of each set for validation.
    """

    data: Sequence[str]
    out: Path
    minutes: float
    size: str = "full"
    test: str | None = None
    test_transmitters: int = 2
    device: str = "auto"
    held_out: int = 16


def make_models(plan: Sequence[PlannedModel], work: Work, progress: Progress) -> list[Path]:
    """Train, judge and publish the models of a plan; gives their folders.

    Raises
    ------
    ConfigError
        If a recipe cannot be meant; all are looked at before any work.
    InputError
        If data is missing or damaged.
    """
    name = choose_device(work.device)
    device = torch.device(local_device(name))
    total = sum(model.share for model in plan)
    if not plan or not work.minutes > 0.0:
        raise ConfigError("There must be a model to make, and minutes to make it in.")
    configs = {}
    for model in plan:
        loop = {
            "validate_every_s": 120.0,
            "checkpoint_every_s": 60.0,
            "precision": choose_precision(name),
            **model.recipe.get("loop", {}),
            "max_minutes": work.minutes * model.share / total,
        }
        recipe = {**model.recipe, "loop": loop, "data": list(work.data), "held_out": work.held_out}
        configs[model.key] = read_config(model.kind, recipe)
        check_config(configs[model.key])
    test = None if work.test is None else SimulatedSet.open(work.test)
    team = Team.join(device)
    listener = progress if team.leads else SilentProgress()
    made = []
    try:
        for model in plan:
            listener.log(f"{model.key}: {configs[model.key].loop['max_minutes']:.1f} minutes")
            config = prepare_data(configs[model.key], work.out / "data", listener, team)
            run = work.out / "runs" / model.key
            train(config, run, device=device, progress=listener, team=team)
            if not team.leads:
                continue
            folder = work.out / "models" / f"{model.key}-{work.size}"
            text = CardText(
                summary=model.summary,
                data=describe_data(config),
                limits=("Trained on simulated or published maps of one kind of city.",),
                device=_in_words(device, team),
                scores={},
            )
            publish(run, folder, work.size, text)
            if test is not None:
                known = _setting(model) == 1
                title = "Unseen transmitters in known scenes" if known else "Unseen maps"
                judged = SimulatedSet.open(config.data[0]) if known else test
                scores = {title: _judged(model, folder, judged, work, listener)}
                publish(run, folder, work.size, replace(text, scores=scores))
            made.append(folder)
            defaults = {entry.key: f"{entry.key}-{work.size}" for entry in plan
                        if (work.out / "models" / f"{entry.key}-{work.size}").exists()}  # fmt: skip
            write_index(work.out / "models", defaults)
    finally:
        team.leave()
    return made


def _setting(model: PlannedModel) -> int:
    """Which of the MARS paper's settings a model is for."""
    return 1 if model.recipe.get("split") == MARS_SETTING_I.name else 2


def _judged(
    model: PlannedModel, folder: Path, test: SimulatedSet, work: Work, progress: Progress
) -> str:
    """Judge a model on what it has not seen; gives a table in Markdown."""
    method = "radiocycle" if model.kind.startswith("radiocycle") else model.kind
    estimator = create(method, model=folder, device=work.device)
    if model.kind in {"mars", "srresnet", "supreme"}:
        scale = int(model.recipe.get("network", {}).get("scale", 4))
        line = Line({model.key: estimator}, {}, (model.key,))
        rows, _ = judge_mars(
            test, {scale: line}, setting=_setting(model),
            transmitters=work.test_transmitters, progress=progress,
        )  # fmt: skip
        return markdown_table(rows)
    samplings = [Sampling("uniform", rate) for rate in (0.01, 0.05, 0.2, 0.5)]
    return markdown_table(
        run_protocol(
            test,
            {model.key: estimator},
            samplings=[*samplings, Sampling("route", 0.01)],
            transmitters=work.test_transmitters,
            progress=progress,
        )
    )


def _in_words(device: torch.device, team: Team) -> str:
    """Name the machine."""
    one = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else (f"{device.type}, {torch.get_num_threads()} threads")
    )
    return one if team.size == 1 else f"{team.size} x {one}"


def simulate_scenes(maps: Path, out: Path, transmitters: int, workers: int) -> Path:
    """Simulate the papers' training maps into a folder; gives it.

    Raises
    ------
    DependencyError
        If numba or SciPy is not installed.
    """
    with needing("SciPy", "Simulated scenes"):
        from rm_geo.datasets.generation import generate
        from rm_geo.datasets.street_scenes import PaperRecipe

    recipe = PaperRecipe(tuple(range(1, 501)), transmitters=transmitters)
    progress = PlainConsole(sys.stderr, sys.stdout)
    generate(recipe, out, source=maps, workers=workers, progress=progress)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the models from the command line; gives the exit code."""
    keys = [model.key for model in full_size_plan()]
    parser = argparse.ArgumentParser(prog="python -m rm_geo.training.full_size",
                                     description=(__doc__ or "").partition("\n")[0])  # fmt: skip
    parser.add_argument("data", nargs="+", help="folder of scenes, packed archive, RadioMapSeer")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and models")
    parser.add_argument("--minutes", type=float, required=True, help="of training, all together")
    parser.add_argument("--only", default="", help=f"models, with commas: {', '.join(keys)}")
    parser.add_argument("--size", choices=["full", "s"], default="full")
    parser.add_argument("--test", help="set of unseen maps to judge on")
    parser.add_argument("--test-transmitters", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--maps", type=Path, help="archive of maps: simulate the first DATA")
    parser.add_argument("--transmitters", type=int, default=16, help="of each simulated map")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    chosen = parser.parse_args(arguments)
    try:
        plan = full_size_plan(chosen.size)
        if chosen.only:
            wanted = [name.strip() for name in chosen.only.split(",")]
            if unknown := [name for name in wanted if name not in keys]:
                raise ConfigError(f"There is no model {', '.join(unknown)} in the plan.",
                                  hint=f"Models: {', '.join(keys)}.")  # fmt: skip
            plan = tuple(model for model in plan if model.key in wanted)
        else:
            plan = tuple(model for model in plan if model.by_default)
        if chosen.maps is not None:
            simulate_scenes(chosen.maps, Path(chosen.data[0]), chosen.transmitters, chosen.workers)
        work = Work(chosen.data, chosen.out, chosen.minutes, chosen.size, chosen.test,
                    chosen.test_transmitters, chosen.device)  # fmt: skip
        made = make_models(plan, work, PlainConsole(sys.stderr, sys.stdout))
    except RmGeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    for folder in made:
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
