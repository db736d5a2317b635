"""``rm-geo predict``: radio maps and building maps from measurements."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import cluster_options, console_options, location_option, locations_argument
from rm_geo.cli.predict_settings import (
    plan_options,
    predict_settings,
    settings_of,
    thresholds_of,
)
from rm_geo.io.object_store import fetched, local, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rm_geo._util.console import Console
    from rm_geo.distributed.dry_run import WorkerSummary
    from rm_geo.pipeline.dry_run import DryRun
    from rm_geo.products.summary import CellResult
    from rm_geo.workflows.plan import PlanResult


@click.command()
@locations_argument
@location_option
@predict_settings
@cluster_options("this process computes all tiles")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show cells, tiles, workers and the expected time; write nothing.",
)
@plan_options
@click.option(
    "--report",
    "with_report",
    is_flag=True,
    help="Also write report.html, which shows the maps, and the plan with --plan, in a browser.",
)
@console_options
def predict(
    measurements: tuple[Path | str, ...],
    output: Path | str,
    console: Console,
    dry_run: bool,
    scheduler: str | None,
    workers: int | None,
    with_plan: bool,
    plan_settings: Path | None,
    with_report: bool,
    **chosen: Any,  # noqa: ANN401 - the options above
) -> None:
    """Turn MEASUREMENTS of a drive test into a radio map and a building map of each cell.

    Reads SHP, GPKG, GeoJSON, GeoParquet, FlatGeobuf and CSV. Columns are detected by the
    names that drive-test tools use. MEASUREMENTS, sites and DIR may lie in object storage, as
    s3://bucket/name or /vsis3/bucket/name.

    Several files are logs of one area, such as those of different days, and are mapped together:
    a cell that several of them have is one cell.

    Cells measured in too few pixels are skipped. The exit status is 0 if a cell was mapped, and 1
    if one failed for another reason or none could be mapped.
    """
    options = settings_of(chosen)
    thresholds = thresholds_of(with_plan, plan_settings)
    if thresholds is not None:
        options = options.replace(uncertainty=True)
    planned = None
    with ExitStack() as places:
        sources = [local(place, places, fetched) for place in measurements]
        if dry_run:
            if scheduler is None and workers is None:
                from rm_geo.pipeline.dry_run import dry_run as estimate_run

                _show_plan(estimate_run(sources, options, console), None, console)
                return
            from rm_geo.distributed.dry_run import dry_run_on_cluster

            plan, worker_pool = dry_run_on_cluster(
                sources, options, console, scheduler=scheduler, workers=workers
            )
            _show_plan(plan, worker_pool, console)
            return
        from rm_geo.pipeline.predict import predict as map_cells
        from rm_geo.products.summary import SUMMARY_NAMES

        names = list(SUMMARY_NAMES)
        target = local(output, places, partial(stored, names=names))
        if scheduler is None and workers is None:
            results = map_cells(sources, target, options, console)
        else:
            from rm_geo.distributed.cluster import open_cluster
            from rm_geo.distributed.tiles import DaskTiles
            from rm_geo.pipeline.plan import plan_run, require_mappable_cell

            run_plan = plan_run(sources, options, console)
            require_mappable_cell(run_plan)  # before the workers start
            client = places.enter_context(
                open_cluster(scheduler, workers, options.method.device, console)
            )
            tiles = places.enter_context(DaskTiles(client, options))
            results = map_cells(run_plan, target, options, console, tile_executor=tiles)
        names += (name for result in results for name in result.files)
        if thresholds is not None:
            from rm_geo.workflows.predicted_plan import plan_predicted

            planned = plan_predicted(
                results, target, output, thresholds, options, sources, places, console
            )
        if with_report:
            from rm_geo.report.page import REPORT_NAME, write_report

            folders = [target] if planned is None else [target, planned.folder]
            write_report(folders, progress=console)
            names.append(REPORT_NAME)
    _show_results(results, output, console, planned)


def _show_plan(run: DryRun, worker_pool: WorkerSummary | None, console: Console) -> None:
    """Show cells, tiles and expected time of a run, and the workers if there are any."""
    from dataclasses import asdict

    lines = run.lines()
    if worker_pool is not None:
        lines.append(
            f"They would be spread over {worker_pool.where}; the time is that of one process alone."
        )
    spread = None if worker_pool is None else asdict(worker_pool)
    console.result({**run.as_dict(), "spread": spread}, "\n".join(lines))


def _width(names: Sequence[str]) -> int:
    """Return the width of the name column."""
    return max([24, *(len(name) for name in names)])


def _show_results(
    results: Sequence[CellResult],
    output: Path | str,
    console: Console,
    planned: PlanResult | None = None,
) -> None:
    """Show mapped, failed and skipped cells; raise if a cell failed."""
    from dataclasses import asdict

    from rm_geo.errors import InputError
    from rm_geo.products.summary import skipped_line

    width = _width([cell.title for cell in results])
    lines = [f"{'cell':<{width}}{'points':>10}{'pixels':>16}{'mean RSRP':>12}  transmitter"]
    for cell in results:
        if cell.is_skipped:
            continue
        size = f"{cell.rows} x {cell.cols}"
        mean = "-" if cell.rsrp_mean_dbm is None else f"{cell.rsrp_mean_dbm:.1f} dBm"
        lines.append(
            f"{cell.title:<{width}}{cell.measurements:>10}{size:>16}{mean:>12}  "
            f"{cell.transmitter if cell.is_mapped else 'failed'}"
        )
    if line := skipped_line(results):
        lines.append(line)
    lines.append(f"Maps, previews and summary: {output}")
    values: dict[str, object] = {"output": output, "cells": [asdict(cell) for cell in results]}
    if planned is not None:
        from rm_geo.cli.plan import plan_text, plan_values

        lines += ["", plan_text(planned)]
        values["plan"] = plan_values(planned)
    console.result(values, "\n".join(lines))
    failures = [cell for cell in results if cell.is_failed]
    if failures:
        raise InputError(
            f"{len(failures)} of {len(results)} cells could not be mapped. {failures[0].message}",
            hint=f"The others are in {output}; summary.csv says why each failed.",
        )
