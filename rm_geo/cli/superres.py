"""``rm-geo superres``: refine a coarse radio map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import (
    Number,
    batch_size_option,
    console_options,
    device_option,
    model_option,
)

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.argument("raster", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="GeoTIFF to write.",
)
@click.option(
    "--scale",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="Number of fine pixels along each side of a coarse one.",
)
@model_option
@device_option
@batch_size_option
@click.option(
    "--band",
    type=click.IntRange(1),
    metavar="N",
    help="Band to read, for rasters with several bands.",
)
@click.option(
    "--intercept",
    type=Number(),
    metavar="DBM",
    help="Free-space level at 1 m in dBm, if known.",
)
@click.option(
    "--symmetries",
    type=click.Choice(["1", "2", "4", "8"]),
    default="1",
    show_default=True,
    metavar="1|2|4|8",
    help="Number of orientations that are averaged: more is slower and more accurate.",
)
@click.option(
    "--buildings",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Building footprints, or a raster of them.",
)
@click.option(
    "--buildings-layer",
    metavar="NAME",
    help="Layer of the building footprints, for files with several layers.",
)
@click.option(
    "--max-tiles",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Refuse a raster that would need more tiles than this.",
)
@console_options
def superres(
    raster: Path,
    output: Path,
    scale: int,
    model: str | None,
    device: str,
    batch_size: int | None,
    band: int | None,
    intercept: float | None,
    symmetries: str,
    buildings: Path | None,
    buildings_layer: str | None,
    max_tiles: int,
    console: Console,
) -> None:
    """Refine a coarse RASTER of RSRP in dBm with a super-resolution network."""
    from rm_geo.workflows.superresolve import superresolve

    made = superresolve(
        raster,
        output,
        scale,
        model=model,
        device=device,
        batch_size=batch_size,
        band=band,
        intercept_dbm=intercept,
        symmetries=int(symmetries),
        buildings=buildings,
        buildings_layer=buildings_layer,
        max_tiles=max_tiles,
        progress=console,
    )
    rows, cols = made.grid.shape
    console.result(
        {
            "file": made.path,
            "rows": rows,
            "cols": cols,
            "spacing_m": made.grid.spacing_m,
            "scale": made.scale,
            "model": made.model,
        },
        f"{made.path}: {rows} x {cols} pixels of {made.grid.spacing_m:g} m, by {made.model}",
    )
