"""Training of a model from a configuration, the implementation of ``rm-geo train``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rm_geo._util.atomic import prepare_output_folder
from rm_geo.datasets.simulated import SimulatedSet
from rm_geo.datasets.splits import GREY_SCALES, SIMULATIONS, get_split
from rm_geo.errors import ConfigError
from rm_geo.networks import SuperResolutionNet, build, channels_last, kinds
from rm_geo.networks.radio_unet import InterpolationNet
from rm_geo.networks.radiocycle import DriveTestRadioCycle, RadioCycle
from rm_geo.networks.ray_buildings import RayBuildings
from rm_geo.progress import Progress, SilentProgress
from rm_geo.training.config import TrainingConfig
from rm_geo.training.device_pool import DevicePool, fits_device
from rm_geo.training.drive_task import DriveTestOptions, DriveTestTask
from rm_geo.training.initialization import (
    Origin,
    initial_network,
    require_same_config,
    write_origin,
)
from rm_geo.training.loop import CHECKPOINT_NAME, LoopOptions, TrainingLoop
from rm_geo.training.mars_task import MarsOptions, MarsTask
from rm_geo.training.measurements import MeasurementMixture
from rm_geo.training.options import make_options
from rm_geo.training.paper_task import InterpolationTask, PaperOptions, RadioCycleTask
from rm_geo.training.process_group import ProcessGroup
from rm_geo.training.ray_task import RayOptions, RayTask
from rm_geo.training.scenes import ScenePool
from rm_geo.training.task import TrainingTask


@dataclass(frozen=True)
class RadioMapSeerOptions:
    """Options for reading RadioMapSeer.

    Attributes
    ----------
    simulation : str
        Folder of gains, one of :data:`rm_geo.datasets.splits.SIMULATIONS`.
    scale : {"published", "noise-floor"}
        Encoding of gains, see :func:`rm_geo.datasets.radiomapseer.grey_to_gain_db`.

    Raises
    ------
    ConfigError
        If a value is unknown.
    """

    simulation: str = "DPM"
    scale: str = "published"

    def __post_init__(self) -> None:
        if self.simulation not in SIMULATIONS:
            raise ConfigError(
                f"Unknown simulation {self.simulation!r}.",
                hint=f"Use {', '.join(SIMULATIONS)}.",
            )
        if self.scale not in GREY_SCALES:
            raise ConfigError(f"scale must be {' or '.join(GREY_SCALES)}, not {self.scale!r}.")


def read_config(kind: str, recipe: Mapping[str, Any]) -> TrainingConfig:
    """Convert a recipe to a configuration and check its keys and types.

    Parameters
    ----------
    kind : str
        Kind of network, see :func:`rm_geo.networks.kinds`.
    recipe : mapping
        Contents of a YAML or JSON file.

    Returns
    -------
    TrainingConfig

    Raises
    ------
    ConfigError
        If a key is unknown or a value is of the wrong type. The message names the key. Data and
        network are checked by :func:`make_task`.
    """
    if kind not in kinds():
        raise ConfigError(f"There is no network {kind!r}.", hint=f"Known: {', '.join(kinds())}.")
    known = TrainingConfig.__dataclass_fields__
    unknown = sorted(str(key) for key in recipe if key not in known)
    if unknown:
        raise ConfigError(
            f"The recipe has a key that is not known: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(known)}.",
        )
    if recipe.get("kind", kind) != kind:
        raise ConfigError(f"The recipe is for {recipe['kind']!r}, not for {kind!r}.")
    for key in ("network", "radiomapseer", "loop", "task", "mixture"):
        if not isinstance(recipe.get(key, {}), Mapping):
            raise ConfigError(f"Section {key!r} must be a mapping of keys to values.")
    data = recipe.get("data", [])
    data = [data] if isinstance(data, str | Path) else data
    if not isinstance(data, Sequence) or not all(isinstance(path, str | Path) for path in data):
        raise ConfigError("data must be a list of folders.")
    weights = recipe.get("data_weights")
    if weights is not None and not (
        isinstance(weights, Sequence)
        and all(isinstance(w, int | float) and not isinstance(w, bool) for w in weights)
    ):
        raise ConfigError("data_weights must be a list of numbers.")
    if weights is not None and not all(math.isfinite(w) and w > 0.0 for w in weights):
        raise ConfigError("data_weights must be positive numbers.")
    held_out = recipe.get("held_out", 16)
    if not isinstance(held_out, int) or isinstance(held_out, bool) or held_out < 0:
        raise ConfigError(f"held_out must be a whole number from 0 on, not {held_out!r}.")
    for key in ("start_from", "split"):
        if not isinstance(recipe.get(key), str | None):
            raise ConfigError(f"{key} must be a name, not {recipe[key]!r}.")
    parts = recipe.get("start_parts")
    if parts is not None and not (
        isinstance(parts, list | tuple) and parts and all(isinstance(part, str) for part in parts)
    ):
        raise ConfigError(f"start_parts must be a list of names, not {parts!r}.")
    if parts is not None and recipe.get("start_from") is None:
        raise ConfigError("start_parts goes with start_from, the model whose parts they are.")
    return TrainingConfig(**{**recipe, "kind": kind, "data": [str(path) for path in data]})


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    device: torch.device | None = None,
    resume: bool = True,
    progress: Progress | None = None,
    group: ProcessGroup | None = None,
) -> nn.Module:
    """Start or continue a training in a folder.

    Parameters
    ----------
    config : TrainingConfig
        Complete configuration.
    folder : Path
        Folder of checkpoint, log and configuration.
    device : torch.device, optional
        Training device. Default: the CPU.
    resume : bool
        Whether to continue from a checkpoint in the folder.
    progress : Progress, optional
        Receiver of the progress, which may also cancel.
    group : ProcessGroup, optional
        Processes that train together. Default: only this one.

    Returns
    -------
    torch.nn.Module
        Moving average of the trained network, in evaluation mode.

    Raises
    ------
    ConfigError
        If the configuration is invalid. It is checked before any work.
    InputError
        If training data is missing or damaged.
    OutputError
        If the folder cannot be written.
    """
    device, group = device or torch.device("cpu"), group or ProcessGroup()
    progress = progress or SilentProgress()
    loop_options = make_options(LoopOptions, config.loop, "loop")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(loop_options.seed)
    resumed = resume and (folder / CHECKPOINT_NAME).exists()
    if resumed:
        require_same_config(config, folder)
    task = make_task(config, device, resumed=resumed)
    prepare_output_folder(folder)
    loop = TrainingLoop(task, folder, loop_options, device, group)
    if resumed:
        loop.resume()
    if group.is_main:
        if not resumed:  # otherwise an early interruption would leave the old checkpoint
            loop.checkpoint.unlink(missing_ok=True)
        write_origin(config, folder, Origin.read(folder) if resumed else Origin.of(config))
    return loop.run(progress)


def check_config(config: TrainingConfig, *, resumed: bool = False) -> None:
    """Check a configuration except its data.

    Parameters
    ----------
    config : TrainingConfig
        The configuration.
    resumed : bool
        Whether a checkpoint will be continued. The model with the initial weights is not needed
        then.

    Raises
    ------
    ConfigError
        If a section is invalid.
    ModelError
        If the network cannot be built.
    """
    make_options(LoopOptions, config.loop, "loop")
    if config.split is not None:
        get_split(config.split)
    make_options(RadioMapSeerOptions, config.radiomapseer, "radiomapseer")
    _checked(config, resumed=resumed)


def _checked(config: TrainingConfig, *, resumed: bool) -> tuple[nn.Module, Any, MeasurementMixture]:
    """Create options, mixture and network, the fastest checks first."""
    options = make_options(_task_options(config.kind), _task_values(config), "task")
    mixture = make_options(MeasurementMixture, config.mixture, "mixture")
    network = build(config.kind, config.network) if resumed else initial_network(config)
    return network, options, mixture


def make_task(
    config: TrainingConfig, device: torch.device, *, resumed: bool = False
) -> TrainingTask:
    """Build network, data and losses from a configuration.

    Parameters
    ----------
    config : TrainingConfig
        The configuration.
    device : torch.device
        Training device.
    resumed : bool
        Whether a checkpoint will be continued, which replaces the initial weights.

    Returns
    -------
    TrainingTask

    Raises
    ------
    ConfigError
        If a section is invalid or does not match the data.
    InputError
        If training data are missing or damaged.
    ModelError
        If the network cannot be built.
    """
    network, options, mixture = _checked(config, resumed=resumed)
    split = None if config.split is None else get_split(config.split)
    sets = [SimulatedSet.open(path) for path in config.data]
    source = DevicePool if fits_device(sets, device) else ScenePool
    pool, held = (
        source(
            sets,
            config.data_weights,
            device,
            held_out=config.held_out,
            validation=validation,
            split=split,
            near_transmitter=isinstance(options, PaperOptions),
            turned=getattr(options, "turned", True),
        )
        for validation in (False, True)
    )
    if isinstance(pool, DevicePool) and isinstance(held, DevicePool):
        held.share_scenes(pool)
    pool.require_crop(max(options.crop, getattr(options, "final_crop", 0)))
    network = channels_last(network.to(device))
    if isinstance(network, DriveTestRadioCycle):
        return DriveTestTask(network, pool, held, options, mixture)
    if isinstance(network, RayBuildings):
        return RayTask(network, pool, held, options, mixture)
    if isinstance(network, SuperResolutionNet):
        return MarsTask(network, pool, held, options)
    if isinstance(network, RadioCycle):
        return RadioCycleTask(network, pool, held, options)
    assert isinstance(network, InterpolationNet)
    return InterpolationTask(network, pool, held, options)


def _task_options(kind: str) -> type[Any]:
    """Return the class of the task options for a kind of network."""
    if kind == "radiocycle-drive":
        return DriveTestOptions
    if kind == "ray-buildings":
        return RayOptions
    if kind in {"mars", "srresnet", "supreme"}:
        return MarsOptions
    if kind in {"radiocycle", "interpolation-net"}:
        return PaperOptions
    raise ConfigError(f"There is no training for {kind!r}.")


def _task_values(config: TrainingConfig) -> Mapping[str, Any]:
    """Return the task section; the baselines of MARS have only the squared error as loss."""
    if config.kind == "interpolation-net":
        for key in (
            "mode",
            "only",
            "temperature",
            "loop_input",
            "loop_gradient",
            "loop_statistics",
            "balanced",
            "warm_up",
        ):
            if key in config.task:
                raise ConfigError(f"task.{key} is valid only for radiocycle, not {config.kind}.")
    if config.kind in {"srresnet", "supreme"}:
        return {"gradient_weight": 0.0, "focal_weight": 0.0, **config.task}
    return config.task
