"""Keys of the default models in an index, and which networks can serve them."""

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
    "interpolation-net": ("interpolation-net",),
    **dict.fromkeys(("radiocycle", "radiocycle-sl", "radiocycle-ml", "radiocycle-ml-dwa"), _PAIRS),
}

_SCALED: Final = re.compile(
    r"(mars|srresnet|supreme|superres)-([1-9]\d*)(?:-paper|-buildings)?(?:-i)?"
)


@dataclass(frozen=True)
class NetworkShape:
    """What a key asks of a network.

    Attributes
    ----------
    kind : str
        Kind of network.
    scale : int or None
        Upscaling factor of a super-resolution network; None of others.
    """

    kind: str
    scale: int | None = None


def require_suited(key: str, name: str, shape: NetworkShape) -> None:
    """Refuse a default that the methods which look for its key cannot use.

    Parameters
    ----------
    key : str
        Such as ``radiocycle``, ``mars-4`` or ``superres-8-buildings``.
    name : str
        The model, for the message.
    shape : NetworkShape
        Its network.

    Raises
    ------
    UsageError
        If nothing looks for the key, or kind or scale are not what it stands for.
    """
    scaled = _SCALED.fullmatch(key)
    if scaled is not None:
        family, scale = scaled[1], int(scaled[2])
        kinds: tuple[str, ...] = SUPERRES_KINDS if family == "superres" else (family,)
        if shape.kind in kinds and shape.scale not in (None, scale):
            raise UsageError(
                f"The model {name!r} refines {shape.scale}x: it is no {key!r}.",
                hint="Give it to a key of its own scale.",
            )
    elif key in _PLAIN:
        kinds = _PLAIN[key]
    else:
        raise UsageError(
            f"There is no default {key!r}: nothing looks for it.",
            hint=f"Keys: {', '.join(_PLAIN)}, mars-4, superres-4-buildings and the like.",
        )
    if shape.kind not in kinds:
        raise UsageError(
            f"The model {name!r} is a {shape.kind!r} network, which cannot serve {key!r}.",
            hint=f"That takes {' or '.join(kinds)}.",
        )


def read_shape(path: Path) -> NetworkShape:
    """Read what network a training's configuration or a model's card is about.

    Raises
    ------
    InputError
        If the file is missing or says no such thing.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        scale = values.get("scale", values.get("network", {}).get("scale"))
        return NetworkShape(str(values["kind"]), None if scale is None else int(scale))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} does not tell what network there is: {error}.",
            hint="Name the folder that rm-geo train wrote to, and a folder of whole models.",
        ) from error
