"""The main pipeline: measurements in, radio maps and building maps out.

``read -> clean -> split by cell -> site -> grid -> bin -> tiles -> estimate -> blend ->
assimilate -> reach -> write``, each step in a module of its own. This one puts them in order.
A cell is gone over twice: tiles are estimated and blended onto disk, then the blended rows
become the map, a band at a time; neither needs the whole raster in memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, overload

from rm_geo._util.atomic import prepare_output_folder
from rm_geo._util.locks import output_lock, raise_open_file_limit
from rm_geo.errors import (
    CancelledError,
    ClusterError,
    ClusterLostError,
    DeviceError,
    FetchError,
    InputError,
    JournalError,
    OutputError,
    RmGeoError,
    TooSmallError,
)
from rm_geo.estimators.registry import require_accepts_buildings
from rm_geo.inference.executor import LocalExecutor, TileExecutor
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock
from rm_geo.io.object_store import fetched, local
from rm_geo.io.paths import location_of
from rm_geo.io.provenance import describe_input, describe_software, describe_values
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.cell import CellRun, map_cell
from rm_geo.pipeline.journal import Journal, journal_folder, refuse_links
from rm_geo.pipeline.onnx_auto_export import prepare_onnx
from rm_geo.pipeline.plan import RunPlan, plan_run, require_mappable_cell
from rm_geo.pipeline.unused_options import unused_options
from rm_geo.products.radio_map import RadioMap
from rm_geo.products.stac import require_pystac
from rm_geo.products.summary import CellResult, failed, skipped, write_summary
from rm_geo.progress import Progress, SilentProgress
from rm_geo.sites.site import Site
from rm_geo.sites.table import read_sites

__all__ = ["CellResult", "PredictOptions", "predict"]

WORTH_RESUMING_S = 60.0
"""Estimates of so many seconds are kept when a run is stopped in good order; a run that is
killed keeps them anyway."""


@overload
def predict(
    measurements: str | os.PathLike[str] | Measurements | RunPlan,
    output_dir: None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
) -> list[RadioMap]: ...


@overload
def predict(
    measurements: str | os.PathLike[str] | Measurements | RunPlan,
    output_dir: str | os.PathLike[str],
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
) -> list[CellResult]: ...


def predict(
    measurements: str | os.PathLike[str] | Measurements | RunPlan,
    output_dir: str | os.PathLike[str] | None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
) -> list[CellResult] | list[RadioMap]:
    """Map every cell of a drive test.

    Parameters
    ----------
    measurements : path-like, Measurements or RunPlan
        A file of measurements, measurements already read, or laid out for these options.
    output_dir : path-like, optional
        Folder of the results; made if it is not there. Without one the maps are returned, and
        no file is left.
    options : PredictOptions, optional
        How; the defaults are sensible.
    progress : Progress, optional
        Told of every stage, and asked between batches whether to stop.
    clock : Clock, optional
        Filled with the time inside the estimator.
    summary : bool
        Whether to write ``summary.csv`` and ``summary.json``.
    tile_executor : TileExecutor, optional
        Who computes the tiles, such as :class:`rm_geo.distributed.tiles.DaskTiles`; this
        process if not given.

    Returns
    -------
    list of CellResult or list of RadioMap
        With an output folder a result of each cell, skipped (too small) and failed ones
        included, the largest cell first; :meth:`CellResult.open_map` opens its map. The folder
        has ``<cell>_rsrp.tif``, ``<cell>_buildings.tif`` (if the method maps buildings),
        ``<cell>_preview.png`` and the like, ``summary.csv`` and ``summary.json``.
        Without an output folder the maps of the cells that could be mapped, in memory: a cell
        of more tiles than ``max_tiles`` allows is refused. The name of the cell is the tag
        ``cell_name``.

    Raises
    ------
    RmGeoError
        If nothing could be mapped: the first failure, or that the largest cell is too small.
        Nothing is written then.
    OutputInUseError
        If another process writes one of these cells into the folder.
    JournalError
        If an interrupted run with other inputs left its work there.
    OutputError
        If there is a symbolic link in the place of a cell's lock or journal.
    ClusterError
        If tiles are spread, and a worker failed; the cells that are complete stay.
    ClusterLostError
        If tiles are spread, and the cluster was lost; what is computed is kept, too.

    Notes
    -----
    A run that was killed goes on where it was when it is called again with the same
    arguments, and gives the same bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from pyproj import CRS
    >>> from rm_geo import Measurements, PredictOptions, predict
    >>> rng = np.random.default_rng(0)
    >>> drive = Measurements(
    ...     x=500_000 + rng.uniform(0, 60, 40),
    ...     y=5_000_000 + rng.uniform(0, 60, 40),
    ...     rsrp_dbm=rng.normal(-90, 3, 40).astype("float32"),
    ...     cell=np.full(40, "7"),
    ...     crs=CRS.from_epsg(32633),
    ... )
    >>> (radio_map,) = predict(drive, options=PredictOptions(method="idw", reach_m=20))
    >>> radio_map.tags["cell_name"], radio_map.sample(500_030, 5_000_030).shape
    ('7', ())
    """
    if output_dir is None:
        chosen = PredictOptions() if options is None else options
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as scratch:
            results = predict(
                measurements,
                scratch,
                chosen.replace(preview=False, mask=False, stac=False),
                progress,
                clock,
                summary=False,
                tile_executor=tile_executor,
            )
            mapped = [result.open_map(scratch) for result in results if result.is_mapped]
            return [radio_map.load() for radio_map in mapped]
    chosen = PredictOptions() if options is None else options
    listener = SilentProgress() if progress is None else progress
    run_plan = (
        measurements
        if isinstance(measurements, RunPlan)
        else plan_run(measurements, chosen, listener)
    )
    require_mappable_cell(run_plan)
    if chosen.site.buildings is not None:
        require_accepts_buildings(chosen.method.name)
    sites = open_sites(chosen, run_plan.measurements, listener)
    computer = LocalExecutor() if tile_executor is None else tile_executor
    if computer.allows_onnx_export:
        grids = [cell.grid for cell in run_plan.cells if cell.grid is not None]
        prepare_onnx(chosen, grids, listener)
    opened = open_wanted_method(chosen)
    for line in unused_options(chosen, opened):
        listener.log(line)
    method = computer.prepare(opened, listener)
    if chosen.output.stac:
        require_pystac()
    raise_open_file_limit(len(run_plan.cells))
    with ExitStack() as locks:
        buildings = local_buildings(chosen, locks)
        folder = prepare_output_folder(output_dir)
        run = CellRun(
            folder,
            chosen,
            sites,
            method,
            _common_tags(run_plan, method, chosen, buildings),
            listener,
            clock or Clock(),
            computer,
            buildings,
        )
        for cell in run_plan.cells:
            locks.enter_context(
                output_lock(folder / f".{cell.cell}.rmgeo-lock", f"cell {cell.cell} in {folder}")
            )
        for cell in run_plan.cells:  # of all cells, before the first is mapped
            refuse_links(journal_folder(folder, cell.cell))
        return _map_cells(run, run_plan, summary=summary)


_PASSING: Final = (OutputError, DeviceError, FetchError)
"""What may be better the next time; after any other error a cell's journal leads nowhere."""


def _map_cells(run: CellRun, run_plan: RunPlan, *, summary: bool) -> list[CellResult]:
    """Map cell after cell; complete ones stay, whatever becomes of the others."""
    results: list[CellResult] = []
    errors: list[RmGeoError] = []
    too_small: list[TooSmallError] = []
    journals: list[Journal] = []
    try:
        for cell in run_plan.cells:
            run.progress.check()
            before = len(journals)
            try:
                results.append(map_cell(run, cell, journals))
            except (CancelledError, ClusterError, JournalError):
                raise
            except TooSmallError as error:
                too_small.append(error)
                results.append(skipped(cell.cell, cell.label, len(cell.measurements), error))
            except RmGeoError as error:
                if len(run_plan.cells) > 1:  # that of a single one is about to be raised
                    run.progress.log(f"Failed: {error}")
                if not isinstance(error, _PASSING):
                    for journal in journals[before:]:
                        journal.remove()
                    del journals[before:]
                errors.append(error)
                results.append(failed(cell.cell, cell.label, len(cell.measurements), error))
        if not any(result.is_mapped for result in results):
            raise [*errors, *too_small][0]
        if summary:
            write_summary(results, run.folder)
    except BaseException as error:
        _leave(run, journals, lost=isinstance(error, ClusterLostError))
        raise
    finished = [journal for journal in journals if journal.recall("result") is not None]
    for journal in finished:
        journal.remove()
    _leave(run, [journal for journal in journals if journal not in finished])
    return results


def _leave(run: CellRun, journals: Sequence[Journal], *, lost: bool = False) -> None:
    """Keep the work of a run or a cell that was stopped, if it is worth anything.

    Nobody chose to stop a run whose cluster was lost: it will be run again.
    """
    worth = run.clock.forward_s >= WORTH_RESUMING_S or any(journal.resumed for journal in journals)
    if journals and (worth or lost):
        run.progress.log("The same command goes on from here; `fresh` begins anew.")
        return
    for journal in journals:
        journal.remove()


def open_wanted_method(options: PredictOptions) -> OpenMethod:
    """Make the estimator that the options ask for."""
    return MethodRecipe.of(options).opened()


def open_sites(
    options: PredictOptions, measurements: Measurements, progress: Progress
) -> Sequence[Site] | None:
    """Read the site table, if there is one, from wherever it is."""
    if options.site.sites is None:
        return None
    with ExitStack() as places:
        table = local(location_of(options.site.sites), places, fetched)
        return read_sites(
            table,
            target_crs=measurements.crs,
            crs=options.site.sites_crs,
            usual_crs=options.reading.crs,
            progress=progress,
        )


def local_buildings(options: PredictOptions, places: ExitStack) -> Path | None:
    """Give the file of the buildings, fetched from wherever it is, if there is one.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if options.site.buildings is None:
        return None
    path = local(location_of(options.site.buildings), places, fetched)
    if not path.exists():
        raise InputError(f"There is no file of buildings {path}.", hint="Check `buildings`.")
    return path


def _common_tags(
    run_plan: RunPlan, method: OpenMethod, options: PredictOptions, buildings: Path | None
) -> dict[str, str]:
    """Collect the provenance that all rasters of a run share."""
    return {
        **({} if buildings is None else describe_input(buildings, "buildings_")),
        **describe_software(),
        **describe_input(run_plan.measurements.source),
        **method.provenance,
        "method": method.estimator.name,
        **describe_values(
            {
                "resolution_m": options.grid.resolution_m,
                "reach_m": options.grid.reach_m,
                "tile_size_px": options.grid.tile_size_px,
                "overlap_px": options.grid.overlap_px,
                "assimilated": options.method.assimilate,
                "measurements_dropped": run_plan.dropped,
                "device": method.device,
            }
        ),
    }
