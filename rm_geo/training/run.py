"""Train a model from a configuration: the door that ``rm-geo train`` opens."""

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
from rm_geo.progress import Progress, SilentProgress
from rm_geo.training.config import TrainingConfig
from rm_geo.training.device_pool import DevicePool, fits_device
from rm_geo.training.drive_task import DriveTestTask, FieldOptions
from rm_geo.training.loop import CHECKPOINT_NAME, LoopOptions, TrainingLoop
from rm_geo.training.mars_task import MarsOptions, MarsTask
from rm_geo.training.measure import MeasurementMixture
from rm_geo.training.options import make_options
from rm_geo.training.paper_task import InterpolationTask, PaperOptions, RadioCycleTask
from rm_geo.training.process_group import ProcessGroup
from rm_geo.training.scenes import ScenePool
from rm_geo.training.start import Origin, initial_network, require_same, write_start
from rm_geo.training.task import TrainingTask


@dataclass(frozen=True)
class RadioMapSeerOptions:
    """How RadioMapSeer is read.

    Attributes
    ----------
    simulation : str
        Folder of its gains, one of :data:`rm_geo.datasets.splits.SIMULATIONS`.
    scale : {"published", "noise-floor"}
        How gains are coded in grey; some copies are in the noise-floor form.
    """

    simulation: str = "DPM"
    scale: str = "published"

    def __post_init__(self) -> None:
        if self.simulation not in SIMULATIONS:
            raise ConfigError(
                f"There is no simulation {self.simulation!r}.",
                hint=f"Use {', '.join(SIMULATIONS)}.",
            )
        if self.scale not in GREY_SCALES:
            raise ConfigError(f"scale must be {' or '.join(GREY_SCALES)}, not {self.scale!r}.")


def read_config(kind: str, recipe: Mapping[str, Any]) -> TrainingConfig:
    """Make a configuration from a recipe; what cannot be meant is an error that names the key.

    Parameters
    ----------
    kind : str
        What to train.
    recipe : mapping
        As a YAML or JSON file has it.

    Raises
    ------
    ConfigError
        If a key is unknown, a value of the wrong type, or a section cannot be meant. Data
        and network are looked at by :func:`make_task`.
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
    team: ProcessGroup | None = None,
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
    team : ProcessGroup, optional
        The processes that train together; this one alone if not given.

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
    OutputError
        If the folder cannot be written.
    """
    device, team = device or torch.device("cpu"), team or ProcessGroup()
    progress = progress or SilentProgress()
    loop_options = make_options(LoopOptions, config.loop, "loop")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(loop_options.seed)
    resumed = resume and (folder / CHECKPOINT_NAME).exists()
    if resumed:
        require_same(config, folder)
    task = make_task(config, device, resumed=resumed)
    prepare_output_folder(folder)
    loop = TrainingLoop(task, folder, loop_options, device, team)
    if resumed:
        loop.resume()
    if team.leads:
        if not resumed:  # or a kill before the first checkpoint would bring the old one back
            loop.checkpoint.unlink(missing_ok=True)
        write_start(config, folder, Origin.read(folder) if resumed else Origin.of(config))
    return loop.run(progress)


def check_config(config: TrainingConfig, *, resumed: bool = False) -> None:
    """Check all of a configuration but its data, without any work.

    Parameters
    ----------
    config : TrainingConfig
        The configuration.
    resumed : bool
        Whether a checkpoint will be continued: the model that the training started from may be
        gone by then.

    Raises
    ------
    ConfigError
        If a section cannot be meant.
    ModelError
        If the network cannot be built.
    """
    make_options(LoopOptions, config.loop, "loop")
    if config.split is not None:
        get_split(config.split)
    make_options(RadioMapSeerOptions, config.radiomapseer, "radiomapseer")
    _checked(config, resumed=resumed)


def _checked(config: TrainingConfig, *, resumed: bool) -> tuple[nn.Module, Any, MeasurementMixture]:
    """Network, options of its task, and mixture; from the cheap to the dear."""
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
        Where the network and the data go.
    resumed : bool
        Whether a checkpoint's weights will take the place of those it starts with.

    Raises
    ------
    ConfigError
        If a section cannot be meant, or the data does not suit it.
    InputError
        If training data is missing or damaged.
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
    if isinstance(network, SuperResolutionNet):
        return MarsTask(network, pool, held, options)
    if isinstance(network, RadioCycle):
        return RadioCycleTask(network, pool, held, options)
    assert isinstance(network, InterpolationNet)
    return InterpolationTask(network, pool, held, options)


def _task_options(kind: str) -> type[Any]:
    """Give the options that the training of a kind of network has."""
    if kind == "radiocycle-drive":
        return FieldOptions
    if kind in {"mars", "srresnet", "supreme"}:
        return MarsOptions
    if kind in {"radiocycle", "interpolation-net"}:
        return PaperOptions
    raise ConfigError(f"There is no training for {kind!r}.")


def _task_values(config: TrainingConfig) -> Mapping[str, Any]:
    """Give the task section; the baselines of MARS have the squared error alone."""
    if config.kind == "interpolation-net":
        for key in ("mode", "only", "temperature"):
            if key in config.task:
                raise ConfigError(f"task.{key} is radiocycle's: interpolation-net has one loss.")
    if config.kind in {"srresnet", "supreme"}:
        return {"gradient_weight": 0.0, "focal_weight": 0.0, **config.task}
    return config.task
