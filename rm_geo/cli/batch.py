"""``rm-geo batch``: many drive tests, on several cores, GPUs or machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import cluster_options, console_options, location_option
from rm_geo.cli.predict_settings import plan_options, predict_settings, settings_of, thresholds_of

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.io.paths import Location


@click.command()
@click.argument("sources", metavar="JOBS...", nargs=-1, required=True)
@location_option
@cluster_options("one per GPU, or one per four cores,")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Further attempts after failures that the input did not cause.",
)
@click.option(
    "--spread-tiles",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    metavar="N",
    help="Compute cells of at least this many tiles on all workers together, or a quarter as "
    "many while workers are idle; 0 for never.",
)
@click.option(
    "--together",
    is_flag=True,
    help="Map all files as logs of one area: one job, whose cells are estimated from all of them.",
)
@plan_options
@predict_settings
@console_options
def batch(
    sources: tuple[str, ...],
    output: Location,
    scheduler: str | None,
    workers: int | None,
    retries: int,
    spread_tiles: int,
    together: bool,
    with_plan: bool,
    plan_settings: Path | None,
    console: Console,
    **chosen: Any,  # noqa: ANN401 - the options of predict
) -> None:
    """Map many drive tests.

    JOBS is a table (CSV or YAML) with a column "measurements" and columns named like the
    options of 'rm-geo predict', or folders, files and patterns of measurements. The options
    below are defaults for what the table does not state. Every job gets a folder of its own in
    the output folder; batch_summary.csv has a row for each job. With --together all files are
    one job. With --plan, or "plan: yes" in the table, the folder of a job gets a plan of its
    maps. Files, folders, patterns, tables and DIR may lie in object storage, as
    s3://bucket/name or /vsis3/bucket/name.
    """
    from rm_geo.distributed.batch import run_batch
    from rm_geo.distributed.cluster import open_cluster
    from rm_geo.distributed.jobs import read_jobs
    from rm_geo.errors import InputError
    from rm_geo.io.paths import below

    options = settings_of(chosen)
    plan = thresholds_of(with_plan, plan_settings)
    jobs = read_jobs(sources, output, options, together=together, plan=plan)
    with open_cluster(scheduler, workers, options.method.device, console) as client:
        states = run_batch(
            jobs,
            output,
            client,
            retries=retries,
            fresh=options.output.fresh,
            spread_tiles=spread_tiles,
            progress=console,
        )
    lines = [f"{'job':<28}{'cells':>7}{'mapped':>8}{'skipped':>9}{'time':>10}  status"]
    for state in states:
        mapped = sum(cell.is_mapped for cell in state.results.values())
        skipped = sum(cell.is_skipped for cell in state.results.values())
        lines.append(
            f"{state.job.name:<28}{len(state.results):>7}{mapped:>8}{skipped:>9}"
            f"{state.seconds:>8.1f} s  {state.status}"
            + (f": {state.reason}" if state.reason else "")
        )
    lines.append(f"Summary: {below(output, 'batch_summary.csv')}")
    console.result(
        {
            "output": output,
            "jobs": [
                {
                    "job": state.job.name,
                    "status": state.status,
                    "message": state.reason,
                    "warnings": state.warnings,
                    "plan": state.plan,
                }
                for state in states
            ],
        },
        "\n".join(lines),
    )
    failures = [state for state in states if state.status != "done"]
    if failures:
        raise InputError(
            f"{len(failures)} of {len(states)} jobs failed, in part or as a whole. "
            f"{failures[0].job.name}: {failures[0].reason}",
            hint="Run the same command again when the reasons are gone: what is complete stays.",
        )
