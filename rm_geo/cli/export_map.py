"""``rm-geo export-map``: maps and planning products in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from rm_geo.cli.options import console_options, sites_crs_option

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.planning.export import ExportFormat
    from rm_geo.sites.site import Site

FORMATS: Final = ("kmz", "tab", "mif", "grd", "bil", "asc", "xyz", "png", "geoparquet")
"""Names of the formats, so that ``--help`` imports no GDAL."""


@click.command("export-map")
@click.argument("maps", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--to",
    "to",
    type=click.Choice(FORMATS),
    required=True,
    help="Rasters: kmz, grd, bil, asc, xyz, png, geoparquet. Features: kmz, tab, mif, geoparquet.",
)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|DIR",
    help="File to write; a name without an ending is a folder.",
)
@click.option("--layer", metavar="NAME", help="Layer of a vector file with several.")
@click.option(
    "--integer",
    is_flag=True,
    help="BIL: whole numbers of 16 bits, which every planning tool reads.",
)
@click.option(
    "--sites",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="KMZ: site table whose sites are shown, besides the site that the map names.",
)
@sites_crs_option
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="KMZ: vector file that is shown over the map; holes.gpkg beside the map if not given. "
    "Can be repeated.",
)
@console_options
def export_map(
    maps: tuple[Path, ...],
    to: str,
    out: Path,
    layer: str | None,
    integer: bool,
    sites: Path | None,
    sites_crs: str | None,
    features: tuple[Path, ...],
    console: Console,
) -> None:
    """Write MAPS for Google Earth, MapInfo, Atoll, Planet, ArcGIS or a table.

    MAPS are rasters of 'rm-geo predict' or 'rm-geo plan' or other GeoTIFFs, or vector files such
    as holes.gpkg.
    """
    from rm_geo._util.atomic import prepare_output_folder
    from rm_geo.planning.export import export_map as export_one
    from rm_geo.sites.table import read_sites

    if len(maps) > 1:
        prepare_output_folder(out)
    written: list[Path] = []
    for path in maps:
        shown: tuple[Site, ...] = ()
        if sites is not None and to == "kmz":
            from rm_geo.io.raster_reader import open_raster

            crs = open_raster(path, classes=True).grid.crs
            shown = read_sites(sites, target_crs=crs, crs=sites_crs, usual_crs=crs)
        files = export_one(
            path,
            out,
            cast("ExportFormat", to),
            layer=layer,
            integer=integer,
            sites=shown,
            features=features or None,
        )
        console.log(f"{path}: {', '.join(file.name for file in files)}")
        written += files
    console.result(
        {"format": to, "files": list(dict.fromkeys(written))},
        f"{len(set(written))} files: {out}",
    )
