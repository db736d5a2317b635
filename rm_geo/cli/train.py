"""``rm-geo train``: hand a configuration to the training loop, and keep the finished model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import console_options, device_option, key_and_value

if TYPE_CHECKING:
    from rm_geo.console import Console


@click.command()
@click.argument("kind")
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
              help="YAML or JSON with the recipe: network, loop, task, mixture.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), multiple=True, metavar="DIR",
              help="Folder of simulated scenes; may be repeated.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Folder of checkpoints, log and the finished model.")  # fmt: skip
@click.option("--max-minutes", type=click.FloatRange(0, min_open=True), metavar="N",
              help="Time budget, all resumed runs together.")  # fmt: skip
@device_option
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads of PyTorch.")
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Go on from the checkpoint in --out.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Of everything random.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="Change one value, such as loop.seed=3; may be repeated.")  # fmt: skip
@console_options
def train(
    kind: str,
    config_path: Path | None,
    data: tuple[Path, ...],
    out: Path,
    max_minutes: float | None,
    device: str,
    threads: int | None,
    resume: bool,
    seed: int | None,
    settings: tuple[str, ...],
    console: Console,
) -> None:
    """Train a network of a KIND, such as radiocycle-field or mars.

    'python -m rm_geo.datasets.generate --help' tells how to make simulated scenes.
    """
    from rm_geo.errors import ConfigError, ModelError

    recipe = _read_recipe(config_path)
    for setting in settings:
        _put(recipe, *key_and_value(setting, "--set"))
    if data:
        recipe["data"] = [str(path) for path in data]
    if max_minutes is not None:
        _put(recipe, "loop.max_minutes", max_minutes)
    if seed is not None:
        _put(recipe, "loop.seed", seed)
    if not recipe.get("data"):
        raise ConfigError("No training data is named.", hint="Give a folder with --data.")
    import torch

    from rm_geo.atomic import prepare_output_folder
    from rm_geo.engine import choose_device
    from rm_geo.networks import kinds
    from rm_geo.training.run import TrainingConfig, train
    from rm_geo.zoo import save_model

    if kind not in kinds():
        raise ConfigError(f"There is no network {kind!r}.", hint=f"Known: {', '.join(kinds())}.")
    try:
        config = TrainingConfig(**{"kind": kind, **recipe})
    except TypeError as error:
        raise ConfigError(
            f"The recipe has a key that is not known: {error}.",
            hint=f"Known: {', '.join(TrainingConfig.__dataclass_fields__)}.",
        ) from error
    if config.kind != kind:
        raise ModelError(f"The recipe is for {config.kind!r}, not for {kind!r}.")
    if threads is not None:
        torch.set_num_threads(threads)
    place = torch.device(choose_device(device))
    prepare_output_folder(out)
    network = train(config, out, device=place, resume=resume, progress=console)
    scale = config.network.get("scale") if kind == "mars" else None
    metadata = {"recipe": recipe} | ({} if scale is None else {"scale": scale})
    checksum = save_model(out / "model", network, kind, config.network, metadata)
    console.result(
        {"model": out / "model", "sha256": checksum},
        f"The model is in {out / 'model'}; use it with --model {out / 'model'}",
    )


def _read_recipe(path: Path | None) -> dict[str, Any]:
    """Read a recipe; JSON is YAML too."""
    from rm_geo.errors import ConfigError

    if path is None:
        return {}
    import yaml

    try:
        recipe = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The recipe {path} cannot be read: {reason}.") from error
    if not isinstance(recipe, dict):
        raise ConfigError(f"The recipe {path} is not a mapping of keys to values.")
    return recipe


def _put(recipe: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401 - any YAML value
    """Set a dotted key, making the sections on its way."""
    from rm_geo.errors import ConfigError

    *sections, last = key.split(".")
    for section in sections:
        recipe = recipe.setdefault(section, {})
        if not isinstance(recipe, dict):
            raise ConfigError(f"{section!r} in {key!r} is not a section.")
    recipe[last] = value
