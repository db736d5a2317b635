"""The main road: measurements in, radio maps and building maps out.

``read -> clean -> split by cell -> site -> grid -> bin -> tiles -> estimate -> blend ->
assimilate -> reach -> write``, each step in a module of its own. This one puts them in order.
A cell is gone over twice: tiles are estimated and blended onto disk, then the blended rows
become the map, a band at a time; neither needs the whole raster in memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rm_geo.assimilation import AssimilationParameters
from rm_geo.atomic import prepare_output_folder
from rm_geo.blending import BlendedCell, TilePlan, blend_cell
from rm_geo.cell_files import CellFiles, write_cell
from rm_geo.cell_products import CellResult, failed, write_summary
from rm_geo.engine import Clock
from rm_geo.errors import CancelledError, InputError, JournalError, RmGeoError
from rm_geo.finishing import FinishingOptions, finished_rows
from rm_geo.grid import Grid, Tile
from rm_geo.journal import Journal, open_journal
from rm_geo.map_statistics import MapStatistics
from rm_geo.measurements import Measurements
from rm_geo.methods import OpenMethod, open_method
from rm_geo.noise import measurement_noise_db
from rm_geo.output_lock import output_lock
from rm_geo.predict_options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.provenance import describe_input, describe_software, describe_values
from rm_geo.rasterize import bin_measurements
from rm_geo.run_key import run_key
from rm_geo.site_choice import SiteChoice, choose_site
from rm_geo.sites import read_sites
from rm_geo.sparse import SparseRaster
from rm_geo.stac import MeasuringTime, require_pystac
from rm_geo.survey import CellPlan, Survey, read_survey, require_one_possible
from rm_geo.transmitters import Transmitter
from rm_geo.trust import Trust, judge

__all__ = ["CellResult", "PredictOptions", "predict"]

WORTH_RESUMING_S = 60.0
"""Estimates of so many seconds are kept when a run is stopped in good order; a run that is
killed keeps them anyway."""


def predict(
    measurements: str | os.PathLike[str] | Measurements | Survey,
    output_dir: str | os.PathLike[str],
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    *,
    summary: bool = True,
) -> list[CellResult]:
    """Map every cell of a drive test.

    Parameters
    ----------
    measurements : path-like, Measurements or Survey
        A file of measurements, measurements already read, or laid out for these options.
    output_dir : path-like
        Folder of the results; made if it is not there.
    options : PredictOptions, optional
        How; the defaults are sensible.
    progress : Progress, optional
        Told of every stage, and asked between batches whether to stop.
    clock : Clock, optional
        Filled with the time inside the estimator.
    summary : bool
        Whether to write ``summary.csv`` and ``summary.json``.

    Returns
    -------
    list of CellResult
        One per cell, failed ones included, the largest cell first. ``<cell>_rsrp.tif``,
        ``<cell>_buildings.tif`` (if the method maps buildings), ``<cell>_preview.png`` and
        the like lie in the folder, with ``summary.csv`` and ``summary.json``.

    Raises
    ------
    RmGeoError
        If nothing could be mapped: the first reason. Nothing is written then.
    OutputInUseError
        If another process writes one of these cells into the folder.
    JournalError
        If an interrupted run with other inputs left its work there.

    Notes
    -----
    A run that was killed goes on where it was when it is called again with the same
    arguments, and gives the same bytes.
    """
    chosen = PredictOptions() if options is None else options
    listener = SilentProgress() if progress is None else progress
    survey = (
        measurements
        if isinstance(measurements, Survey)
        else read_survey(measurements, chosen, listener)
    )
    require_one_possible(survey)
    sites = open_sites(chosen, survey.measurements)
    method = open_wanted_method(chosen)
    if chosen.stac:
        require_pystac()
    folder = prepare_output_folder(output_dir)
    run = _Run(
        folder, chosen, sites, method, _common_tags(survey, method, chosen), listener,
        clock or Clock(),
    )  # fmt: skip
    with ExitStack() as locks:
        for cell in survey.cells:
            locks.enter_context(
                output_lock(folder / f".{cell.cell}.rmgeo-lock", f"cell {cell.cell} in {folder}")
            )
        return _map_cells(run, survey, summary=summary)


@dataclass(frozen=True)
class _Run:
    """What all cells of a run share."""

    folder: Path
    options: PredictOptions
    sites: Sequence[Transmitter] | None
    method: OpenMethod
    tags: Mapping[str, str]
    progress: Progress
    clock: Clock


def _map_cells(run: _Run, survey: Survey, *, summary: bool) -> list[CellResult]:
    """Map cell after cell; complete ones stay, whatever becomes of the others."""
    results: list[CellResult] = []
    errors: list[RmGeoError] = []
    journals: list[Journal] = []
    try:
        for cell in survey.cells:
            run.progress.check()
            try:
                results.append(_map_cell(run, cell, journals))
            except (CancelledError, JournalError):
                raise
            except RmGeoError as error:
                run.progress.log(f"Failed: {error}")
                errors.append(error)
                results.append(failed(cell.cell, len(cell.measurements), error))
        if len(errors) == len(results):
            raise errors[0]
        if summary:
            write_summary(results, run.folder)
    except BaseException:
        _leave(run, journals)
        raise
    finished = [journal for journal in journals if journal.recall("result") is not None]
    for journal in finished:
        journal.remove()
    _leave(run, [journal for journal in journals if journal not in finished])
    return results


def _leave(run: _Run, journals: Sequence[Journal]) -> None:
    """Keep the work of a run or a cell that was stopped, if it is worth anything."""
    worth = run.clock.forward_s >= WORTH_RESUMING_S or any(journal.resumed for journal in journals)
    if journals and worth:
        run.progress.log("The same command goes on from here; --fresh begins anew.")
        return
    for journal in journals:
        journal.remove()


def open_wanted_method(options: PredictOptions) -> OpenMethod:
    """Make the estimator that the options ask for."""
    return open_method(
        options.method,
        model=options.model,
        device=options.device,
        batch_size=options.batch_size,
        tile_size_px=options.tile_size_px,
        options=options.method_options,
    )


def open_sites(options: PredictOptions, measurements: Measurements) -> Sequence[Transmitter] | None:
    """Read the site table, if there is one."""
    return None if options.sites is None else read_sites(options.sites, target_crs=measurements.crs)


def _map_cell(run: _Run, cell: CellPlan, journals: list[Journal]) -> CellResult:
    """Take one cell down the road, or from where an earlier run left it."""
    if cell.refusal is not None or cell.grid is None:
        raise cell.refusal or InputError(f"Cell {cell.cell} has no grid.")
    options = run.options
    sparse = bin_measurements(cell.measurements, cell.grid)
    _require_pixels(cell, sparse, options)
    site = choose_site(
        cell.measurements,
        run.sites,
        eirp_dbm=options.eirp_dbm,
        frequency_mhz=options.frequency_mhz,
        max_uncertainty_m=options.max_site_uncertainty_m,
    )
    for warning in site.warnings:
        run.progress.log(f"Cell {cell.cell}: {warning}")
    key = run_key(cell.measurements, cell.grid, site.facts, options, run.tags)
    journal = open_journal(run.folder, cell.cell, key, fresh=options.fresh)
    journals.append(journal)
    if (done := _complete(journal, run.folder)) is not None:
        run.progress.log(f"Cell {cell.cell}: complete already")
        return done
    plan = _plan_tiles(sparse, options, run.method, journal)
    trust = _trust(run, sparse, plan, site, journal)
    run.progress.check()
    run.progress.start(len(plan.tiles), "tiles", f"Cell {cell.cell}")
    blended = blend_cell(sparse, plan, site.facts, run.method, journal, run.progress, run.clock)
    run.progress.finish()
    if blended is None or not np.isfinite(blended.at_measured_dbm).any():
        raise InputError(
            "The method says nothing about this cell.",
            hint="Choose another --method, or give it what it needs ('rm-geo info').",
        )
    result = _finish(run, cell, cell.grid, sparse, blended, trust, site, len(plan.tiles), journal)
    journal.finish(asdict(result))
    return result


def _complete(journal: Journal, folder: Path) -> CellResult | None:
    """Give the result of a cell that an earlier run completed, if its files are still there."""
    noted = journal.recall("result")
    if noted is None:
        return None
    result = CellResult.restored(noted)
    return result if all((folder / name).is_file() for name in result.files) else None


def _require_pixels(cell: CellPlan, sparse: SparseRaster, options: PredictOptions) -> None:
    """Refuse a cell that was measured in too few places to say anything."""
    measured = len(sparse)
    if measured < options.min_pixels:
        source = cell.measurements.source
        raise InputError(
            f"Cell {cell.cell}{'' if source is None else f' of {source}'} was measured in "
            f"{measured} pixel{'' if measured == 1 else 's'} only; at least "
            f"{options.min_pixels} are needed.",
            hint="Collect more measurements, or leave the cell out.",
        )


def tiles_of(sparse: SparseRaster, options: PredictOptions) -> tuple[list[Tile], list[Tile]]:
    """Tiles to compute, and all tiles of the grid.

    A tile in reach of a measurement that holds none is not computed: no method has anything
    to go by. Its pixels in reach continue its neighbours.
    """
    all_tiles = sparse.grid.tiles(options.tile_size_px, options.overlap_px)
    measured = sparse.tile_counts(all_tiles) > 0
    return [tile for tile, has in zip(all_tiles, measured, strict=True) if has], all_tiles


def _plan_tiles(
    sparse: SparseRaster, options: PredictOptions, method: OpenMethod, journal: Journal
) -> TilePlan:
    """Tiles and batches; a batch size that was chosen automatically stays what it was."""
    tiles, all_tiles = tiles_of(sparse, options)
    batch_size = journal.recall("batch_size") or method.batch_size
    journal.note("batch_size", batch_size)
    return TilePlan(all_tiles, tiles, batch_size)


def _trust(
    run: _Run, sparse: SparseRaster, plan: TilePlan, site: SiteChoice, journal: Journal
) -> Trust:
    """Take the trust that is asked for; judge networks where it is left open."""
    options, method = run.options, run.method
    if options.trust is not None:
        return Trust.given(options.trust)
    if not options.assimilate or not method.is_network:
        return Trust()
    if (noted := journal.recall("trust")) is not None:
        return Trust(**{**noted, "rmse_db": tuple(noted["rmse_db"])})
    trust = judge(sparse, plan.tiles, site.facts, method, options.reach_m, clock=run.clock)
    journal.note("trust", asdict(trust))
    return trust


def _finish(
    run: _Run,
    cell: CellPlan,
    grid: Grid,
    sparse: SparseRaster,
    blended: BlendedCell,
    trust: Trust,
    site: SiteChoice,
    tiles: int,
    journal: Journal,
) -> CellResult:
    """Turn what was blended into files, and sum the cell up."""
    options = run.options
    noise_db = options.noise_db
    if noise_db is None:
        noise_db = measurement_noise_db(sparse)
    finishing = FinishingOptions(
        options.reach_m,
        AssimilationParameters(noise_db=noise_db) if options.assimilate else None,
        trust,
        options.uncertainty,
    )
    files = CellFiles(
        run.folder,
        journal.staging,
        cell.cell,
        grid,
        has_buildings=blended.has_buildings,
        has_std=blended.has_std and options.uncertainty,
        mask_threshold=options.mask_threshold if options.mask else None,
        preview=options.preview,
        measured_when=MeasuringTime.of(cell.measurements) if options.stac else None,
    )
    tags = {
        **run.tags,
        **site.tags,
        **trust.tags,
        **({"noise_db": f"{noise_db:.2f}"} if options.assimilate else {}),
        "cell": cell.cell,
        "measurements_used": str(len(cell.measurements)),
        "measured_pixels": str(len(sparse)),
    }
    statistics = MapStatistics()
    bands = finished_rows(sparse, blended, finishing, run.progress.check)
    names = write_cell(files, statistics.watch(bands), tags)
    return CellResult(
        cell=cell.cell,
        status="mapped",
        measurements=len(cell.measurements),
        measured_pixels=len(sparse),
        mapped_pixels=statistics.mapped_pixels,
        rows=grid.shape[0],
        cols=grid.shape[1],
        spacing_m=grid.spacing_m,
        crs=grid.crs.to_string(),
        tiles=tiles,
        rsrp_min_dbm=statistics.rsrp_min_dbm,
        rsrp_mean_dbm=statistics.rsrp_mean_dbm,
        rsrp_max_dbm=statistics.rsrp_max_dbm,
        building_share=statistics.building_share,
        transmitter=site.origin,
        intercept=site.intercept_origin,
        method=run.method.estimator.name,
        files=names,
    )


def _common_tags(survey: Survey, method: OpenMethod, options: PredictOptions) -> dict[str, str]:
    """Collect the provenance that all rasters of a run share."""
    return {
        **describe_software(),
        **describe_input(survey.measurements.source),
        **method.estimator.provenance,
        "method": method.estimator.name,
        **describe_values(
            {
                "resolution_m": options.resolution_m,
                "reach_m": options.reach_m,
                "tile_size_px": options.tile_size_px,
                "overlap_px": options.overlap_px,
                "assimilated": options.assimilate,
                "measurements_dropped": survey.dropped,
                "device": method.device,
            }
        ),
    }
