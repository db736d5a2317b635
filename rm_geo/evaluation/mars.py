"""Evaluation of the MARS paper: tables 1 and 2 with published scores, and example maps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import FloatArray
from rm_geo._util.atomic import output_folder, replacing
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.datasets.splits import MARS_SETTING_I, MARS_SETTING_II, Split
from rm_geo.errors import DependencyError, UsageError
from rm_geo.estimators.base import Estimator, TileBatch
from rm_geo.estimators.super_resolution import SuperResolutionEstimator
from rm_geo.evaluation import published
from rm_geo.evaluation.benchmark_methods import BenchmarkMethod, MethodSet
from rm_geo.evaluation.cases import GridCases, buildings_from_gains, grid_cases, select_scenes
from rm_geo.evaluation.examples import typical_and_bad
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import GAIN_SPAN_DB, gain_to_unit
from rm_geo.validation.figures import draw_maps
from rm_geo.validation.image_quality import ImageQuality
from rm_geo.validation.metrics import ErrorSums
from rm_geo.validation.tables import markdown_table, write_csv

SETTINGS: Final[dict[int, Split]] = {1: MARS_SETTING_I, 2: MARS_SETTING_II}

WHOLE_SET: Final = 0
"""Value instead of a setting for all scenes of a set, including those of the training."""

_TITLES: Final = {
    WHOLE_SET: "all scenes of a set, which may include training data",
    1: "unseen transmitters in known scenes",
    2: "unseen scenes",
}

_BY_DISTANCE: Final = ("cost231-hata", "spm")
"""Methods that have only outdoor samples as input: 0 in buildings would be a weak signal."""

_SCALES: Final = (
    "MSE, PSNR (data range 1) and SSIM are on RadioMapSeer's noise-floor scale (one unit is "
    "79.3 dB), over all pixels with 0 in buildings; RMSE is the root of that MSE in dB. According "
    "to its RMSE and PSNR, the unit of the paper is about 100 dB, the published grey scale, where "
    "a missed building pixel has an error up to 20 dB larger. PSNR and SSIM are means over maps "
    "(torchmetrics). Columns `published_` have the scores of the paper."
)


def mars_methods(scale: int, setting: int = 2) -> tuple[BenchmarkMethod, ...]:
    """Return the methods of the tables at a scale.

    Setting 1 has separate models, whose keys end in ``-i``: those of setting 2 are trained on the
    test transmitters of setting 1. Its scenes are known, so the last methods have the walls as an
    input, which the networks of the paper do not.

    Parameters
    ----------
    scale : int
        Upscaling factor.
    setting : {1, 2, 0}
        Setting of the paper, or :data:`WHOLE_SET`.

    Returns
    -------
    tuple of BenchmarkMethod
    """
    own = "-i" if setting == 1 else ""
    known = (
        BenchmarkMethod("bilinear, walls known", "linear", known_buildings=True),
        BenchmarkMethod("MARS, walls known", "mars", f"mars-{scale}-buildings"),
        BenchmarkMethod(
            "MARS, walls known (8 turns)", "mars", f"mars-{scale}-buildings", {"symmetries": 8}
        ),
    )
    return (
        BenchmarkMethod("bilinear", "linear"),
        BenchmarkMethod("RBF", "rbf"),
        BenchmarkMethod("COST-231 Hata", "cost231-hata"),
        BenchmarkMethod("SRResNet", "srresnet", f"srresnet-{scale}{own}"),
        BenchmarkMethod("Supreme", "supreme", f"supreme-{scale}{own}"),
        BenchmarkMethod("MARS", "mars", f"mars-{scale}-paper{own}"),
        BenchmarkMethod("MARS of rm_geo", "mars", f"mars-{scale}{own}"),
        BenchmarkMethod(
            "MARS of rm_geo (8 turns)", "mars", f"mars-{scale}{own}", {"symmetries": 8}
        ),
        *(known if setting == 1 else ()),
    )


@dataclass(frozen=True)
class MarsRow:
    """Row of the tables, with NaN for scores that are not available."""

    method: str
    setting: str
    scale: int
    parameters: int | None
    maps: int
    mse: float
    rmse_db: float
    psnr_db: float
    ssim: float
    outdoor_db: float
    published_rmse_db: float
    published_psnr_db: float
    published_ssim: float
    seconds_per_map: float
    note: str


@dataclass(frozen=True)
class _Sums:
    """Sums of the errors of one method."""

    maps: int = 0
    seconds: float = 0.0
    whole: ErrorSums = field(default_factory=ErrorSums)
    outdoor: ErrorSums = field(default_factory=ErrorSums)
    quality: ImageQuality = field(default_factory=ImageQuality)

    def add(self, cases: GridCases, map_unit: FloatArray, seconds: float) -> _Sums:
        """Add the maps of a scene."""
        quality = self.quality
        # Without torchmetrics, as on a training machine, only the errors are computed.
        with suppress(DependencyError):
            for ours, truth in zip(map_unit, cases.truth_unit, strict=True):
                quality = quality + ImageQuality.of(ours, truth)
        return replace(
            self,
            maps=self.maps + len(cases.batch),
            seconds=self.seconds + seconds,
            whole=self.whole + ErrorSums.of(map_unit, cases.truth_unit),
            outdoor=self.outdoor + ErrorSums.of(map_unit, cases.truth_unit, ~cases.indoor),
            quality=quality,
        )


def setting_pairs(
    data: SimulatedSet, setting: int, maps: Sequence[int] | None, transmitters: int | None
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the test scenes and antennas of a setting.

    Parameters
    ----------
    data : SimulatedSet
        The set.
    setting : {1, 2, 0}
        Setting of the paper, or :data:`WHOLE_SET`.
    maps : sequence of int, optional
        Subset of the test maps.
    transmitters : int, optional
        Largest number of transmitters of each map.

    Yields
    ------
    (int, ndarray of int64)
        Index of a scene, and indices of its antennas.

    Raises
    ------
    UsageError
        If the set has none.
    """
    if setting == WHOLE_SET:
        yield from _all_pairs(data, maps, transmitters)
        return
    split = SETTINGS[setting]
    wanted = set(split.test_maps if maps is None else maps) & set(split.test_maps)
    numbers = data.antenna_column("transmitter")
    found = False
    for index, of_scene in enumerate(data.manifest["map_ids"]):
        if not wanted & set(of_scene):
            continue
        chosen = np.flatnonzero(np.isin(numbers[index], split.test_transmitters))[:transmitters]
        if chosen.size:
            found = True
            yield index, chosen
    if not found:
        raise UsageError(
            f"{data.path} has no test map and transmitter of setting {setting}.",
            hint=f"It needs maps {min(split.test_maps)}-{max(split.test_maps)}, transmitters "
            f"{min(split.test_transmitters)}-{max(split.test_transmitters)}.",
        )


def _all_pairs(
    data: SimulatedSet, maps: Sequence[int] | None, transmitters: int | None
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield all scenes, or those of some maps, and their first antennas."""
    for index in select_scenes(data, maps):
        yield index, np.arange(data.gains_db.shape[1])[:transmitters]


def score_mars(
    data: SimulatedSet,
    method_sets: Mapping[int, MethodSet],
    *,
    setting: int = 2,
    maps: Sequence[int] | None = None,
    transmitters: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[MarsRow], dict[int, dict[str, FloatArray]]]:
    """Evaluate super-resolution in one of the settings of the paper.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper`` or ``radiomapseer`` with the test maps of the setting: 1-250
        and transmitters 70-79 in setting 1, 601-700 in setting 2.
    method_sets : mapping of int to MethodSet
        Methods at each scale, see :func:`mars_methods`.
    setting : {1, 2, 0}
        Unseen transmitters in known scenes, or unseen scenes; or :data:`WHOLE_SET`.
    maps : sequence of int, optional
        Subset of the test maps of the setting.
    transmitters : int, optional
        Largest number of transmitters of each map.
    progress : Progress, optional
        Receiver of the progress in scenes.

    Returns
    -------
    rows : list of MarsRow
        Rows of the table. PSNR and SSIM are NaN without torchmetrics.
    examples : dict of int to dict of str to ndarray
        Samples, truth and estimates by name at each scale, of a typical and of a bad map: of
        median and of largest RMSE of the last method.

    Raises
    ------
    UsageError
        If there is no method, or the set has no test data.
    """
    progress = progress or SilentProgress()
    if not any(method_set.estimators for method_set in method_sets.values()):
        raise UsageError(
            "There is no method to evaluate.", hint="Set models with `model` KEY=FILE."
        )
    for scale, method_set in method_sets.items():
        _require_scale(method_set, scale)
    pairs = list(setting_pairs(data, setting, maps, transmitters))
    sums = {
        (scale, label): _Sums()
        for scale, method_set in method_sets.items()
        for label in method_set.estimators
    }
    ranked: dict[int, list[tuple[float, int]]] = {scale: [] for scale in method_sets}
    progress.start(len(pairs), "scenes", f"MARS{_heading(setting)}")
    numbers = data.antenna_column("transmitter")
    training = SETTINGS[setting].train_transmitters if setting == 1 else ()

    def cases_of(pair: int, scales: Iterable[int]) -> dict[int, GridCases]:
        index, antennas = pairs[pair]
        scene = data.scene(index)
        known = np.flatnonzero(np.isin(numbers[index], training))
        buildings = buildings_from_gains(scene, known)
        return {scale: grid_cases(scene, antennas, scale, buildings) for scale in scales}

    for pair in range(len(pairs)):
        for scale, cases in cases_of(pair, method_sets).items():
            method_set, rmse = method_sets[scale], math.nan
            for label, estimator in method_set.estimators.items():
                progress.check()
                began = time.perf_counter()
                map_unit = _map_unit(estimator, cases)
                seconds = time.perf_counter() - began
                sums[scale, label] = sums[scale, label].add(cases, map_unit, seconds)
                rmse = _rmse(map_unit[0], cases)
            ranked[scale].append((rmse, pair))
        progress.advance()
    examples = {
        scale: _examples(
            method_sets[scale].estimators,
            {
                title: cases_of(pair, [scale])[scale]
                for title, (_, pair) in _typical_and_bad(found).items()
            },
        )
        for scale, found in ranked.items()
    }
    progress.finish()
    rows = [
        _row(setting, scale, label, method_set, sums.get((scale, label)))
        for scale, method_set in method_sets.items()
        for label in method_set.labels
    ]
    return rows, examples


def _require_scale(method_set: MethodSet, scale: int) -> None:
    """Check the scale of the models before the computation."""
    for label, estimator in method_set.estimators.items():
        if isinstance(estimator, SuperResolutionEstimator) and estimator.scale != scale:
            raise UsageError(
                f"The model of {label!r} has scale {estimator.scale}, not {scale}.",
                hint="Use another model, or another `scale`.",
            )


def _heading(setting: int) -> str:
    """Return the setting as text for a title."""
    return ", a whole set" if setting == WHOLE_SET else f", setting {setting}"


def setting_name(setting: int) -> str:
    """Return the name of a setting in file names."""
    return "all" if setting == WHOLE_SET else f"setting{setting}"


def evaluate_mars(
    data: SimulatedSet,
    method_sets: Mapping[int, MethodSet],
    out: Path,
    *,
    setting: int = 2,
    maps: Sequence[int] | None = None,
    transmitters: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Run :func:`score_mars` and write tables, figures and a report.

    Parameters
    ----------
    data : SimulatedSet
        See :func:`score_mars`.
    method_sets : mapping of int to MethodSet
        See :func:`score_mars`.
    out : Path
        Output folder of ``mars_setting<N>.csv``, ``maps_setting<N>_<scale>x.png`` and
        ``mars_setting<N>.md``, with ``all`` instead of ``setting<N>`` for a whole set.
    setting : int
        See :func:`score_mars`.
    maps : sequence of int, optional
        See :func:`score_mars`.
    transmitters : int, optional
        See :func:`score_mars`.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    str
        The report in Markdown.

    Raises
    ------
    UsageError
        If there is no method, or the set has no test data.
    OutputError
        If the folder cannot be written.
    """
    name = setting_name(setting)
    with output_folder(out):
        rows, examples = score_mars(
            data,
            method_sets,
            setting=setting,
            maps=maps,
            transmitters=transmitters,
            progress=progress,
        )
    pictures = []
    for scale, panels in examples.items():
        pictures.append(f"maps_{name}_{scale}x.png")
        draw_maps(out / pictures[-1], panels, title=f"MARS{_heading(setting)}, {scale}x")
    write_csv(out / f"mars_{name}.csv", rows)
    report = _report(data, setting, rows, pictures)
    with replacing(out / f"mars_{name}.md") as part:
        part.write_text(report, encoding="utf-8")
    return report


def _rmse(map_unit: FloatArray, cases: GridCases) -> float:
    """Compute the RMSE of the first map of a scene."""
    return ErrorSums.of(map_unit, cases.truth_unit[0]).scores().rmse


def _typical_and_bad(found: Sequence[tuple[float, int]]) -> dict[str, tuple[float, int]]:
    """Choose the map of median and of largest RMSE; of one map, only the first."""
    chosen = typical_and_bad(sorted(found))
    if len(found) == 1:
        del chosen["bad"]
    return chosen


def _examples(
    estimators: Mapping[str, Estimator], chosen: Mapping[str, GridCases]
) -> dict[str, FloatArray]:
    """Give samples, truth and estimates of the first map of each chosen scene, by title."""
    panels: dict[str, FloatArray] = {}
    for title, cases in chosen.items():
        panels[f"{title}: samples"] = _shown(cases.batch)
        panels[f"{title}: truth"] = cases.truth_unit[0]
        for label, estimator in estimators.items():
            map_unit = _map_unit(estimator, cases)[0]
            rmse_db = GAIN_SPAN_DB * _rmse(map_unit, cases)
            panels[f"{title}: {label}, {rmse_db:.2f} dB"] = map_unit
    return panels


def _map_unit(estimator: Estimator, cases: GridCases) -> FloatArray:
    """Estimate the maps of a scene on the 0..1 scale."""
    batch = cases.outdoor_batch if estimator.name in _BY_DISTANCE else cases.batch
    return gain_to_unit(estimator.estimate(batch).rsrp_dbm)


def _shown(batch: TileBatch) -> FloatArray:
    """Return the samples of the first map as a coarse image."""
    observed = batch.observed[0]
    rows, cols = observed.any(axis=1), observed.any(axis=0)
    return gain_to_unit(batch.rsrp_dbm[0][np.ix_(rows, cols)])


def _row(
    setting: int, scale: int, label: str, method_set: MethodSet, sums: _Sums | None
) -> MarsRow:
    """Compute a row of the table from the sums, with the published scores."""
    theirs = published.MARS.get((setting, scale, label), published.PublishedMars(math.nan))
    estimator = method_set.estimators.get(label)
    parameters = None
    if isinstance(estimator, SuperResolutionEstimator):
        parameters = estimator.parameters
    total = sums or _Sums()
    whole = total.whole.scores()
    return MarsRow(
        method=label,
        setting="all" if setting == WHOLE_SET else str(setting),
        scale=scale,
        parameters=parameters,
        maps=total.maps,
        mse=whole.rmse**2,
        rmse_db=whole.rmse * GAIN_SPAN_DB,
        psnr_db=total.quality.psnr_db,
        ssim=total.quality.ssim,
        outdoor_db=total.outdoor.scores().rmse * GAIN_SPAN_DB,
        published_rmse_db=theirs.rmse_db,
        published_psnr_db=theirs.psnr_db,
        published_ssim=theirs.ssim,
        seconds_per_map=total.seconds / total.maps if total.maps else math.nan,
        note=f"absent: {method_set.absent[label]}" if label in method_set.absent else "",
    )


def _report(
    data: SimulatedSet, setting: int, rows: Sequence[MarsRow], pictures: Sequence[str]
) -> str:
    """Return table and figures as one page in Markdown."""
    pieces = [
        f"# MARS's evaluation{_heading(setting)}: {_TITLES[setting]}",
        f"{data.path.name}, {max(row.maps for row in rows)} radio maps.",
        _SCALES,
        markdown_table(rows),
        *(f"![{name.removesuffix('.png')}]({name})" for name in pictures),
    ]
    return "\n\n".join(piece.strip() for piece in pieces) + "\n"
