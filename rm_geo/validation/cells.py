"""Hold-out on measurements, cell by cell: estimators alone, or the whole pipeline.

``rm-geo evaluate drive-test FILE --methods knn,idw -o DIR`` runs it, and so does
``python -m rm_geo.validation.cells`` with the same options.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.errors import InputError, UsageError
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.validation.holdout import HoldoutScore, Predictor, Split, holdout, whole_area_predictor
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.pipeline_estimator import PIPELINE_PREFIX


@dataclass(frozen=True)
class CellScore(HoldoutScore):
    """A line of the table: one method in one cell.

    Attributes
    ----------
    cell : str
        Name of the cell, or ``all``: the measurements of all judged cells together.
    """

    cell: str = ""


def pipeline_predictor(options: PredictOptions) -> Predictor:
    """Judge the full pipeline: site, tiles, blending, assimilation and reach.

    Parameters
    ----------
    options : PredictOptions
        As for :func:`rm_geo.pipeline.predict.predict`; the resolution is that of the hold-out.
    """
    from rm_geo.io.raster_reader import read_raster
    from rm_geo.pipeline.predict import predict

    def predictor(seen: Measurements, grid: Grid) -> FloatArray:
        chosen = options.replace(
            resolution_m=grid.spacing_m, target_crs=grid.crs, preview=False, cells=()
        )
        with tempfile.TemporaryDirectory(prefix="rm_geo_") as folder:
            result = predict(seen, folder, chosen)[0]
            raster = read_raster(Path(folder) / f"{result.cell}_rsrp.tif")
        return align(raster.values, raster.grid, grid)

    return predictor


def align(values: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Move a map to another grid of the same pixels; NaN where it does not reach.

    Raises
    ------
    ValueError
        If the pixels of the grids do not coincide.
    """
    west, _, _, north = source.bounds
    corner = np.array(target.to_pixel(west, north))
    row, col = (int(place) for place in np.round(corner))
    if source.spacing_m != target.spacing_m or np.abs(corner - (row, col)).max() > 1e-6:
        raise ValueError("the pixels of the two grids do not coincide")
    aligned = np.full(target.shape, np.nan, dtype=np.float32)
    rows = _common(row, values.shape[0], target.shape[0])
    cols = _common(col, values.shape[1], target.shape[1])
    aligned[rows, cols] = values[
        rows.start - row : rows.stop - row, cols.start - col : cols.stop - col
    ]
    return aligned


def _common(start: int, length: int, limit: int) -> slice:
    """Part of ``start .. start + length`` within ``0 .. limit``; empty at its own start."""
    first = max(start, 0)
    last = min(start + length, limit)
    return slice(first, last) if last > first else slice(start, start)


def holdout_cells(
    cells: dict[str, Measurements],
    predictors: dict[str, Predictor],
    *,
    folds: int = 5,
    block_m: float = 50.0,
    split: Split = "blocks",
    spacing_m: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[CellScore]:
    """Run :func:`~rm_geo.validation.holdout.holdout` on each cell, and sum up over the cells.

    Returns
    -------
    list of CellScore
        By cell, then by method; last the cells together as ``all``, where squares and sizes
        of errors are averaged over measurements, not over cells.
    """
    scores: dict[str, list[HoldoutScore]] = {}
    for cell, measurements in cells.items():
        (progress or SilentProgress()).log(f"Cell {cell}: {len(measurements)} measurements")
        scores[cell] = holdout(
            measurements,
            predictors,
            folds=folds,
            block_m=block_m,
            split=split,
            spacing_m=spacing_m,
            seed=seed,
            progress=progress,
        )
    rows = [
        CellScore(**asdict(score), cell=cell)
        for cell, of_cell in scores.items()
        for score in of_cell
    ]
    together = [_together([row for row in rows if row.method == name]) for name in predictors]
    return rows + together


def _together(rows: Sequence[CellScore]) -> CellScore:
    """Pool the scores of one method over cells, each measurement counting once."""
    judged = [row for row in rows if row.points]
    points = sum(row.points for row in judged)

    def mean(values: Sequence[float]) -> float:
        if not points:
            return float("nan")
        weights = [row.points for row in judged]
        return float(np.average(values, weights=weights))

    return CellScore(
        method=rows[0].method,
        points=points,
        missing=sum(row.missing for row in rows),
        rmse_db=float(np.sqrt(mean([row.rmse_db**2 for row in judged]))),
        mae_db=mean([row.mae_db for row in judged]),
        bias_db=mean([row.bias_db for row in judged]),
        worst_fold_rmse_db=max((row.worst_fold_rmse_db for row in judged), default=float("nan")),
        cell="all",
    )


def named_predictor(
    name: str,
    model: str | None,
    buildings: Path | None = None,
    buildings_layer: str | None = None,
) -> Predictor:
    """Make the full road, told the buildings or not, or an estimator on the whole area.

    Raises
    ------
    UsageError
        If a method is to be told the buildings that does not read them, or none are given.
    """
    from rm_geo.estimators.registry import get_method, require_accepts_buildings

    if not name.startswith(PIPELINE_PREFIX):
        return whole_area_predictor(get_method(name))
    method = name.removeprefix(PIPELINE_PREFIX)
    options = PredictOptions(method=method.removesuffix(WITH_BUILDINGS), model=model)
    if method.endswith(WITH_BUILDINGS):
        if buildings is None:
            raise UsageError(f"{name} is told the buildings.", hint="Give them with `buildings`.")
        require_accepts_buildings(options.method.name)
        options = options.replace(buildings=buildings, buildings_layer=buildings_layer)
    return pipeline_predictor(options)


def chosen_cells(
    by_cell: dict[str, Measurements], names: Sequence[str], source: Path
) -> dict[str, Measurements]:
    """Take the named cells, or say which there are."""
    missing = [name for name in names if name not in by_cell]
    if missing:
        raise InputError(
            f"{source} has no cell {', '.join(missing)}.", hint=f"It has {', '.join(by_cell)}."
        )
    return {name: by_cell[name] for name in names}
