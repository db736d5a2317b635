"""Hold-out validation of methods on measurements, cell by cell.

The command ``rm-geo evaluate drive-test`` runs :func:`validate`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rm_geo._types import Float64Array, FloatArray
from rm_geo.errors import InputError, TooSmallError, UsageError
from rm_geo.grid import Grid
from rm_geo.measurements.model import Measurements
from rm_geo.measurements.reader import read_measurements
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress, SilentProgress
from rm_geo.validation.holdout import (
    HoldoutScore,
    Predictor,
    Split,
    estimator_predictor,
    holdout,
)
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.pipeline_estimator import PIPELINE_PREFIX


@dataclass(frozen=True)
class CellScore(HoldoutScore):
    """A row of the table: one method in one cell.

    Attributes
    ----------
    cell : str
        Name of the cell; ``all`` for the measurements of all cells together.
    """

    cell: str = ""


def pipeline_predictor(options: PredictOptions) -> Predictor:
    """Make a predictor of the whole pipeline: site, tiles, blending, correction and reach.

    Parameters
    ----------
    options : PredictOptions
        As for :func:`rm_geo.pipeline.predict.predict`. Resolution and CRS are replaced by those of
        the hold-out.

    Returns
    -------
    callable
        See :data:`rm_geo.validation.holdout.Predictor`. It returns NaN out of reach.
    """
    from rm_geo.pipeline.predict import predict

    def predictor(
        seen: Measurements, grid: Grid, row: Float64Array, col: Float64Array
    ) -> FloatArray:
        chosen = options.replace(resolution_m=grid.spacing_m, target_crs=grid.crs, cells=())
        return predict(seen, None, chosen)[0].sample(*grid.to_world(row, col))

    return predictor


def validate(
    measurements: str | os.PathLike[str] | Measurements,
    methods: Sequence[str] = ("knn", "idw", "linear"),
    *,
    folds: int = 5,
    block_m: float = 50.0,
    split: Split = "blocks",
    spacing_m: float = 1.0,
    seed: int = 0,
    cells: Sequence[str] = (),
    rsrp_column: str | None = None,
    cell_column: str | None = None,
    model: str | Path | None = None,
    buildings: str | os.PathLike[str] | None = None,
    buildings_layer: str | None = None,
    progress: Progress | None = None,
) -> list[CellScore]:
    """Measure the error of methods at held-out measurements, by spatial cross-validation.

    Parameters
    ----------
    measurements : path-like or Measurements
        A file of measurements, or measurements in memory.
    methods : sequence of str
        Names of methods. ``NAME`` is fitted to all measurements of a fold at once, such as
        ``idw``; ``pipeline:NAME`` runs all steps of :func:`rm_geo.predict` with a method, and
        ``pipeline:NAME+buildings`` with known buildings.
    folds : int
        Number of folds. Each measurement is predicted once, from those of the other folds.
    block_m : float
        Side in metres of the square blocks that are assigned to folds as a whole.
    split : {"blocks", "random"}
        Assign whole blocks or single measurements to folds. ``random`` underestimates errors,
        because neighbours along a route are nearly equal.
    spacing_m : float
        Side of a pixel in metres. Measurements in the same pixel are averaged.
    seed : int
        Seed of the origin of the blocks, or of the random split.
    cells : sequence of str
        Names of the cells to evaluate (default: all).
    rsrp_column, cell_column : str, optional
        Columns of a file (default: detected by their names).
    model : str or Path, optional
        Trained model of the network in ``pipeline:`` methods.
    buildings : path-like, optional
        File of building footprints, for methods with ``+buildings``.
    buildings_layer : str, optional
        Layer of that file.
    progress : Progress, optional
        Receives a message per cell, and counts fits.

    Returns
    -------
    list of CellScore
        One row per cell and method, with errors in dB, then one row per method for all cells
        together (``all``). Cells with too few blocks are left out.

    Raises
    ------
    UsageError
        If a method does not exist, or an option does not apply to the methods.
    InputError
        If the measurements cannot be read, or no cell has enough blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from pyproj import CRS
    >>> from rm_geo import Measurements, validate
    >>> x = 500_000 + np.arange(0.0, 400.0, 4.0)
    >>> drive = Measurements(
    ...     x=x,
    ...     y=np.full(100, 5_000_000.0),
    ...     rsrp_dbm=(-80 - 0.02 * (x - 500_000)).astype("float32"),
    ...     cell=np.full(100, "7"),
    ...     crs=CRS.from_epsg(32633),
    ... )
    >>> for row in validate(drive, ["nearest", "linear"])[-2:]:
    ...     print(row.cell, row.method, row.points, row.rmse_db < 1.0)
    all nearest 100 True
    all linear 100 True

    Notes
    -----
    Leave-block-out cross-validation: D. R. Roberts et al., "Cross-validation strategies for data
    with temporal, spatial, hierarchical, or phylogenetic structure", Ecography 40 (2017).
    """
    if isinstance(methods, str) or not methods:
        raise UsageError("Name at least one method, in a list.")
    if buildings is not None and not any(WITH_BUILDINGS in name for name in methods):
        raise UsageError(
            "None of these methods reads buildings.",
            hint=f"Write pipeline:radiocycle{WITH_BUILDINGS}.",
        )
    if model is not None and not any(name.startswith(PIPELINE_PREFIX) for name in methods):
        raise UsageError("None of these methods uses a model.", hint="Write pipeline:radiocycle.")
    predictors = {
        name: named_predictor(
            name, model, None if buildings is None else Path(buildings), buildings_layer
        )
        for name in methods
    }
    if not isinstance(measurements, Measurements):
        measurements, _ = read_measurements(
            measurements, rsrp_column=rsrp_column, cell_column=cell_column
        )
    by_cell = measurements.by_cell()
    if cells:
        by_cell = chosen_cells(by_cell, cells, measurements.source)
    return holdout_cells(
        by_cell,
        predictors,
        folds=folds,
        block_m=block_m,
        split=split,
        spacing_m=spacing_m,
        seed=seed,
        progress=progress,
    )


def holdout_cells(
    cells: Mapping[str, Measurements],
    predictors: Mapping[str, Predictor],
    *,
    folds: int = 5,
    block_m: float = 50.0,
    split: Split = "blocks",
    spacing_m: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[CellScore]:
    """Run :func:`~rm_geo.validation.holdout.holdout` on each cell, and pool the scores.

    Parameters
    ----------
    cells : mapping of str to Measurements
        Measurements by cell.
    predictors, folds, block_m, split, spacing_m, seed, progress
        As for :func:`~rm_geo.validation.holdout.holdout`.

    Returns
    -------
    list of CellScore
        One row per cell and method, then one row per method for all cells together (``all``),
        in which squared and absolute errors are averaged over measurements, not over cells.
        Cells with too few blocks are left out.

    Raises
    ------
    InputError
        If no cell has enough blocks.
    """
    listener = SilentProgress() if progress is None else progress
    scores: dict[str, list[HoldoutScore]] = {}
    too_few: list[TooSmallError] = []
    for cell, measurements in cells.items():
        listener.log(f"Cell {cell}: {len(measurements)} measurements")
        try:
            scores[cell] = holdout(
                measurements,
                predictors,
                folds=folds,
                block_m=block_m,
                split=split,
                spacing_m=spacing_m,
                seed=seed,
                progress=listener,
            )
        except TooSmallError as error:
            listener.log(f"Cell {cell} is left out: {error.message}")
            too_few.append(error)
    if not scores and too_few:
        raise too_few[0]
    rows = [
        CellScore(**asdict(score), cell=cell)
        for cell, of_cell in scores.items()
        for score in of_cell
    ]
    together = [_together([row for row in rows if row.method == name]) for name in predictors]
    return rows + together


def _together(rows: Sequence[CellScore]) -> CellScore:
    """Pool the scores of one method over cells, weighted by the number of measurements."""
    scored = [row for row in rows if row.points]
    points = sum(row.points for row in scored)

    def mean(values: Sequence[float]) -> float:
        if not points:
            return float("nan")
        weights = [row.points for row in scored]
        return float(np.average(values, weights=weights))

    return CellScore(
        method=rows[0].method,
        points=points,
        missing=sum(row.missing for row in rows),
        rmse_db=float(np.sqrt(mean([row.rmse_db**2 for row in scored]))),
        mae_db=mean([row.mae_db for row in scored]),
        bias_db=mean([row.bias_db for row in scored]),
        worst_fold_rmse_db=max((row.worst_fold_rmse_db for row in scored), default=float("nan")),
        cell="all",
    )


def named_predictor(
    name: str,
    model: str | Path | None = None,
    buildings: Path | None = None,
    buildings_layer: str | None = None,
) -> Predictor:
    """Make the predictor of a method name of :func:`validate`.

    Parameters
    ----------
    name : str
        ``NAME``, ``pipeline:NAME`` or ``pipeline:NAME+buildings``.
    model : str or Path, optional
        Trained model of the network in a ``pipeline:`` method.
    buildings : Path, optional
        File of building footprints.
    buildings_layer : str, optional
        Layer of that file.

    Returns
    -------
    callable
        See :data:`rm_geo.validation.holdout.Predictor`.

    Raises
    ------
    UsageError
        If the method does not exist or does not read buildings, or ``buildings`` is missing.
    """
    from rm_geo.estimators.registry import get_method, require_accepts_buildings

    if not name.startswith(PIPELINE_PREFIX):
        return estimator_predictor(get_method(name))
    method = name.removeprefix(PIPELINE_PREFIX)
    options = PredictOptions(method=method.removesuffix(WITH_BUILDINGS), model=model)
    if method.endswith(WITH_BUILDINGS):
        if buildings is None:
            raise UsageError(f"{name} needs buildings.", hint="Pass them with `buildings`.")
        require_accepts_buildings(options.method.name)
        options = options.replace(buildings=buildings, buildings_layer=buildings_layer)
    return pipeline_predictor(options)


def chosen_cells(
    by_cell: Mapping[str, Measurements], names: Sequence[str], source: Path | None
) -> dict[str, Measurements]:
    """Select cells by name.

    Parameters
    ----------
    by_cell : mapping of str to Measurements
        All cells.
    names : sequence of str
        Names of the cells to select.
    source : Path, optional
        File of the measurements, for the message.

    Returns
    -------
    dict of str to Measurements
        The selected cells, in the order of the names.

    Raises
    ------
    InputError
        If a cell does not exist; the hint lists the existing cells.
    """
    missing = [name for name in names if name not in by_cell]
    if missing:
        raise InputError(
            f"{source or 'The drive test'} has no cell {', '.join(missing)}.",
            hint=f"It has {', '.join(by_cell)}.",
        )
    return {name: by_cell[name] for name in names}
