"""Recipes that come with rm_geo: the papers' trainings, their ablations, and better ones.

``rm-geo train KIND --config NAME``; whatever is given on the command line goes before them.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from rm_geo.datasets.splits import MARS_SETTING_I, MARS_SETTING_II
from rm_geo.errors import ConfigError

SETTINGS: Final = {1: MARS_SETTING_I.name, 2: MARS_SETTING_II.name}
"""Splits of the MARS paper's settings: unseen transmitters, unseen scenes."""

_RADIOCYCLE: Final = {
    "split": "radiocycle",
    "loop": {"max_minutes": 120.0, "learning_rate": 1e-3},
    # One model for all rates, which is what the paper's figure 4 asks of RadioCycle.
    "task": {"batch": 16, "crop": 256, "fraction": [0.05, 0.5], "turned": False},
}

_SUPER_RESOLUTION: Final = {
    "split": MARS_SETTING_II.name,
    "loop": {"max_minutes": 60.0, "learning_rate": 5e-4},
    "task": {"batch": 16, "crop": 128, "final_crop": 256, "turned": False},
}


def _with(recipe: dict[str, Any], **sections: dict[str, Any] | None) -> dict[str, Any]:
    """Copy a recipe, sections changed key by key; a section that is None is left out."""
    changed = copy.deepcopy(recipe)
    for name, section in sections.items():
        if section is None:
            changed.pop(name, None)
        else:
            changed[name] = {**changed.get(name, {}), **section}
    return changed


_READY: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "radiocycle": {
        "ml-dwa": _with(_RADIOCYCLE, task={"mode": "dual-dwa"}),
        "ml": _with(_RADIOCYCLE, task={"mode": "dual"}),
        "sl": _with(_RADIOCYCLE, task={"mode": "single"}),
    },
    "interpolation-net": {"paper": _RADIOCYCLE},
    "mars": {
        "paper": _SUPER_RESOLUTION,
        # Every training map, the walls told, bilinear corrected. The papers' second and third
        # loss pull against the error that is judged, so they weigh less.
        "plus": _with(
            _SUPER_RESOLUTION,
            split=None,
            network={"residual": True, "masked": True},
            task={"gradient_weight": 0.002, "focal_weight": 0.0},
        ),
        # For planners' rasters, whose values are means of cells at a power that nobody knows,
        # and whose buildings are nodata if they are there at all.
        "field": _with(
            _SUPER_RESOLUTION,
            split=None,
            network={"residual": True},
            task={
                "sampling": "filled",
                "level_shift_db": 6.0,
                "turned": True,
            },
        ),
        # Known scenes: the walls are told at full resolution.
        "walls": _with(
            {**_SUPER_RESOLUTION, "split": MARS_SETTING_I.name},
            network={"residual": True, "walled": True},
            task={"gradient_weight": 0.002, "focal_weight": 0.0, "turned": True},
        ),
        # For planners' rasters with outlines of the buildings beside them.
        "field-walls": _with(
            _SUPER_RESOLUTION,
            split=None,
            network={"residual": True, "walled": True},
            task={"sampling": "filled", "level_shift_db": 6.0, "turned": True},
        ),
    },
    "srresnet": {"paper": _SUPER_RESOLUTION},
    "supreme": {"paper": _SUPER_RESOLUTION},
}

_SIZES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "radiocycle": {"s": {"width": 0.25, "map_width": 0.5}, "full": {"width": 1.0}},
    "interpolation-net": {"s": {"width": 0.5}, "full": {"width": 1.0}},
    "radiocycle-drive": {
        "s": {"trend": True},
        "full": {
            "trend": True,
            "f_widths": [96, 192, 256, 384],
            "f_depths": [2, 2, 3, 3],
            "g_widths": [64, 128, 256, 384],
            "g_depths": [2, 2, 3, 3],
        },
    },
    "mars": {"s": {"width": 16, "blocks": 2, "repeats": 3, "heads": 4}, "full": {}},
    "srresnet": {"s": {"width": 32, "blocks": 8}, "full": {}},
    "supreme": {"s": {"width": 32, "blocks": 8}, "full": {}},
}


def ready_recipes(kind: str) -> tuple[str, ...]:
    """Names of the recipes that come for a kind of network."""
    return tuple(_READY.get(kind, {}))


def builtin_recipe(kind: str, name: str) -> dict[str, Any]:
    """Give a recipe that comes with rm_geo, to be changed at will.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    known = _READY.get(kind, {})
    if name not in known:
        raise ConfigError(
            f"There is neither a file nor a ready recipe {name!r} for {kind!r}.",
            hint=f"Ready: {', '.join(known) or 'none'}.",
        )
    return copy.deepcopy(known[name])


def network_of_size(kind: str, size: str) -> dict[str, Any]:
    """Give the network section of a size, ``s`` (two cores) or ``full`` (the paper's, a GPU).

    Raises
    ------
    ConfigError
        If the kind has no such size.
    """
    sizes = _SIZES.get(kind, {})
    if size not in sizes:
        raise ConfigError(
            f"There is no size {size!r} of {kind!r}.", hint=f"Sizes: {', '.join(sizes) or 'none'}."
        )
    return copy.deepcopy(sizes[size])
