"""The cells of a log together: estimates at visited places, and the correction of maps by them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from rm_geo.errors import InputError
from rm_geo.geostat.coregionalization import MIN_READINGS, JointEstimate, estimate_jointly
from rm_geo.geostat.joint_correction import JointCorrection, VisitedLevels
from rm_geo.grid import Grid
from rm_geo.pipeline.plan import RunPlan
from rm_geo.products.rows import CellRows
from rm_geo.progress import Progress
from rm_geo.raster.log_bins import LogBins
from rm_geo.raster.scratch import Scratch

_DIGEST_STEP_DB: Final = 1.0 / 64.0
_LAYERS: Final = ("measured_dbm", "rsrp_dbm", "building_probability", "std_db")


@dataclass(frozen=True)
class JointLevels:
    """Estimates of all cells of a run at the visited places.

    Attributes
    ----------
    bins : LogBins
        All cells of the log.
    estimate : JointEstimate
        The cells of the run.
    """

    bins: LogBins
    estimate: JointEstimate

    def of_cell(self, cell: str) -> VisitedLevels | None:
        """Select the estimates where a cell was not reported.

        Parameters
        ----------
        cell : str
            Name of the cell, as in file names.

        Returns
        -------
        VisitedLevels or None
            None if there is no joint estimate of this cell.
        """
        if cell not in self.estimate.cells:
            return None
        place = self.estimate.cells.index(cell)
        reported = self.bins.reported[:, self.bins.cells.index(cell)]
        level_dbm = self.estimate.level_dbm[:, place].astype(np.float64)
        weight = self.estimate.calibration.weight_of(cell)
        at = np.flatnonzero(np.isfinite(level_dbm) & ~reported)
        if not at.size or weight == 0.0:
            return None
        return VisitedLevels(
            self.bins.position_m[at],
            level_dbm[at],
            self.estimate.std_db[at, place].astype(np.float64),
            self.bins.position_m[reported],
            self.estimate.others[place],
            weight,
        )

    def describe(self) -> str:
        """Summarise the evidence in one line for the log."""
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


def estimate_run(run_plan: RunPlan, progress: Progress) -> JointLevels | None:
    """Estimate the cells of a run at all visited places of its log.

    Parameters
    ----------
    run_plan : RunPlan
        The log, and the cells that are mapped.
    progress : Progress
        Receives one line, and may cancel the work.

    Returns
    -------
    JointLevels or None
        None for a log of fewer than three cells, or one that is too large.
    """
    grouped, parts = run_plan.measurements.grouped()
    wanted = [cell.cell for cell in run_plan.cells if cell.grid is not None and cell.cell in parts]
    large = [name for name, part in parts.items() if _length(part.rows) >= MIN_READINGS]
    if len(large) < 3 or not set(wanted) & set(large):
        return None
    try:
        bins = LogBins.of_parts(grouped, parts, large)
    except InputError as error:
        progress.log(f"No joint estimate: {error.message}")
        return None
    estimate = estimate_jointly(
        bins, [name for name in wanted if name in large], check=progress.check
    )
    levels = JointLevels(bins, estimate)
    progress.log(levels.describe())
    return levels


def digest(levels: VisitedLevels | None) -> str:
    """Checksum of estimates for the key of a run; empty without any."""
    if levels is None:
        return ""
    rounded = np.round(np.column_stack([levels.level_dbm, levels.std_db]) / _DIGEST_STEP_DB)
    content = np.ascontiguousarray(rounded.astype(np.int64))
    return hashlib.sha256(content.tobytes() + levels.position_m.tobytes()).hexdigest()


def tags_of(levels: VisitedLevels | None) -> dict[str, str]:
    """Provenance tags of the joint estimate of a cell."""
    if levels is None:
        return {}
    return {
        "joint_cells": str(levels.others),
        "joint_places": str(len(levels)),
        "joint_weight": f"{levels.weight:.3f}",
    }


def corrected_rows(
    bands: Iterator[CellRows],
    grid: Grid,
    levels: VisitedLevels,
    path: Path,
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
    path : Path
        File for the rows, removed at the end.
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
    scratch = Scratch(path, grid.shape, len(_LAYERS))
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
            grid.shape,
            grid.spacing_m,
        )
        for empty in kept:
            check()
            band = _restored(empty, scratch)
            if correction is None:
                yield band
                continue
            known = np.isfinite(band.rsrp_dbm)
            shift_db = correction.on_rows(band.rows, known)
            yield replace(band, rsrp_dbm=np.where(known, band.rsrp_dbm + shift_db, band.rsrp_dbm))
    finally:
        path.unlink(missing_ok=True)


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
