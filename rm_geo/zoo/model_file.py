"""The file of one trained model: safetensors whose header names the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rm_geo._util.json_text import parse_json
from rm_geo.errors import ModelError
from rm_geo.zoo.kinds import present_kind
from rm_geo.zoo.safetensors import read_header

METADATA_KEY: Final = "rm_geo"
"""Key of the safetensors header that names the network."""

WEIGHTS_NAME: Final = "model.safetensors"
CARD_NAME: Final = "card.json"
_MOST_BYTES: Final = 1 << 30


def tensor_header(data: bytes, path: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a safetensors file.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : Path
        Its path, for the message.

    Returns
    -------
    header : dict
        Of each tensor, its type, shape and place; and the metadata.
    start : int
        Byte from which places are counted.

    Raises
    ------
    ModelError
        If it is none.
    """
    try:
        return read_header(data)
    except ValueError as error:
        raise damaged_model(path, f"it is not a safetensors file ({error})") from error


def description_in(data: bytes, path: Path) -> dict[str, Any]:
    """Read from the header of a safetensors file what network it holds.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : Path
        Its path, for the message.

    Returns
    -------
    dict
        ``kind``, ``network`` and what else was written, such as the recipe.
    """
    header, _ = tensor_header(data, path)
    try:
        description = dict(parse_json(header["__metadata__"][METADATA_KEY]))
        if not isinstance(description["kind"], str) or not isinstance(description["network"], dict):
            raise TypeError("kind and network are of the wrong type")
        description["kind"] = present_kind(description["kind"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The file {path} does not state its network.",
            hint="It was not written by rm_geo; use a model from 'rm-geo models list'.",
        ) from error
    return description


def read_model(path: Path) -> bytes:
    """Read a file whole; models are tens of megabytes.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
    """
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise damaged_model(path, f"it has {size / 2**30:,.0f} GiB")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read ({error.strerror}).",
            hint="'rm-geo models list' shows what is installed.",
        ) from error


def damaged_model(path: Path, why: str) -> ModelError:
    """Make the error for a file that cannot be trusted.

    Parameters
    ----------
    path : Path
        The file.
    why : str
        What is wrong with it.

    Returns
    -------
    ModelError
    """
    return ModelError(
        f"The model file {path} is damaged: {why}.",
        hint="Copy or install it again; 'rm-geo models verify' checks all.",
    )
