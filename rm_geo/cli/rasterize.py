"""``rm-geo rasterize``: bin measurements on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rm_geo.cli.options import (
    Number,
    console_options,
    given_options,
    output_folder_option,
    prediction_options,
    several_measurements_argument,
)

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.workflows.rasterize import Statistic

COLUMN_OPTIONS: Final = (
    "rsrp_column",
    "cell_column",
    "x_column",
    "y_column",
    "time_column",
    "pci_column",
    "node_column",
    "carrier_column",
    "operator_column",
    "technology_column",
    "columns",
    "where",
    "strict",
    "time_from",
    "time_to",
    "technologies",
    "operators",
    "channels",
    "min_points",
    "top",
    "layer",
)
"""Options of reading that commands besides ``predict`` have too."""


@click.command()
@several_measurements_argument
@output_folder_option
@click.option(
    "--statistic",
    type=click.Choice(["mean", "median", "max"]),
    default="mean",
    show_default=True,
    help="Value of a pixel; the mean is that of the power in milliwatts.",
)
@click.option(
    "--margin",
    type=Number(0),
    default=0.0,
    show_default=True,
    metavar="M",
    help="Margin around the measurements in metres.",
)
@prediction_options("crs", "target_crs", "resolution_m", "max_tiles")
@prediction_options(*COLUMN_OPTIONS, "bbox")
@console_options
def rasterize(
    measurements: tuple[Path, ...],
    output: Path,
    statistic: Statistic,
    margin: float,
    console: Console,
    **chosen: Any,  # noqa: ANN401 - the options of the model
) -> None:
    """Bin MEASUREMENTS on a grid: RSRP, count and standard deviation, a raster per cell.

    Several files are logs of one area, whose cells are binned together.
    """
    from rm_geo.options import PredictOptions
    from rm_geo.workflows.rasterize import rasterize_file

    options = PredictOptions(**given_options(chosen), reach_m=margin)
    made = rasterize_file(measurements, output, options, statistic=statistic, progress=console)
    lines = [
        f"{item.path}: {item.pixels} pixels measured of {item.rows} x {item.cols}"
        + (f" (cell {item.cell_name})" if item.cell_name != item.cell else "")
        for item in made
    ]
    console.result({"rasters": [vars(item) for item in made]}, "\n".join(lines))
