"""Evaluation of the models of a plan, for the tables on their cards."""

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
from rm_geo.evaluation.cases import Sampling, require_one_antenna_type
from rm_geo.evaluation.mars import score_mars, setting_pairs
from rm_geo.evaluation.simulated import run_protocol
from rm_geo.networks import build
from rm_geo.networks.radiocycle import DriveTestRadioCycle
from rm_geo.progress import Progress
from rm_geo.training.plan import PlannedModel
from rm_geo.validation.tables import markdown_table
from rm_geo.zoo.kinds import RAY_KIND, SUPERRES_KINDS

_PAPER_MULTIPLE: Final = 64
"""Number that the sides of maps for the published networks must be multiples of."""


def setting_of(model: PlannedModel) -> int:
    """Return the setting of the MARS paper, 1 or 2, that a model is trained for."""
    return 1 if model.recipe.get("split") == MARS_SETTING_I.name else 2


def has_protocol(model: PlannedModel) -> bool:
    """Return whether the models of a plan can be evaluated on a simulated set.

    It is False for networks with known buildings as an input, except those of setting I, since
    the walls of unseen scenes are not known here: ``rm-geo evaluate superres`` evaluates them. It
    is False for networks that read many cells, too: ``rm-geo evaluate buildings``.
    """
    if model.kind == RAY_KIND:
        return False
    walled = bool(model.recipe.get("network", {}).get("walled", False))
    return not walled or setting_of(model) == 1


def require_scorable(model: PlannedModel, data: SimulatedSet, transmitters: int) -> None:
    """Check that a model can be evaluated on a set, from the tables of the set.

    Parameters
    ----------
    model : PlannedModel
        Model with :func:`has_protocol`.
    data : SimulatedSet
        Test set.
    transmitters : int
        Largest number of transmitters of each map.

    Raises
    ------
    ConfigError
        If the set lacks the maps or transmitters of the protocol, or the protocol does not
        allow its scenes.
    """
    try:
        for index, antennas in _pairs(model, data, transmitters):
            require_one_antenna_type(data.scene_ids[index], data.antennas[index, antennas])
            if model.recipe.get("network", {}).get("walled", False):
                _require_known_walls(data, index)
        if model.kind not in SUPERRES_KINDS:
            _require_size(model, data)
    except RmGeoError as error:
        raise ConfigError(
            f"{model.key} cannot be evaluated: {error.message}", hint=error.hint
        ) from error


def require_unseen(test: SimulatedSet, training: SimulatedSet) -> None:
    """Check that no map of a test set is used for training.

    Parameters
    ----------
    test, training : SimulatedSet
        Test set and training set.

    Raises
    ------
    ConfigError
        If they have maps in common.
    """
    if seen := sorted(set(test.map_ids) & set(training.map_ids)):
        raise ConfigError(
            f"{test.path} contains maps of the training set {training.path}: "
            f"{', '.join(map(str, seen[:5]))}{', ...' if len(seen) > 5 else ''}.",
            hint="Test on other maps, such as 601-700.",
        )


def score_model(
    model: PlannedModel,
    folder: Path,
    data: SimulatedSet,
    *,
    transmitters: int,
    device: str,
    progress: Progress,
) -> str:
    """Evaluate the model in a folder.

    Parameters
    ----------
    model : PlannedModel
        The model in the plan.
    folder : Path
        Its model folder.
    data : SimulatedSet
        Test set.
    transmitters : int
        Largest number of transmitters of each map.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    progress : Progress
        Receiver of the progress.

    Returns
    -------
    str
        Table of scores in Markdown.
    """
    method = "radiocycle" if model.kind.startswith("radiocycle") else model.kind
    estimator = get_method(method, model=folder, device=device)
    if model.kind in SUPERRES_KINDS:
        scale = int(model.recipe.get("network", {}).get("scale", 4))
        method_set = MethodSet({model.key: estimator}, {}, (model.key,))
        rows, _ = score_mars(
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
    """List the scenes and antennas that :func:`score_model` evaluates."""
    if model.kind in SUPERRES_KINDS:
        return list(setting_pairs(data, setting_of(model), None, transmitters))
    first = np.arange(data.gains_db.shape[1], dtype=np.int64)[:transmitters]
    return [(index, first) for index in range(len(data))]


def _require_known_walls(data: SimulatedSet, index: int) -> None:
    """Check that a scene has a training transmitter, whose gains show where the walls are."""
    numbers = data.antenna_column("transmitter")[index]
    if not np.isin(numbers, MARS_SETTING_I.train_transmitters).any():
        raise ConfigError(
            f"Scene {data.scene_ids[index]} of {data.path} has no transmitter "
            "of the training, from whose gains the walls are known."
        )


def _require_size(model: PlannedModel, data: SimulatedSet) -> None:
    """Check that the sides of scenes are multiples of the number that the network needs."""
    multiple = _PAPER_MULTIPLE
    if model.kind == "radiocycle-drive":
        with torch.device("meta"):
            network = build(model.kind, model.recipe.get("network", {}))
        assert isinstance(network, DriveTestRadioCycle)
        multiple = network.multiple
    if any(side % multiple for side in data.shape):
        raise ConfigError(
            f"Scenes of {data.shape[0]} x {data.shape[1]} px ({data.path}) are not "
            f"multiples of {multiple} px."
        )
