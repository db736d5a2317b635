"""The main pipeline: measurements in, radio maps and building maps out.

``read -> clean -> split by cell -> site -> grid -> bin -> tiles -> estimate -> blend ->
correct -> cut at the reach -> write``, each step in a module of its own. This module runs them in
order. A cell is computed in two passes: the tile pass estimates tiles and blends them into a file,
the map pass turns the blended rows into the map, band by band. Neither holds the whole raster in
memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, overload

import numpy as np

import rm_geo._util.scipy_modules  # noqa: F401 - before anything else imports scipy
from rm_geo._util.atomic import prepare_output_folder
from rm_geo._util.locks import output_lock, raise_open_file_limit
from rm_geo._util.tempdirs import owned_folder
from rm_geo._util.threads import available_threads, single_threaded_algebra
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
from rm_geo.grid import Grid
from rm_geo.inference.executor import LocalExecutor, TileExecutor
from rm_geo.inference.method_spec import MethodRecipe
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock
from rm_geo.io.object_store import fetched, local
from rm_geo.io.paths import location_of
from rm_geo.io.provenance import (
    InputFile,
    describe_input,
    describe_software,
    describe_values,
)
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.pipeline.area_buildings import map_area_buildings
from rm_geo.pipeline.cell import CellRun, EstimatedCell, estimate_cell, write_map
from rm_geo.pipeline.cell_plan import CellPlan
from rm_geo.pipeline.cell_progress import CellListener
from rm_geo.pipeline.joint import log_evidence
from rm_geo.pipeline.journal import Journal, journal_folder
from rm_geo.pipeline.method_weight import is_weighed
from rm_geo.pipeline.onnx_auto_export import prepare_onnx
from rm_geo.pipeline.plan import Logs, RunPlan, plan_run, require_mappable_cell
from rm_geo.pipeline.unused_options import unused_options
from rm_geo.products.area_buildings import FILE_NAME as AREA_BUILDINGS
from rm_geo.products.radio_map import RadioMap
from rm_geo.products.stac import require_pystac
from rm_geo.products.summary import CellResult, failed, skipped, write_summary
from rm_geo.progress import Progress, SilentProgress
from rm_geo.sites.site import Site
from rm_geo.sites.table import read_sites

if TYPE_CHECKING:
    from rm_geo.buildings.mask import BuildingSource
    from rm_geo.sites.path_gains import LogPathGains

__all__ = ["CellResult", "PredictOptions", "predict"]

MIN_RESUMABLE_S = 60.0
"""Time inside the estimator from which a stopped run keeps its journals. A killed run keeps them
in any case."""


@overload
def predict(
    measurements: Logs | RunPlan,
    output_dir: None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
    cell_listener: CellListener | None = None,
) -> list[RadioMap]: ...


@overload
def predict(
    measurements: Logs | RunPlan,
    output_dir: str | os.PathLike[str],
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
    cell_listener: CellListener | None = None,
) -> list[CellResult]: ...


def predict(
    measurements: Logs | RunPlan,
    output_dir: str | os.PathLike[str] | None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
    tile_executor: TileExecutor | None = None,
    cell_listener: CellListener | None = None,
) -> list[CellResult] | list[RadioMap]:
    """Map every cell of a drive test.

    Parameters
    ----------
    measurements : path-like, Measurements, sequence of these, or RunPlan
        A file of measurements, measurements in memory, several logs of one area that are mapped
        together, or a plan made with these options.
    output_dir : path-like, optional
        Folder of the results; created if it does not exist. Without it the maps are returned, and
        no file is left.
    options : PredictOptions, optional
        Options of the run (default: ``PredictOptions()``).
    progress : Progress, optional
        Receives every stage, and may cancel the run between batches.
    clock : Clock, optional
        Accumulates the time inside the estimator.
    summary : bool
        Whether to write ``summary.csv``, ``summary.json`` and, of several cells,
        ``buildings.tif``.
    tile_executor : TileExecutor, optional
        Computes the tiles, such as :class:`rm_geo.distributed.tiles.DaskTiles` (default: this
        process).
    cell_listener : CellListener, optional
        Receives how far each cell is, and each cell once its files are complete.

    Returns
    -------
    list of CellResult or list of RadioMap
        With an output folder, one result per cell, the largest cell first, including skipped
        (too small) and failed cells; :meth:`CellResult.open_map` opens the map. The folder
        holds ``<cell>_rsrp.tif`` (float32, dBm), ``<cell>_buildings.tif`` (float32, 0..1, if the
        method maps buildings), ``<cell>_preview.png`` and other optional files, ``summary.csv``
        and ``summary.json``.
        Without an output folder, the maps of the mapped cells, in memory. The tag ``cell_name``
        holds the name of the cell. A cell of more than ``max_tiles`` tiles is refused.

    Raises
    ------
    RmGeoError
        If no cell could be mapped: the first failure, else the error of the largest cell that is
        too small. No file is written then.
    OutputInUseError
        If another process writes one of these cells into the folder.
    JournalError
        If an interrupted run with other inputs left a journal in the folder.
    OutputError
        If the lock or the journal of a cell is a symbolic link.
    ClusterError
        If a worker of a cluster failed. The files of complete cells stay.
    ClusterLostError
        If the connection to the cluster was lost. The journals stay too.

    Notes
    -----
    An interrupted run resumes when it is called again with the same arguments, and writes the
    same bytes.

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
        with owned_folder() as scratch:
            results = predict(
                measurements,
                scratch,
                chosen.replace(preview=False, mask=False, stac=False, reported=False),
                progress,
                clock,
                summary=False,
                tile_executor=tile_executor,
                cell_listener=cell_listener,
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
    executor = LocalExecutor() if tile_executor is None else tile_executor
    if executor.allows_onnx_export:
        grids = [cell.grid for cell in run_plan.cells if cell.grid is not None]
        prepare_onnx(chosen, grids, listener)
    opened = MethodRecipe.of(chosen).opened()
    for line in unused_options(chosen, opened):
        listener.log(line)
    method = executor.prepare(opened, listener)
    if chosen.output.stac:
        require_pystac()
    raise_open_file_limit(len(run_plan.cells))
    with ExitStack() as locks:
        locks.enter_context(single_threaded_algebra())  # where a caller has loaded numpy already
        buildings = local_buildings(chosen, locks)
        buildings_file = None if buildings is None else InputFile.of(buildings)
        folder = prepare_output_folder(output_dir)
        run = CellRun(
            folder,
            chosen,
            sites,
            method,
            _common_tags(run_plan, method, chosen, buildings_file),
            listener,
            clock or Clock(),
            executor,
            buildings_file,
            log_evidence(
                run_plan,
                listener,
                joint=chosen.method.joint and chosen.method.assimilate,
                reported=chosen.output.reported,
                selection=chosen.method.selection_correction,
                listener=cell_listener,
            ),
            CellListener() if cell_listener is None else cell_listener,
            None if buildings is None else _log_path_gains(run_plan, method, chosen, buildings),
            run_plan.log_weight if is_weighed(chosen.method, method) else None,
        )
        for cell in run_plan.cells:
            locks.enter_context(
                output_lock(folder / f".{cell.cell}.rmgeo-lock", f"cell {cell.cell} in {folder}")
            )
        for cell in run_plan.cells:  # of all cells, before the first is mapped
            journal_folder(folder, cell.cell).refuse_links()
        return _map_cells(run, run_plan, summary=summary)


def _log_path_gains(
    run_plan: RunPlan, method: OpenMethod, options: PredictOptions, buildings: Path
) -> LogPathGains | None:
    """Plan the path gains that the cells of a log share; None for one cell, or where none helps."""
    log = run_plan.measurements
    several = np.unique(log.cell.codes).size > 1
    if not (several and method.is_network and options.method.assimilate):
        return None
    from rm_geo.buildings.mask import open_buildings  # imports GeoPandas, which few runs need
    from rm_geo.sites.path_gains import LogPathGains  # imports the simulator

    def opened(grid: Grid) -> BuildingSource:
        return open_buildings(buildings, grid, layer=options.site.buildings_layer)

    return LogPathGains.over(log.bounds, log.crs, opened)


_TRANSIENT_ERRORS: Final = (OutputError, DeviceError, FetchError)
"""Errors that may not occur in the next run. After any other error the journal of the cell is
removed."""


@dataclass(frozen=True)
class _Writing:
    """A cell whose map is made, perhaps in another thread, and its journal."""

    cell: CellPlan
    journals: Sequence[Journal]
    result: Future[CellResult]


class _Outcomes:
    """Results, errors and journals of the cells of a run, in their order."""

    def __init__(self, run: CellRun, number: int) -> None:
        self._run = run
        self._is_alone = number == 1
        self.results: list[CellResult] = []
        self.errors: list[RmGeoError] = []
        self.too_small: list[TooSmallError] = []
        self.journals: list[Journal] = []

    def collect(self, writing: _Writing | None) -> None:
        """Wait for the map of a cell, if there is one; raise an error that ends the run."""
        if writing is None:
            return
        cell = writing.cell
        count = len(cell.measurements)
        try:
            self.results.append(writing.result.result())
        except (CancelledError, ClusterError, JournalError):
            raise
        except TooSmallError as error:
            self.too_small.append(error)
            self.results.append(skipped(cell.cell, cell.label, count, error))
        except RmGeoError as error:
            if not self._is_alone:  # the error of a single cell is raised at the end
                self._run.progress.log(f"Failed: {error}")
            if not isinstance(error, _TRANSIENT_ERRORS):
                for journal in writing.journals:
                    journal.remove()
                    self.journals.remove(journal)
            self.errors.append(error)
            self.results.append(failed(cell.cell, cell.label, count, error))

    def require_map(self) -> None:
        """Raise the first failure, else the error of the largest cell that is too small."""
        if not any(result.is_mapped for result in self.results):
            raise [*self.errors, *self.too_small][0]


_MOST_PIXELS_TOGETHER: Final = 50_000_000
"""Pixels of a map above which the next cell waits: bounds the memory."""


def _map_cells(run: CellRun, run_plan: RunPlan, *, summary: bool) -> list[CellResult]:
    """Map the cells in their order; the files of complete cells stay if another one fails."""
    outcomes = _Outcomes(run, len(run_plan.cells))
    try:
        _map_each(run, run_plan.cells, outcomes)
        outcomes.require_map()
        if summary:
            map_area_buildings(
                run.folder,
                outcomes.results,
                run_plan.cells,
                run.sites,
                run.options,
                run.folder / AREA_BUILDINGS,
                device=run.method.device,
                progress=run.progress,
            )
            write_summary(outcomes.results, run.folder)
    except BaseException as error:
        lost = isinstance(error, ClusterLostError)
        _keep_or_discard_journals(run, outcomes.journals, lost=lost)
        raise
    journals = outcomes.journals
    finished = [journal for journal in journals if journal.recall("result") is not None]
    for journal in finished:
        journal.remove()
    _keep_or_discard_journals(run, [journal for journal in journals if journal not in finished])
    return outcomes.results


def _map_each(run: CellRun, cells: Sequence[CellPlan], outcomes: _Outcomes) -> None:
    """Estimate cell after cell; the map of each is made while the next one is estimated."""
    is_left = Event()
    listener_errors: list[RmGeoError] = []

    def check() -> None:
        if is_left.is_set():
            raise CancelledError("The run was ended.")

    def written(estimated: EstimatedCell | CellResult) -> CellResult:
        if isinstance(estimated, EstimatedCell):
            estimated = write_map(estimated, check)
        try:
            run.listener.finished(estimated)
        except RmGeoError as error:
            listener_errors.append(error)
        return estimated

    def collect(writing: _Writing | None) -> None:
        outcomes.collect(writing)
        if listener_errors:
            raise listener_errors[0]

    with ExitStack() as resources:
        pool = None
        if len(cells) > 1 and available_threads() > 1:
            pool = resources.enter_context(ThreadPoolExecutor(1, "rm_geo-maps"))
        resources.callback(is_left.set)  # before the pool waits for its map
        previous: _Writing | None = None
        for cell in cells:
            run.progress.check()
            if previous is not None and _are_large(previous.cell, cell):
                collect(previous)
                previous = None
            journals: list[Journal] = []
            estimated: EstimatedCell | CellResult | RmGeoError
            try:
                estimated = estimate_cell(run, cell, journals)
            except RmGeoError as error:
                estimated = error
            finally:
                outcomes.journals += journals
            try:
                collect(previous)
            except BaseException:
                if isinstance(estimated, EstimatedCell):
                    estimated.resources.close()
                raise
            previous = None
            if isinstance(estimated, RmGeoError):
                collect(_Writing(cell, journals, _failed_future(estimated)))
            else:
                previous = _Writing(cell, journals, _submitted(pool, written, estimated))
        collect(previous)


def _are_large(*cells: CellPlan) -> bool:
    """Return whether two cells are too large to be computed at the same time."""
    pixels = (0 if cell.grid is None else math.prod(cell.grid.shape) for cell in cells)
    return max(pixels) > _MOST_PIXELS_TOGETHER


def _failed_future(error: RmGeoError) -> Future[CellResult]:
    """Return a future with an error."""
    found: Future[CellResult] = Future()
    found.set_exception(error)
    return found


def _submitted(
    pool: ThreadPoolExecutor | None,
    written: Callable[[EstimatedCell | CellResult], CellResult],
    estimated: EstimatedCell | CellResult,
) -> Future[CellResult]:
    """Make a map in the pool, or at once where there is none."""
    if pool is not None:
        return pool.submit(written, estimated)
    found: Future[CellResult] = Future()
    try:
        found.set_result(written(estimated))
    except RmGeoError as error:
        found.set_exception(error)
    return found


def _keep_or_discard_journals(
    run: CellRun, journals: Sequence[Journal], *, lost: bool = False
) -> None:
    """Keep the journals of unfinished cells if they save time in the next run, else remove them.

    They save time after :data:`MIN_RESUMABLE_S`, or if the run resumed earlier journals. If the
    cluster was lost, they are kept in any case.
    """
    saves_time = run.clock.forward_s >= MIN_RESUMABLE_S or any(
        journal.resumed for journal in journals
    )
    if journals and (saves_time or lost):
        run.progress.log("The same command resumes this run; `fresh` starts again.")
        return
    for journal in journals:
        journal.remove()


def open_sites(
    options: PredictOptions, measurements: Measurements, progress: Progress
) -> Sequence[Site] | None:
    """Read the site table of a run, from a file or object storage.

    Parameters
    ----------
    options : PredictOptions
        Options of the run: ``sites``, ``sites_crs`` and ``crs``.
    measurements : Measurements
        Measurements of the run; their CRS is that of the returned sites.
    progress : Progress
        Receives warnings about the CRS of the table.

    Returns
    -------
    sequence of Site or None
        None without a site table.

    Raises
    ------
    RmGeoError
        If the table cannot be fetched or read.
    """
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
    """Return the local file of the building footprints; one in object storage is fetched.

    Parameters
    ----------
    options : PredictOptions
        Options of the run: ``buildings``.
    places : ExitStack
        Removes the fetched file when it is closed.

    Returns
    -------
    Path or None
        None without buildings.

    Raises
    ------
    InputError
        If the file does not exist.
    FetchError
        If it cannot be fetched.
    """
    if options.site.buildings is None:
        return None
    path = local(location_of(options.site.buildings), places, fetched)
    if not path.exists():
        raise InputError(f"There is no file of buildings {path}.", hint="Check `buildings`.")
    return path


def _common_tags(
    run_plan: RunPlan, method: OpenMethod, options: PredictOptions, buildings: InputFile | None
) -> dict[str, str]:
    """Return the provenance tags that all rasters of a run share."""
    return {
        **({} if buildings is None else describe_input(buildings, "buildings_")),
        **describe_software(),
        **run_plan.input_tags(),
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
