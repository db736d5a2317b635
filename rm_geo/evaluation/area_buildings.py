"""Evaluation of building maps from many cells of one drive."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from rm_geo._types import BoolArray, FloatArray
from rm_geo.buildings.rays import CellSamples
from rm_geo.buildings.threshold import USUAL_THRESHOLD, Calibration, expected_f1_threshold
from rm_geo.datasets.simulated import ANTENNA_COLUMNS, SimulatedScene, SimulatedSet
from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimator, TileBatch
from rm_geo.estimators.ray_buildings import TILE_PX
from rm_geo.evaluation.cases import SPACING_M, Sampling, select_scenes
from rm_geo.evaluation.intervals import ratio_interval
from rm_geo.products.area_buildings import clipped_log_odds
from rm_geo.progress import Progress, SilentProgress
from rm_geo.sites.site import free_space_loss_1m_db
from rm_geo.units import GAIN_FLOOR_DB
from rm_geo.validation.figures import draw_maps
from rm_geo.validation.metrics import BuildingCounts

CELLS: Final = (1, 8, 16)
ROUTES: Final = (Sampling("route", 0.01), Sampling("route", 0.04))
EVERY_PIXEL: Final = "every unmeasured pixel"

_MOST_GROUPS: Final = 4

AreaMethod: TypeAlias = Callable[[Sequence[CellSamples], tuple[int, int], float], FloatArray]
"""Building probability (H, W) from the measurements of some cells, shape and pixel size."""


@dataclass(frozen=True)
class DriveErrors:
    """Errors of measurements and sites.

    Attributes
    ----------
    noise_db : float
        Standard deviation of the levels.
    site_error_m : float
        Standard deviation of each coordinate of a site.
    strongest : int
        Number of the strongest cells that each pixel reports; 0 for all.

    Raises
    ------
    UsageError
        If a value is negative.
    """

    noise_db: float = 0.0
    site_error_m: float = 0.0
    strongest: int = 0

    def __post_init__(self) -> None:
        for name in ("noise_db", "site_error_m", "strongest"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must not be negative, but is {getattr(self, name)}.")


@dataclass(frozen=True)
class AreaBuildingsRow:
    """Row of the table: a method with a sampling and a number of cells.

    Attributes
    ----------
    method, sampling : str
        Names of method and sampling.
    cells, maps : int
        Cells of each map, and number of maps.
    f1, jaccard, recall, precision : float
        Scores of the pixels with a probability of at least 0.5, pooled over all maps.
    f1_low, f1_high : float
        Interval of 90 % of F1, from a bootstrap over the scenes.
    mask_f1, mask_f1_low, mask_f1_high : float
        F1 of the masks that ``rm-geo predict --mask`` makes of these maps, each with the threshold
        of its largest expected F1, and its interval.
    best_f1 : float
        F1 with the best threshold for this row, which is not known in an application.
    best_threshold : float
        That threshold.
    seconds_per_map : float
        Computing time.
    """

    method: str
    sampling: str
    cells: int
    maps: int
    f1: float
    f1_low: float
    f1_high: float
    jaccard: float
    recall: float
    precision: float
    mask_f1: float
    mask_f1_low: float
    mask_f1_high: float
    best_f1: float
    best_threshold: float
    seconds_per_map: float


@dataclass
class _Tally:
    """Counts of one row for all thresholds."""

    maps: int = 0
    seconds: float = 0.0
    counts: dict[float, BuildingCounts] = field(default_factory=dict)
    scenes: dict[int, BuildingCounts] = field(default_factory=dict)
    masks: dict[int, BuildingCounts] = field(default_factory=dict)

    def add(
        self,
        scene: int,
        probability: FloatArray,
        buildings: BoolArray,
        seconds: float,
        calibration: Calibration | None,
    ) -> None:
        """Add a map of a scene."""
        self.maps += 1
        self.seconds += seconds
        known = np.nan_to_num(probability)
        chosen = expected_f1_threshold(known, calibration)
        for counts, threshold in ((self.scenes, USUAL_THRESHOLD), (self.masks, chosen)):
            own = BuildingCounts.of(known, buildings, threshold=threshold)
            counts[scene] = own + counts.get(scene, BuildingCounts())
        for threshold in _THRESHOLDS:
            counted = BuildingCounts.of(known, buildings, threshold=threshold)
            self.counts[threshold] = counted + self.counts.get(threshold, BuildingCounts())


_THRESHOLDS: Final = (*(round(0.04 * step, 2) for step in range(1, 20)), USUAL_THRESHOLD)


class MeanOfCells:
    """Mean of the log-odds of each cell's own building map, as without a network for many cells.

    Parameters
    ----------
    estimator : Estimator
        Method that maps buildings from one cell.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator

    def __call__(
        self, cells: Sequence[CellSamples], shape: tuple[int, int], spacing_m: float
    ) -> FloatArray:
        """Estimate the building probability of a tile, as :data:`AreaMethod`."""
        total = np.zeros(shape)
        for cell in cells:
            level = np.full((1, *shape), np.nan, dtype=np.float32)
            level[0, cell.rows, cell.cols] = cell.level_dbm
            batch = TileBatch(
                level,
                spacing_m,
                np.asarray([cell.site_rc], dtype=np.float32),
                np.asarray([cell.intercept_dbm], dtype=np.float32),
                transmitter_height_m=cell.height_m,
            )
            estimate = self._estimator.estimate(batch)
            if estimate.building_probability is None:
                raise UsageError(f"The method {self._estimator.name} does not map buildings.")
            total += clipped_log_odds(estimate.building_probability[0])
        return np.asarray(1.0 / (1.0 + np.exp(-total / len(cells))), dtype=np.float32)


def every_unmeasured_pixel(
    cells: Sequence[CellSamples], shape: tuple[int, int], spacing_m: float
) -> FloatArray:
    """Take each pixel without a measurement for a building, as :data:`AreaMethod`.

    Parameters
    ----------
    cells : sequence of CellSamples
        Measurements of each cell.
    shape : (int, int)
        Rows and columns.
    spacing_m : float
        Not used.

    Returns
    -------
    ndarray of float32, shape (H, W)
        0 in measured pixels, else 1.
    """
    probability = np.ones(shape, dtype=np.float32)
    for cell in cells:
        probability[cell.rows, cell.cols] = 0.0
    return probability


def evaluate_area_buildings(
    data: SimulatedSet,
    methods: Mapping[str, AreaMethod],
    *,
    samplings: Sequence[Sampling] = ROUTES,
    cells: Sequence[int] = CELLS,
    maps: Sequence[int] | None = None,
    errors: DriveErrors | None = None,
    calibrations: Mapping[str, Calibration] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AreaBuildingsRow]:
    """Evaluate building maps from several cells that are measured in the same pixels.

    Parameters
    ----------
    data : SimulatedSet
        Set with several antennas in each scene.
    methods : mapping of str to AreaMethod
        Methods by name. :data:`EVERY_PIXEL` is added for comparison.
    samplings : sequence of Sampling
        Samplings, the same for all cells of a scene.
    cells : sequence of int
        Numbers of cells. A scene is evaluated with up to 4 groups of so many of its antennas.
    maps : sequence of int, optional
        Numbers of RadioMapSeer maps. Default: all scenes of the set.
    errors : DriveErrors, optional
        Errors of measurements and sites. Default: none.
    calibrations : mapping of str to Calibration, optional
        Calibrations of the probabilities, by method, for the masks.
    seed : int
        Seed of samples and errors, which do not depend on the methods.
    progress : Progress, optional
        Receiver of the progress in scenes.

    Returns
    -------
    list of AreaBuildingsRow
        Ordered by sampling, number of cells, and method.

    Raises
    ------
    UsageError
        If the set has none of the maps, or fewer antennas than cells are wanted.
    """
    progress, errors = progress or SilentProgress(), errors or DriveErrors()
    antennas = data.gains_db.shape[1]
    if not cells or min(cells) < 1 or max(cells) > antennas:
        raise UsageError(
            f"{data.path} has {antennas} antennas in each scene, for 1 to {antennas} cells.",
            hint="Simulate a set with more `transmitters`, or evaluate fewer cells.",
        )
    scenes, stated = select_scenes(data, maps), calibrations or {}
    named = {**methods, EVERY_PIXEL: every_unmeasured_pixel}
    rows = {
        (str(sampling), count, name): _Tally()
        for sampling in samplings
        for count in cells
        for name in named
    }
    progress.start(len(scenes), "scenes", f"{len(named)} methods")
    for index in scenes:
        scene = data.scene(index)
        for sampling in samplings:
            heard = drive_samples(scene, sampling, errors, seed)
            for count in cells:
                for group in range(min(_MOST_GROUPS, antennas // count)):
                    chosen = strongest(heard[group * count : (group + 1) * count], errors.strongest)
                    for name, method in named.items():
                        progress.check()
                        began = time.perf_counter()
                        probability = by_tiles(method, chosen, scene.buildings.shape)
                        spent_s = time.perf_counter() - began
                        rows[str(sampling), count, name].add(
                            index, probability, scene.buildings, spent_s, stated.get(name)
                        )
        progress.advance()
    progress.finish()
    return [_row(*key, tally) for key, tally in rows.items()]


def by_tiles(
    method: AreaMethod, cells: Sequence[CellSamples], shape: tuple[int, int], tile_px: int = TILE_PX
) -> FloatArray:
    """Apply a method to the tiles of a scene, side by side.

    Parameters
    ----------
    method : AreaMethod
        The method.
    cells : sequence of CellSamples
        Measurements of each cell.
    shape : (int, int)
        Rows and columns of the scene.
    tile_px : int
        Largest side of a tile. The method sees the cells that were measured in the tile.

    Returns
    -------
    ndarray of float32, shape (H, W)
        NaN in tiles without measurements.
    """
    whole = np.full(shape, np.nan, dtype=np.float32)
    for top in range(0, shape[0], tile_px):
        for left in range(0, shape[1], tile_px):
            part = whole[top : top + tile_px, left : left + tile_px]
            cut = (_cut(cell, top, left, part.shape) for cell in cells)
            if inside := [cell for cell in cut if len(cell.rows)]:
                part[:] = method(inside, part.shape, SPACING_M)
    return whole


def _cut(cell: CellSamples, top: int, left: int, shape: tuple[int, ...]) -> CellSamples:
    """Cut the measurements of a cell to a window."""
    rows, cols = cell.rows - top, cell.cols - left
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    return replace(
        cell,
        rows=rows[inside],
        cols=cols[inside],
        level_dbm=cell.level_dbm[inside],
        site_rc=(cell.site_rc[0] - top, cell.site_rc[1] - left),
    )


def drive_samples(
    scene: SimulatedScene, sampling: Sampling, errors: DriveErrors, seed: int
) -> list[CellSamples]:
    """Measure all antennas of a scene in the same pixels.

    Parameters
    ----------
    scene : SimulatedScene
        The scene.
    sampling : Sampling
        Sampling of the outdoor pixels.
    errors : DriveErrors
        Errors of levels and sites.
    seed : int
        Seed, with the name of the scene and the sampling.

    Returns
    -------
    list of CellSamples
        One for each antenna, without the pixels that it does not reach. The EIRP is known.
    """
    key = f"{scene.scene_id}/{sampling.kind}/{sampling.fraction:g}"
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    rows, cols = np.nonzero(sampling.draw(rng, ~scene.buildings, scene.orders))
    heard = []
    for gains_db, antenna in zip(scene.gains_db, scene.antennas, strict=True):
        table = dict(zip(ANTENNA_COLUMNS, antenna.tolist(), strict=True))
        level = np.asarray(gains_db[rows, cols], dtype=np.float32)
        level += np.asarray(errors.noise_db * rng.standard_normal(len(rows)), dtype=np.float32)
        shift_px = errors.site_error_m / SPACING_M * rng.standard_normal(2)
        boresight_db = table["max_gain_dbi"] if table["sector"] else 0.0
        reached = gains_db[rows, cols] > GAIN_FLOOR_DB
        heard.append(
            CellSamples(
                rows[reached],
                cols[reached],
                level[reached],
                (table["row"] + 0.5 + shift_px[0], table["col"] + 0.5 + shift_px[1]),
                boresight_db - free_space_loss_1m_db(table["frequency_mhz"]),
                table["height_m"],
            )
        )
    return heard


def strongest(cells: Sequence[CellSamples], count: int) -> list[CellSamples]:
    """Keep the strongest cells of each pixel, as a phone reports them.

    Parameters
    ----------
    cells : sequence of CellSamples
        Measurements of each cell.
    count : int
        Number of cells that a pixel reports; 0 for all.

    Returns
    -------
    list of CellSamples
    """
    if count == 0:
        return list(cells)
    row, col = (
        np.concatenate([getattr(cell, name) for cell in cells]) for name in ("rows", "cols")
    )
    level = np.concatenate([cell.level_dbm for cell in cells])
    owner = np.repeat(np.arange(len(cells)), [len(cell.rows) for cell in cells])
    order = np.lexsort((-level, col, row))
    first = np.r_[True, (np.diff(row[order]) != 0) | (np.diff(col[order]) != 0)]
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    kept = np.zeros(len(order), dtype=np.bool_)
    kept[order] = np.arange(len(order)) - start < count
    return [
        replace(cell, rows=row[mine], cols=col[mine], level_dbm=level[mine])
        for index, cell in enumerate(cells)
        for mine in [kept & (owner == index)]
    ]


def _row(sampling: str, cells: int, method: str, tally: _Tally) -> AreaBuildingsRow:
    """Compute the scores of a row."""
    scores = {threshold: counts.scores() for threshold, counts in tally.counts.items()}
    best = max(scores, key=lambda threshold: scores[threshold].f1)
    usual = scores[USUAL_THRESHOLD]
    low, high = _interval(list(tally.scenes.values()))
    mask_low, mask_high = _interval(list(tally.masks.values()))
    return AreaBuildingsRow(
        method=method,
        sampling=sampling,
        cells=cells,
        maps=tally.maps,
        f1=usual.f1,
        f1_low=low,
        f1_high=high,
        jaccard=usual.jaccard,
        recall=usual.recall,
        precision=usual.precision,
        mask_f1=sum(tally.masks.values(), BuildingCounts()).scores().f1,
        mask_f1_low=mask_low,
        mask_f1_high=mask_high,
        best_f1=scores[best].f1,
        best_threshold=best,
        seconds_per_map=tally.seconds / max(tally.maps, 1),
    )


def _interval(scenes: Sequence[BuildingCounts]) -> tuple[float, float]:
    """Compute the interval of F1."""
    return ratio_interval(
        [2 * c.true_positive for c in scenes],
        [2 * c.true_positive + c.false_positive + c.false_negative for c in scenes],
    )


def draw_area_buildings(
    data: SimulatedSet,
    methods: Mapping[str, AreaMethod],
    path: Path,
    *,
    sampling: Sampling,
    cells: int,
    maps: Sequence[int] | None = None,
    errors: DriveErrors | None = None,
    seed: int = 0,
) -> None:
    """Draw a typical and a bad building map of the first method: of median and of least F1.

    Parameters
    ----------
    data : SimulatedSet
        Set with several antennas in each scene.
    methods : mapping of str to AreaMethod
        Methods by name.
    path : Path
        PNG to write.
    sampling : Sampling
        Sampling of the scenes.
    cells : int
        Number of cells, the first antennas of each scene.
    maps : sequence of int, optional
        Numbers of RadioMapSeer maps. Default: all scenes of the set.
    errors : DriveErrors, optional
        Errors of measurements and sites. Default: none.
    seed : int
        Seed of samples and errors.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    errors = errors or DriveErrors()
    first = next(iter(methods.values()))

    def heard(index: int) -> list[CellSamples]:
        samples = drive_samples(data.scene(index), sampling, errors, seed)
        return strongest(samples[:cells], errors.strongest)

    def score(index: int) -> float:
        buildings = data.scene(index).buildings
        found = np.nan_to_num(by_tiles(first, heard(index), buildings.shape))
        return BuildingCounts.of(found, buildings).scores().f1

    ranked = sorted((score(index), index) for index in select_scenes(data, maps))
    panels: dict[str, FloatArray] = {}
    for title, (f1, index) in (("typical", ranked[len(ranked) // 2]), ("bad", ranked[0])):
        scene = data.scene(index)
        drive = 1.0 - every_unmeasured_pixel(heard(index), scene.buildings.shape, SPACING_M)
        panels[f"{title}, {scene.scene_id}: drive"] = np.asarray(drive, dtype=np.float32)
        panels[f"{title}: buildings"] = scene.buildings.astype(np.float32)
        for name, method in methods.items():
            found = by_tiles(method, heard(index), scene.buildings.shape)
            panels[f"{title}: {name}" + (f", F1 {f1:.2f}" if method is first else "")] = found
    draw_maps(path, panels, title=f"{cells} cells, {sampling}: building probability")
