"""Train a model from a configuration: the door that ``rm-geo train`` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.errors import ConfigError
from rm_geo.networks import build
from rm_geo.networks.interpolation_net import InterpolationNet
from rm_geo.networks.mars import MARS
from rm_geo.networks.radiocycle import FieldRadioCycle, RadioCycle
from rm_geo.progress import Progress, SilentProgress
from rm_geo.training.field_task import FieldOptions, FieldTask
from rm_geo.training.loop import LoopOptions, TrainingLoop
from rm_geo.training.mars_task import MarsOptions, MarsTask
from rm_geo.training.measure import MeasurementMixture
from rm_geo.training.paper_task import InterpolationTask, PaperOptions, RadioCycleTask
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import TrainingTask

CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a training depends on.

    Attributes
    ----------
    kind : str
        What to train, see :func:`rm_geo.networks.kinds`.
    network : mapping
        Keyword arguments of the network.
    data : sequence of str
        Folders of simulated sets.
    data_weights : sequence of float or None
        How often each is drawn from.
    held_out : int
        Scenes at the end of each set kept for validation.
    start_from : str or None
        Trained model, by name or file, whose weights a new training starts from; a
        checkpoint that is resumed has its own.
    loop, task, mixture : mapping
        Fields of :class:`~rm_geo.training.loop.LoopOptions`, of the task's options, and of
        :class:`~rm_geo.training.measure.MeasurementMixture`.
    """

    kind: str
    data: Sequence[str]
    network: Mapping[str, Any] = field(default_factory=dict)
    data_weights: Sequence[float] | None = None
    held_out: int = 16
    start_from: str | None = None
    loop: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    mixture: Mapping[str, Any] = field(default_factory=dict)


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    device: torch.device | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> nn.Module:
    """Train, or go on training, in a folder.

    Parameters
    ----------
    config : TrainingConfig
        What to train, on what, and how.
    folder : Path
        Checkpoint, log and configuration; a checkpoint in it is continued if ``resume``.
    device : torch.device, optional
        The CPU if not given.
    resume : bool
        Whether to continue.
    progress : Progress, optional
        Hears about the training, and can stop it.

    Returns
    -------
    torch.nn.Module
        Moving average of the trained network, in evaluation mode.

    Raises
    ------
    ConfigError
        If the configuration cannot be meant; before any work.
    InputError
        If training data is missing or damaged.
    """
    device = device or torch.device("cpu")
    loop_options = _options(LoopOptions, config.loop, "loop")
    torch.manual_seed(loop_options.seed)
    task = make_task(config, device)
    loop = TrainingLoop(task, folder, loop_options, device)
    if resume:
        loop.resume()
    (folder / CONFIG_NAME).write_text(json.dumps(asdict(config), indent=2) + "\n", "utf-8")
    return loop.run(progress or SilentProgress())


def make_task(config: TrainingConfig, device: torch.device) -> TrainingTask:
    """Build network, data and losses from a configuration."""
    network = _start(config).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sets = [SimulatedSet.open(path) for path in config.data]
    pool = ScenePool(sets, config.data_weights, device, held_out=config.held_out)
    held = ScenePool(sets, config.data_weights, device, held_out=config.held_out, validation=True)
    if isinstance(network, FieldRadioCycle):
        options = _options(FieldOptions, config.task, "task")
        mixture = _options(MeasurementMixture, config.mixture, "mixture")
        return FieldTask(network, pool, held, options, mixture)
    if isinstance(network, MARS):
        return MarsTask(network, pool, held, _options(MarsOptions, config.task, "task"))
    if isinstance(network, RadioCycle):
        return RadioCycleTask(network, pool, held, _options(PaperOptions, config.task, "task"))
    if isinstance(network, InterpolationNet):
        return InterpolationTask(network, pool, held, _options(PaperOptions, config.task, "task"))
    raise ConfigError(f"There is no training for {config.kind!r}.")


def _start(config: TrainingConfig) -> nn.Module:
    """Build the network, with the weights of another model if one is named."""
    network = build(config.kind, config.network)
    if config.start_from is None:
        return network
    from rm_geo.zoo import find_model, load_network

    trained, record = load_network(find_model(config.start_from, kind=config.kind))
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"The model {record.name!r} has another shape than the network to be trained.",
            hint="Use the network section of that model's recipe.",
        ) from error
    return network


def _options(cls: type[Any], values: Mapping[str, Any], section: str) -> Any:  # noqa: ANN401
    """Make an options object; an unknown key is an error that names it."""
    unknown = set(values) - set(cls.__dataclass_fields__)
    if unknown:
        raise ConfigError(
            f"Unknown key in section {section!r}: {', '.join(sorted(unknown))}.",
            hint=f"Known: {', '.join(cls.__dataclass_fields__)}.",
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
