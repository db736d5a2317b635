"""Keys of the default models in an index, and the networks that are valid for them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rm_geo.errors import InputError, UsageError
from rm_geo.zoo.kinds import SUPERRES_KINDS

_PAIRS: Final = ("radiocycle", "radiocycle-drive")

_PLAIN: Final = {
    "ray-buildings": ("ray-buildings",),
    "interpolation-net": ("interpolation-net",),
    **dict.fromkeys(
        (
            "radiocycle",
            "radiocycle-sl",
            "radiocycle-ml",
            "radiocycle-ml-dwa",
            "radiocycle-ml-dwa-sampled",
        ),
        _PAIRS,
    ),
}

_SCALED: Final = re.compile(
    r"(mars|srresnet|supreme|superres)-([1-9]\d*)(?:-paper|-buildings)?(?:-i)?"
)


@dataclass(frozen=True)
class NetworkShape:
    """Kind and scale of a network, which determine its valid keys.

    Attributes
    ----------
    kind : str
        Kind of network.
    scale : int or None
        Upscaling factor of a super-resolution network, None for others.
    """

    kind: str
    scale: int | None = None


def require_suited(key: str, name: str, shape: NetworkShape) -> None:
    """Check that a model can be the default for a key.

    Parameters
    ----------
    key : str
        Key, such as ``radiocycle``, ``mars-4`` or ``superres-8-buildings``.
    name : str
        Name of the model, for the message.
    shape : NetworkShape
        Network of the model.

    Raises
    ------
    UsageError
        If no method uses the key, or the kind or scale of the network does not match it.
    """
    scaled = _SCALED.fullmatch(key)
    if scaled is not None:
        family, scale = scaled[1], int(scaled[2])
        kinds: tuple[str, ...] = SUPERRES_KINDS if family == "superres" else (family,)
        if shape.kind in kinds and shape.scale not in (None, scale):
            raise UsageError(
                f"The model {name!r} has scale {shape.scale}, which does not match {key!r}.",
                hint="Use a key of the same scale.",
            )
    elif key in _PLAIN:
        kinds = _PLAIN[key]
    else:
        raise UsageError(
            f"Unknown key {key!r} of a default model.",
            hint=f"Keys: {', '.join(_PLAIN)}, mars-4, superres-4-buildings and the like.",
        )
    if shape.kind not in kinds:
        raise UsageError(
            f"The model {name!r} is a {shape.kind!r} network, which is not valid for {key!r}.",
            hint=f"Valid kinds: {', '.join(kinds)}.",
        )


def read_shape(path: Path) -> NetworkShape:
    """Read the network from the configuration of a training or from the file of a model.

    Parameters
    ----------
    path : Path
        JSON file with the keys ``kind`` and, for super-resolution, ``scale``.

    Returns
    -------
    NetworkShape

    Raises
    ------
    InputError
        If the file is missing or does not contain the network.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        scale = values.get("scale", values.get("network", {}).get("scale"))
        return NetworkShape(str(values["kind"]), None if scale is None else int(scale))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} does not describe a network: {error}.",
            hint="Name an output folder of rm-geo train, and a folder of complete models.",
        ) from error
