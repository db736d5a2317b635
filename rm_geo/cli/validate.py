"""``rm-geo validate``: which method is best on a log, by how much, and how sure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rm_geo.cli.options import (
    console_options,
    given_options,
    prediction_options,
    several_measurements_argument,
)
from rm_geo.cli.rasterize import COLUMN_OPTIONS
from rm_geo.cli.words import split_names

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.validation.log_holdout import By, HoldOut, Support


@click.command("validate")
@several_measurements_argument
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of validation.json and validation.csv.",
)
@click.option(
    "--methods",
    default="knn,idw,street-ensemble,joint,default",
    show_default=True,
    help="Names, with commas: methods, 'joint' (all cells of the log together, at visited places), "
    "'single' (the map of 'predict --single'), 'default' ('single' corrected by 'joint'), "
    "pipeline:NAME ('predict --method NAME'), 'reported' (the probability of being reported), "
    "GeoTIFFs of RSRP from any other tool, or folders of <cell>_rsrp.tif.",
)
@click.option(
    "--block",
    "block_m",
    default="50,200",
    show_default=True,
    metavar="M",
    help="Sides of the held-out blocks in metres, with commas.",
)
@click.option(
    "--hold-out",
    type=click.Choice(["target", "all"]),
    default="target",
    show_default=True,
    help="Hide the judged cell only (the drive was there, and did not report it), or all cells "
    "(the place was not driven).",
)
@click.option(
    "--by",
    type=click.Choice(["blocks", "log", "day"]),
    default="blocks",
    show_default=True,
    help="Hold out blocks of the area, whole drives (between pauses of two minutes), or days.",
)
@click.option(
    "--support",
    type=click.Choice(["pixel", "5m", "20m"]),
    default="5m",
    show_default=True,
    help="Compare pixels of 1 m, means of bins of 5 m, or means of blocks of 20 m.",
)
@click.option("--cells", metavar="NAMES", help="Judge these cells, with commas; overrides --top.")
@click.option(
    "--top",
    type=click.IntRange(1),
    default=6,
    show_default=True,
    metavar="N",
    help="Judge this number of cells, those with the most readings.",
)
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, metavar="N")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="DBM",
    help="Levels at which a place is covered, with commas: also tell how many of the held-out "
    "places are, by their probability of coverage. Can be repeated.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Random seed.")
@click.option(
    "--report", "with_report", is_flag=True, help="Also write report.html, for a browser."
)
@prediction_options("crs", "target_crs")
@prediction_options(*(name for name in COLUMN_OPTIONS if name != "top"), "bbox")
@prediction_options("resolution_m", "reach_m", "max_tiles")
@prediction_options("model", "device", "buildings", "buildings_layer", "sites", "sites_crs")
@console_options
def validate(
    measurements: tuple[Path, ...],
    out: Path,
    methods: str,
    block_m: str,
    hold_out: str,
    by: str,
    support: str,
    cells: str | None,
    top: int,
    folds: int,
    thresholds: tuple[str, ...],
    seed: int,
    with_report: bool,
    console: Console,
    **chosen: Any,  # noqa: ANN401 - the options of the model
) -> None:
    """Judge methods on held-out blocks or drives of MEASUREMENTS.

    Writes validation.json and validation.csv: errors in dB of each method, for each cell and for
    all of them (each held-out place counts once), by distance to the nearest reading, with the
    difference from the best other method and its p-value from a bootstrap over blocks. The noise
    floor from repeated passes is the error that no map can be better than.

    Several files are logs of one area, whose cells are judged together.
    """
    from rm_geo._util.atomic import output_folder
    from rm_geo.options import PredictOptions
    from rm_geo.validation.log_holdout import validate as judge
    from rm_geo.validation.log_report import table_text, write_validation

    sizes = _numbers(block_m, "--block")
    levels = _numbers(",".join(thresholds), "--threshold") if thresholds else []
    options = PredictOptions(**given_options(chosen))
    with output_folder(out):
        result = judge(
            measurements,
            split_names(methods),
            block_m=sizes,
            hold_out=cast("HoldOut", hold_out),
            by=cast("By", by),
            support=cast("Support", support),
            cells=() if cells is None else split_names(cells),
            top=top,
            folds=folds,
            seed=seed,
            thresholds_dbm=levels,
            options=options,
            progress=console,
        )
        write_validation(out, result)
        page = None
        if with_report:
            from rm_geo.report.page import write_report

            page = write_report(out, progress=console)
    console.result(
        {"folder": out, "table": out / "validation.csv", "report": page}, table_text(result)
    )


def _numbers(text: str, option: str) -> list[float]:
    """Read numbers with commas."""
    try:
        return [float(part) for part in split_names(text)]
    except ValueError:
        raise click.BadParameter("must be numbers, with commas.", param_hint=option) from None
