"""The main road: measurements in, radio maps and building maps out.

``read -> clean -> split by cell -> site -> grid -> bin -> tiles -> estimate -> blend ->
assimilate -> reach -> write``, each step in a module of its own. This one puts them in order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rm_geo.assimilation import AssimilationParameters, assimilate
from rm_geo.atomic import prepare_output_folder
from rm_geo.cell_products import CellMaps, CellResult, failed, write_cell, write_summary
from rm_geo.engine import Clock, run_tiles
from rm_geo.errors import CancelledError, InputError, RmGeoError
from rm_geo.estimators.base import BoolArray
from rm_geo.grid import Tile
from rm_geo.measurements import Measurements
from rm_geo.methods import OpenMethod, open_method
from rm_geo.noise import measurement_noise_db
from rm_geo.predict_options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.provenance import describe_input, describe_software, describe_values
from rm_geo.rasterize import SparseRaster, bin_measurements
from rm_geo.reach import tiles_in_reach, within_reach
from rm_geo.site_choice import SiteChoice, choose_site
from rm_geo.sites import read_sites
from rm_geo.stac import MeasuringTime, require_pystac
from rm_geo.survey import CellPlan, Survey, read_survey, require_one_possible
from rm_geo.tile_batches import BlendedMap, blend_estimates, fill_gaps, tile_batches
from rm_geo.transmitters import Transmitter
from rm_geo.trust import Trust, judge, mix

__all__ = ["CellResult", "PredictOptions", "predict"]


def predict(
    measurements: str | os.PathLike[str] | Measurements,
    output_dir: str | os.PathLike[str],
    options: PredictOptions | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> list[CellResult]:
    """Map every cell of a drive test.

    Parameters
    ----------
    measurements : path-like or Measurements
        A file of measurements, or measurements already read.
    output_dir : path-like
        Folder of the results; made if it is not there.
    options : PredictOptions, optional
        How; the defaults are sensible.
    progress : Progress, optional
        Told of every stage, and asked between batches whether to stop.
    clock : Clock, optional
        Filled with the time inside the estimator.

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
    """
    chosen = PredictOptions() if options is None else options
    listener = SilentProgress() if progress is None else progress
    survey = read_survey(measurements, chosen, listener)
    require_one_possible(survey)
    sites = open_sites(chosen, survey.measurements)
    method = open_wanted_method(chosen)
    if chosen.stac:
        require_pystac()
    folder = prepare_output_folder(output_dir)
    tags = _common_tags(survey, method, chosen)
    results: list[CellResult] = []
    errors: list[RmGeoError] = []
    for cell in survey.cells:
        listener.check()
        try:
            results.append(
                _map_cell(cell, sites, method, folder, chosen, tags, listener, clock or Clock())
            )
        except CancelledError:
            raise
        except RmGeoError as error:
            listener.log(f"Failed: {error}")
            errors.append(error)
            results.append(failed(cell.cell, len(cell.measurements), error))
    if len(errors) == len(results):
        raise errors[0]
    write_summary(results, folder)
    return results


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


def _map_cell(
    cell: CellPlan,
    sites: Sequence[Transmitter] | None,
    method: OpenMethod,
    folder: Path,
    options: PredictOptions,
    tags: Mapping[str, str],
    progress: Progress,
    clock: Clock,
) -> CellResult:
    """Take one cell down the road."""
    if cell.refusal is not None or cell.grid is None:
        raise cell.refusal or InputError(f"Cell {cell.cell} has no grid.")
    sparse = bin_measurements(cell.measurements, cell.grid)
    _require_pixels(cell, sparse, options)
    site = choose_site(
        cell.measurements,
        sites,
        eirp_dbm=options.eirp_dbm,
        frequency_mhz=options.frequency_mhz,
        max_uncertainty_m=options.max_site_uncertainty_m,
    )
    for warning in site.warnings:
        progress.log(f"Cell {cell.cell}: {warning}")
    tiles, all_tiles, in_reach = tiles_of(sparse, options)
    trust = _trust(sparse, tiles, site, method, in_reach, options, clock)
    progress.check()
    progress.start(len(tiles), "tiles", f"Cell {cell.cell}")
    batches = tile_batches(sparse, tiles, site.facts, method.batch_size)
    estimates = run_tiles(method.estimator, batches, progress, clock)
    blended = blend_estimates(cell.grid, all_tiles, tiles, estimates)
    progress.finish()
    given = options.noise_db
    noise_db = measurement_noise_db(sparse.rsrp_dbm) if given is None else given
    maps = _finish(blended, sparse, in_reach, trust, noise_db, options)
    progress.check()
    measured = int(np.count_nonzero(sparse.count))
    cell_tags = {
        **tags,
        **site.tags,
        **trust.tags,
        **({"noise_db": f"{noise_db:.2f}"} if options.assimilate else {}),
        "cell": cell.cell,
        "measurements_used": str(len(cell.measurements)),
        "measured_pixels": str(measured),
    }
    files = write_cell(
        folder, cell.cell, maps, sparse.rsrp_dbm if options.preview else None, cell_tags,
        mask_threshold=options.mask_threshold if options.mask else None,
        measured_when=MeasuringTime.of(cell.measurements) if options.stac else None,
    )  # fmt: skip
    return _result(cell, maps, site, method, len(tiles), measured, files)


def _require_pixels(cell: CellPlan, sparse: SparseRaster, options: PredictOptions) -> None:
    """Refuse a cell that was measured in too few places to say anything."""
    measured = int(np.count_nonzero(sparse.count))
    if measured < options.min_pixels:
        source = cell.measurements.source
        raise InputError(
            f"Cell {cell.cell}{'' if source is None else f' of {source}'} was measured in "
            f"{measured} pixel{'' if measured == 1 else 's'} only; at least "
            f"{options.min_pixels} are needed.",
            hint="Collect more measurements, or leave the cell out.",
        )


def tiles_of(
    sparse: SparseRaster, options: PredictOptions
) -> tuple[list[Tile], list[Tile], BoolArray]:
    """Tiles to compute, all tiles of the grid, and the pixels in reach.

    A tile in reach of a measurement that holds none is not computed: no method has anything
    to go by. Its pixels in reach continue its neighbours.
    """
    all_tiles = sparse.grid.tiles(options.tile_size_px, options.overlap_px)
    observed = sparse.observed
    in_reach = within_reach(observed, options.reach_m, sparse.grid.spacing_m)
    return tiles_in_reach(all_tiles, observed), all_tiles, in_reach


def _trust(
    sparse: SparseRaster,
    tiles: Sequence[Tile],
    site: SiteChoice,
    method: OpenMethod,
    in_reach: BoolArray,
    options: PredictOptions,
    clock: Clock,
) -> Trust:
    """Take the trust that is asked for; judge networks where it is left open."""
    if options.trust is not None:
        return Trust.given(options.trust)
    if not options.assimilate or not method.is_network:
        return Trust()
    return judge(sparse, tiles, site.facts, method, in_reach, clock=clock)


def _finish(
    blended: BlendedMap,
    sparse: SparseRaster,
    in_reach: BoolArray,
    trust: Trust,
    noise_db: float,
    options: PredictOptions,
) -> CellMaps:
    """Fill what tiles left open, honour the measurements, and cut at the reach."""
    rsrp_dbm = fill_gaps(blended.rsrp_dbm, in_reach)
    if not np.isfinite(rsrp_dbm).any():
        raise InputError(
            "The method says nothing about this cell.",
            hint="Choose another --method, or give it what it needs ('rm-geo info').",
        )
    if options.assimilate:
        parameters = AssimilationParameters(noise_db=noise_db)
        rsrp_dbm = assimilate(rsrp_dbm, sparse.rsrp_dbm, parameters=parameters).rsrp_dbm
        rsrp_dbm = mix(rsrp_dbm, sparse.rsrp_dbm, trust, parameters)
    rsrp_dbm = np.where(in_reach, rsrp_dbm, np.float32(np.nan))
    probability = blended.building_probability
    if probability is not None:
        probability = np.where(in_reach, np.clip(probability, 0.0, 1.0), np.float32(np.nan))
    std_db = blended.std_db if options.uncertainty else None
    if std_db is not None:
        std_db = np.where(in_reach, std_db, np.float32(np.nan))
    return CellMaps(sparse.grid, rsrp_dbm, probability, std_db)


def _result(
    cell: CellPlan,
    maps: CellMaps,
    site: SiteChoice,
    method: OpenMethod,
    tiles: int,
    measured: int,
    files: tuple[str, ...],
) -> CellResult:
    """Sum a cell up."""
    known = maps.rsrp_dbm[np.isfinite(maps.rsrp_dbm)]
    share = None
    if maps.building_probability is not None:
        share = float(np.nanmean(maps.building_probability, dtype=np.float64))
    rows, cols = maps.grid.shape
    return CellResult(
        cell=cell.cell,
        status="mapped",
        measurements=len(cell.measurements),
        measured_pixels=measured,
        mapped_pixels=int(known.size),
        rows=rows,
        cols=cols,
        spacing_m=maps.grid.spacing_m,
        crs=maps.grid.crs.to_string(),
        tiles=tiles,
        rsrp_min_dbm=float(known.min()),
        rsrp_mean_dbm=float(known.mean(dtype=np.float64)),
        rsrp_max_dbm=float(known.max()),
        building_share=share,
        transmitter=site.origin,
        intercept=site.intercept_origin,
        method=method.estimator.name,
        files=files,
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
