"""ONNX files of trained networks: those that come with a model, and those made here.

A model may come with ``tiles-<size>.onnx``: the graph without its weights, which ONNX Runtime
reads from the model's own file beside it. ``buildings-<size>.onnx`` is the graph that takes known
buildings too. ``rm-geo export`` writes complete files into a folder of the user's.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from rm_geo._util.cache import user_cache_folder
from rm_geo.zoo.catalog import ModelRecord


def export_folder() -> Path:
    """Folder where exported networks are looked for; ``RM_GEO_ONNX`` overrides it.

    Returns
    -------
    Path
        ``~/.cache/rm_geo/onnx`` by default.
    """
    chosen = os.environ.get("RM_GEO_ONNX")
    if chosen:
        return Path(chosen)
    return user_cache_folder() / "onnx"


def export_path(sha256: str, tile_size_px: int, *, known_buildings: bool = False) -> Path:
    """Path of the export of some weights for tiles of a size, whether it exists or not.

    Parameters
    ----------
    sha256 : str
        Checksum of the weights.
    tile_size_px : int
        Side of the tiles.
    known_buildings : bool
        Whether it takes known buildings.

    Returns
    -------
    Path
    """
    return export_folder() / f"{_made_prefix(sha256, known_buildings)}-{tile_size_px}.onnx"


def graph_path(weights: Path, tile_size_px: int, *, known_buildings: bool = False) -> Path:
    """Path of the graph beside the weights of a model, whether it exists or not.

    Parameters
    ----------
    weights : Path
        The model's file.
    tile_size_px : int
        Side of the tiles.
    known_buildings : bool
        Whether it takes known buildings.

    Returns
    -------
    Path
    """
    return weights.with_name(f"{_shipped_prefix(known_buildings)}-{tile_size_px}.onnx")


def onnx_files(record: ModelRecord, *, known_buildings: bool = False) -> dict[int, Path]:
    """Find the ONNX files of a model by the size of their tiles.

    Parameters
    ----------
    record : ModelRecord
        The model. A user's file whose checksum is not filled in has none.
    known_buildings : bool
        Those that take known buildings, instead of those that do not.

    Returns
    -------
    dict of int to Path
        Ascending; empty without ONNX Runtime. Files that come with the model, as its card lists
        them, take precedence over exports.
    """
    if not record.sha256 or importlib.util.find_spec("onnxruntime") is None:
        return {}
    prefix = _made_prefix(record.sha256, known_buildings)
    made = _by_size(export_folder().glob(f"{prefix}-*.onnx"), prefix)
    listed = (record.path.with_name(name) for name in record.card.get("onnx", {}))
    return dict(sorted({**made, **_by_size(listed, _shipped_prefix(known_buildings))}.items()))


def _made_prefix(sha256: str, known_buildings: bool) -> str:
    """First part of the name of an export."""
    return f"{sha256[:16]}-buildings" if known_buildings else sha256[:16]


def _shipped_prefix(known_buildings: bool) -> str:
    """First part of the name of a graph that comes with a model."""
    return "buildings" if known_buildings else "tiles"


def _by_size(paths: Iterable[Path], prefix: str) -> dict[int, Path]:
    """Select the files whose names are a prefix and a number, by that number."""
    parts = ((path.stem.rpartition("-"), path) for path in paths)
    return {
        int(size): path for (first, _, size), path in parts if first == prefix and size.isdecimal()
    }
