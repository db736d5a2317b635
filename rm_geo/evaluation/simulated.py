"""The papers' protocol on simulated maps: methods x samplings, building and radio scores.

``rm-geo evaluate simulated DATASET --methods knn,idw -o DIR`` runs it, and so does
``python -m rm_geo.evaluation.simulated`` with the same options.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.estimators.base import Estimate, Estimator
from rm_geo.evaluation.cases import PAPER_SAMPLINGS, Cases, Sampling, chosen_scenes, scene_cases
from rm_geo.progress import Progress, SilentProgress
from rm_geo.units import GAIN_SPAN_DB, gain_to_unit
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.metrics import BuildingCounts, ErrorSums, Pixels

TRANSMITTERS = 10


@dataclass(frozen=True)
class Tally:
    """Sums of one method under one sampling, over the maps so far.

    Attributes
    ----------
    maps : int
        Radio maps estimated.
    seconds : float
        Time that the method took for them.
    whole, masked, outdoor, unobserved : ErrorSums
        Errors on the noise-floor scale over all pixels; over all pixels with the truth 0 on
        the building map; outdoors; outdoors where nothing was measured.
    buildings : BuildingCounts or None
        None for methods that do not map buildings.
    """

    maps: int = 0
    seconds: float = 0.0
    whole: ErrorSums = field(default_factory=ErrorSums)
    masked: ErrorSums = field(default_factory=ErrorSums)
    outdoor: ErrorSums = field(default_factory=ErrorSums)
    unobserved: ErrorSums = field(default_factory=ErrorSums)
    buildings: BuildingCounts | None = None

    def add(self, cases: Cases, estimate: Estimate, seconds: float, threshold: float) -> Tally:
        """Add the maps of a scene."""
        unit = gain_to_unit(estimate.rsrp_dbm)
        buildings = self.buildings
        if estimate.building_probability is not None:
            counted = BuildingCounts.of(
                estimate.building_probability, cases.buildings, threshold=threshold
            )
            buildings = counted + (buildings or BuildingCounts())
        whole_unit = _painted(estimate, unit)
        walls_zero = np.where(cases.buildings, np.float32(0), cases.truth_unit)

        def judge(
            sums: ErrorSums, truth: FloatArray, map_unit: FloatArray, on: Pixels
        ) -> ErrorSums:
            judged = on.select(cases.indoor, cases.observed)
            return sums + ErrorSums.of(map_unit, truth, judged)

        return replace(
            self,
            maps=self.maps + len(cases.batch),
            seconds=self.seconds + seconds,
            whole=judge(self.whole, cases.truth_unit, whole_unit, Pixels.ALL),
            masked=judge(self.masked, walls_zero, whole_unit, Pixels.ALL),
            outdoor=judge(self.outdoor, cases.truth_unit, unit, Pixels.OUTDOOR),
            unobserved=judge(self.unobserved, cases.truth_unit, unit, Pixels.UNOBSERVED_OUTDOOR),
            buildings=buildings,
        )


def _painted(estimate: Estimate, map_unit: FloatArray) -> FloatArray:
    """Paint buildings into a map, as the papers' radio maps have them: 0 there.

    What is expected of a pixel that is a building with some probability is the map with the least
    squared error; one cut at a threshold errs at walls. Probabilities moved by the half pixel
    that lies between the walls of gains and of building maps were no better: blurred by 1 %.
    """
    if estimate.building_probability is None or estimate.zero_in_buildings:
        return map_unit
    return np.asarray(map_unit * (np.float32(1) - estimate.building_probability), np.float32)


@dataclass(frozen=True)
class ProtocolRow:
    """One line of the table; NaN where a method has no such score.

    Attributes
    ----------
    method, sampling : str
        Names.
    maps : int
        Radio maps judged.
    rmse_all : float
        All pixels, 0 inside buildings, as the papers; 0..1 noise-floor scale. The map of
        a method that maps buildings counts as it is times the probability of none, unless
        it is 0 in buildings itself.
    rmse_all_masked : float
        The same with the truth 0 on the building map too, whose walls lie half a pixel
        from the simulator's.
    nmse_radiounet, nmse_radiocycle : float
        All pixels, over the sum of y^2 and over the variance.
    rmse_outdoor_db, rmse_unobserved_db, bias_outdoor_db : float
        Outdoors, in dB; the map as estimated, whatever the building map says.
    jaccard, f1, recall, precision, accuracy : float
        Building map.
    missing : int
        Outdoor pixels without an estimate; no score counts them.
    seconds_per_map : float
        Time of the method, on this machine.
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
    jaccard: float
    f1: float
    recall: float
    precision: float
    accuracy: float
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
    """Judge methods on a simulated set, all on the same samples.

    Scores are pooled: errors are summed over the pixels of all maps before dividing, and
    so are the counts of building pixels.

    Parameters
    ----------
    data : SimulatedSet
        Of the recipe ``paper``; the papers test on maps 601-700.
    methods : mapping of str to Estimator
        Names for the table, and what to judge; with :data:`WITH_BUILDINGS` in a name it gets the
        buildings.
    samplings : sequence of Sampling
        Drive tests; uniform 1, 5 and 20 % and routes 1 % by default. Each counts once, however
        often it is named.
    maps : sequence of int, optional
        RadioMapSeer's numbers; all scenes of the set by default.
    transmitters : int
        The first so many antennas of each scene.
    seed : int
        The same seed gives the same samples, whatever else is run.
    threshold : float
        Building probability from which a pixel is a building.
    progress : Progress, optional
        Counts scenes.

    Returns
    -------
    list of ProtocolRow
        By sampling, then by method.
    """
    progress = progress or SilentProgress()
    scenes = chosen_scenes(data, maps)
    # By their names, under which lines are pooled and samples drawn.
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
                tallies[key] = tallies[key].add(cases, estimate, seconds, threshold)
        progress.advance()
    progress.finish()
    return [_row(name, sampling, tally) for (sampling, name), tally in tallies.items()]


def _row(method: str, sampling: str, tally: Tally) -> ProtocolRow:
    """Turn sums into scores."""
    whole, outdoor = tally.whole.scores(), tally.outdoor.scores()
    buildings = (tally.buildings or BuildingCounts()).scores()
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
        jaccard=buildings.jaccard,
        f1=buildings.f1,
        recall=buildings.recall,
        precision=buildings.precision,
        accuracy=buildings.accuracy,
        missing=outdoor.missing,
        seconds_per_map=tally.seconds / max(tally.maps, 1),
    )
