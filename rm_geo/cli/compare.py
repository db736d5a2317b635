"""``rm-geo compare``: how two radio maps, or two sets of them, differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import Number, console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.workflows.compare import ComparisonResult

_PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("first", type=_PATH)
@click.argument("second", type=_PATH)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder of the results.",
)
@click.option(
    "--composite",
    is_flag=True,
    help="Compare the strongest levels of two folders instead of cells of the same name.",
)
@click.option(
    "--threshold",
    "threshold_dbm",
    type=Number(),
    default=-110.0,
    show_default=True,
    metavar="DBM",
    help="Level at which a place is covered.",
)
@click.option(
    "--within",
    "within_db",
    type=Number(min=0.0, min_open=True),
    default=6.0,
    show_default=True,
    metavar="DB",
    help="Give the share of the area whose difference is at most this.",
)
@click.option(
    "--confidence",
    type=Number(min=0.5, max=1.0, max_open=True),
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Confidence of a significant change.",
)
@click.option(
    "--std",
    "std_db",
    type=Number(min=0.0, min_open=True),
    metavar="DB",
    help="Standard deviation of maps without '_uncertainty.tif'.",
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=Number(min=0.0),
    default=400.0,
    show_default=True,
    metavar="M2",
    help="Smallest polygon of change.",
)
@click.option(
    "--report", "with_report", is_flag=True, help="Also write report.html, for a browser."
)
@console_options
def compare(
    first: Path,
    second: Path,
    out: Path,
    composite: bool,
    threshold_dbm: float,
    within_db: float,
    confidence: float,
    std_db: float | None,
    min_area_m2: float,
    with_report: bool,
    console: Console,
) -> None:
    """Compare the radio maps SECOND with FIRST: GeoTIFFs of RSRP in dBm, or folders of them.

    Before and after a change of the network, or a measured map and that of any other tool. The
    difference is SECOND minus FIRST. Of two folders, cells of the same name are compared. Writes
    difference.tif, comparison.csv and comparison.json, and where a standard deviation is known
    change.tif and change.gpkg: where the difference is larger than chance explains.
    """
    from rm_geo.planning.comparison import ComparisonOptions
    from rm_geo.workflows.compare import compare as compare_maps

    options = ComparisonOptions(within_db, confidence, threshold_dbm, std_db, min_area_m2)
    result = compare_maps(first, second, out, options, composite=composite, progress=console)
    page = None
    if with_report:
        from rm_geo.report.page import write_report

        page = write_report(out, progress=console)
    console.result(
        {
            "folder": result.folder,
            "report": page,
            "files": list(result.files),
            "cells": dict(result.cells),
            "all": dict(result.pooled),
            "not_made": dict(result.not_made),
        },
        _text(result, within_db),
    )


def _text(result: ComparisonResult, within_db: float) -> str:
    """Write the result for a terminal."""
    share = f"share_within_{within_db:g}_db"
    title = f"within {within_db:g} dB"
    lines = [f"{'cell':<20}{'km2':>9}{'bias':>8}{'RMSE':>8}{title:>14}{'lower':>9}{'higher':>9}"]
    rows = dict(result.cells)
    if len(rows) > 1:
        rows["all"] = result.pooled
    for name, found in rows.items():
        changes: Mapping[str, Any] = found.get("changes", {})
        lines.append(
            f"{name[:19]:<20}{found['area_km2']:>9.3g}{found['bias_db']:>8.2f}"
            f"{found['rmse_db']:>8.2f}{found[share]:>14.1%}"
            + "".join(
                f"{changes[key]:>9.1%}" if key in changes else f"{'-':>9}"
                for key in ("share_lower", "share_higher")
            )
        )
    coverage = result.pooled["coverage"]
    lines += [
        f"Covered at {coverage['threshold_dbm']:g} dBm: {coverage['first_share']:.1%} of the "
        f"first, {coverage['second_share']:.1%} of the second",
        f"Gained {coverage['gained_km2']:.3g} km2, lost {coverage['lost_km2']:.3g} km2",
    ]
    lines += [f"Not made: {name}: {reason}" for name, reason in result.not_made.items()]
    lines.append(f"Files: {result.folder}")
    return "\n".join(lines)
