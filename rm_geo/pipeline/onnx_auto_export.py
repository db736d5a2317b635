"""Automatic export of a model for ONNX Runtime before a long run on a CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from rm_geo.devices import choose_device, torch_is_installed
from rm_geo.errors import RmGeoError
from rm_geo.grid import Grid
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress
from rm_geo.raster.tile_limit import check_area

MIN_TILES: Final = 1000
"""Number of tiles from which a model is exported. An export takes 10 to 20 s; ONNX Runtime saves
about 25 ms per tile."""

_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")


def prepare_onnx(options: PredictOptions, grids: Iterable[Grid], progress: Progress) -> bool:
    """Export a drive-test model for ONNX Runtime before a long run on a CPU.

    Nothing is exported if the options select another engine or precision, a package is missing,
    the model is of another kind, or a graph for this tile size exists. If the export fails, the
    error is logged, and PyTorch computes the tiles.

    Parameters
    ----------
    options : PredictOptions
        Options of the run.
    grids : iterable of Grid
        Grids of its maps.
    progress : Progress
        Receives a message about the export.

    Returns
    -------
    bool
        Whether the model was exported.
    """
    if not _is_applicable(options) or _tiles(options, grids) < MIN_TILES:
        return False
    from rm_geo.zoo.catalog import default_model, find_model, verified
    from rm_geo.zoo.kinds import DRIVE_KIND
    from rm_geo.zoo.onnx_files import export_path, onnx_files

    try:
        record = (
            default_model("radiocycle")
            if options.method.model is None
            else find_model(options.method.model)
        )
        record = verified(record)
        known, size = options.site.buildings is not None, options.grid.tile_size_px
        if record.kind != DRIVE_KIND or size in onnx_files(record, known_buildings=known):
            return False
        path = export_path(record.sha256 or "", size, known_buildings=known)
        path.parent.mkdir(parents=True, exist_ok=True)
        progress.log(f"Exporting {record.name} for ONNX Runtime, once: the run is long")
        from rm_geo.zoo.onnx_export import export_onnx

        export_onnx(record, path, size, known_buildings=known)
    except (RmGeoError, OSError) as error:
        progress.log(f"PyTorch computes: {error}")
        return False
    return True


def _is_applicable(options: PredictOptions) -> bool:
    """Check whether ONNX Runtime would compute the tiles after an export."""
    return (
        options.method.name.strip().lower() == "radiocycle"
        and options.method.method_options.get("engine", "auto") == "auto"
        and choose_device(options.method.device) == "cpu"
        and options.method.method_options.get("precision", "auto") in {"auto", "float32"}
        and torch_is_installed()
        and all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    )


def _tiles(options: PredictOptions, grids: Iterable[Grid]) -> int:
    """Count the tiles of all maps, including tiles without measurements."""
    size, overlap = options.grid.tile_size_px, options.grid.overlap_px
    return sum(
        check_area(grid, max_tiles=options.grid.max_tiles, tile_size=size, overlap=overlap)
        for grid in grids
    )
