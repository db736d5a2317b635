"""Checkpoints: the complete state of a training, without pickled objects.

One safetensors file holds the network, its moving average and the optimiser's moments; its
header holds the rest as JSON. It is written beside its target and renamed, so that a kill
at any moment leaves the last complete one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from rm_geo._util.atomic import replacing
from rm_geo.errors import ModelError
from rm_geo.zoo.safetensors import dump_tensors, parse_tensors

_KEY = "rm_geo_training"


@dataclass
class TrainingState:
    """State of a training apart from tensors.

    Attributes
    ----------
    step : int
        Number of optimiser steps.
    trained_s : float
        Seconds of training, of all runs together.
    task : dict
        State of the task, such as the history of its loss weights.
    """

    step: int = 0
    trained_s: float = 0.0
    task: dict[str, object] = field(default_factory=dict)


def save_checkpoint(path: Path, state: TrainingState, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint, replacing the one before when complete and on the device.

    What a kill leaves is always under the same name, which the next checkpoint overwrites.

    Parameters
    ----------
    path : Path
        The file.
    state : TrainingState
        Steps, random states and scores.
    tensors : dict of str to Tensor
        Weights and moments by name.

    Raises
    ------
    OutputError
        If it cannot be written; the one before stays.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = dump_tensors(plain, {_KEY: json.dumps(asdict(state))})
    with replacing(path) as part:
        part.write_bytes(data)


def load_checkpoint(path: Path) -> tuple[TrainingState, dict[str, Tensor]]:
    """Read a checkpoint.

    Raises
    ------
    ModelError
        If the file is damaged or not a checkpoint.
    """
    try:
        metadata, tensors = parse_tensors(path.read_bytes())
        return TrainingState(**json.loads(metadata[_KEY])), tensors
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is not a training checkpoint, or it is damaged: {error}.",
            hint="Remove it, or start anew (`resume=False`).",
        ) from error


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, names: dict[Tensor, str]
) -> dict[str, Tensor]:
    """Return the moments of an Adam optimiser by the names of its parameters.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        An Adam optimiser.
    names : dict of Tensor to str
        Names of its parameters.

    Returns
    -------
    dict of str to Tensor
        Moments and steps, as ``adam.<moment>.<parameter>``.
    """
    found: dict[str, Tensor] = {}
    for parameter, moments in optimiser.state.items():
        for key in ("exp_avg", "exp_avg_sq", "step"):
            found[f"adam.{key}.{names[parameter]}"] = torch.as_tensor(moments[key])
    return found


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: dict[Tensor, str], tensors: dict[str, Tensor]
) -> None:
    """Restore the moments of an Adam optimiser; parameters without moments start with none.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        An Adam optimiser.
    names : dict of Tensor to str
        Names of its parameters.
    tensors : dict of str to Tensor
        What :func:`optimiser_tensors` returned.
    """
    for parameter, name in names.items():
        if f"adam.step.{name}" not in tensors:
            continue
        optimiser.state[parameter] = {
            key: tensors[f"adam.{key}.{name}"].to(
                "cpu" if key == "step" else parameter.device, copy=True
            )
            for key in ("exp_avg", "exp_avg_sq", "step")
        }
        for key in ("exp_avg", "exp_avg_sq"):
            # the moments need the memory format of their parameters
            moment = optimiser.state[parameter][key]
            optimiser.state[parameter][key] = torch.empty_like(parameter).copy_(moment)
