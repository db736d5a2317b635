"""Mapping of one cell: from its measurements to its files.

The tiles of a cell are estimated first, and its map is made and written then: the next cell can be
estimated meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from rm_geo._util.memory import trim_malloc
from rm_geo.errors import CancelledError, InputError
from rm_geo.estimators.base import PointEstimator
from rm_geo.geostat.classical_baseline import (
    ClassicalBaseline,
    baseline_name,
    fit_classical_baseline,
)
from rm_geo.geostat.intervals import spread_db
from rm_geo.geostat.map_deviation import MapDeviation
from rm_geo.geostat.noise import measurement_noise_db
from rm_geo.geostat.path_loss_trend import DistanceTrend
from rm_geo.geostat.regression_kriging import RegressionKrigingOptions
from rm_geo.geostat.street_map import street_map_helps
from rm_geo.grid import Grid, Tile
from rm_geo.inference.executor import TileExecutor
from rm_geo.inference.methods import OpenMethod
from rm_geo.inference.runner import Clock
from rm_geo.io.provenance import InputFile
from rm_geo.options import MethodOptions, PredictOptions
from rm_geo.pipeline.cell_plan import CellPlan
from rm_geo.pipeline.cell_progress import CellListener, CellProgress
from rm_geo.pipeline.fingerprint import run_key
from rm_geo.pipeline.joint import CellEvidence, LogEvidence
from rm_geo.pipeline.journal import Journal, open_journal
from rm_geo.pipeline.log_weight import LogWeight
from rm_geo.pipeline.map_pass import MapOptions, map_rows
from rm_geo.pipeline.method_weight import (
    MethodWeight,
    MethodWeightOptions,
    WeighedCell,
    estimate_method_weight,
    is_weighed,
)
from rm_geo.pipeline.tile_pass import BlendedCell, TilePlan, blend_cell
from rm_geo.products.rows import CellRows
from rm_geo.products.stac import MeasuringTime
from rm_geo.products.statistics import MapStatistics
from rm_geo.products.summary import CellResult
from rm_geo.products.writer import CellFiles, write_cell
from rm_geo.progress import Progress
from rm_geo.raster.binning import bin_measurements
from rm_geo.raster.sparse import SparseRaster
from rm_geo.sites.selection import SiteChoice, choose_site
from rm_geo.sites.site import Site

if TYPE_CHECKING:
    from rm_geo.sites.path_gains import LogPathGains

_LEAST_SPREAD_DB: Final = 3.0
"""Equal levels do not make a map certain."""

_QUANTITIES: Final = {"2G": "RxLev", "3G": "RSCP"}
"""Levels of technologies other than LTE and NR."""


@dataclass(frozen=True)
class CellRun:
    """Inputs that all cells of a run share.

    Attributes
    ----------
    folder : Path
        Output folder.
    options : PredictOptions
        Options of the run.
    sites : sequence of Site or None
        Site table, in the CRS of the measurements; None without one.
    method : OpenMethod
        Opened method.
    tags : mapping of str to str
        Provenance tags of all rasters.
    progress : Progress
        Receives every stage, and may cancel the run.
    clock : Clock
        Accumulates the time inside the estimator.
    executor : TileExecutor
        Computes the tiles.
    buildings : InputFile or None
        File of the building footprints; None where buildings are not known.
    evidence : LogEvidence or None
        What the whole log says about its cells; None for cells that are mapped one by one.
    listener : CellListener
        Receives how far each cell is.
    path_gains : LogPathGains or None
        Path gains around known buildings that all cells share.
    log_weight : LogWeight or None
        Weight of the method that all cells share; None where each cell has its own.
    chosen_sites : dict of str to SiteChoice
        Sites that were chosen so far, by the cell: a position takes a tenth of a small run.
    """

    folder: Path
    options: PredictOptions
    sites: Sequence[Site] | None
    method: OpenMethod
    tags: Mapping[str, str]
    progress: Progress
    clock: Clock
    executor: TileExecutor
    buildings: InputFile | None = None
    evidence: LogEvidence | None = None
    listener: CellListener = field(default_factory=CellListener)
    path_gains: LogPathGains | None = None
    log_weight: LogWeight | None = None
    chosen_sites: dict[str, SiteChoice] = field(default_factory=dict)


@dataclass(frozen=True)
class EstimatedCell:
    """A cell whose tiles are estimated, and whose map is not yet written.

    Attributes
    ----------
    run : CellRun
        Inputs that all cells share.
    cell : CellPlan
        The cell.
    sparse : SparseRaster
        Its measurements.
    blended : BlendedCell
        Blended estimates of the tiles.
    method_weight : MethodWeight
        Weight of the method.
    kriging : RegressionKrigingOptions or None
        None where residuals are not kriged.
    baseline : Future of ClassicalBaseline, or None
        None where the map has none.
    site : SiteChoice
        The transmitter.
    tiles : int
        Number of estimated tiles.
    journal : Journal
        Its journal.
    evidence : CellEvidence
        Joint estimates, and the probability of being reported, from all cells of the log.
    progress : CellProgress
        Receives the rows of the map.
    resources : ExitStack
        Released by :func:`write_map`; by the caller if it is not called.
    """

    run: CellRun
    cell: CellPlan
    sparse: SparseRaster
    blended: BlendedCell
    method_weight: MethodWeight
    kriging: RegressionKrigingOptions | None
    baseline: Future[ClassicalBaseline] | None
    site: SiteChoice
    tiles: int
    journal: Journal
    evidence: CellEvidence
    progress: CellProgress
    resources: ExitStack


def estimate_cell(
    run: CellRun, cell: CellPlan, journals: list[Journal]
) -> EstimatedCell | CellResult:
    """Estimate the tiles of one cell; resume the journal of an earlier run if there is one.

    Parameters
    ----------
    run : CellRun
        Inputs that all cells share.
    cell : CellPlan
        The cell.
    journals : list of Journal
        The journal of the cell is appended.

    Returns
    -------
    EstimatedCell or CellResult
        The result of a cell that the earlier run completed; else what :func:`write_map` needs.

    Raises
    ------
    TooSmallError
        If the cell was measured in too few pixels.
    RmGeoError
        If the cell cannot be mapped.
    """
    if cell.refusal is not None or cell.grid is None:
        raise cell.refusal or InputError(f"Cell {cell.cell} has no grid.")
    options = run.options
    sparse = bin_measurements(cell.measurements, cell.grid)
    sparse.require_pixels(options.grid.min_pixels, cell.description)
    tiles = sparse.measured_tiles(options.grid.tile_size_px, options.grid.overlap_px)
    site = _choose_site(run, cell, cell.grid)
    for warning in site.warnings:
        run.progress.log(f"Cell {cell.cell}: {warning}")
    evidence = CellEvidence() if run.evidence is None else run.evidence.of_cell(cell.cell)
    inputs = {**run.tags, "evidence": evidence.checksum}
    if run.path_gains is not None:
        inputs["path_gains"] = str(run.path_gains.grid.bounds)
    if run.log_weight is not None:
        inputs["weighed_cells"] = run.log_weight.checksum
    key = run_key(cell.measurements.checksum(), cell.grid, site.facts, options, inputs)
    journal = open_journal(run.folder, cell.cell, key, fresh=options.output.fresh)
    journals.append(journal)
    if (done := _completed_result(journal, run.folder)) is not None:
        run.progress.log(f"Cell {cell.cell}: complete already")
        return done
    given = site
    site = _with_path_gains(run, site, sparse)
    for warning in site.warnings[len(given.warnings) :]:
        run.progress.log(warning)
    plan = _tile_plan(*tiles, run.method, journal)
    progress = _cell_progress(run, cell.cell, len(plan.tiles), journal)
    kriging = _kriging_options(options.method, sparse)
    with ExitStack() as resources:
        baseline = resources.enter_context(_baseline_meanwhile(run, sparse, site, kriging))
        method_weight = _method_weight(run, sparse, plan, site, journal, progress)
        progress.check()
        progress.start(len(plan.tiles), "tiles", f"Cell {cell.cell}")
        blended = blend_cell(
            sparse, plan, site.facts, run.method, journal, progress, run.clock, run.executor
        )
        progress.finish()
        trim_malloc()
        if blended is None or not np.isfinite(blended.at_measured_dbm).any():
            raise InputError(
                "The method gives no estimate for this cell.",
                hint="Choose another `method`, or add the inputs that it needs ('rm-geo info').",
            )
        return EstimatedCell(
            run,
            cell,
            sparse,
            blended,
            method_weight,
            kriging,
            baseline,
            site,
            len(plan.tiles),
            journal,
            evidence,
            progress,
            resources.pop_all(),
        )


def write_map(estimated: EstimatedCell, check: Callable[[], None] = lambda: None) -> CellResult:
    """Make the map of a cell, and write its files.

    Parameters
    ----------
    estimated : EstimatedCell
        The cell; its resources are released.
    check : callable
        Called between bands of rows, beside the check of the cell's progress; may raise to cancel.

    Returns
    -------
    CellResult
        Files and statistics of the cell.

    Raises
    ------
    RmGeoError
        If the map cannot be made or written.
    """

    def check_both() -> None:
        check()
        estimated.progress.check()

    with estimated.resources:
        result = _write_results(estimated, check_both)
    estimated.journal.finish(asdict(result))
    return result


def _completed_result(journal: Journal, folder: Path) -> CellResult | None:
    """Return the result of a cell that an earlier run completed, if its files are intact."""
    noted = journal.recall("result")
    if noted is None:
        return None
    result = CellResult.restored(noted)
    paths = [folder / name for name in result.files]
    sizes = {path.name: path.stat().st_size for path in paths if path.is_file()}
    return result if result.is_whole(sizes) else None


def _choose_site(run: CellRun, cell: CellPlan, grid: Grid) -> SiteChoice:
    """Choose the site of a cell, once, and add the known buildings of its grid."""
    options = run.options.site
    if (site := run.chosen_sites.get(cell.cell)) is None:
        site = choose_site(
            cell.measurements,
            run.sites,
            eirp_dbm=options.eirp_dbm,
            frequency_mhz=options.frequency_mhz,
            max_uncertainty_m=options.max_site_uncertainty_m,
        )
        run.chosen_sites[cell.cell] = site
    if run.buildings is None:
        return site
    return site.with_buildings(run.buildings.path, grid, options.buildings_layer)


def _with_path_gains(run: CellRun, site: SiteChoice, sparse: SparseRaster) -> SiteChoice:
    """Add the path gains around known buildings, where the baseline of a network uses them."""
    if not (run.method.is_network and run.options.method.assimilate and street_map_helps(sparse)):
        return site
    return site.with_path_gains(
        sparse.grid, sparse.row, sparse.col, run.progress.check, run.path_gains
    )


def _tile_plan(
    tiles: list[Tile], all_tiles: list[Tile], method: OpenMethod, journal: Journal
) -> TilePlan:
    """Plan the batches of tiles; a resumed run keeps the batch size of its journal."""
    batch_size = journal.recall("batch_size")
    if batch_size is None:
        journal.forget_work()  # of batches of another size, perhaps
        batch_size = method.batch_size
        journal.note("batch_size", batch_size)
    return TilePlan(all_tiles, tiles, batch_size)


def _cell_progress(run: CellRun, cell: str, tiles: int, journal: Journal) -> CellProgress:
    """Prepare the progress of a cell; the first one also counts the folds of a shared weight."""
    shared = run.log_weight
    weighed = is_weighed(run.options.method, run.method)
    if not weighed or (shared is not None and shared.is_known) or _noted_weight(journal):
        return CellProgress(run.progress, run.listener, cell, tiles=tiles, folds=0)
    cells = 1 if shared is None else max(len(shared), 1)
    options = MethodWeightOptions.for_cells(cells)
    return CellProgress(
        run.progress,
        run.listener,
        cell,
        tiles=tiles,
        folds=options.folds * cells,
        fold_tiles=options.max_tiles,
    )


def _kriging_options(
    method: MethodOptions, sparse: SparseRaster
) -> RegressionKrigingOptions | None:
    """Noise of the measurements, given or estimated; None where residuals are not kriged."""
    if not method.assimilate:
        return None
    noise_db = measurement_noise_db(sparse) if method.noise_db is None else method.noise_db
    return RegressionKrigingOptions(noise_db=noise_db)


@contextmanager
def _baseline_meanwhile(
    run: CellRun,
    sparse: SparseRaster,
    site: SiteChoice,
    kriging: RegressionKrigingOptions | None,
) -> Iterator[Future[ClassicalBaseline] | None]:
    """Fit the classical baseline in a thread, if the map may need it; None if not.

    It does not depend on the network's estimates, which release the interpreter.
    """
    given = run.options.method.method_weight
    if kriging is None or not (
        is_weighed(run.options.method, run.method) if given is None else given < 1.0
    ):
        yield None
        return
    left = Event()

    def check() -> None:
        if left.is_set():
            raise CancelledError("The baseline of this cell is not needed.")

    with ThreadPoolExecutor(1, thread_name_prefix="rm_geo-baseline") as pool:
        try:
            yield pool.submit(fit_classical_baseline, sparse, kriging, site.facts, check)
        finally:
            left.set()


def _method_weight(
    run: CellRun,
    sparse: SparseRaster,
    plan: TilePlan,
    site: SiteChoice,
    journal: Journal,
    progress: CellProgress,
) -> MethodWeight:
    """Take the weight from the options or the journal, or estimate it for a network."""
    given = run.options.method.method_weight
    if given is not None:
        return MethodWeight.given(given)
    if not is_weighed(run.options.method, run.method):
        return MethodWeight()
    if (noted := _noted_weight(journal)) is not None:
        return noted
    own = WeighedCell(sparse, plan.tiles, site.facts)

    def estimate(cells: Sequence[CellPlan]) -> MethodWeight:
        return estimate_method_weight(
            _weighed_cells(run, cells) if cells else [own],
            run.method,
            run.options.grid.reach_m,
            MethodWeightOptions.for_cells(max(len(cells), 1)),
            clock=run.clock,
            fold_done=progress.weighed,
        )

    weight = estimate(()) if run.log_weight is None else run.log_weight.estimate(estimate)
    journal.note("method_weight", asdict(weight))
    return weight


def _noted_weight(journal: Journal) -> MethodWeight | None:
    """Return the weight that an interrupted run estimated; None without one."""
    noted = journal.recall("method_weight")
    return noted and MethodWeight(**{**noted, "rmse_db": tuple(noted["rmse_db"])})


def _weighed_cells(run: CellRun, cells: Sequence[CellPlan]) -> Iterator[WeighedCell]:
    """Prepare the cells that weigh the method; those that cannot be mapped are left out."""
    grid_options = run.options.grid
    for cell in cells:
        assert cell.grid is not None
        sparse = bin_measurements(cell.measurements, cell.grid)
        if len(sparse) < grid_options.min_pixels:
            continue
        try:
            site = _choose_site(run, cell, cell.grid)
        except InputError:
            continue  # the reason is given where the cell is mapped
        tiles, _ = sparse.measured_tiles(grid_options.tile_size_px, grid_options.overlap_px)
        yield WeighedCell(sparse, tiles, _with_path_gains(run, site, sparse).facts)


def _deviation(
    run: CellRun, sparse: SparseRaster, site: SiteChoice, method_weight: MethodWeight
) -> MapDeviation | None:
    """Fit the standard deviation of the map; None where the method's own is written."""
    options, estimator = run.options, run.method.estimator
    if not options.output.uncertainty:
        return None
    support_m = options.output.std_support_m
    if not run.method.is_network:
        if not getattr(estimator, "predicts_std", False):
            return None
        # Kriging's own deviation is that of a fitted covariance: zero at measured pixels whatever
        # the noise, and missing where no covariance can be fitted.
        point_estimator = cast(PointEstimator, estimator)
        return MapDeviation.fit(sparse, site.facts, support_m, estimate=point_estimator.estimate_at)
    if not options.method.assimilate:
        return None
    scale = 1.0
    if method_weight.rmse_db and method_weight.rmse_db[1] > 0.0:
        scale = method_weight.rmse_db[2] / method_weight.rmse_db[1]
    return MapDeviation.fit(sparse, site.facts, support_m, scale)


def _write_results(estimated: EstimatedCell, check: Callable[[], None]) -> CellResult:
    """Run the map pass, write the files of the cell, and return its result."""
    run, cell, sparse, site = estimated.run, estimated.cell, estimated.sparse, estimated.site
    blended, evidence, journal = estimated.blended, estimated.evidence, estimated.journal
    method_weight, kriging = estimated.method_weight, estimated.kriging
    grid, progress = sparse.grid, estimated.progress
    options = run.options
    identity = cell.measurements.identity_of(cell.label)
    deviation = _deviation(run, sparse, site, method_weight)
    trend = DistanceTrend.fit(sparse, site.facts)
    map_options = MapOptions(
        options.grid.reach_m,
        kriging,
        method_weight,
        options.output.uncertainty,
        site.facts,
        max(spread_db(sparse.level_dbm), _LEAST_SPREAD_DB)
        if options.output.uncertainty
        else np.inf,
        deviation,
    )
    files = CellFiles(
        run.folder,
        journal.staging,
        cell.cell,
        grid,
        has_buildings=blended.has_buildings,
        has_std=(deviation is not None or blended.has_std) and options.output.uncertainty,
        has_mask=options.output.mask,
        mask_threshold=options.output.mask_threshold,
        preview=options.output.preview,
        measured_when=MeasuringTime.of(cell.measurements) if options.output.stac else None,
        has_reported=evidence.reported is not None,
        quantity=_QUANTITIES.get(identity.technology, "RSRP"),
    )
    tags = {
        **run.tags,
        **site.tags,
        **method_weight.tags,
        **({} if method_weight.alone else {"baseline": baseline_name(sparse, site.facts)}),
        **({} if deviation is None else deviation.tags),
        **evidence.tags,
        **({} if trend is None else {"slope_db_per_decade": f"{trend.slope_db:.1f}"}),
        **({} if kriging is None else {"noise_db": f"{kriging.noise_db:.2f}"}),
        "cell": cell.cell,
        "cell_name": cell.label,
        **identity.tags,
        "measurements_used": str(len(cell.measurements)),
        "measured_pixels": str(len(sparse)),
    }
    statistics = MapStatistics()
    levels, rows = evidence.levels, grid.shape[0]
    # Corrected rows are computed first, and then read again.
    half = 0.0 if levels is None else 0.5
    bands = map_rows(sparse, blended, map_options, check, estimated.baseline)
    if levels is not None:
        bands = progress.watch(bands, rows, 0.0, half)
    bands = evidence.applied(bands, grid, journal.own, check)
    bands = progress.watch(bands, rows, half, 1.0)
    names = write_cell(files, _checked_at_end(statistics.watch(bands), run.buildings), tags)
    return CellResult(
        cell=cell.cell,
        status="mapped",
        cell_name=cell.label,
        measurements=len(cell.measurements),
        measured_pixels=len(sparse),
        mapped_pixels=statistics.mapped_pixels,
        rows=grid.shape[0],
        cols=grid.shape[1],
        spacing_m=grid.spacing_m,
        crs=grid.crs.to_string(),
        tiles=estimated.tiles,
        rsrp_min_dbm=statistics.rsrp_min_dbm,
        rsrp_mean_dbm=statistics.rsrp_mean_dbm,
        rsrp_max_dbm=statistics.rsrp_max_dbm,
        building_share=statistics.building_share,
        transmitter=site.origin,
        intercept=site.intercept_origin,
        method=run.method.estimator.name,
        method_weight=round(method_weight.method, 3),
        baseline="" if method_weight.alone else baseline_name(sparse, site.facts),
        held_out_rmse_db=tuple(round(value, 2) for value in method_weight.rmse_db),
        joint_cells=0 if levels is None else levels.others,
        joint_places=0 if levels is None else len(levels),
        joint_weight=0.0 if levels is None else round(levels.weight, 3),
        files=names,
        file_bytes=tuple((run.folder / name).stat().st_size for name in names),
        warnings=tuple(site.warnings),
    )


def _checked_at_end(bands: Iterator[CellRows], buildings: InputFile | None) -> Iterator[CellRows]:
    """Pass all bands on, and require the buildings of the map to be those of its tags."""
    yield from bands
    if buildings is not None:
        buildings.require_unchanged()
