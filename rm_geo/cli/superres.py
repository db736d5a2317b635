"""``rm-geo superres``: refine a coarse radio map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from rm_geo.workflows.superresolve import Refinement


@click.command()
@click.argument(
    "rasters", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RASTERS..."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|DIR",
    help="GeoTIFF to write; a folder for several rasters.",
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
    rasters: tuple[Path, ...],
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
    """Refine coarse RASTERS of RSRP in dBm with a super-resolution network.

    A folder stands for its GeoTIFFs, or for its files <cell>_rsrp.tif if there are any. The
    results of several rasters have the names of the rasters, in the folder DIR; one that cannot
    be refined does not stop the others.
    """
    from rm_geo.errors import InputError
    from rm_geo.workflows.superresolve import superresolve, superresolve_all

    options: dict[str, Any] = {
        "model": model,
        "device": device,
        "batch_size": batch_size,
        "band": band,
        "intercept_dbm": intercept,
        "symmetries": int(symmetries),
        "buildings": buildings,
        "buildings_layer": buildings_layer,
        "max_tiles": max_tiles,
    }
    if len(rasters) == 1 and not rasters[0].is_dir():
        one = superresolve(rasters[0], output, scale, progress=console, **options)
        console.result(_values(one), _line(one))
        return
    made, failed = superresolve_all(rasters, output, scale, progress=console, **options)
    console.result(
        {
            "folder": output,
            "rasters": [_values(one) for one in made],
            "failed": {str(path): str(error) for path, error in failed.items()},
        },
        "\n".join(map(_line, made)),
    )
    if failed:
        path, error = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(made) + len(failed)} rasters could not be refined. "
            f"{path.name}: {error.message}",
            hint=f"The others are in {output}.",
        )


def _values(made: Refinement) -> dict[str, object]:
    """Give a result for ``--json``."""
    rows, cols = made.grid.shape
    return {
        "file": made.path,
        "rows": rows,
        "cols": cols,
        "spacing_m": made.grid.spacing_m,
        "scale": made.scale,
        "model": made.model,
    }


def _line(made: Refinement) -> str:
    """Describe a result in a line."""
    rows, cols = made.grid.shape
    return f"{made.path}: {rows} x {cols} pixels of {made.grid.spacing_m:g} m, by {made.model}"
