"""Protocol of the papers on simulated maps: building and radio scores by method and sampling.

``rm-geo evaluate simulated DATASET --methods knn,idw -o DIR`` runs it, and so does
``python -m rm_geo.evaluation.simulated`` with the same options.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.buildings.threshold import CALIBRATION_TAG, Calibration, expected_f1_threshold
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.estimators.base import Estimate, Estimator
from rm_geo.evaluation.cases import PAPER_SAMPLINGS, Cases, Sampling, scene_cases, select_scenes
from rm_geo.evaluation.examples import typical_and_bad
from rm_geo.evaluation.intervals import ratio_interval
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import GAIN_SPAN_DB, gain_to_unit
from rm_geo.validation.figures import draw_maps
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.metrics import BuildingCounts, ErrorSums, Pixels

TRANSMITTERS = 10


@dataclass(frozen=True)
class Tally:
    """Sums of the errors of one method with one sampling.

    Attributes
    ----------
    maps : int
        Number of radio maps.
    seconds : float
        Computing time of the method.
    whole, masked, outdoor, unobserved : ErrorSums
        Errors on the noise-floor scale: of all pixels, of all pixels with the truth set to 0 on
        the building map, of outdoor pixels, and of outdoor pixels without measurements.
    buildings : BuildingCounts or None
        Counts of building pixels, None for methods that do not map buildings.
    masks : BuildingCounts or None
        The same with the threshold of the largest expected F1 of each map.
    scenes : mapping of int to ErrorSums
        Errors of outdoor pixels by scene.
    """

    maps: int = 0
    seconds: float = 0.0
    whole: ErrorSums = field(default_factory=ErrorSums)
    masked: ErrorSums = field(default_factory=ErrorSums)
    outdoor: ErrorSums = field(default_factory=ErrorSums)
    unobserved: ErrorSums = field(default_factory=ErrorSums)
    buildings: BuildingCounts | None = None
    masks: BuildingCounts | None = None
    scenes: Mapping[int, ErrorSums] = field(default_factory=dict)

    def add(
        self,
        scene: int,
        cases: Cases,
        estimate: Estimate,
        seconds: float,
        threshold: float,
        calibration: Calibration | None = None,
    ) -> Tally:
        """Add the maps of a scene.

        Parameters
        ----------
        scene : int
            Number of the scene in its set.
        cases : Cases
            The true maps.
        estimate : Estimate
            The estimates of them.
        seconds : float
            Time that the estimates took.
        threshold : float
            Building probability above which a pixel counts as a building.
        calibration : Calibration, optional
            Calibration of the building probabilities, for the masks.

        Returns
        -------
        Tally
            The sums with those of the scene.
        """
        unit = gain_to_unit(estimate.rsrp_dbm)
        buildings, masks = self.buildings, self.masks
        if estimate.building_probability is not None:
            counted = BuildingCounts.of(
                estimate.building_probability, cases.buildings, threshold=threshold
            )
            buildings = counted + (buildings or BuildingCounts())
            for found, truth in zip(estimate.building_probability, cases.buildings, strict=True):
                chosen = expected_f1_threshold(found, calibration)
                counted = BuildingCounts.of(found, truth, threshold=chosen)
                masks = counted + (masks or BuildingCounts())
        whole_unit = _with_buildings_zero(estimate, unit)
        walls_zero = np.where(cases.buildings, np.float32(0), cases.truth_unit)

        def add_errors(
            sums: ErrorSums, truth: FloatArray, map_unit: FloatArray, on: Pixels
        ) -> ErrorSums:
            selected = on.select(cases.indoor, cases.observed)
            return sums + ErrorSums.of(map_unit, truth, selected)

        nothing = ErrorSums()
        outdoor = add_errors(nothing, cases.truth_unit, unit, Pixels.OUTDOOR)
        return replace(
            self,
            scenes={**self.scenes, scene: self.scenes.get(scene, nothing) + outdoor},
            maps=self.maps + len(cases.batch),
            seconds=self.seconds + seconds,
            whole=add_errors(self.whole, cases.truth_unit, whole_unit, Pixels.ALL),
            masked=add_errors(self.masked, walls_zero, whole_unit, Pixels.ALL),
            outdoor=self.outdoor + outdoor,
            unobserved=add_errors(
                self.unobserved, cases.truth_unit, unit, Pixels.UNOBSERVED_OUTDOOR
            ),
            buildings=buildings,
            masks=masks,
        )


def _with_buildings_zero(estimate: Estimate, map_unit: FloatArray) -> FloatArray:
    """Set a map to 0 in buildings, like the radio maps of the papers.

    The map is multiplied by the probability of no building, the expected value, which has a
    smaller squared error at walls than a threshold. A shift of the probabilities by the offset of
    half a pixel between gains and building maps gave no improvement.
    """
    if estimate.building_probability is None or estimate.zero_in_buildings:
        return map_unit
    return np.asarray(map_unit * (np.float32(1) - estimate.building_probability), np.float32)


@dataclass(frozen=True)
class ProtocolRow:
    """Row of the table, with NaN for scores that a method does not have.

    Attributes
    ----------
    method, sampling : str
        Names of method and sampling.
    maps : int
        Number of radio maps.
    rmse_all : float
        RMSE of all pixels on the noise-floor scale (0..1), with 0 inside buildings, as in the
        papers. The map of a method that maps buildings is multiplied by the probability of no
        building, unless it is already 0 in buildings.
    rmse_all_masked : float
        The same with the truth set to 0 on the building map, whose walls have an offset of half
        a pixel from those of the simulator.
    nmse_radiounet, nmse_radiocycle : float
        Squared error of all pixels over the sum of squares, and over the variance.
    rmse_outdoor_db, rmse_unobserved_db, bias_outdoor_db : float
        Errors of outdoor pixels in dB, independent of the building map.
    rmse_outdoor_low_db, rmse_outdoor_high_db : float
        Interval of 90 % of ``rmse_outdoor_db``, from a bootstrap over the scenes.
    jaccard, f1, recall, precision, accuracy : float
        Scores of the building map.
    mask_f1 : float
        F1 of the masks that ``rm-geo predict --mask`` makes of the building maps, each with the
        threshold of its largest expected F1.
    missing : int
        Outdoor pixels without an estimate, which are not part of the scores.
    seconds_per_map : float
        Computing time of the method.
    """

    method: str
    sampling: str
    maps: int
    rmse_all: float
    rmse_all_masked: float
    nmse_radiounet: float
    nmse_radiocycle: float
    rmse_outdoor_db: float
    rmse_unobserved_db: float
    bias_outdoor_db: float
    rmse_outdoor_low_db: float
    rmse_outdoor_high_db: float
    jaccard: float
    f1: float
    recall: float
    precision: float
    accuracy: float
    mask_f1: float
    missing: int
    seconds_per_map: float


def run_protocol(
    data: SimulatedSet,
    methods: Mapping[str, Estimator],
    *,
    samplings: Sequence[Sampling] = PAPER_SAMPLINGS,
    maps: Sequence[int] | None = None,
    transmitters: int = TRANSMITTERS,
    seed: int = 0,
    threshold: float = 0.5,
    progress: Progress | None = None,
) -> list[ProtocolRow]:
    """Evaluate methods on a simulated set with equal samples.

    Scores are pooled: errors are summed over the pixels of all maps before dividing, and
    so are the counts of building pixels.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper``. The papers test on maps 601-700.
    methods : mapping of str to Estimator
        Methods by name. One with :data:`WITH_BUILDINGS` in its name gets the known buildings.
    samplings : sequence of Sampling
        Samplings. Default: uniform 1, 5 and 20 % and routes 1 %. Repeated ones are used once.
    maps : sequence of int, optional
        Numbers of RadioMapSeer maps. Default: all scenes of the set.
    transmitters : int
        Largest number of antennas, the first ones of each scene.
    seed : int
        Seed of the samples, which do not depend on the methods or other samplings.
    threshold : float
        Smallest building probability of a building pixel, 0..1.
    progress : Progress, optional
        Receiver of the progress in scenes.

    Returns
    -------
    list of ProtocolRow
        Ordered by sampling, then by method.

    Raises
    ------
    UsageError
        If the set has none of the maps.
    InputError
        If antennas of a scene differ in height or frequency.
    """
    progress = progress or SilentProgress()
    scenes = select_scenes(data, maps)
    # Remove duplicates by name, the key of sums and samples.
    samplings = list({str(sampling): sampling for sampling in samplings}.values())
    tallies = {(str(sampling), name): Tally() for sampling in samplings for name in methods}
    progress.start(len(scenes), "scenes", f"{len(methods)} methods")
    for index in scenes:
        for cases in scene_cases(data.scene(index), samplings, transmitters, seed):
            for name, estimator in methods.items():
                progress.check()
                began = time.perf_counter()
                estimate = estimator.estimate(
                    cases.batch_with_buildings if WITH_BUILDINGS in name else cases.batch
                )
                seconds = time.perf_counter() - began
                key = (str(cases.sampling), name)
                calibration = Calibration.parse(estimator.provenance.get(CALIBRATION_TAG))
                tallies[key] = tallies[key].add(
                    index, cases, estimate, seconds, threshold, calibration
                )
        progress.advance()
    progress.finish()
    return [_row(name, sampling, tally) for (sampling, name), tally in tallies.items()]


def draw_protocol(
    data: SimulatedSet,
    name: str,
    estimator: Estimator,
    path: Path,
    *,
    sampling: Sampling,
    maps: Sequence[int] | None = None,
    seed: int = 0,
) -> None:
    """Draw a typical and a bad map of a method: of median and of largest outdoor RMSE.

    Parameters
    ----------
    data : SimulatedSet
        Set of the recipe ``paper``.
    name : str
        Name of the method.
    estimator : Estimator
        The method.
    path : Path
        PNG to write.
    sampling : Sampling
        Sampling of the first antenna of each scene.
    maps : sequence of int, optional
        Numbers of RadioMapSeer maps. Default: all scenes of the set.
    seed : int
        Seed of the samples.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    found: list[tuple[float, int, Cases, Estimate]] = []
    for index in select_scenes(data, maps):
        (cases,) = scene_cases(data.scene(index), [sampling], 1, seed)
        batch = cases.batch_with_buildings if WITH_BUILDINGS in name else cases.batch
        estimate = estimator.estimate(batch)
        outdoor = Pixels.OUTDOOR.select(cases.indoor, cases.observed)
        sums = ErrorSums.of(gain_to_unit(estimate.rsrp_dbm), cases.truth_unit, outdoor)
        found.append((sums.scores().rmse * GAIN_SPAN_DB, index, cases, estimate))
    found.sort(key=lambda one: one[:2])
    panels: dict[str, FloatArray] = {}
    for title, (rmse_db, index, cases, estimate) in typical_and_bad(found).items():
        measured = np.where(cases.observed[0], cases.truth_unit[0], np.float32(np.nan))
        panels[f"{title}, {data.scene(index).scene_id}: samples"] = measured
        panels[f"{title}: truth"] = cases.truth_unit[0]
        panels[f"{title}: {name}, {rmse_db:.1f} dB"] = _with_buildings_zero(
            estimate, gain_to_unit(estimate.rsrp_dbm)
        )[0]
        if estimate.building_probability is not None:
            panels[f"{title}: building probability"] = estimate.building_probability[0]
    draw_maps(path, panels, title=f"{name}, {sampling}: level, 1.0 = {GAIN_SPAN_DB:g} dB")


def _row(method: str, sampling: str, tally: Tally) -> ProtocolRow:
    """Compute the scores from the sums."""
    whole, outdoor = tally.whole.scores(), tally.outdoor.scores()
    buildings = (tally.buildings or BuildingCounts()).scores()
    scenes = tally.scenes.values()
    low, high = ratio_interval([s.squared for s in scenes], [float(s.pixels) for s in scenes])
    return ProtocolRow(
        method=method,
        sampling=sampling,
        maps=tally.maps,
        rmse_all=whole.rmse,
        rmse_all_masked=tally.masked.scores().rmse,
        nmse_radiounet=whole.nmse_energy,
        nmse_radiocycle=whole.nmse_variance,
        rmse_outdoor_db=outdoor.rmse * GAIN_SPAN_DB,
        rmse_unobserved_db=tally.unobserved.scores().rmse * GAIN_SPAN_DB,
        bias_outdoor_db=outdoor.bias * GAIN_SPAN_DB,
        rmse_outdoor_low_db=math.sqrt(low) * GAIN_SPAN_DB,
        rmse_outdoor_high_db=math.sqrt(high) * GAIN_SPAN_DB,
        jaccard=buildings.jaccard,
        f1=buildings.f1,
        recall=buildings.recall,
        precision=buildings.precision,
        accuracy=buildings.accuracy,
        mask_f1=(tally.masks or BuildingCounts()).scores().f1,
        missing=outdoor.missing,
        seconds_per_map=tally.seconds / max(tally.maps, 1),
    )
