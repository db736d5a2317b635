"""``rm-geo train``: run a training configuration and save the finished model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import Number, console_options, device_option, setting_of
from rm_geo.progress import SilentProgress

if TYPE_CHECKING:
    import torch

    from rm_geo._util.console import Console


@click.command()
@click.argument("kind")
@click.option(
    "--config",
    metavar="NAME|FILE",
    help="Recipe: a ready one, such as ml-dwa, ml or sl for radiocycle, paper or plus "
    "for mars, or a YAML or JSON file.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Folder of simulated scenes, or RadioMapSeer; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of checkpoints, log and the finished model.",
)
@click.option(
    "--size",
    type=click.Choice(["s", "full"]),
    help="s for two cores and laptops, full for the paper's size and a GPU.",
)
@click.option(
    "--scale",
    type=click.Choice(["4", "8"]),
    help="Enlargement along each axis (mars, srresnet, supreme).",
)
@click.option(
    "--setting",
    type=click.Choice(["1", "2"]),
    help="The MARS paper's: 1 unseen transmitters in known scenes, 2 unseen scenes.",
)
@click.option(
    "--max-minutes",
    type=Number(0, min_open=True),
    metavar="N",
    help="Time budget, all resumed runs together.",
)
@click.option(
    "--max-steps",
    type=click.IntRange(1),
    metavar="N",
    help="Budget of steps; training ends when the first budget is spent.",
)
@device_option
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads of PyTorch.")
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Resume from the checkpoint in --out.",
)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of all random numbers.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value, such as loop.seed=3; may be repeated.",
)
@console_options
def train(
    kind: str,
    config: str | None,
    out: Path,
    device: str,
    threads: int | None,
    resume: bool,
    console: Console,
    **chosen: Any,  # noqa: ANN401 - options that become part of the recipe
) -> None:
    """Train a network of a KIND, such as radiocycle, radiocycle-drive or mars.

    'python -m rm_geo.datasets.generate --help' shows how to simulate scenes. For several
    GPUs: 'torchrun --nproc-per-node N -m rm_geo train ...'.
    """
    from rm_geo.devices import require_torch
    from rm_geo.errors import ConfigError

    recipe = _recipe(kind, config, chosen)
    if not recipe.get("data"):
        raise ConfigError("No training data is named.", hint="Give a folder with --data.")
    require_torch("Training")
    import torch

    from rm_geo.devices import choose_device
    from rm_geo.training.card import CardText, publish
    from rm_geo.training.data import describe_data, prepare_data
    from rm_geo.training.loop import CHECKPOINT_NAME
    from rm_geo.training.process_group import ProcessGroup, local_device
    from rm_geo.training.run import check_config, read_config
    from rm_geo.training.run import train as run_training

    if threads is not None:
        torch.set_num_threads(threads)
    place = torch.device(local_device(choose_device(device)))
    settled = read_config(kind, recipe)
    check_config(settled, resumed=resume and (out / CHECKPOINT_NAME).exists())
    group = ProcessGroup.join(place)
    try:
        listener = console if group.is_main else SilentProgress()
        settled = prepare_data(settled, out / "data", listener, group)
        network = run_training(
            settled, out, device=place, resume=resume, progress=listener, group=group
        )
    finally:
        group.close()
    if not group.is_main:
        return
    size = chosen["size"] or "own"
    text = CardText(
        summary=f"{type(network).__name__}, trained with rm-geo train.",
        data=describe_data(settled),
        limits=("Judge it on data of your own before relying on it.",),
        device=describe_device(place),
        scores={},
    )
    checksum = publish(out, out / "model", size, text, half=False)
    console.result(
        {"model": out / "model", "sha256": checksum},
        f"The model, its card and curves are in {out / 'model'}; use it with "
        f"--model {out / 'model'}",
    )


def describe_device(place: torch.device) -> str:
    """Return the name of a training device.

    Parameters
    ----------
    place : torch.device
        Device.

    Returns
    -------
    str
        Model of the GPU, or device type and number of threads.
    """
    import torch

    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    return f"{place.type}, {torch.get_num_threads()} threads"


def _recipe(kind: str, config: str | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Combine recipe file, options and ``--set``; later sources take precedence."""
    from rm_geo.errors import ConfigError
    from rm_geo.training.builtin_recipes import SETTINGS, network_of_size
    from rm_geo.zoo.kinds import SUPERRES_KINDS

    recipe = _read_recipe(kind, config)
    if chosen["size"]:
        for key, value in network_of_size(kind, chosen["size"]).items():
            _put(recipe, f"network.{key}", value)
    for option in ("scale", "setting"):
        if chosen[option] and kind not in SUPERRES_KINDS:
            raise ConfigError(
                f"--{option} is for {', '.join(SUPERRES_KINDS)}, not for {kind}.",
                hint="Leave it out.",
            )
    if chosen["scale"]:
        _put(recipe, "network.scale", int(chosen["scale"]))
    if chosen["setting"]:
        recipe["split"] = SETTINGS[int(chosen["setting"])]
    for setting in chosen["settings"]:
        _put(recipe, *setting_of(setting, "--set"))
    if chosen["data"]:
        recipe["data"] = [str(path) for path in chosen["data"]]
    for option in ("max_minutes", "max_steps", "seed"):
        if chosen[option] is not None:
            _put(recipe, f"loop.{option}", chosen[option])
    return recipe


def _read_recipe(kind: str, config: str | None) -> dict[str, Any]:
    """Read a recipe from a YAML or JSON file, or return a built-in one."""
    from rm_geo.io.yaml_file import read_yaml_mapping
    from rm_geo.training.builtin_recipes import builtin_recipe

    if config is None:
        return {}
    path = Path(config)
    if not path.suffix and not path.is_file():  # a folder with this name is ignored
        return builtin_recipe(kind, config)
    return dict(read_yaml_mapping(path))


def _put(recipe: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401 - any YAML value
    """Set a dotted key and create missing sections."""
    from rm_geo.errors import ConfigError

    *sections, last = key.split(".")
    for section in sections:
        recipe = recipe.setdefault(section, {})
        if not isinstance(recipe, dict):
            raise ConfigError(f"{section!r} in {key!r} is not a section.")
    recipe[last] = value
