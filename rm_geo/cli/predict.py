"""``rm-geo predict``: measurements in, radio maps and building maps out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import (
    batch_size_option,
    column_options,
    console_options,
    device_option,
    grid_options,
    key_and_value,
    measurements_argument,
    model_option,
    output_folder_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rm_geo.cell_products import CellResult
    from rm_geo.console import Console
    from rm_geo.rehearsal import DryRun


@click.command()
@measurements_argument
@output_folder_option
@click.option("--method", default="radiocycle", show_default=True, metavar="NAME",
              help="How the maps are made; 'rm-geo info' lists the methods.")  # fmt: skip
@model_option
@click.option("-O", "--method-option", "method_options", multiple=True, metavar="KEY=VALUE",
              help="Parameter of the method, such as neighbors=8; may be repeated.")  # fmt: skip
@device_option
@batch_size_option
@click.option("--tile-size", type=click.IntRange(16), default=256, show_default=True, metavar="PX")
@click.option("--overlap", type=click.IntRange(0), default=64, show_default=True, metavar="PX",
              help="Least number of pixels that neighbouring tiles share.")  # fmt: skip
@click.option("--reach", type=click.FloatRange(0), default=100.0, show_default=True, metavar="M",
              help="Pixels further from any measurement stay empty.")  # fmt: skip
@grid_options
@column_options
@click.option("--cell", "cells", multiple=True, metavar="NAME",
              help="Map this cell only; may be repeated.")  # fmt: skip
@click.option("--sites", type=click.Path(path_type=Path), metavar="FILE",
              help="Table of the sites; without it, positions are estimated.")  # fmt: skip
@click.option("--eirp", type=float, metavar="DBM",
              help="EIRP per resource element, where the sites do not say.")  # fmt: skip
@click.option("--frequency", type=click.FloatRange(1), metavar="MHZ",
              help="Carrier, where neither sites nor measurements say.")  # fmt: skip
@click.option("--assimilate/--no-assimilate", default=True, show_default=True,
              help="Krige the residuals at the measurements back in.")  # fmt: skip
@click.option("--noise", type=click.FloatRange(0), metavar="DB",
              help="Error of a measured pixel; judged by its neighbours if not given, with 0 the "
                   "map equals the measurement.")  # fmt: skip
@click.option("--trust", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Share of the method in the map, inverse distances have the rest; judged "
                   "on measurements held back from the method if not given.")  # fmt: skip
@click.option("--min-pixels", type=click.IntRange(1), default=5, show_default=True, metavar="N",
              help="A cell measured in fewer pixels fails.")  # fmt: skip
@click.option("--mask", is_flag=True, help="Also write the building mask.")
@click.option("--mask-threshold", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              default=0.5, show_default=True, metavar="P")  # fmt: skip
@click.option("--uncertainty", is_flag=True, help="Also write the standard deviation, if known.")
@click.option("--preview/--no-preview", default=True, show_default=True)
@click.option("--stac", is_flag=True, help="Also write a STAC item of each cell.")
@click.option("--fresh", is_flag=True,
              help="Discard what an interrupted run left, instead of going on.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long; write nothing.")
@console_options
def predict(
    measurements: Path,
    output: Path,
    console: Console,
    dry_run: bool,
    method_options: tuple[str, ...],
    **chosen: Any,  # noqa: ANN401 - the options above
) -> None:
    """Turn MEASUREMENTS of a drive test into a radio map and a building map of each cell.

    Reads SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV. Columns are found by the names
    that drive-test tools use.
    """
    from rm_geo.predict_options import PredictOptions

    options = PredictOptions(
        method=chosen["method"], model=chosen["model"],
        method_options=dict(key_and_value(text, "-O") for text in method_options),
        device=chosen["device"], batch_size=chosen["batch_size"],
        tile_size_px=chosen["tile_size"], overlap_px=chosen["overlap"],
        resolution_m=chosen["resolution"], reach_m=chosen["reach"], crs=chosen["crs"],
        target_crs=chosen["target_crs"], layer=chosen["layer"],
        rsrp_column=chosen["rsrp_column"], cell_column=chosen["cell_column"],
        x_column=chosen["x_column"], y_column=chosen["y_column"],
        time_column=chosen["time_column"], cells=chosen["cells"], sites=chosen["sites"],
        eirp_dbm=chosen["eirp"], frequency_mhz=chosen["frequency"],
        assimilate=chosen["assimilate"], trust=chosen["trust"], noise_db=chosen["noise"],
        min_pixels=chosen["min_pixels"],
        max_tiles=chosen["max_tiles"], mask=chosen["mask"],
        mask_threshold=chosen["mask_threshold"], uncertainty=chosen["uncertainty"],
        preview=chosen["preview"], stac=chosen["stac"], fresh=chosen["fresh"],
    )  # fmt: skip
    if dry_run:
        from rm_geo.rehearsal import dry_run as rehearse

        _tell_plan(rehearse(measurements, options, console), console)
        return
    from rm_geo.pipeline import predict as map_cells

    results = map_cells(measurements, output, options, console)
    _tell_results(results, output, console)


def _tell_plan(run: DryRun, console: Console) -> None:
    """Say what a run would do."""
    from rm_geo.console import duration

    cells = []
    lines = [f"{'cell':<24}{'points':>10}{'pixels':>16}{'tiles':>8}"]
    for cell in run.survey.cells:
        shape = None if cell.grid is None else cell.grid.shape
        tiles = run.tiles.get(cell.cell, 0)
        refusal = None if cell.refusal is None else str(cell.refusal)
        cells.append({"cell": cell.cell, "measurements": len(cell.measurements), "shape": shape,
                      "tiles": tiles, "refusal": refusal})  # fmt: skip
        size = "-" if shape is None else f"{shape[0]} x {shape[1]}"
        lines.append(f"{cell.cell:<24}{len(cell.measurements):>10}{size:>16}{tiles:>8}"
                     + (f"  refused: {refusal}" if refusal else ""))  # fmt: skip
    total = sum(run.tiles.values())
    lines.append(f"{total} tiles on {run.device} at {run.tiles_per_s:.2g} tiles/s: about "
                 f"{duration(run.seconds)}. Nothing was written.")  # fmt: skip
    console.result(
        {"cells": cells, "tiles": total, "seconds": run.seconds, "device": run.device,
         "tiles_per_s": run.tiles_per_s}, "\n".join(lines),
    )  # fmt: skip


def _tell_results(results: Sequence[CellResult], output: Path, console: Console) -> None:
    """Say what was made; fail if a cell did."""
    from dataclasses import asdict

    from rm_geo.errors import InputError

    lines = [f"{'cell':<24}{'points':>10}{'pixels':>16}{'mean RSRP':>12}  transmitter"]
    for cell in results:
        size = f"{cell.rows} x {cell.cols}"
        mean = "-" if cell.rsrp_mean_dbm is None else f"{cell.rsrp_mean_dbm:.1f} dBm"
        lines.append(f"{cell.cell:<24}{cell.measurements:>10}{size:>16}{mean:>12}  "
                     f"{cell.transmitter if cell.is_mapped else 'failed'}")  # fmt: skip
    lines.append(f"Maps, previews and summary: {output}")
    console.result({"output": output, "cells": [asdict(cell) for cell in results]},
                   "\n".join(lines))  # fmt: skip
    failures = [cell for cell in results if not cell.is_mapped]
    if failures:
        raise InputError(
            f"{len(failures)} of {len(results)} cells could not be mapped. {failures[0].message}",
            hint=f"The others are in {output}; summary.csv says why each failed.",
        )
