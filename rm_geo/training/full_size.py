"""Training of all full-size models with one command, on a GPU machine with only torch and numpy.

``python -m rm_geo.training.full_size DATA --out DIR --minutes 25 [--test SET]``

DATA is a folder of scenes, a packed archive of them (``python -m rm_geo.datasets.packing``),
RadioMapSeer as published (needs Pillow and SciPy), or, with ``--maps maps.npz``, a folder that is
simulated first (needs numba and SciPy). Each model gets its fraction of the minutes, is trained,
evaluated on the test set if there is one, and written with its card to ``DIR/models``. All
options and data are checked before the first training. The same command continues an interrupted
run. With torchrun, all GPUs are used.
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
from rm_geo.training.data import describe_data, prepare_data, require_packages
from rm_geo.training.plan import PlannedModel, full_size_plan
from rm_geo.training.process_group import ProcessGroup, local_device
from rm_geo.training.run import check_config, make_task, read_config, train
from rm_geo.training.scoring import (
    has_protocol,
    require_scorable,
    require_unseen,
    score_model,
    setting_of,
)
from rm_geo.zoo.catalog import read_index
from rm_geo.zoo.weights import write_index


@dataclass(frozen=True)
class Work:
    """Data, budget and device for the training of a plan.

    Attributes
    ----------
    data : sequence of str
        Training data, see :func:`~rm_geo.training.data.prepare_data`.
    out : Path
        Output folder, with the subfolders ``data``, ``runs`` and ``models``.
    minutes : float
        Minutes of training of all models together.
    size : str
        Size class on the model cards.
    test : str or None
        Set of unseen maps for the evaluation.
    test_transmitters : int
        Largest number of transmitters of each test map.
    device : str
        Training device, ``auto``, ``cpu`` or ``cuda``.
    held_out : int
        Number of scenes at the end of each set for validation.

    Raises
    ------
    ConfigError
        If the minutes or the number of test transmitters are not positive.
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
                hint="Set for example --minutes 25.",
            )
        if self.test_transmitters < 1:
            raise ConfigError(
                f"test_transmitters must be at least 1, not {self.test_transmitters}.",
                hint="Set for example --test-transmitters 2.",
            )


def train_models(
    plan: Sequence[PlannedModel],
    work: Work,
    progress: Progress,
    simulate: Callable[[], object] | None = None,
) -> list[Path]:
    """Train, evaluate and publish the models of a plan.

    Parameters
    ----------
    plan : sequence of PlannedModel
        Models to train.
    work : Work
        Data, budget and device.
    progress : Progress
        Receiver of the progress, which may also cancel.
    simulate : callable, optional
        Function that simulates the data, called after all checks that need no data.

    Returns
    -------
    list of Path
        Folders of the models.

    Raises
    ------
    ConfigError
        If a recipe is invalid or does not match the data or the test set. All are checked before
        the first training.
    InputError
        If data are missing or damaged.
    """
    name = choose_device(work.device)
    device = torch.device(local_device(name))
    configs = _configs(plan, work, choose_precision(name))
    test = None if work.test is None else SimulatedSet.open(work.test)
    for model in plan:
        if test is not None and has_protocol(model) and setting_of(model) != 1:
            require_scorable(model, test, work.test_transmitters)
    if simulate is not None:
        simulate()
    group = ProcessGroup.join(device)
    listener = progress if group.is_main else SilentProgress()
    made = []
    try:
        for model in plan:
            configs[model.key] = _ready(model, configs[model.key], work, test, listener, group)
        for model in plan:
            config = configs[model.key]
            listener.log(f"{model.key}: {config.loop['max_minutes']:.1f} minutes")
            run = work.out / "runs" / _name(model, work)
            train(config, run, device=device, progress=listener, group=group)
            if not group.is_main:
                continue
            folder = work.out / "models" / _name(model, work)
            text = CardText(
                summary=model.summary,
                data=describe_data(config),
                limits=("Trained on simulated or published maps of one kind of city.",),
                device=_device_name(device, group),
                scores={},
            )
            publish(run, folder, work.size, text)
            if test is not None and not has_protocol(model):
                listener.log(f"{model.key}: use rm-geo evaluate superres for the evaluation")
            elif test is not None:
                known = setting_of(model) == 1
                title = "Unseen transmitters in known scenes" if known else "Unseen maps"
                table = score_model(
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
        group.close()
    return made


def _configs(plan: Sequence[PlannedModel], work: Work, precision: str) -> dict[str, TrainingConfig]:
    """Return the configurations by key, checked as far as possible without data."""
    if not plan:
        raise ConfigError("The plan contains no model.")
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
    group: ProcessGroup,
) -> TrainingConfig:
    """Return a configuration with unpacked data, checked for training and evaluation.

    The data are unpacked without regard to the split of the model, and shared by all models.
    """
    whole = prepare_data(replace(config, split=None), work.out / "data", progress, group)
    config = replace(config, data=whole.data)
    try:
        make_task(config, torch.device("cpu"))  # on the CPU, no scene is loaded
    except ConfigError as error:
        raise ConfigError(
            f"{model.key} cannot be trained: {error.message}",
            hint="Exclude it (list the others with --only), or use other data.",
        ) from error
    if test is not None and has_protocol(model):
        if setting_of(model) == 1:
            known = SimulatedSet.open(config.data[0])
            require_scorable(model, known, work.test_transmitters)
        else:
            for path in config.data:
                require_unseen(test, SimulatedSet.open(path))
    return config


def _name(model: PlannedModel, work: Work) -> str:
    """Return the name of the folders of a model, which contains its size."""
    return f"{model.key}-{work.size}"


def _device_name(device: torch.device, group: ProcessGroup) -> str:
    """Describe the training device."""
    one = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else (f"{device.type}, {torch.get_num_threads()} threads")
    )
    return one if group.size == 1 else f"{group.size} x {one}"


def simulate_scenes(maps: Path, out: Path, transmitters: int, workers: int) -> Path:
    """Simulate scenes of the training maps of the papers.

    Parameters
    ----------
    maps : Path
        Archive of maps.
    out : Path
        Folder to create.
    transmitters : int
        Number of transmitters of each map.
    workers : int
        Number of processes.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DependencyError
        If numba or SciPy is not installed.
    """
    with require_packages("SciPy", "Simulated scenes"):
        from rm_geo.datasets.generation import generate
        from rm_geo.datasets.street_scenes import PaperRecipe

    recipe = PaperRecipe(tuple(range(1, 501)), transmitters=transmitters)
    progress = PlainConsole(sys.stderr, sys.stdout)
    generate(recipe, out, source=maps, workers=workers, progress=progress)
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Train the models from the command line and return the exit code."""
    keys = [model.key for model in full_size_plan()]
    parser = argparse.ArgumentParser(
        prog="python -m rm_geo.training.full_size", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("data", nargs="+", help="folder of scenes, packed archive, RadioMapSeer")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--minutes", type=float, required=True, help="of training, in total")
    parser.add_argument("--only", default="", help=f"comma-separated models: {', '.join(keys)}")
    parser.add_argument("--size", choices=["full", "s"], default="full")
    parser.add_argument("--test", help="set of unseen maps for the evaluation")
    parser.add_argument("--test-transmitters", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--maps", type=Path, help="archive of maps, to simulate the first DATA")
    parser.add_argument("--transmitters", type=int, default=16, help="of each simulated map")
    parser.add_argument("--workers", type=int, default=2, help="processes of the simulation")
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
        made = train_models(plan, work, PlainConsole(sys.stderr, sys.stdout), simulate)
    except RmGeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    for folder in made:
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
