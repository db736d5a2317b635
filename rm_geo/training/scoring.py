"""Judging the models of a plan: whether a set will do for that, and the tables for their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.datasets.splits import MARS_SETTING_I
from rm_geo.errors import ConfigError, RmGeoError
from rm_geo.estimators.registry import get_method
from rm_geo.evaluation.benchmark_methods import MethodSet
from rm_geo.evaluation.cases import Sampling, require_alike
from rm_geo.evaluation.mars import judge_mars, pairs_to_judge
from rm_geo.evaluation.simulated import run_protocol
from rm_geo.networks import build
from rm_geo.networks.radiocycle import DriveTestRadioCycle
from rm_geo.progress import Progress
from rm_geo.training.plan import PlannedModel
from rm_geo.validation.tables import markdown_table
from rm_geo.zoo.kinds import SUPERRES_KINDS

_PAPER_MULTIPLE: Final = 64
"""Sides of the maps that the published pair and InterpolationNet take are multiples of it."""


def setting_of(model: PlannedModel) -> int:
    """Which of the MARS paper's settings a model is for."""
    return 1 if model.recipe.get("split") == MARS_SETTING_I.name else 2


def is_judged(model: PlannedModel) -> bool:
    """Whether there is a protocol for a model here.

    There is none for networks that must be told the walls of scenes which nobody has seen: what
    planners' rasters with outlines are worth is told by ``rm-geo evaluate superres``.
    """
    walled = bool(model.recipe.get("network", {}).get("walled", False))
    return not walled or setting_of(model) == 1


def require_judgeable(model: PlannedModel, data: SimulatedSet, transmitters: int) -> None:
    """Refuse a set on which a model cannot be judged; reads tables of the set alone.

    Parameters
    ----------
    model : PlannedModel
        One that :func:`is_judged`.
    data : SimulatedSet
        What it is to be judged on.
    transmitters : int
        At most so many of each map.

    Raises
    ------
    ConfigError
        If the set lacks the maps or transmitters of the model's protocol, or its scenes are of
        a size or a kind that the protocol does not take.
    """
    try:
        for index, antennas in _pairs(model, data, transmitters):
            require_alike(data.scene_ids[index], data.antennas[index, antennas])
            if model.recipe.get("network", {}).get("walled", False):
                _require_learnt(data, index)
        if model.kind not in SUPERRES_KINDS:
            _require_size(model, data)
    except RmGeoError as error:
        raise ConfigError(
            f"{model.key} cannot be judged: {error.message}", hint=error.hint
        ) from error


def require_unseen(test: SimulatedSet, learnt: SimulatedSet) -> None:
    """Refuse a test set that shows maps which are trained on.

    Raises
    ------
    ConfigError
        With some of those maps.
    """
    if seen := sorted(set(test.map_ids) & set(learnt.map_ids)):
        raise ConfigError(
            f"{test.path} tests on maps that {learnt.path} trains on: "
            f"{', '.join(map(str, seen[:5]))}{', ...' if len(seen) > 5 else ''}.",
            hint="Test on maps of their own, such as 601-700.",
        )


def judge(
    model: PlannedModel,
    folder: Path,
    data: SimulatedSet,
    *,
    transmitters: int,
    device: str,
    progress: Progress,
) -> str:
    """Judge the model in a folder; gives a table in Markdown."""
    method = "radiocycle" if model.kind.startswith("radiocycle") else model.kind
    estimator = get_method(method, model=folder, device=device)
    if model.kind in SUPERRES_KINDS:
        scale = int(model.recipe.get("network", {}).get("scale", 4))
        method_set = MethodSet({model.key: estimator}, {}, (model.key,))
        rows, _ = judge_mars(
            data,
            {scale: method_set},
            setting=setting_of(model),
            transmitters=transmitters,
            progress=progress,
        )
        return markdown_table(rows)
    samplings = [Sampling("uniform", rate) for rate in (0.01, 0.05, 0.2, 0.5)]
    return markdown_table(
        run_protocol(
            data,
            {model.key: estimator},
            samplings=[*samplings, Sampling("route", 0.01)],
            transmitters=transmitters,
            progress=progress,
        )
    )


def _pairs(
    model: PlannedModel, data: SimulatedSet, transmitters: int
) -> list[tuple[int, NDArray[np.int64]]]:
    """Give scenes and antennas that :func:`judge` looks at."""
    if model.kind in SUPERRES_KINDS:
        return list(pairs_to_judge(data, setting_of(model), None, transmitters))
    first = np.arange(data.gains_db.shape[1], dtype=np.int64)[:transmitters]
    return [(index, first) for index in range(len(data))]


def _require_learnt(data: SimulatedSet, index: int) -> None:
    """Refuse a scene without any gain of a training transmitter, which tell where walls are."""
    numbers = data.antenna_column("transmitter")[index]
    if not np.isin(numbers, MARS_SETTING_I.train_transmitters).any():
        raise ConfigError(
            f"Scene {data.scene_ids[index]} of {data.path} has no transmitter "
            "of the training, which would tell where its walls are."
        )


def _require_size(model: PlannedModel, data: SimulatedSet) -> None:
    """Refuse scenes that the network's pyramid cannot halve evenly."""
    multiple = _PAPER_MULTIPLE
    if model.kind == "radiocycle-drive":
        with torch.device("meta"):
            network = build(model.kind, model.recipe.get("network", {}))
        assert isinstance(network, DriveTestRadioCycle)
        multiple = network.multiple
    if any(side % multiple for side in data.shape):
        raise ConfigError(
            f"Scenes of {data.shape[0]} x {data.shape[1]} px ({data.path}) are no "
            f"multiples of {multiple} px."
        )
