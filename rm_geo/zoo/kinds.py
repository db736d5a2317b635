"""Kinds of networks, as model files name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DRIVE_KIND: Final = "radiocycle-drive"
"""RadioCycle for drive tests."""

RAY_KIND: Final = "ray-buildings"
"""Buildings from the lines between the sites and the measurements of many cells."""

SUPERRES_KINDS: Final = ("mars", "srresnet", "supreme")
"""Super-resolution networks."""

GRAPH_KINDS: Final = (DRIVE_KIND, RAY_KIND, *SUPERRES_KINDS)
"""Kinds that can have graphs for ONNX Runtime beside their weights."""

FORMER_KINDS: Final[Mapping[str, str]] = {"radiocycle-field": DRIVE_KIND}
"""Names of kinds in files of earlier versions, with today's names."""


def present_kind(kind: str) -> str:
    """Translate the kind that a model file states to today's name.

    Parameters
    ----------
    kind : str
        As a file states it.

    Returns
    -------
    str

    Examples
    --------
    >>> present_kind("radiocycle-field")
    'radiocycle-drive'
    >>> present_kind("mars")
    'mars'
    """
    return FORMER_KINDS.get(kind, kind)
