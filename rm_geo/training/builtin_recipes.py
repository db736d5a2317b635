"""Built-in training recipes: those of the papers, their ablations, and improved ones.

Command: ``rm-geo train KIND --config NAME``. Options on the command line override the recipe.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from rm_geo.datasets.splits import MARS_SETTING_I, MARS_SETTING_II
from rm_geo.errors import ConfigError

SETTINGS: Final = {1: MARS_SETTING_I.name, 2: MARS_SETTING_II.name}
"""Splits for the settings of the MARS paper: unseen transmitters, unseen scenes."""

_RADIOCYCLE: Final = {
    "split": "radiocycle",
    "loop": {"max_minutes": 120.0, "learning_rate": 1e-3},
    # One model for all sampling rates, as in figure 4 of the RadioCycle paper.
    "task": {"batch": 16, "crop": 256, "fraction": [0.05, 0.5], "turned": False},
}

_SUPER_RESOLUTION: Final = {
    "split": MARS_SETTING_II.name,
    "loop": {"max_minutes": 60.0, "learning_rate": 5e-4},
    "task": {"batch": 16, "crop": 128, "final_crop": 256, "turned": False},
}


def _with(recipe: dict[str, Any], **sections: dict[str, Any] | None) -> dict[str, Any]:
    """Copy a recipe and update its sections; a section of None is removed."""
    changed = copy.deepcopy(recipe)
    for name, section in sections.items():
        if section is None:
            changed.pop(name, None)
        else:
            changed[name] = {**changed.get(name, {}), **section}
    return changed


_RECIPES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "radiocycle": {
        "ml-dwa": _with(_RADIOCYCLE, task={"mode": "dual-dwa"}),
        # F reads G(z) at the sampled pixels only, as in an application, and each network is
        # trained by the losses of its own output: the form of dual losses that single losses do
        # not surpass (docs/results.md).
        "ml-dwa-sampled": _with(
            _RADIOCYCLE,
            task={"mode": "dual-dwa", "loop_input": "sampled", "loop_gradient": "outer"},
        ),
        "ml": _with(_RADIOCYCLE, task={"mode": "dual"}),
        "sl": _with(_RADIOCYCLE, task={"mode": "single"}),
    },
    "interpolation-net": {"paper": _RADIOCYCLE},
    "ray-buildings": {
        # Drives mostly; sites as site tables and estimates from levels have them.
        "drives": {
            "loop": {"max_minutes": 90.0, "learning_rate": 1e-3},
            "task": {"batch": 16, "crop": 128, "final_crop": 256},
            "mixture": {
                "uniform": 0.15,
                "grid": 0.05,
                "routes": 0.8,
                "uniform_fraction": [0.004, 0.1],
                "route_fraction": [0.004, 0.06],
                "noisy_probability": 0.5,
                "unknown_transmitter": 0.1,
                "unknown_intercept": 0.4,
                "position_error_m": 4.0,
            },
        },
    },
    "mars": {
        "paper": _SUPER_RESOLUTION,
        # All training maps, a mask of buildings, correction of the bilinear enlargement. The
        # second and third loss of the paper conflict with the RMSE, so their weights are smaller.
        "plus": _with(
            _SUPER_RESOLUTION,
            split=None,
            network={"residual": True, "masked": True},
            task={"gradient_weight": 0.002, "focal_weight": 0.0},
        ),
        # For rasters of planning tools: values are block means, the transmit power is unknown,
        # and buildings are nodata or missing.
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
        # For known scenes: buildings at full resolution are an input.
        "walls": _with(
            {**_SUPER_RESOLUTION, "split": MARS_SETTING_I.name},
            network={"residual": True, "walled": True},
            task={"gradient_weight": 0.002, "focal_weight": 0.0, "turned": True},
        ),
        # For rasters of planning tools with building footprints.
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
    "ray-buildings": {"s": {}, "full": {"widths": [96, 192, 256, 384], "depths": [2, 2, 3, 3]}},
    "mars": {"s": {"width": 16, "blocks": 2, "repeats": 3, "heads": 4}, "full": {}},
    "srresnet": {"s": {"width": 32, "blocks": 8}, "full": {}},
    "supreme": {"s": {"width": 32, "blocks": 8}, "full": {}},
}


def builtin_recipe_names(kind: str) -> tuple[str, ...]:
    """Return the names of the built-in recipes for a kind of network.

    Examples
    --------
    >>> builtin_recipe_names("radiocycle")
    ('ml-dwa', 'ml-dwa-sampled', 'ml', 'sl')
    """
    return tuple(_RECIPES.get(kind, {}))


def builtin_recipe(kind: str, name: str) -> dict[str, Any]:
    """Return a copy of a built-in recipe.

    Parameters
    ----------
    kind : str
        Kind of network.
    name : str
        One of :func:`builtin_recipe_names`.

    Returns
    -------
    dict
        Sections of the recipe, as in a YAML file.

    Raises
    ------
    ConfigError
        If there is no recipe of that name.
    """
    known = _RECIPES.get(kind, {})
    if name not in known:
        raise ConfigError(
            f"There is neither a file nor a built-in recipe {name!r} for {kind!r}.",
            hint=f"Built-in recipes: {', '.join(known) or 'none'}.",
        )
    return copy.deepcopy(known[name])


def network_of_size(kind: str, size: str) -> dict[str, Any]:
    """Return the network section of a recipe for a size.

    Parameters
    ----------
    kind : str
        Kind of network.
    size : {"s", "full"}
        ``s`` can be trained on two CPU cores; ``full`` is the size of the paper, for a GPU.

    Returns
    -------
    dict
        Keyword arguments of the network.

    Raises
    ------
    ConfigError
        If the kind has no such size.
    """
    sizes = _SIZES.get(kind, {})
    if size not in sizes:
        raise ConfigError(
            f"Unknown size {size!r} of {kind!r}.", hint=f"Sizes: {', '.join(sizes) or 'none'}."
        )
    return copy.deepcopy(sizes[size])
