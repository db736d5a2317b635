"""``rm-geo train``: hand a configuration to the training loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import console_options, device_option

if TYPE_CHECKING:
    from rm_geo.console import Console


@click.command()
@click.argument("kind")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="YAML file with the recipe; each KIND has a default.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Training set: a folder of simulated scenes, or RadioMapSeer.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR",
              help="Folder of checkpoints, logs and the finished model.")  # fmt: skip
@click.option("--max-minutes", type=click.FloatRange(0, min_open=True), metavar="N",
              help="Stop after this time; the learning rate is fitted to it.")  # fmt: skip
@device_option
@click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads of PyTorch.")
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Go on from the last checkpoint in --out.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="Change one value of the recipe; may be repeated.")  # fmt: skip
@console_options
def train(
    kind: str,
    config: Path | None,
    data: Path,
    out: Path,
    max_minutes: float | None,
    device: str,
    threads: int | None,
    resume: bool,
    seed: int,
    settings: tuple[str, ...],
    console: Console,
) -> None:
    """Train a network of a KIND: radiocycle, interpolation-net, mars, ..."""
    overrides = dict(_key_and_value(setting) for setting in settings)
    from rm_geo.training import run

    run(
        kind, config=config, data=data, out=out, max_minutes=max_minutes, device=device,
        threads=threads, resume=resume, seed=seed, overrides=overrides, progress=console,
    )  # fmt: skip


def _key_and_value(setting: str) -> tuple[str, str]:
    """Split ``key=value``."""
    key, sign, value = setting.partition("=")
    if not sign or not key.strip():
        raise click.BadParameter(f"{setting!r} is not KEY=VALUE.", param_hint="--set")
    return key.strip(), value.strip()
