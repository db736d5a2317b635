"""``rm-geo evaluate``: the papers' tables and figures, and simulated maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rm_geo.cli.options import (
    Number,
    console_options,
    device_option,
    model_option,
    setting_of,
)
from rm_geo.cli.words import (
    key_pairs,
    optional_names,
    split_counts,
    split_names,
    split_shares,
)

if TYPE_CHECKING:
    from rm_geo._util.console import Console

F = TypeVar("F", bound=Callable[..., Any])

# --out is an alias of --output.
_out_option = click.option(
    "-o",
    "--output",
    "--out",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of tables and figures.",
)
_dataset_argument = click.argument("dataset", type=click.Path(path_type=Path))
_maps_option = click.option(
    "--maps", metavar="N-M", help="Map numbers, such as 601-620; all by default."
)
_seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of samples and folds.",
)


def _models_option(command: F) -> F:
    """Add ``--model KEY=NAME|FILE`` and ``--methods`` to a command."""
    command = click.option(
        "--methods",
        metavar="NAMES",
        help="Only these lines of the table, with commas; all by default.",
    )(command)
    return click.option(
        "--model",
        "models",
        multiple=True,
        metavar="KEY=NAME|FILE",
        help="Trained model of a line, such as radiocycle-ml=runs/ml/model; can be repeated.",
    )(command)


@click.group()
def evaluate() -> None:
    """Evaluate methods on simulated maps: tables and figures of the papers, and others."""


@evaluate.command()
@_dataset_argument
@_out_option
@_models_option
@click.option(
    "--rates",
    default="0.01,0.05,0.1,0.2,0.3,0.4,0.5",
    show_default=True,
    help="Fractions of the outdoor pixels sampled uniformly, with commas.",
)
@click.option(
    "--routes",
    default="0.01",
    show_default=True,
    help="Fractions of the outdoor pixels sampled along routes, with commas.",
)
@_maps_option
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Transmitters of each map.",
)
@device_option
@_seed_option
@console_options
def radiocycle(
    dataset: Path,
    out: Path,
    models: tuple[str, ...],
    methods: str | None,
    rates: str,
    routes: str,
    maps: str | None,
    transmitters: int,
    device: str,
    seed: int,
    console: Console,
) -> None:
    """RadioCycle's table 2 and figures 3 to 6 on the set DATASET, published figures beside.

    The paper tests on maps 601-700. Lines without a trained model are listed as absent. Keys
    of --model: interpolation-net, radiocycle-sl, radiocycle-ml, radiocycle-ml-dwa,
    radiocycle-ml-dwa-sampled, radiocycle.
    """
    from rm_geo.datasets.map_numbers import parse_maps
    from rm_geo.datasets.simulated import SimulatedSet
    from rm_geo.evaluation.benchmark_methods import load_methods
    from rm_geo.evaluation.radiocycle import RADIOCYCLE_METHODS, evaluate_radiocycle

    data = SimulatedSet.open(dataset)
    report = evaluate_radiocycle(
        data,
        load_methods(
            RADIOCYCLE_METHODS, key_pairs(models), device=device, only=optional_names(methods)
        ),
        out,
        rates=split_shares(rates, "--rates"),
        routes=split_shares(routes, "--routes"),
        maps=None if maps is None else parse_maps(maps),
        transmitters=transmitters,
        seed=seed,
        progress=console,
    )
    console.result({"folder": out, "report": out / "report.md"}, report)


@evaluate.command()
@_dataset_argument
@_out_option
@_models_option
@click.option(
    "--setting",
    type=click.Choice(["1", "2", "all"]),
    default="2",
    show_default=True,
    help="1 unseen transmitters in known scenes, 2 unseen scenes; all judges on the "
    "whole set, also on what models may have learnt from.",
)
@click.option(
    "--scale",
    "scales",
    type=click.Choice(["4", "8"]),
    multiple=True,
    default=("4", "8"),
    show_default=True,
    help="Can be repeated.",
)
@_maps_option
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of transmitters of each map.",
)
@device_option
@console_options
def mars(
    dataset: Path,
    out: Path,
    models: tuple[str, ...],
    methods: str | None,
    setting: str,
    scales: tuple[str, ...],
    maps: str | None,
    transmitters: int | None,
    device: str,
    console: Console,
) -> None:
    """MARS's tables 1 and 2 and maps side by side on the set DATASET, published figures beside.

    Lines without a trained model are listed as absent. Keys of --model, at 4x: srresnet-4,
    supreme-4, mars-4-paper, mars-4; in setting 1 srresnet-4-i and so on, since the
    other models were trained on its test transmitters.
    """
    from rm_geo.datasets.map_numbers import parse_maps
    from rm_geo.datasets.simulated import SimulatedSet
    from rm_geo.evaluation.benchmark_methods import known_names, load_methods, select_methods
    from rm_geo.evaluation.mars import WHOLE_SET, evaluate_mars, mars_methods, setting_name

    data = SimulatedSet.open(dataset)
    given = key_pairs(models)
    number = WHOLE_SET if setting == "all" else int(setting)
    at = {int(scale): mars_methods(int(scale), number) for scale in dict.fromkeys(scales)}
    only = optional_names(methods)
    select_methods([c for line in at.values() for c in line], given, only)
    lines = {}
    for scale, line in at.items():
        here = None if only is None else [n for n in only if n.lower() in known_names(line)]
        if here == []:
            continue
        own = {key: value for key, value in given.items() if key in {c.model_key for c in line}}
        lines[scale] = load_methods(line, own, device=device, only=here)
    report = evaluate_mars(
        data,
        lines,
        out,
        setting=number,
        maps=None if maps is None else parse_maps(maps),
        transmitters=transmitters,
        progress=console,
    )
    console.result({"folder": out, "report": out / f"mars_{setting_name(number)}.md"}, report)


@evaluate.command()
@_dataset_argument
@_out_option
@model_option
@click.option(
    "--scale",
    "scales",
    type=click.Choice(["4", "8"]),
    multiple=True,
    default=("4",),
    show_default=True,
    help="Can be repeated.",
)
@_maps_option
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Transmitters of each map.",
)
@device_option
@console_options
def superres(
    dataset: Path,
    out: Path,
    model: str | None,
    scales: tuple[str, ...],
    maps: str | None,
    transmitters: int,
    device: str,
    console: Console,
) -> None:
    """Compare 'rm-geo superres' with resampling on coarse rasters made of the set DATASET.

    A coarse pixel is the mean of its outdoor pixels, nodata in buildings; errors are in dB,
    outdoors. Writes superres.csv, .md and .png, which shows a typical and a bad raster.
    """
    from rm_geo._util.atomic import output_folder
    from rm_geo.datasets.map_numbers import parse_maps
    from rm_geo.datasets.simulated import SimulatedSet
    from rm_geo.evaluation.superres import draw_superres, score_superres, superres_methods

    data, chosen = SimulatedSet.open(dataset), None if maps is None else parse_maps(maps)
    factors = [int(scale) for scale in dict.fromkeys(scales)]
    methods = superres_methods(model, device, factors)
    with output_folder(out):
        rows = score_superres(
            data,
            methods,
            scales=factors,
            maps=chosen,
            transmitters=transmitters,
            progress=console,
        )
        shown = {name: methods[name] for name in ("gdalwarp, bilinear", "rm-geo superres")}
        draw_superres(data, shown, out / "superres.png", scale=factors[0], maps=chosen)
        _write(out, "superres", rows, console)


@evaluate.command()
@_dataset_argument
@_out_option
@click.option(
    "--methods",
    default="knn,idw,linear",
    show_default=True,
    help="Names, with commas; NAME+assimilate adds regression kriging, NAME+buildings gives the "
    "method the buildings, pipeline:NAME runs all steps of 'predict', classical-baseline is "
    "the map that networks are weighted against.",
)
@model_option
@click.option(
    "-O",
    "--method-option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the networks among them, such as symmetries=8; can be repeated.",
)
@device_option
@click.option(
    "--samplings",
    default="uniform:0.01,uniform:0.05,uniform:0.2,route:0.01",
    show_default=True,
    help="Sampling schemes, with commas.",
)
@_maps_option
@click.option(
    "--transmitters",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Transmitters of each map.",
)
@_seed_option
@console_options
def simulated(
    dataset: Path,
    out: Path,
    methods: str,
    model: str | None,
    options: tuple[str, ...],
    device: str,
    samplings: str,
    maps: str | None,
    transmitters: int,
    seed: int,
    console: Console,
) -> None:
    """Evaluate methods on the simulated set DATASET; write simulated.csv, .md and .png.

    The picture shows a typical and a bad map of the first method, with the last sampling.
    """
    from rm_geo._util.atomic import output_folder
    from rm_geo.datasets.map_numbers import parse_maps
    from rm_geo.datasets.simulated import SimulatedSet
    from rm_geo.evaluation.cases import Sampling
    from rm_geo.evaluation.simulated import draw_protocol, run_protocol
    from rm_geo.validation.method_names import named_estimators

    parameters: dict[str, object] = dict(setting_of(text, "-O") for text in options)
    needed = bool(parameters) or model is not None
    if clash := {"device", "model"} & parameters.keys():
        raise click.BadParameter(f"Give --{min(clash)} instead.", param_hint="-O")
    parameters["device"] = device
    if model is not None:
        parameters["model"] = model
    estimators = named_estimators(split_names(methods), parameters, needed=needed)
    data, chosen = SimulatedSet.open(dataset), None if maps is None else parse_maps(maps)
    schemes = [Sampling.parse(text) for text in samplings.split(",")]
    with output_folder(out):
        rows = run_protocol(
            data,
            estimators,
            samplings=schemes,
            maps=chosen,
            transmitters=transmitters,
            seed=seed,
            progress=console,
        )
        name, first = next(iter(estimators.items()))
        picture = out / "simulated.png"
        draw_protocol(data, name, first, picture, sampling=schemes[-1], maps=chosen, seed=seed)
        _write(out, "simulated", rows, console)


@evaluate.command()
@_dataset_argument
@_out_option
@model_option
@click.option(
    "--single-cell",
    metavar="NAME|FILE",
    help="Model of radiocycle whose building maps of single cells are averaged for comparison; "
    "the default one by default.",
)
@click.option(
    "--cells",
    default="1,8,16",
    show_default=True,
    metavar="NUMBERS",
    help="Numbers of cells, with commas.",
)
@click.option(
    "--samplings",
    default="route:0.01,route:0.04",
    show_default=True,
    help="Sampling schemes, with commas.",
)
@click.option(
    "--noise-db",
    type=Number(0),
    default=0.0,
    show_default=True,
    metavar="DB",
    help="Standard deviation of the levels.",
)
@click.option(
    "--site-error-m",
    type=Number(0),
    default=0.0,
    show_default=True,
    metavar="METRES",
    help="Standard deviation of each coordinate of a site.",
)
@click.option(
    "--strongest",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Strongest cells that each pixel reports; 0 for all.",
)
@_maps_option
@device_option
@_seed_option
@console_options
def buildings(
    dataset: Path,
    out: Path,
    model: str | None,
    single_cell: str | None,
    cells: str,
    samplings: str,
    noise_db: float,
    site_error_m: float,
    strongest: int,
    maps: str | None,
    device: str,
    seed: int,
    console: Console,
) -> None:
    """Evaluate building maps from many cells on DATASET; write buildings.csv, .md and .png.

    All cells of a map are measured in the same pixels. Lines: the network for many cells, the
    mean of the building maps of single cells, and every unmeasured pixel as a building. The picture
    shows a typical and a bad map.
    """
    from rm_geo._util.atomic import output_folder
    from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration
    from rm_geo.datasets.map_numbers import parse_maps
    from rm_geo.datasets.simulated import SimulatedSet
    from rm_geo.estimators.ray_buildings import RayBuildingMapper
    from rm_geo.estimators.registry import get_method
    from rm_geo.evaluation.area_buildings import (
        AreaMethod,
        DriveErrors,
        MeanOfCells,
        draw_area_buildings,
        evaluate_area_buildings,
    )
    from rm_geo.evaluation.cases import Sampling

    given = {} if single_cell is None else {"model": single_cell}
    lines, single = (
        RayBuildingMapper(model, device),
        get_method("radiocycle", device=device, **given),
    )
    methods: dict[str, AreaMethod] = {
        "lines of all cells": lines.probability,
        "mean of single cells": MeanOfCells(single),
    }
    tags = (lines.provenance.get(CALIBRATION_TAG), single.provenance.get(CALIBRATION_TAG))
    calibrations = dict(zip(methods, map(Calibration.parse, tags), strict=True))
    data = SimulatedSet.open(dataset)
    schemes = [Sampling.parse(text) for text in samplings.split(",")]
    counts = split_counts(cells, "--cells")
    chosen = None if maps is None else parse_maps(maps)
    errors = DriveErrors(noise_db, site_error_m, strongest)
    with output_folder(out):
        rows = evaluate_area_buildings(
            data,
            methods,
            samplings=schemes,
            cells=counts,
            maps=chosen,
            errors=errors,
            calibrations=calibrations,
            seed=seed,
            progress=console,
        )
        draw_area_buildings(
            data,
            methods,
            out / "buildings.png",
            sampling=schemes[-1],
            cells=counts[len(counts) // 2],
            maps=chosen,
            errors=errors,
            seed=seed,
        )
        _write(out, "buildings", rows, console)


def _write(out: Path, name: str, rows: Sequence[object], console: Console) -> None:
    """Write a table as CSV and Markdown and print it."""
    from rm_geo.validation.tables import markdown_table, write_csv, write_markdown

    write_csv(out / f"{name}.csv", rows)
    write_markdown(out / f"{name}.md", rows)
    console.result({"folder": out, "table": out / f"{name}.csv"}, markdown_table(rows))
