"""Planning products of the maps that a run has just made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from rm_geo.io.object_store import fetched, local, stored
from rm_geo.io.paths import Location, below, location_of
from rm_geo.options import PredictOptions
from rm_geo.planning.product import PlanInputs
from rm_geo.planning.settings import PlanSettings
from rm_geo.products.summary import CellResult
from rm_geo.progress import Progress
from rm_geo.workflows.plan import PlanResult, make_plan

PLAN_FOLDER: Final = "plan"
"""Name of the folder of the products, beside the maps."""


def plan_predicted(
    results: Sequence[CellResult],
    maps: Path,
    output: Location,
    settings: PlanSettings,
    options: PredictOptions,
    measurements: Sequence[Path],
    places: ExitStack,
    progress: Progress,
    *,
    local_file: Callable[[str], AbstractContextManager[Path]] = fetched,
) -> PlanResult | None:
    """Derive the planning products of the cells that were mapped.

    Parameters
    ----------
    results : sequence of CellResult
        Result of the run.
    maps : Path
        Local folder of the maps.
    output : Path or str
        Folder of the run, on this machine or in object storage. The products are in its folder
        ``plan``.
    settings : PlanSettings
        Thresholds of the plan.
    options : PredictOptions
        Options of the run: the site table.
    measurements : sequence of Path
        Files of the measurements.
    places : ExitStack
        Uploads the products when it closes, and removes copies.
    progress : Progress
        Receives the progress.
    local_file : callable
        Gives a context with the local copy of a site table in object storage.

    Returns
    -------
    PlanResult or None
        None if no cell was mapped.

    Raises
    ------
    RmGeoError
        As of :func:`rm_geo.workflows.plan.make_plan`.
    """
    files = [maps / f"{result.cell}_rsrp.tif" for result in results if result.is_mapped]
    if not files:
        return None
    sites = options.site.sites
    names: list[str] = []
    folder = local(below(output, PLAN_FOLDER), places, partial(stored, names=names))
    made = make_plan(
        files,
        folder,
        settings,
        sites=None if sites is None else local(location_of(sites), places, local_file),
        sites_crs=options.site.sites_crs,
        # The tags of the maps name all of several logs.
        inputs=PlanInputs(measurements=measurements[0] if len(measurements) == 1 else None),
        progress=progress,
    )
    names += (path.name for path in made.files)
    return made
