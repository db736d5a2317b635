"""The configuration of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that a training depends on.

    Attributes
    ----------
    kind : str
        What to train, see :func:`rm_geo.networks.kind_names`.
    network : mapping
        Keyword arguments of the network.
    data : sequence of str
        Folders of simulated sets.
    data_weights : sequence of float or None
        How often each is drawn from.
    held_out : int
        Scenes at the end of each set kept for validation.
    split : str or None
        Name of a split of :mod:`rm_geo.datasets.splits`: train on its maps and transmitters
        alone.
    start_from : str or None
        Trained model, by name or file, whose weights a new training starts from, widened
        where the network is wider (:func:`~rm_geo.training.widening.widen`); a checkpoint that
        is resumed has its own.
    start_parts : sequence of str or None
        Only these parts of the network start from it, such as ``F`` of a RadioCycle.
    radiomapseer : mapping
        How RadioMapSeer is read, where it is among the data: ``simulation`` (DPM, IRT2, ...)
        and ``scale`` (published, noise-floor).
    loop, task, mixture : mapping
        Fields of :class:`~rm_geo.training.loop.LoopOptions`, of the task's options, and of
        :class:`~rm_geo.training.measure.MeasurementMixture`.
    """

    kind: str
    data: Sequence[str]
    network: Mapping[str, Any] = field(default_factory=dict)
    data_weights: Sequence[float] | None = None
    held_out: int = 16
    split: str | None = None
    start_from: str | None = None
    start_parts: Sequence[str] | None = None
    radiomapseer: Mapping[str, Any] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    mixture: Mapping[str, Any] = field(default_factory=dict)
