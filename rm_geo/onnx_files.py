"""Exports of trained networks to ONNX: those that come with a model, and those made here.

A model may come with ``tiles-<size>.onnx``: the network without its weights, which ONNX Runtime
reads from the model's own file beside it. ``rm-geo export`` writes whole files into a folder of
the user's.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from rm_geo.zoo import ModelRecord


def export_folder() -> Path:
    """Folder where exported networks are looked for; ``RM_GEO_ONNX`` overrides it."""
    chosen = os.environ.get("RM_GEO_ONNX")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "rm_geo" / "onnx"


def export_path(sha256: str, tile_size_px: int) -> Path:
    """Where the export of some weights for tiles of a size lies, if there is one."""
    return export_folder() / f"{sha256[:16]}-{tile_size_px}.onnx"


def graph_path(weights: Path, tile_size_px: int) -> Path:
    """Where the network without its weights lies, beside them, if it comes with the model."""
    return weights.with_name(f"tiles-{tile_size_px}.onnx")


def onnx_files(record: ModelRecord) -> dict[int, Path]:
    """Find the exports of a model, by the size of their tiles; none without ONNX Runtime.

    Parameters
    ----------
    record : ModelRecord
        The model. A file of the user's whose checksum is not known has none.

    Returns
    -------
    dict of int to Path
        Ascending. What comes with the model, as its card lists it, goes before what was made
        here.
    """
    if not record.sha256 or importlib.util.find_spec("onnxruntime") is None:
        return {}
    made = export_folder().glob(f"{record.sha256[:16]}-*.onnx")
    shipped = (record.path.with_name(name) for name in record.card.get("onnx", {}))
    return dict(sorted({**_by_size(made), **_by_size(shipped)}.items()))


def _by_size(paths: Iterable[Path]) -> dict[int, Path]:
    """Sort files by the number at the end of their names."""
    sizes = ((path.stem.rpartition("-")[-1], path) for path in paths)
    return {int(size): path for size, path in sizes if size.isdecimal()}
