"""Initial weights of a training, and the record of its origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from rm_geo._util.atomic import replacing
from rm_geo.datasets.simulated import MANIFEST
from rm_geo.errors import ConfigError
from rm_geo.io.provenance import files_sha256
from rm_geo.networks import build, complete_arguments
from rm_geo.training.widening import widen
from rm_geo.zoo.catalog import describe_network, find_model, verified
from rm_geo.zoo.weights import load_network

if TYPE_CHECKING:
    from rm_geo.training.config import TrainingConfig

CONFIG_NAME: Final = "config.json"
ORIGIN_NAME: Final = "origin.json"

_SIZES: Final = ("width", "map_width", "f_widths", "f_depths", "g_widths", "g_depths")
"""Arguments of networks that may differ from those of the model with the initial weights."""

_CHANGEABLE: Final = frozenset(
    {
        "max_minutes",
        "max_steps",
        "learning_rate",
        "validate_every_s",
        "checkpoint_every_s",
        "precision",
    }
)
"""Loop options that may change when a training is resumed."""


@dataclass(frozen=True)
class Origin:
    """Origin of a training: its data and initial weights.

    Attributes
    ----------
    data_sha256 : sequence of str
        SHA-256 of the manifests of its sets, which identify them if they are moved.
    parent, parent_sha256 : str or None
        Name and SHA-256 of the model with the initial weights.
    parent_minutes : float or None
        Minutes of training of that model, if known.
    """

    data_sha256: Sequence[str] = ()
    parent: str | None = None
    parent_sha256: str | None = None
    parent_minutes: float | None = None

    @classmethod
    def of(cls, config: TrainingConfig) -> Origin:
        """Compute the origin of a new training from its configuration."""
        sums = _data_sha256(config)
        if config.start_from is None:
            return cls(sums)
        record = verified(find_model(config.start_from, kind=config.kind))
        minutes = describe_network(record).get("minutes")
        known = float(minutes) if isinstance(minutes, int | float) else None
        return cls(sums, record.name, record.sha256, known)

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """Read the origin from the folder of a training, an empty one if there is none."""
        try:
            found = json.loads((folder / ORIGIN_NAME).read_text("utf-8"))
            return cls(**found)
        except (OSError, ValueError, TypeError):
            return cls()

    @property
    def in_words(self) -> str:
        """Say it for a card."""
        if self.parent is None:
            return "random weights"
        minutes = "" if self.parent_minutes is None else f" after {self.parent_minutes:g} minutes"
        return f"{self.parent}{minutes} (sha256 `{self.parent_sha256}`)"


def write_origin(config: TrainingConfig, folder: Path, origin: Origin) -> None:
    """Write configuration and origin of a training to its folder.

    Parameters
    ----------
    config : TrainingConfig
        The configuration.
    folder : Path
        Folder of the training.
    origin : Origin
        Software and data of the training.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for name, values in ((CONFIG_NAME, asdict(config)), (ORIGIN_NAME, asdict(origin))):
        with replacing(folder / name) as part:
            part.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def require_same_config(config: TrainingConfig, folder: Path) -> None:
    """Check that a training is resumed with its own configuration.

    Budgets, learning rate, intervals and precision may differ, and the data may have been moved.

    Parameters
    ----------
    config : TrainingConfig
        The present configuration.
    folder : Path
        Folder of the training, with its former configuration.

    Raises
    ------
    ConfigError
        If anything else differs. The message names the keys.
    """
    try:
        before = json.loads((folder / CONFIG_NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return  # a checkpoint without its configuration
    now = json.loads(json.dumps(asdict(config)))
    names = [item.name for item in fields(config) if item.name not in {"data", "loop"}]
    changed = [name for name in names if before.get(name) != now[name]]
    if all(isinstance(values.get("loop"), Mapping) for values in (before, now)):
        keys = (before["loop"].keys() | now["loop"].keys()) - _CHANGEABLE
        changed += sorted(
            f"loop.{key}" for key in keys if before["loop"].get(key) != now["loop"].get(key)
        )
    sums, known = _data_sha256(config), list(Origin.read(folder).data_sha256)
    if known and sums != known:
        changed.append("data")
    if changed:
        raise ConfigError(
            f"The training in {folder} was started with another {', '.join(changed)}.",
            hint="Use the same configuration or another folder, or start anew (`resume=False`).",
        )


def initial_network(config: TrainingConfig) -> nn.Module:
    """Build the network of a configuration with its initial weights.

    Parameters
    ----------
    config : TrainingConfig
        The configuration. Without ``start_from``, the weights are random.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ConfigError
        If the model with the initial weights has another shape and cannot be widened.
    ModelError
        If this model is missing, or the network cannot be built.
    """
    network = build(config.kind, config.network)
    if config.start_from is None:
        return network
    trained, record = load_network(find_model(config.start_from, kind=config.kind))
    hint = "Use the network section of that model's recipe; widths may be whole multiples."
    described = describe_network(record)["network"]
    own, others = (
        complete_arguments(config.kind, values) for values in (config.network, described)
    )
    if other := [key for key in own if key not in _SIZES and own[key] != others[key]]:
        raise ConfigError(
            f"The model {record.name!r} is of another kind than the network to be trained: its "
            f"{other[0]} is {others[other[0]]!r}, not {own[other[0]]!r}.",
            hint=hint,
        )
    pairs = [(network, trained)]
    if config.start_parts is not None:
        known = [name for name, _ in network.named_children()]
        if unknown := [part for part in config.start_parts if part not in known]:
            raise ConfigError(
                f"{config.kind!r} has no part {unknown[0]!r} to start from.",
                hint=f"Parts: {', '.join(known)}.",
            )
        pairs = [
            (network.get_submodule(part), trained.get_submodule(part))
            for part in config.start_parts
        ]
    random = torch.Generator().manual_seed(int(config.loop.get("seed", 0)))
    try:
        for wide, narrow in pairs:
            widen(wide, narrow, random)
    except ConfigError as error:
        raise ConfigError(
            f"The model {record.name!r} has another shape than the network to be trained, and "
            f"cannot be widened to it: {error.message}",
            hint=hint,
        ) from error
    return network


def _data_sha256(config: TrainingConfig) -> list[str]:
    """Return the checksums of the manifests of the sets, an empty text for a missing one."""
    manifests = [Path(path) / MANIFEST for path in config.data]
    return [files_sha256(path) if path.is_file() else "" for path in manifests]
