"""Exports of trained networks to ONNX: those that come with a model, and those made here.

A model may come with ``tiles-<size>.onnx``: the network without its weights, which ONNX Runtime
reads from the model's own file beside it; ``told-<size>.onnx`` is the same for tiles whose
buildings are known. ``rm-geo export`` writes whole files into a folder of the user's.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from rm_geo._util.cache import user_cache_folder
from rm_geo.zoo.catalog import ModelRecord


def export_folder() -> Path:
    """Folder where exported networks are looked for; ``RM_GEO_ONNX`` overrides it."""
    chosen = os.environ.get("RM_GEO_ONNX")
    if chosen:
        return Path(chosen)
    return user_cache_folder() / "onnx"


def export_path(sha256: str, tile_size_px: int, *, known_buildings: bool = False) -> Path:
    """Where the export of some weights for tiles of a size lies, if there is one."""
    return export_folder() / f"{_made_prefix(sha256, known_buildings)}-{tile_size_px}.onnx"


def graph_path(weights: Path, tile_size_px: int, *, known_buildings: bool = False) -> Path:
    """Where the network without its weights lies, beside them, if it comes with the model."""
    return weights.with_name(f"{_shipped_prefix(known_buildings)}-{tile_size_px}.onnx")


def onnx_files(record: ModelRecord, *, known_buildings: bool = False) -> dict[int, Path]:
    """Find the exports of a model, by the size of their tiles; none without ONNX Runtime.

    Parameters
    ----------
    record : ModelRecord
        The model. A file of the user's whose checksum is not known has none.
    known_buildings : bool
        Files of the network with known buildings, instead of the one without.

    Returns
    -------
    dict of int to Path
        Ascending. What comes with the model, as its card lists it, goes before what was made
        here.
    """
    if not record.sha256 or importlib.util.find_spec("onnxruntime") is None:
        return {}
    prefix = _made_prefix(record.sha256, known_buildings)
    made = _by_size(export_folder().glob(f"{prefix}-*.onnx"), prefix)
    listed = (record.path.with_name(name) for name in record.card.get("onnx", {}))
    return dict(sorted({**made, **_by_size(listed, _shipped_prefix(known_buildings))}.items()))


def _made_prefix(sha256: str, known_buildings: bool) -> str:
    """First part of the name of an export that was made here."""
    return f"{sha256[:16]}-told" if known_buildings else sha256[:16]


def _shipped_prefix(known_buildings: bool) -> str:
    """First part of the name of an export that comes with a model."""
    return "told" if known_buildings else "tiles"


def _by_size(paths: Iterable[Path], prefix: str) -> dict[int, Path]:
    """Take the files whose names are a prefix and a number, by that number."""
    parts = ((path.stem.rpartition("-"), path) for path in paths)
    return {
        int(size): path for (first, _, size), path in parts if first == prefix and size.isdecimal()
    }
