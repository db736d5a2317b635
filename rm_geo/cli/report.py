"""``rm-geo report``: results as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import Number, console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The HTML file.  [default: report.html in the first folder]",
)
@click.option("--title", metavar="TEXT", help="Heading of the report.")
@click.option(
    "--max-size",
    "max_mb",
    type=Number(0.1, 1000.0),
    default=24.0,
    show_default=True,
    metavar="MB",
    help="Size of the pictures in the file; larger rasters are reduced.",
)
@console_options
def report(
    folders: tuple[Path, ...],
    out: Path | None,
    title: str | None,
    max_mb: float,
    console: Console,
) -> None:
    """Write the results in FOLDERS as one HTML file that opens without a network.

    FOLDERS are those of 'rm-geo predict', 'plan', 'compare' and 'validate', in any order: what they
    hold is put together, such as the holes of a plan and the errors of a validation.
    """
    from rm_geo.report.page import write_report

    path = write_report(folders, out, title=title, max_mb=max_mb, progress=console)
    size_mb = path.stat().st_size / 1e6
    console.result(
        {"report": path, "bytes": path.stat().st_size},
        f"{path}: {size_mb:.1f} MB. Open it in a browser; it needs no network.",
    )
