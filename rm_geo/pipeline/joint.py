"""The cells of a log together: joint estimates, and probabilities of being reported."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from rm_geo._types import Float64Array
from rm_geo._util.own_folder import OwnFolder
from rm_geo.errors import InputError
from rm_geo.geostat.coregionalization import (
    MIN_READINGS,
    JointEstimate,
    count_joint_steps,
    estimate_jointly,
)
from rm_geo.geostat.joint_correction import JointCorrection, VisitedLevels
from rm_geo.geostat.reporting import SharedWeights
from rm_geo.geostat.selection import unreported_levels
from rm_geo.grid import Grid
from rm_geo.pipeline.cell_progress import CellListener
from rm_geo.pipeline.plan import RunPlan
from rm_geo.products.rows import CellRows
from rm_geo.progress import Progress
from rm_geo.raster.log_bins import LogBins
from rm_geo.raster.resample import block_field_rows
from rm_geo.raster.scratch import Scratch

_REPORTED_BLOCK_M: Final = 8.0
"""The kriged indicator varies over 60 m and more: smaller blocks cost more and show no more."""

_DIGEST_STEP_DB: Final = 1.0 / 64.0
_ROWS: Final = "joint.f32"
_LAYERS: Final = ("measured_dbm", "rsrp_dbm", "building_probability", "std_db")


@dataclass(frozen=True)
class ReportedCell:
    """A cell of a log, and the kriging weights that it shares with the others.

    Attributes
    ----------
    cell : str
        Name of the cell.
    weights : SharedWeights
        Weights of the visited places.
    """

    cell: str
    weights: SharedWeights


@dataclass(frozen=True)
class CellEvidence:
    """What the whole log says about one cell.

    Attributes
    ----------
    levels : VisitedLevels or None
        Joint estimates where the cell was not reported; None without any.
    reported : ReportedCell or None
        Cell whose probability of being reported is mapped; None where it is not.
    checksum : str
        Changes with the evidence; empty without any.
    """

    levels: VisitedLevels | None = None
    reported: ReportedCell | None = None
    checksum: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Provenance tags of the joint estimate."""
        if self.levels is None:
            return {}
        slope = self.levels.selection_slope
        return {
            "joint_cells": str(self.levels.others),
            "joint_places": str(len(self.levels)),
            "joint_weight": f"{self.levels.weight:.3f}",
            **({} if slope is None else {"selection_slope_per_db": f"{slope:.3f}"}),
        }

    def applied(
        self, bands: Iterator[CellRows], grid: Grid, folder: OwnFolder, check: Callable[[], None]
    ) -> Iterator[CellRows]:
        """Correct the maps of the cell, and add the probability of being reported.

        Parameters
        ----------
        bands : iterator of CellRows
            The maps, band by band from north to south.
        grid : Grid
            Their grid.
        folder : OwnFolder
            Place of a file for the rows while they are corrected.
        check : callable
            Called between bands; raises to stop the work.

        Returns
        -------
        iterator of CellRows
            The bands; unchanged without evidence.
        """
        if self.levels is not None:
            bands = corrected_rows(bands, grid, self.levels, folder, check)
        return bands if self.reported is None else with_reported(bands, grid, self.reported)


@dataclass(frozen=True)
class LogEvidence:
    """What the whole log says about its cells.

    Attributes
    ----------
    bins : LogBins
        All cells of the log, and the visited places.
    estimate : JointEstimate or None
        The cells of the run at the visited places; None without joint estimates.
    maps_reported : bool
        Whether maps of the probability of being reported make sense.
    corrects_selection : bool
        Whether levels at places without a report are corrected for how reports depend on the
        level.
    weights : SharedWeights
        Kriging weights for the maps of being reported, computed once for all cells.
    """

    bins: LogBins
    estimate: JointEstimate | None
    maps_reported: bool = False
    corrects_selection: bool = False
    weights: SharedWeights = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", SharedWeights(self.bins))

    def levels_of(self, cell: str) -> VisitedLevels | None:
        """Select the estimates of a cell where it was not reported.

        Parameters
        ----------
        cell : str
            Name of the cell, as in file names.

        Returns
        -------
        VisitedLevels or None
            None if there is nothing to correct the map of this cell by.
        """
        if cell not in self.bins.cells:
            return None
        reported = self.bins.reported[:, self.bins.cells.index(cell)]
        level_dbm, std_db = np.full((2, len(self.bins)), np.nan)
        others, weight, slope = 0, 0.0, None
        estimate = self.estimate
        if estimate is not None and cell in estimate.cells:
            place = estimate.cells.index(cell)
            others, weight = estimate.others[place], estimate.calibration.weight_of(cell)
            if weight > 0.0:
                level_dbm = estimate.level_dbm[:, place].astype(np.float64)
                std_db = estimate.std_db[:, place].astype(np.float64)
        if self.corrects_selection:
            found = unreported_levels(self.bins, cell, level_dbm, std_db)
            slope = found.slope
            if slope > 0.0:
                level_dbm, std_db = found.level_dbm, found.std_db
        at = np.flatnonzero(np.isfinite(level_dbm) & ~reported)
        if not at.size:
            return None
        return VisitedLevels(
            self.bins.position_m[at],
            level_dbm[at],
            std_db[at],
            self.bins.position_m[reported],
            others,
            weight,
            slope,
        )

    def reported_of(self, cell: str) -> ReportedCell | None:
        """Prepare the map of the probability that a cell is reported.

        Parameters
        ----------
        cell : str
            Name of the cell, as in file names.

        Returns
        -------
        ReportedCell or None
            None without such maps, or where the cell was reported at every visited place.
        """
        if not self.maps_reported or cell not in self.bins.cells:
            return None
        reported = self.bins.reported[:, self.bins.cells.index(cell)]
        return None if reported.all() or not reported.any() else ReportedCell(cell, self.weights)

    def of_cell(self, cell: str) -> CellEvidence:
        """Select what the log says about a cell.

        Parameters
        ----------
        cell : str
            Name of the cell, as in file names.

        Returns
        -------
        CellEvidence
            Joint estimates, probability of being reported, and their checksum.
        """
        levels, reported = self.levels_of(cell), self.reported_of(cell)
        if levels is None and reported is None:
            return CellEvidence()
        state = hashlib.sha256()
        if levels is not None:
            rounded = np.round(np.column_stack([levels.level_dbm, levels.std_db]) / _DIGEST_STEP_DB)
            state.update(np.ascontiguousarray(rounded.astype(np.int64)).tobytes())
            state.update(levels.position_m.tobytes())
        if reported is not None:
            state.update(self.bins.position_m.tobytes())
            state.update(self.bins.reported[:, self.bins.cells.index(cell)].tobytes())
        return CellEvidence(levels, reported, state.hexdigest())

    def describe(self) -> str:
        """Summarise the joint estimates in one line for the log."""
        assert self.estimate is not None
        joint = sum(count > 0 for count in self.estimate.others)
        if not joint:
            return (
                "Joint estimate: none; no cell shares enough places with two others, or all have "
                f"fewer than {MIN_READINGS} of them."
            )
        calibration = self.estimate.calibration
        return (
            f"Joint estimate of {joint} of {len(self.estimate.cells)} cells at {len(self.bins):,} "
            f"visited places: error at held-out blocks {calibration.single_rmse_db:.1f} dB from "
            f"one cell alone, {calibration.joint_rmse_db:.1f} dB with the other cells."
        )


def log_evidence(
    run_plan: RunPlan,
    progress: Progress,
    *,
    joint: bool = True,
    reported: bool = True,
    selection: bool = False,
    listener: CellListener | None = None,
) -> LogEvidence | None:
    """Bin the cells of a log together, and estimate the cells of a run at all visited places.

    Parameters
    ----------
    run_plan : RunPlan
        The log, and the cells that are mapped.
    progress : Progress
        Receives a line for each kind of evidence, and may cancel the work.
    joint : bool
        Whether joint estimates are wanted. They need three cells with 30 readings each.
    reported : bool
        Whether probabilities of being reported are wanted. They have no meaning in a log that
        lists the serving cell only: there another cell was serving.
    selection : bool
        Whether levels at places without a report are corrected for how reports depend on the
        level. Like probabilities of being reported, this has no meaning in a log that lists the
        serving cell only.
    listener : CellListener, optional
        Receives how much of the joint estimate is done.

    Returns
    -------
    LogEvidence or None
        None without any evidence, or for a log that is too large.
    """
    grouped, parts = run_plan.measurements.grouped()
    wanted = [cell.cell for cell in run_plan.cells if cell.grid is not None and cell.cell in parts]
    large = [name for name, part in parts.items() if _length(part.rows) >= MIN_READINGS]
    joint = joint and len(large) >= 3 and bool(set(wanted) & set(large))
    knows_visits = len(parts) > 1 or grouped.places is not None
    reported, selection = reported and knows_visits, selection and knows_visits
    if not wanted or not (joint or reported or selection):
        return None
    names = [name for name in parts if name in set(wanted) | set(large)]
    try:
        bins = LogBins.of_parts(grouped, parts, names)
    except InputError as error:
        progress.log(f"The cells are mapped one by one: {error.message}")
        return None
    if reported and grouped.lists_serving_only:
        progress.log("No map of being reported: the log lists only the serving cell.")
        reported = False
    if selection and grouped.lists_serving_only:
        progress.log("No correction for selection: the log lists only the serving cell.")
        selection = False
    estimate = None
    if joint:
        of_run = [name for name in wanted if name in large]
        steps = count_joint_steps(bins, of_run)
        taken = itertools.count()

        def check() -> None:
            progress.check()
            if listener is not None:
                listener.prepared(min(next(taken) / steps, 1.0))

        estimate = estimate_jointly(bins, of_run, check=check)
    evidence = LogEvidence(bins, estimate, reported, selection)
    if estimate is not None:
        progress.log(evidence.describe())
    return evidence if joint or reported or selection else None


def with_reported(
    bands: Iterable[CellRows], grid: Grid, reported: ReportedCell
) -> Iterator[CellRows]:
    """Add the probability that the cell is reported to its maps.

    It is estimated at blocks of some 8 m, which are the same for all cells of a log, and
    interpolated between their centres.

    Parameters
    ----------
    bands : iterable of CellRows
        The maps, band by band from north to south.
    grid : Grid
        Their grid.
    reported : ReportedCell
        The cell, in the CRS of the grid.

    Yields
    ------
    CellRows
        The same bands; NaN where the radio map is.
    """
    spacing_m = grid.spacing_m
    block_px = max(round(_REPORTED_BLOCK_M / spacing_m), 1)
    step_m = block_px * spacing_m
    west, _, _, north = grid.bounds
    # Rows and columns from the origin of the CRS: blocks begin at multiples of their side.
    first_row, first_col = -round(north / spacing_m), round(west / spacing_m)
    corner_m = (
        west - first_col * spacing_m + 0.5 * step_m,
        north + first_row * spacing_m - 0.5 * step_m,
    )
    nodes = reported.weights.nodes(corner_m, step_m)
    first_block = np.array([first_row // block_px, first_col // block_px])
    above, left = first_row % block_px, first_col % block_px

    def at_blocks(row_col: Float64Array) -> Float64Array:
        block = np.floor(row_col / block_px).astype(np.int64)
        return nodes.at(reported.cell, block + first_block)

    for band in bands:
        known = np.isfinite(band.rsrp_dbm)
        rows = slice(band.rows.start + above, band.rows.stop + above)
        wanted = np.pad(known, ((0, 0), (left, 0)))
        smooth = block_field_rows(at_blocks, rows, wanted, grid.shape[0] + above, block_px)
        probability = np.where(known, smooth[:, left:], np.float32(np.nan))
        yield replace(band, reported_probability=probability)


def corrected_rows(
    bands: Iterator[CellRows],
    grid: Grid,
    levels: VisitedLevels,
    folder: OwnFolder,
    check: Callable[[], None] = lambda: None,
) -> Iterator[CellRows]:
    """Correct the map of a cell by its estimates at visited places.

    The map is kept in a file first: the correction needs its values at all visited places.

    Parameters
    ----------
    bands : iterator of CellRows
        The map, band by band from north to south.
    grid : Grid
        Its grid.
    levels : VisitedLevels
        Estimates where the cell was not reported.
    folder : OwnFolder
        Folder for a file of the rows, which is removed at the end.
    check : callable
        Called between bands; raises to stop the work.

    Yields
    ------
    CellRows
        The same bands.

    Raises
    ------
    OutputError
        If the disk is full.
    """
    height, width = grid.shape
    row_col = np.column_stack(grid.to_pixel(*levels.position_m.T)).astype(np.float64)
    pixel = np.floor(row_col).astype(np.int64)
    inside = ((pixel >= 0) & (pixel < [height, width])).all(axis=1)
    row_col, pixel, chosen = row_col[inside], pixel[inside], np.flatnonzero(inside)
    difference_db = np.full(len(pixel), np.nan)
    folder.remove_file(_ROWS)
    scratch = Scratch(folder, _ROWS, grid.shape, len(_LAYERS))
    kept: list[CellRows] = []
    try:
        for band in bands:
            scratch.write_rows(band.rows.start, _stacked(band))
            own = np.flatnonzero((pixel[:, 0] >= band.rows.start) & (pixel[:, 0] < band.rows.stop))
            mapped_dbm = band.rsrp_dbm[pixel[own, 0] - band.rows.start, pixel[own, 1]]
            difference_db[own] = levels.level_dbm[chosen[own]] - mapped_dbm
            kept.append(_without_values(band))
        correction = JointCorrection.fit(
            row_col,
            difference_db,
            levels.std_db[chosen],
            np.column_stack(grid.to_pixel(*levels.readings_m.T)).astype(np.float64),
            height,
            grid.spacing_m,
        )
        for empty in kept:
            check()
            band = _restored(empty, scratch)
            if correction is None:
                yield band
                continue
            rsrp_dbm, std_db = correction.on_rows(band.rows, band.rsrp_dbm, band.std_db)
            yield replace(band, rsrp_dbm=rsrp_dbm, std_db=std_db)
    finally:
        folder.remove_file(_ROWS)


def _stacked(band: CellRows) -> np.ndarray:
    """Stack the layers of a band; those that are missing are NaN."""
    empty = np.full_like(band.rsrp_dbm, np.nan)
    layers = [getattr(band, name) for name in _LAYERS]
    return np.stack([empty if layer is None else layer for layer in layers])


def _without_values(band: CellRows) -> CellRows:
    """Keep which layers a band has, without their values."""
    none = np.empty((0, band.rsrp_dbm.shape[1]), dtype=np.float32)
    present: dict[str, Any] = {n: none for n in _LAYERS if getattr(band, n) is not None}
    return replace(band, **present)


def _restored(empty: CellRows, scratch: Scratch) -> CellRows:
    """Read a band back."""
    layers: dict[str, Any] = {
        name: scratch.read_rows(channel, empty.rows)
        for channel, name in enumerate(_LAYERS)
        if getattr(empty, name) is not None
    }
    return replace(empty, **layers)


def _length(rows: slice) -> int:
    """Count the rows of a slice."""
    return int(rows.stop - rows.start)
