"""``rm-geo demo``: the whole pipeline on a simulated city."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import console_options, device_option, model_option

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    metavar="DIR",
    help="Folder of the results.",
)
@click.option(
    "--method",
    default="radiocycle",
    show_default=True,
    metavar="NAME",
    help="Name of the estimator; 'rm-geo info' lists the methods.",
)
@model_option
@device_option
@click.option(
    "--size",
    type=click.IntRange(128, 2048),
    default=448,
    show_default=True,
    metavar="M",
    help="Side of the city in metres.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=7,
    show_default=True,
    metavar="N",
    help="Seed of the simulated city.",
)
@console_options
def demo(
    output: Path,
    method: str,
    model: str | None,
    device: str,
    size: int,
    seed: int,
    console: Console,
) -> None:
    """Simulate a city and a drive test in it, map it, plan with it, and compare with the truth."""
    from rm_geo.cli.plan import plan_text, plan_values
    from rm_geo.options import PredictOptions
    from rm_geo.workflows.demo import run_demo

    options = PredictOptions(
        method=method, model=model, device=device, mask=True, uncertainty=True, reach_m=60.0
    )
    made = run_demo(output, options, size_px=size, seed=seed, progress=console)
    lines = [f"{'cell':<8}{'measured':>10}{'error':>10}{'knn':>10}{'building F1':>14}"]
    for row in made.comparison:
        f1 = "-" if row.building_f1 is None else f"{row.building_f1:.3f}"
        lines.append(
            f"{row.cell:<8}{100 * row.measured_share:>8.1f} %{row.rmse_db:>7.2f} dB"
            f"{row.knn_rmse_db:>7.2f} dB{f1:>14}"
        )
    lines += [
        "",
        plan_text(made.plan, made.report),
        "",
        f"Maps and previews: {made.folder / 'maps'}",
        f"Drive test, sites and truth: {made.folder}",
    ]
    console.result(
        {
            "folder": made.folder,
            "cells": [vars(row) for row in made.comparison],
            "plan": plan_values(made.plan, made.report),
        },
        "\n".join(lines),
    )
