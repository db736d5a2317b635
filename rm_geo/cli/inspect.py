"""``rm-geo inspect``: describe a file of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import (
    console_options,
    given_options,
    measurements_argument,
    prediction_options,
)
from rm_geo.cli.rasterize import COLUMN_OPTIONS

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command("inspect")
@measurements_argument
@click.option(
    "--most-cells",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    metavar="N",
    help="Cells that are listed.",
)
@click.option(
    "--save-columns",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the columns that were recognised, for --columns of other logs.",
)
@prediction_options("crs", "target_crs")
@prediction_options(*COLUMN_OPTIONS, "bbox")
@console_options
def inspect(
    measurements: Path,
    most_cells: int,
    save_columns: Path | None,
    console: Console,
    **chosen: Any,  # noqa: ANN401 - the options of the model
) -> None:
    """Describe MEASUREMENTS: the columns that are recognised, cells, carriers, times and doubts.

    Nothing is mapped. The last line is the command that maps the file.
    """
    from rm_geo.measurements.column_file import columns_of_report, write_column_file
    from rm_geo.options import PredictOptions
    from rm_geo.workflows.inspect_log import inspect_log

    summary = inspect_log(measurements, PredictOptions(**given_options(chosen)))
    if save_columns is not None:
        write_column_file(save_columns, columns_of_report(summary.report.columns))
    console.result(summary.as_dict(), "\n".join(summary.lines(most_cells)))
