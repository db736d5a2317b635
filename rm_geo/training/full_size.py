"""All full-size models in one go, on a GPU machine with torch and numpy and nothing else.

``python -m rm_geo.training.full_size DATA --out DIR --minutes 25 [--test SET]``

DATA is a folder of scenes, a packed archive of them (``python -m rm_geo.datasets.packing``),
RadioMapSeer as published (needs Pillow and SciPy), or with ``--maps maps.npz`` a folder that is
simulated first (needs numba and SciPy). Each model gets its share of the minutes, is trained,
judged on the test set if there is one, and written with its card to ``DIR/models``; what can be
known to fail is looked at for all of them before the first is trained. A run that was interrupted
goes on where it stood when it is started again; under torchrun all GPUs work together.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from rm_geo._util.console import PlainConsole
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.devices import choose_device, choose_precision
from rm_geo.errors import ConfigError, RmGeoError
from rm_geo.progress import Progress, SilentProgress
from rm_geo.training.card import CardText, publish
from rm_geo.training.config import TrainingConfig
from rm_geo.training.data import describe_data, needing, prepare_data
from rm_geo.training.plan import PlannedModel, full_size_plan
from rm_geo.training.process_group import ProcessGroup, local_device
from rm_geo.training.run import check_config, make_task, read_config, train
from rm_geo.training.scoring import is_judged, judge, require_judgeable, require_unseen, setting_of
from rm_geo.zoo.catalog import read_index
from rm_geo.zoo.weights import write_index


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

    Raises
    ------
    ConfigError
        If there is no time to train in, or nothing to judge on.
    """

    data: Sequence[str]
    out: Path
    minutes: float
    size: str = "full"
    test: str | None = None
    test_transmitters: int = 2
    device: str = "auto"
    held_out: int = 16

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minutes) and self.minutes > 0.0):
            raise ConfigError(
                f"The minutes of training must be a number above 0, not {self.minutes:g}.",
                hint="Write --minutes 25.",
            )
        if self.test_transmitters < 1:
            raise ConfigError(
                f"{self.test_transmitters} transmitters test nothing.",
                hint="Write --test-transmitters 2.",
            )


def make_models(
    plan: Sequence[PlannedModel],
    work: Work,
    progress: Progress,
    simulate: Callable[[], object] | None = None,
) -> list[Path]:
    """Train, judge and publish the models of a plan; gives their folders.

    Parameters
    ----------
    plan : sequence of PlannedModel
        What to make.
    work : Work
        On what, and how.
    progress : Progress
        Hears of everything, and can stop it.
    simulate : callable, optional
        Makes the data, once all that needs none has been looked at.

    Raises
    ------
    ConfigError
        If a recipe cannot be meant, or does not suit the data or the test set; all are looked at
        before the first training.
    InputError
        If data is missing or damaged.
    """
    name = choose_device(work.device)
    device = torch.device(local_device(name))
    configs = _configs(plan, work, choose_precision(name))
    test = None if work.test is None else SimulatedSet.open(work.test)
    for model in plan:
        if test is not None and is_judged(model) and setting_of(model) != 1:
            require_judgeable(model, test, work.test_transmitters)
    if simulate is not None:
        simulate()
    team = ProcessGroup.join(device)
    listener = progress if team.leads else SilentProgress()
    made = []
    try:
        for model in plan:
            configs[model.key] = _ready(model, configs[model.key], work, test, listener, team)
        for model in plan:
            config = configs[model.key]
            listener.log(f"{model.key}: {config.loop['max_minutes']:.1f} minutes")
            run = work.out / "runs" / _name(model, work)
            train(config, run, device=device, progress=listener, team=team)
            if not team.leads:
                continue
            folder = work.out / "models" / _name(model, work)
            text = CardText(
                summary=model.summary,
                data=describe_data(config),
                limits=("Trained on simulated or published maps of one kind of city.",),
                device=_in_words(device, team),
                scores={},
            )
            publish(run, folder, work.size, text)
            if test is not None and not is_judged(model):
                listener.log(f"{model.key}: rm-geo evaluate superres judges it, not this test set")
            elif test is not None:
                known = setting_of(model) == 1
                title = "Unseen transmitters in known scenes" if known else "Unseen maps"
                table = judge(
                    model,
                    folder,
                    SimulatedSet.open(config.data[0]) if known else test,
                    transmitters=work.test_transmitters,
                    device=work.device,
                    progress=listener,
                )
                publish(run, folder, work.size, replace(text, scores={title: table}))
            made.append(folder)
            names = {entry.key: _name(entry, work) for entry in plan}
            defaults = {
                key: name for key, name in names.items() if (work.out / "models" / name).exists()
            }
            known = read_index(work.out / "models").get("default", {})
            write_index(work.out / "models", {**known, **defaults})
    finally:
        team.leave()
    return made


def _configs(plan: Sequence[PlannedModel], work: Work, precision: str) -> dict[str, TrainingConfig]:
    """Give the configurations of the models by key, as far as they can be checked without data."""
    if not plan:
        raise ConfigError("There must be a model to make.")
    total = sum(model.share for model in plan)
    configs = {}
    for model in plan:
        loop = {
            "validate_every_s": 120.0,
            "checkpoint_every_s": 60.0,
            "precision": precision,
            **model.recipe.get("loop", {}),
            "max_minutes": work.minutes * model.share / total,
        }
        recipe = {**model.recipe, "loop": loop, "data": list(work.data), "held_out": work.held_out}
        configs[model.key] = read_config(model.kind, recipe)
        check_config(configs[model.key])
    return configs


def _ready(
    model: PlannedModel,
    config: TrainingConfig,
    work: Work,
    test: SimulatedSet | None,
    progress: Progress,
    team: ProcessGroup,
) -> TrainingConfig:
    """Give a configuration whose data is there and suits training and judging.

    Data is unpacked whole, whatever the model's split: all models share it.
    """
    whole = prepare_data(replace(config, split=None), work.out / "data", progress, team)
    config = replace(config, data=whole.data)
    try:
        make_task(config, torch.device("cpu"))  # where scenes stay on disk: nothing is loaded
    except ConfigError as error:
        raise ConfigError(
            f"{model.key} cannot be trained: {error.message}",
            hint="Leave it out (--only names the others), or give data that suits it.",
        ) from error
    if test is not None and is_judged(model):
        if setting_of(model) == 1:
            judged = SimulatedSet.open(config.data[0])
            require_judgeable(model, judged, work.test_transmitters)
        else:
            for path in config.data:
                require_unseen(test, SimulatedSet.open(path))
    return config


def _name(model: PlannedModel, work: Work) -> str:
    """Name the folders of a model: networks of another size have others."""
    return f"{model.key}-{work.size}"


def _in_words(device: torch.device, team: ProcessGroup) -> str:
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
    parser = argparse.ArgumentParser(
        prog="python -m rm_geo.training.full_size", description=(__doc__ or "").partition("\n")[0]
    )
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
                raise ConfigError(
                    f"There is no model {', '.join(unknown)} in the plan.",
                    hint=f"Models: {', '.join(keys)}.",
                )
            plan = tuple(model for model in plan if model.key in wanted)
        else:
            plan = tuple(model for model in plan if model.by_default)
        work = Work(
            chosen.data,
            chosen.out,
            chosen.minutes,
            chosen.size,
            chosen.test,
            chosen.test_transmitters,
            chosen.device,
        )
        simulate = (
            None
            if chosen.maps is None
            else partial(
                simulate_scenes,
                chosen.maps,
                Path(chosen.data[0]),
                chosen.transmitters,
                chosen.workers,
            )
        )
        made = make_models(plan, work, PlainConsole(sys.stderr, sys.stdout), simulate)
    except RmGeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    for folder in made:
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
