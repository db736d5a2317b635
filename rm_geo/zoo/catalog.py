"""Catalog of trained models: finding, listing and verifying them.

A model is a folder ``models/<name>/`` with ``model.safetensors`` (the weights, and in its
header what network they belong to), ``card.json`` and ``card.md``. ``models/index.json`` lists
the models with their checksums and names the default of each method. A checkout has the folder
beside the package, an installed wheel inside it. A user's own file or folder works as well.

Models that only the tables of the papers need are listed too, and are in a distribution of their
own, which the entry names as ``package``. A checkout has it in ``packages/``.

Names are ``<method>[-<scale>]-<purpose>[-<variant>]-<size>``, such as ``radiocycle-drive-s`` and
``mars-4x-paper-setting2-s``.

Nothing here needs PyTorch; :mod:`rm_geo.zoo.weights` makes networks of the models.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rm_geo._util.json_text import parse_json
from rm_geo.buildings.threshold import CALIBRATION_TAG
from rm_geo.errors import ModelError
from rm_geo.zoo.kinds import present_kind
from rm_geo.zoo.model_file import CARD_NAME, WEIGHTS_NAME, damaged_model, description_in, read_model

INDEX_NAME: Final = "index.json"

_PICKLE_SUFFIXES: Final = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib"}


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
        Name of the network, ``s`` or ``full``, and a summary.
    scale : int or None
        Upscaling factor of a super-resolution model.
    package : str or None
        Distribution that has the files; None for those of rm_geo and of the user.
    """

    name: str
    path: Path
    kind: str
    sha256: str | None = None
    architecture: str = ""
    size: str = ""
    scale: int | None = None
    summary: str = ""
    package: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_installed(self) -> bool:
        """Whether the distribution that has the files is installed."""
        return self.package is None or self.path.parent.is_dir()

    @property
    def provenance(self) -> dict[str, str]:
        """Name, kind and checksum, and the calibration of buildings, as tags of the results."""
        tags = {"model": self.name, "model_kind": self.kind, "model_sha256": self.sha256 or ""}
        calibration = self.card.get(CALIBRATION_TAG)
        return tags if calibration is None else {**tags, CALIBRATION_TAG: str(calibration)}


def models_root() -> Path:
    """Folder of the models that come with rm_geo: a wheel's own, or a checkout's.

    ``RM_GEO_MODELS`` overrides it.

    Returns
    -------
    Path
    """
    if chosen := os.environ.get("RM_GEO_MODELS"):
        return Path(chosen)
    package = Path(__file__).resolve().parents[1]
    installed = package / "models"
    return installed if (installed / INDEX_NAME).is_file() else package.parent / "models"


def package_root(package: str, root: Path) -> Path:
    """Folder of the models of another distribution, whether it exists or not.

    Parameters
    ----------
    package : str
        Name of the distribution, such as ``rm-geo-paper-models``.
    root : Path
        Folder of the index.

    Returns
    -------
    Path
        The folder in ``packages/`` beside ``root``, or of the installed distribution.

    Examples
    --------
    >>> package_root("no-such-models", Path("models")).as_posix()
    'packages/no-such-models/no_such_models'
    """
    module = package.replace("-", "_")
    beside = root.parent / "packages" / package / module
    if beside.is_dir():
        return beside
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return beside
    return Path(next(iter(spec.submodule_search_locations)))


def list_models(root: Path | None = None, *, installed: bool | None = True) -> list[ModelRecord]:
    """List the models of an index, in its order; empty where there is no index.

    Parameters
    ----------
    root : Path, optional
        Folder of the index (default: :func:`models_root`).
    installed : bool or None
        True for the installed models, False for those of packages that are not installed, None
        for all.

    Returns
    -------
    list of ModelRecord
        The models.

    Raises
    ------
    ModelError
        If the index is not readable.

    Examples
    --------
    >>> "radiocycle-drive-s" in [model.name for model in list_models()]
    True
    """
    folder = models_root() if root is None else root
    records = [_record_of(entry, folder) for entry in read_index(folder).get("models", [])]
    return [record for record in records if installed in (None, record.is_installed)]


def default_model(key: str, root: Path | None = None) -> ModelRecord:
    """Give the default model of a method, such as ``radiocycle`` or ``mars-4``.

    Parameters
    ----------
    key : str
        Name of the method and, for super-resolution, the scale.
    root : Path, optional
        Folder of the index; :func:`models_root` if not given.

    Returns
    -------
    ModelRecord

    Raises
    ------
    ModelError
        If the index names none.
    """
    folder = models_root() if root is None else root
    name = read_index(folder).get("default", {}).get(key)
    if name is None:
        raise ModelError(
            f"No trained model for {key!r} comes with this installation ({folder}).",
            hint="Give one with `model` FILE.safetensors, or train one with 'rm-geo train'.",
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
    root : Path, optional
        Folder of the index (default: :func:`models_root`).

    Returns
    -------
    ModelRecord
        Its checksum is filled in if the index or a card states it.

    Raises
    ------
    ModelError
        If it is unknown, of another kind, or no safetensors file.

    Examples
    --------
    >>> find_model("superres-4x-s").kind
    'mars'
    """
    if not str(name_or_path).strip():
        raise ModelError("The name of the model is empty.", hint="'rm-geo models list' shows all.")
    folder = models_root() if root is None else root
    listed = {record.name: record for record in list_models(folder, installed=None)}
    record = listed.get(str(name_or_path))
    if record is not None and not record.is_installed:
        raise ModelError(
            f"The model {record.name!r} is in the package {record.package}, which is not "
            "installed.",
            hint=f"Install it: pip install {record.package}",
        )
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


def describe_network(record: ModelRecord) -> dict[str, Any]:
    """Read what a model's file says of itself: kind, network, and mostly its recipe.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    dict
        As the header of the file holds it.

    Raises
    ------
    ModelError
        If the file is missing or damaged.
    """
    return description_in(read_model(record.path), record.path)


def verify_model(record: ModelRecord) -> str:
    """Check that a model's files are whole, without building the network.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    str
        The sha256 of the weights.

    Raises
    ------
    ModelError
        If it is missing, damaged, or has another checksum than listed.
    """
    data = read_model(record.path)
    checksum = hashlib.sha256(data).hexdigest()
    if record.sha256 is not None and checksum != record.sha256:
        raise damaged_model(record.path, "its checksum is not the listed one")
    description_in(data, record.path)
    for name, listed in record.card.get("onnx", {}).items():
        graph = record.path.with_name(name)
        if hashlib.sha256(read_model(graph)).hexdigest() != listed:
            raise damaged_model(graph, "its checksum is not the listed one")
    return checksum


def verified(record: ModelRecord) -> ModelRecord:
    """Check a model by :func:`verify_model`, and give its record with the checksum filled in.

    Parameters
    ----------
    record : ModelRecord
        The model.

    Returns
    -------
    ModelRecord
    """
    return replace(record, sha256=verify_model(record))


def read_index(root: Path) -> dict[str, Any]:
    """Read ``index.json``; an absent one is an empty one.

    Parameters
    ----------
    root : Path
        Folder of the index.

    Returns
    -------
    dict
    """
    path = root / INDEX_NAME
    if not path.is_file():
        return {}
    try:
        index = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The list of models {path} is not readable ({error}).", hint="Install rm_geo again."
        ) from error
    return dict(index)


def _record_of(entry: Mapping[str, Any], root: Path) -> ModelRecord:
    """Make the record of an index entry."""
    package = entry.get("package")
    folder = root if package is None else package_root(str(package), root)
    return ModelRecord(
        name=str(entry["name"]),
        path=folder / str(entry["file"]),
        kind=present_kind(str(entry["kind"])),
        sha256=str(entry["sha256"]),
        architecture=str(entry.get("architecture", "")),
        size=str(entry.get("size", "")),
        scale=entry.get("scale"),
        summary=str(entry.get("summary", "")),
        package=None if package is None else str(package),
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
    description = description_in(read_model(weights), weights)
    card_path = weights.parent / CARD_NAME
    card: dict[str, Any] = {}
    if weights.name == WEIGHTS_NAME and card_path.is_file():
        try:
            card = dict(parse_json(card_path.read_text("utf-8")))
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


def _suggestion(name: str, known: list[str]) -> str:
    """Say what to try instead of an unknown name."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}." if known else "No models come with this installation."
