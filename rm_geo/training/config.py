"""Configuration of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainingConfig:
    """Complete configuration of a training.

    Attributes
    ----------
    kind : str
        Kind of network, see :func:`rm_geo.networks.kinds`.
    network : mapping
        Keyword arguments of the network.
    data : sequence of str
        Folders of simulated sets.
    data_weights : sequence of float or None
        Relative frequency of each set; equal if None.
    held_out : int
        Number of scenes at the end of each set that are kept for validation.
    split : str or None
        Name of a split of :mod:`rm_geo.datasets.splits`. If set, only its maps and transmitters
        are used.
    start_from : str or None
        Name or file of a trained model with the initial weights of a new training. For a wider
        network they are widened (:func:`~rm_geo.training.widening.widen`). A resumed training
        uses its checkpoint instead.
    start_parts : sequence of str or None
        Parts of the network that use these initial weights, such as ``F`` of a RadioCycle; all
        parts if None.
    radiomapseer : mapping
        Options for reading RadioMapSeer: ``simulation`` (DPM, IRT2, ...) and ``scale``
        (published, noise-floor).
    loop, task, mixture : mapping
        Fields of :class:`~rm_geo.training.loop.LoopOptions`, of the options of the task, and of
        :class:`~rm_geo.training.measurements.MeasurementMixture`.
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
