"""Networks and their weights: loaded from a model, or written as one.

No pickle is ever read: weights are safetensors, and nothing else is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rm_geo._util.atomic import prepare_output_folder, replacing
from rm_geo._util.json_text import parse_json
from rm_geo.buildings.threshold import CALIBRATION_TAG
from rm_geo.devices import require_torch
from rm_geo.errors import ModelError
from rm_geo.zoo.catalog import INDEX_NAME, ModelRecord, list_models, package_root, read_index
from rm_geo.zoo.model_file import (
    CARD_NAME,
    METADATA_KEY,
    WEIGHTS_NAME,
    damaged_model,
    description_in,
    read_model,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_INDEXED: Final = (
    "architecture",
    "size",
    "scale",
    "summary",
    "parameters",
    "onnx",
    CALIBRATION_TAG,
)


def load_network(record: ModelRecord) -> tuple[nn.Module, ModelRecord]:
    """Load a model's network in float32 and evaluation mode, its checksum verified.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    network : torch.nn.Module
        On the CPU; half-precision weights are widened.
    record : ModelRecord
        With ``sha256`` filled in with what was read.

    Raises
    ------
    ModelError
        If the file is damaged, has another checksum, or does not fit its network.
    DependencyError
        If PyTorch is not installed.

    Examples
    --------
    >>> from rm_geo import find_model
    >>> network, record = load_network(find_model("superres-4x-s"))
    >>> type(network).__name__, len(record.sha256)
    ('MARS', 64)
    """
    require_torch("Loading a network")
    from rm_geo.zoo.safetensors import parse_tensors

    data = read_model(record.path)
    checksum = hashlib.sha256(data).hexdigest()
    if record.sha256 is not None and checksum != record.sha256:
        raise damaged_model(
            record.path, f"its checksum is {checksum[:12]}..., not {record.sha256[:12]}..."
        )
    description = description_in(data, record.path)
    try:
        _, tensors = parse_tensors(data)
    except ValueError as error:
        raise damaged_model(record.path, str(error)) from error
    # numpy, because torch's threads cost more than they bring on hundreds of small tensors.
    floats = [t.float().numpy() for t in tensors.values() if t.is_floating_point()]
    if not all(np.isfinite(values).all() for values in floats):
        raise damaged_model(record.path, "it holds weights that are not finite")
    try:
        network = _with_weights(str(description["kind"]), description["network"], tensors)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"The weights in {record.path} do not fit the network that the file names.",
            hint=f"It may come from another version of rm_geo ({str(error).splitlines()[0]}).",
        ) from error
    network = network.float().eval().requires_grad_(False)
    return network, replace(record, sha256=checksum)


def _with_weights(kind: str, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """Build a network around weights, without drawing random ones first where that is possible."""
    import torch

    from rm_geo.networks import build

    with torch.device("meta"):
        network = build(kind, config)
    network.load_state_dict(tensors, strict=True, assign=True)
    if any(t.is_meta for t in (*network.parameters(), *network.buffers())):
        # Buffers that the file does not hold are computed when the network is built.
        network = build(kind, config)
        network.load_state_dict(tensors, strict=True)
    return network


def save_model(
    path: Path,
    module: nn.Module,
    kind: str,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Write a network as safetensors, complete or not at all; gives its sha256.

    Parameters
    ----------
    path : Path
        The file, or a folder that gets ``model.safetensors`` and ``card.json``.
    module : torch.nn.Module
        Its state is written as it is, dtype included.
    kind : str
        The kind of network, as :func:`rm_geo.networks.build` knows it.
    config : mapping
        Its parameters, as JSON can hold them.
    metadata : mapping, optional
        What else the header (and the card) is to say: architecture, size, scale, scores.

    Returns
    -------
    str
        The sha256 of the file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from rm_geo.zoo.safetensors import dump_tensors

    as_folder = path.suffix != ".safetensors"
    target = path / WEIGHTS_NAME if as_folder else path
    more = dict(metadata or {})
    description = {"kind": kind, "network": dict(config), **more}
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    data = dump_tensors(state, {METADATA_KEY: json.dumps(description, sort_keys=True)})
    checksum = hashlib.sha256(data).hexdigest()
    _write_bytes(target, data)
    if as_folder:
        card = {
            "name": path.name,
            "kind": kind,
            "sha256": checksum,
            **more,
            "parameters": sum(p.numel() for p in module.parameters()),
        }
        write_json(path / CARD_NAME, card)
    return checksum


def write_index(root: Path, default: Mapping[str, str] | None = None) -> list[ModelRecord]:
    """Write ``index.json`` from the cards of all models in a folder, sorted by name.

    Checksums of weights are taken from the files themselves. Models of other distributions that
    the present index lists stay listed; their entries are renewed if their files are there.

    Parameters
    ----------
    root : Path
        The folder.
    default : mapping of str to str, optional
        Default model of each method; those of the present index if not given.

    Returns
    -------
    list of ModelRecord
        The models that are listed now.
    """
    if default is None:
        default = read_index(root).get("default", {})
    entries = {path.parent.name: _entry_of(path) for path in root.glob(f"*/{CARD_NAME}")}
    for entry in read_index(root).get("models", []):
        if (package := entry.get("package")) and entry["name"] not in entries:
            card_path = package_root(package, root) / entry["name"] / CARD_NAME
            renewed = _entry_of(card_path) if card_path.is_file() else entry
            entries[entry["name"]] = {**renewed, "package": package}
    index = {
        "format": 1,
        "default": dict(sorted(default.items())),
        "models": [entries[name] for name in sorted(entries)],
    }
    write_json(root / INDEX_NAME, index)
    return list_models(root)


def _entry_of(card_path: Path) -> dict[str, Any]:
    """Make the index entry of a model from its card and its weights."""
    card = parse_json(card_path.read_text("utf-8"))
    name = card_path.parent.name
    return {
        "name": name,
        "file": f"{name}/{WEIGHTS_NAME}",
        "sha256": hashlib.sha256(read_model(card_path.parent / WEIGHTS_NAME)).hexdigest(),
        "kind": card["kind"],
        **{key: card[key] for key in _INDEXED if key in card},
    }


def _write_bytes(path: Path, data: bytes) -> None:
    """Write a file complete or not at all, with its folder."""
    prepare_output_folder(path.parent)
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write a card or an index, complete or not at all: indented, with a final newline.

    Parameters
    ----------
    path : Path
        The file.
    value : object
        As JSON can hold it.
    """
    _write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
