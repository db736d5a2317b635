"""Trained models: where they are, whether they are whole, and the networks in them.

A model is a folder ``models/<name>/`` with ``model.safetensors`` (the weights, and in its
header what network they belong to), ``card.json`` and ``card.md``. ``models/index.json`` lists
the models with their checksums and names the default of each method. A checkout has the folder
beside the package, an installed wheel inside it. A user's own file or folder works as well.

No pickle is ever read: weights are safetensors, and nothing else is opened.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rm_geo.atomic import prepare_output_folder, replacing
from rm_geo.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

METADATA_KEY: Final = "rm_geo"
"""Key of the safetensors header under which a model says what network it is."""

WEIGHTS_NAME: Final = "model.safetensors"
_PICKLE_SUFFIXES: Final = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib"}
_INDEXED: Final = ("architecture", "size", "scale", "summary", "parameters")
_MAX_HEADER_BYTES: Final = 100_000_000  # the limit of the safetensors format itself


@dataclass(frozen=True)
class ModelRecord:
    """One trained model on disk, not yet loaded.

    Attributes
    ----------
    name : str
        Name in the index, or the file's name.
    path : Path
        The safetensors file.
    kind : str
        Kind of network, such as ``radiocycle`` or ``mars``.
    sha256 : str or None
        Expected checksum; None for a user's file that has no card.
    architecture, size, summary : str
        For people: what it is, ``s`` or ``full``, one line about it.
    scale : int or None
        Upscaling factor of a super-resolution model.
    """

    name: str
    path: Path
    kind: str
    sha256: str | None = None
    architecture: str = ""
    size: str = ""
    scale: int | None = None
    summary: str = ""
    card: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def models_root() -> Path:
    """Folder of the models that come with rm_geo: a wheel's own, or a checkout's.

    ``RM_GEO_MODELS`` overrides it.
    """
    if chosen := os.environ.get("RM_GEO_MODELS"):
        return Path(chosen)
    package = Path(__file__).resolve().parent
    installed = package / "models"
    return installed if (installed / "index.json").is_file() else package.parent / "models"


def list_models(root: Path | None = None) -> list[ModelRecord]:
    """List the models of an index, in its order; empty where there is no index.

    Raises
    ------
    ModelError
        If the index is not readable.
    """
    folder = models_root() if root is None else root
    return [_record_of(entry, folder) for entry in _read_index(folder).get("models", [])]


def default_model(key: str, root: Path | None = None) -> ModelRecord:
    """Give the default model of a method, such as ``radiocycle`` or ``mars-4``.

    Raises
    ------
    ModelError
        If the index names none.
    """
    folder = models_root() if root is None else root
    name = _read_index(folder).get("default", {}).get(key)
    if name is None:
        raise ModelError(
            f"No trained model for {key!r} comes with this installation ({folder}).",
            hint="Give one with --model FILE.safetensors, or train one with 'rm-geo train'.",
        )
    return find_model(name, root=folder)


def find_model(
    name_or_path: str | Path, *, kind: str | None = None, root: Path | None = None
) -> ModelRecord:
    """Find a model by its name in the index, or by a file or folder.

    Parameters
    ----------
    name_or_path : str or Path
        A listed name, a ``.safetensors`` file, or a folder with ``model.safetensors``.
    kind : str, optional
        The kind of network that is needed.

    Raises
    ------
    ModelError
        If it is unknown, of another kind, or no safetensors file.
    """
    folder = models_root() if root is None else root
    listed = {record.name: record for record in list_models(folder)}
    record = listed.get(str(name_or_path))
    if record is None:
        path = Path(name_or_path)
        if not (path.exists() or path.suffix or len(path.parts) > 1):
            raise ModelError(
                f"There is no model named {str(name_or_path)!r}.",
                hint=_suggestion(str(name_or_path), sorted(listed)),
            )
        record = _record_of_file(path)
    if kind is not None and record.kind != kind:
        raise ModelError(
            f"The model {record.name!r} ({record.path}) is a {record.kind!r} network, "
            f"but {kind!r} is needed.",
            hint="'rm-geo models list' shows which model is of which kind.",
        )
    return record


def load_network(record: ModelRecord) -> tuple[nn.Module, ModelRecord]:
    """Load a model's network in float32 and evaluation mode, its checksum verified.

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
    """
    from rm_geo.tensor_file import parse_tensors

    data = _read_bytes(record.path)
    checksum = hashlib.sha256(data).hexdigest()
    if record.sha256 is not None and checksum != record.sha256:
        raise _damaged(record.path, f"its checksum is {checksum[:12]}..., not "
                                    f"{record.sha256[:12]}...")  # fmt: skip
    description = _description_in(data, record.path)
    try:
        _, tensors = parse_tensors(data)
    except ValueError as error:
        raise _damaged(record.path, str(error)) from error
    # numpy, because torch's threads cost more than they bring on hundreds of small tensors.
    floats = [t.float().numpy() for t in tensors.values() if t.is_floating_point()]
    if not all(np.isfinite(values).all() for values in floats):
        raise _damaged(record.path, "it holds weights that are not finite")
    try:
        network = _with_weights(str(description["kind"]), description["network"], tensors)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"The weights in {record.path} do not fit the network that the file names.",
            hint=f"It may come from another version of rm_geo ({str(error).splitlines()[0]}).",
        ) from error
    network = network.float().eval().requires_grad_(False)
    return network, ModelRecord(**{**record.__dict__, "sha256": checksum})


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


def describe_network(record: ModelRecord) -> dict[str, Any]:
    """Read what a model's file says of itself: kind, network, and mostly its recipe.

    Raises
    ------
    ModelError
        If the file is missing or damaged.
    """
    return _description_in(_read_bytes(record.path), record.path)


def verify_model(record: ModelRecord) -> str:
    """Check that a model's file is whole, without building the network; gives its sha256.

    Raises
    ------
    ModelError
        If it is missing, damaged, or has another checksum than listed.
    """
    data = _read_bytes(record.path)
    checksum = hashlib.sha256(data).hexdigest()
    if record.sha256 is not None and checksum != record.sha256:
        raise _damaged(record.path, "its checksum is not the listed one")
    _description_in(data, record.path)
    return checksum


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

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from rm_geo.tensor_file import dump_tensors

    as_folder = path.suffix != ".safetensors"
    target = path / WEIGHTS_NAME if as_folder else path
    more = dict(metadata or {})
    description = {"kind": kind, "network": dict(config), **more}
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    data = dump_tensors(state, {METADATA_KEY: json.dumps(description, sort_keys=True)})
    checksum = hashlib.sha256(data).hexdigest()
    _write_bytes(target, data)
    if as_folder:
        card = {"name": path.name, "kind": kind, "sha256": checksum, **more,
                "parameters": sum(p.numel() for p in module.parameters())}  # fmt: skip
        _write_bytes(path / "card.json", _as_json(card))
    return checksum


def write_index(root: Path, default: Mapping[str, str]) -> list[ModelRecord]:
    """Write ``index.json`` from the cards of all models in a folder, sorted by name.

    Checksums are taken from the files themselves.
    """
    entries = []
    for card_path in sorted(root.glob("*/card.json")):
        card = json.loads(card_path.read_text("utf-8"))
        weights = card_path.parent / WEIGHTS_NAME
        entry = {key: card[key] for key in _INDEXED if key in card}
        entries.append({
            "name": card_path.parent.name,
            "file": f"{card_path.parent.name}/{WEIGHTS_NAME}",
            "sha256": hashlib.sha256(_read_bytes(weights)).hexdigest(),
            "kind": card["kind"],
            **entry,
        })  # fmt: skip
    index = {"format": 1, "default": dict(sorted(default.items())), "models": entries}
    _write_bytes(root / "index.json", _as_json(index))
    return list_models(root)


def _read_index(root: Path) -> dict[str, Any]:
    """Read ``index.json``; an absent one is an empty one."""
    path = root / "index.json"
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The list of models {path} is not readable ({error}).",
                         hint="Install rm_geo again.") from error  # fmt: skip
    return dict(index)


def _record_of(entry: Mapping[str, Any], root: Path) -> ModelRecord:
    """Make the record of an index entry."""
    return ModelRecord(
        name=str(entry["name"]),
        path=root / str(entry["file"]),
        kind=str(entry["kind"]),
        sha256=str(entry["sha256"]),
        architecture=str(entry.get("architecture", "")),
        size=str(entry.get("size", "")),
        scale=entry.get("scale"),
        summary=str(entry.get("summary", "")),
        card=dict(entry),
    )


def _record_of_file(path: Path) -> ModelRecord:
    """Make the record of a user's file or folder; its card's checksum counts if there is one."""
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if weights.suffix.lower() in _PICKLE_SUFFIXES:
        raise ModelError(
            f"The model {weights} was not opened: its format can run code when it is loaded.",
            hint="Only .safetensors files are read; convert it where you trust it.",
        )
    description = _description_in(_read_bytes(weights), weights)
    card_path = weights.parent / "card.json"
    card: dict[str, Any] = {}
    if weights.name == WEIGHTS_NAME and card_path.is_file():
        try:
            card = dict(json.loads(card_path.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise ModelError(f"The model card {card_path} is not readable ({error}).") from error
    sha256 = card.get("sha256")
    scale = description.get("scale", description["network"].get("scale"))
    return ModelRecord(
        name=weights.parent.name if weights.name == WEIGHTS_NAME else weights.stem,
        path=weights,
        kind=str(description["kind"]),
        sha256=None if sha256 is None else str(sha256),
        architecture=str(description.get("architecture", "")),
        size=str(description.get("size", "")),
        scale=None if scale is None else int(scale),
        summary=str(description.get("summary", "")),
        card=card,
    )


def _description_in(data: bytes, path: Path) -> dict[str, Any]:
    """Read from the header of a safetensors file what network it holds."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > min(_MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError("the header is longer than the file")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (struct.error, ValueError, AttributeError) as error:
        raise _damaged(path, f"it is not a safetensors file ({error})") from error
    try:
        description = dict(json.loads(metadata[METADATA_KEY]))
        if not isinstance(description["kind"], str) or not isinstance(description["network"], dict):
            raise TypeError("kind and network are of the wrong type")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The file {path} does not say what network it holds.",
            hint="It was not written by rm_geo; use a model from 'rm-geo models list'.",
        ) from error
    return description


def _read_bytes(path: Path) -> bytes:
    """Read a file whole; models are tens of megabytes."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read ({error.strerror}).",
            hint="'rm-geo models list' shows what is installed.",
        ) from error


def _write_bytes(path: Path, data: bytes) -> None:
    """Write a file complete or not at all, with its folder."""
    prepare_output_folder(path.parent)
    with replacing(path) as part:
        part.write_bytes(data)


def _as_json(value: object) -> bytes:
    """Indented JSON with a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _damaged(path: Path, why: str) -> ModelError:
    """Make the error for a file that cannot be trusted."""
    return ModelError(
        f"The model file {path} is damaged: {why}.",
        hint="Copy or install it again; 'rm-geo models verify' checks all.",
    )


def _suggestion(name: str, known: list[str]) -> str:
    """Say what to try instead of an unknown name."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}." if known else "No models come with this installation."
