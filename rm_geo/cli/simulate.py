"""``rm-geo simulate``: radio maps of sites among buildings, by the dominant path model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import (
    Number,
    console_options,
    crs_option,
    output_folder_option,
    sites_crs_option,
)

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.argument("buildings", type=click.Path(path_type=Path))
@click.option(
    "--sites",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Table of the sites.",
)
@output_folder_option
@click.option(
    "--layer", metavar="NAME", help="Layer of the buildings, for files with several layers."
)
@click.option(
    "--height-column", metavar="NAME", help="Column of the heights of the buildings in metres."
)
@click.option(
    "--building-height",
    type=Number(0, min_open=True),
    default=25.0,
    show_default=True,
    metavar="M",
    help="Height in metres of buildings whose height is not stated.",
)
@click.option(
    "--resolution",
    type=Number(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="M",
    help="Side of a pixel in metres.",
)
@click.option(
    "--margin",
    type=Number(0),
    default=50.0,
    show_default=True,
    metavar="M",
    help="Margin around the buildings and sites in metres.",
)
@click.option(
    "--eirp",
    type=Number(),
    metavar="DBM",
    help="EIRP per resource element in dBm, used if the sites do not state it; without any, "
    "path gain is written.",
)
@click.option(
    "--frequency",
    type=Number(1),
    metavar="MHZ",
    help="Carrier frequency in MHz of all sites; replaces that of their table.",
)
@click.option(
    "--max-tiles",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Refuse an area that would need more tiles of 256 pixels.",
)
@crs_option
@sites_crs_option
@console_options
def simulate(
    buildings: Path,
    sites: Path,
    output: Path,
    layer: str | None,
    height_column: str | None,
    building_height: float,
    resolution: float,
    margin: float,
    eirp: float | None,
    frequency: float | None,
    max_tiles: int,
    crs: str | None,
    sites_crs: str | None,
    console: Console,
) -> None:
    """Simulate the radio map of each site among BUILDINGS by the dominant path model."""
    from rm_geo.buildings.reader import read_buildings
    from rm_geo.workflows.simulate import simulate as simulate_maps

    footprints = read_buildings(
        buildings,
        layer=layer,
        height_column=height_column,
        default_height_m=building_height,
        crs=crs,
        progress=console,
    )
    made = simulate_maps(
        footprints,
        sites,
        output,
        sites_crs=sites_crs,
        resolution_m=resolution,
        margin_m=margin,
        eirp_dbm=eirp,
        frequency_mhz=frequency,
        max_tiles=max_tiles,
        progress=console,
    )
    console.result(
        {"maps": [{"site": one.site, "file": one.path, "quantity": one.quantity} for one in made]},
        "\n".join(f"{one.path}: {one.quantity} of site {one.site}" for one in made),
    )
