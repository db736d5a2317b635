"""``rm-geo rasterize``: bin measurements on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import (
    Number,
    bbox_option,
    column_options,
    console_options,
    grid_options,
    measurements_argument,
    output_folder_option,
)

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.workflows.rasterize import Statistic


@click.command()
@measurements_argument
@output_folder_option
@click.option(
    "--statistic",
    type=click.Choice(["mean", "median", "max"]),
    default="mean",
    show_default=True,
    help="What a pixel gets; mean is of the power.",
)
@click.option(
    "--margin",
    type=Number(0),
    default=0.0,
    show_default=True,
    metavar="M",
    help="Ground around the measurements.",
)
@grid_options
@column_options
@bbox_option
@console_options
def rasterize(
    measurements: Path,
    output: Path,
    statistic: Statistic,
    margin: float,
    crs: str | None,
    target_crs: str | None,
    resolution: float,
    max_tiles: int,
    layer: str | None,
    rsrp_column: str | None,
    cell_column: str | None,
    x_column: str | None,
    y_column: str | None,
    time_column: str | None,
    bbox: tuple[float, float, float, float] | None,
    console: Console,
) -> None:
    """Bin MEASUREMENTS on a grid: RSRP, count and standard deviation, a raster per cell."""
    from rm_geo.options import PredictOptions
    from rm_geo.workflows.rasterize import rasterize_file

    options = PredictOptions(
        crs=crs,
        target_crs=target_crs,
        layer=layer,
        rsrp_column=rsrp_column,
        cell_column=cell_column,
        x_column=x_column,
        y_column=y_column,
        time_column=time_column,
        resolution_m=resolution,
        reach_m=margin,
        max_tiles=max_tiles,
        bbox=bbox,
    )
    made = rasterize_file(measurements, output, options, statistic=statistic, progress=console)
    lines = [
        f"{item.path}: {item.pixels} pixels measured of {item.rows} x {item.cols}"
        + (f" (cell {item.cell_name})" if item.cell_name != item.cell else "")
        for item in made
    ]
    console.result({"rasters": [vars(item) for item in made]}, "\n".join(lines))
