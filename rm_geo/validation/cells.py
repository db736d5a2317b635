"""Hold-out validation of methods on measurements, cell by cell.

:func:`validate` is what ``rm-geo evaluate drive-test`` runs.
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
        Name of the cell, or ``all``: the measurements of all cells together.
    """

    cell: str = ""


def pipeline_predictor(options: PredictOptions) -> Predictor:
    """Evaluate all steps of a prediction: site, tiles, blending, correction and reach.

    Parameters
    ----------
    options : PredictOptions
        As for :func:`rm_geo.pipeline.predict.predict`; the resolution is that of the hold-out.

    Returns
    -------
    callable
        See :data:`rm_geo.validation.holdout.Predictor`. NaN beyond the reach.
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
    """Measure the error of methods on measurements that are held out by spatial blocks.

    Parameters
    ----------
    measurements : path-like or Measurements
        A file, or measurements already read.
    methods : sequence of str
        Names of methods that are fitted to all measurements of a fold at once, such as
        ``idw``; ``pipeline:NAME`` runs all steps of :func:`rm_geo.predict` with a method, and
        ``pipeline:NAME+buildings`` with known buildings.
    folds : int
        Each measurement is predicted once, from those of the other folds.
    block_m : float
        Side in metres of the square blocks that go to a fold as a whole.
    split : {"blocks", "random"}
        Whole blocks, or single measurements: the errors are too small then, since
        neighbours along a route are nearly equal.
    spacing_m : float
        Side of a pixel in metres: measurements are averaged over pixels.
    seed : int
        Seed of the origin of the blocks, or of the random split.
    cells : sequence of str
        Only these cells; all if empty.
    rsrp_column, cell_column : str, optional
        Columns of a file; found by their usual names if not given.
    model : str or Path, optional
        Trained model of the pipelines' network.
    buildings : path-like, optional
        Building footprints, for methods ``+buildings``.
    buildings_layer : str, optional
        Their layer.
    progress : Progress, optional
        Told of every cell; counts fits.

    Returns
    -------
    list of CellScore
        A row of each method in each cell, in dB; last the cells together as ``all``. Cells
        with too few blocks are left out.

    Raises
    ------
    UsageError
        If there is no such method, or an option cannot be meant.
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
            "None of these methods reads the buildings.",
            hint=f"Write pipeline:radiocycle{WITH_BUILDINGS}.",
        )
    if model is not None and not any(name.startswith(PIPELINE_PREFIX) for name in methods):
        raise UsageError("None of these methods uses the model.", hint="Write pipeline:radiocycle.")
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
    """Run :func:`~rm_geo.validation.holdout.holdout` on each cell, and pool the cells.

    Parameters
    ----------
    cells : mapping of str to Measurements
        Measurements by cell.
    predictors, folds, block_m, split, spacing_m, seed, progress
        As for :func:`~rm_geo.validation.holdout.holdout`.

    Returns
    -------
    list of CellScore
        By cell, then by method; last the cells together as ``all``, where squared and absolute
        errors are averaged over measurements, not over cells. Cells with too few blocks are
        left out.

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
    model: str | Path | None = None,
    buildings: Path | None = None,
    buildings_layer: str | None = None,
) -> Predictor:
    """Make the predictor of a name that :func:`validate` takes.

    Parameters
    ----------
    name : str
        A method, ``pipeline:NAME`` or ``pipeline:NAME+buildings``.
    model : str or Path, optional
        Trained model of a pipeline's network.
    buildings : Path, optional
        Building footprints.
    buildings_layer : str, optional
        Their layer.

    Returns
    -------
    callable
        See :data:`rm_geo.validation.holdout.Predictor`.

    Raises
    ------
    UsageError
        If there is no such method, it does not read buildings, or none are given.
    """
    from rm_geo.estimators.registry import get_method, require_accepts_buildings

    if not name.startswith(PIPELINE_PREFIX):
        return estimator_predictor(get_method(name))
    method = name.removeprefix(PIPELINE_PREFIX)
    options = PredictOptions(method=method.removesuffix(WITH_BUILDINGS), model=model)
    if method.endswith(WITH_BUILDINGS):
        if buildings is None:
            raise UsageError(f"{name} needs the buildings.", hint="Give them with `buildings`.")
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
        Those to select.
    source : Path, optional
        File of the measurements, for the message.

    Returns
    -------
    dict of str to Measurements
        In the order of the names.

    Raises
    ------
    InputError
        If there is no such cell; the message lists those that there are.
    """
    missing = [name for name in names if name not in by_cell]
    if missing:
        raise InputError(
            f"{source or 'The drive test'} has no cell {', '.join(missing)}.",
            hint=f"It has {', '.join(by_cell)}.",
        )
    return {name: by_cell[name] for name in names}
