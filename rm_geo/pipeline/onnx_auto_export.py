"""The faster engine made ready for a long run: who maps a city need not know what ONNX is."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from rm_geo.devices import choose_device, choose_precision
from rm_geo.errors import RmGeoError
from rm_geo.grid import Grid
from rm_geo.options import PredictOptions
from rm_geo.progress import Progress
from rm_geo.raster.tile_limit import check_area

WORTH_TILES: Final = 1000
"""An export takes 10 to 20 s, and ONNX Runtime saves some 25 ms a tile."""

_PACKAGES: Final = ("onnx", "onnxscript", "onnxruntime")


def prepare_onnx(options: PredictOptions, grids: Iterable[Grid], progress: Progress) -> bool:
    """Export the field model before a long run on a CPU where ONNX Runtime is faster.

    Nothing is done where another engine was asked for, a package is missing, the model is of
    another kind, or an export is at hand. An export that fails is told, and PyTorch computes.

    Parameters
    ----------
    options : PredictOptions
        How the run is to be done.
    grids : iterable of Grid
        Where its maps lie.
    progress : Progress
        Told of what is done.

    Returns
    -------
    bool
        Whether an export was made.
    """
    if not _is_wanted(options) or _tiles(options, grids) < WORTH_TILES:
        return False
    from rm_geo.zoo.catalog import default_model, find_model, verified
    from rm_geo.zoo.onnx_files import export_path, onnx_files

    try:
        record = (
            default_model("radiocycle")
            if options.method.model is None
            else find_model(options.method.model)
        )
        record = verified(record)
        known_buildings, size = options.site.buildings is not None, options.grid.tile_size_px
        if record.kind != "radiocycle-field" or size in onnx_files(
            record, known_buildings=known_buildings
        ):
            return False
        path = export_path(record.sha256 or "", size, known_buildings=known_buildings)
        path.parent.mkdir(parents=True, exist_ok=True)
        progress.log(f"Exporting {record.name} for ONNX Runtime, once: the run is long")
        from rm_geo.zoo.onnx_export import export_onnx

        export_onnx(record, path, size, known_buildings=known_buildings)
    except (RmGeoError, OSError) as error:
        progress.log(f"Goes on with PyTorch: {error}")
        return False
    return True


def _is_wanted(options: PredictOptions) -> bool:
    """Whether ONNX Runtime would compute, were there an export."""
    return (
        options.method.name.strip().lower() == "radiocycle"
        and options.method.method_options.get("engine", "auto") == "auto"
        and choose_device(options.method.device) == "cpu"
        and choose_precision("cpu") == "float32"
        and all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    )


def _tiles(options: PredictOptions, grids: Iterable[Grid]) -> int:
    """Count the tiles of all maps, empty ones included."""
    size, overlap = options.grid.tile_size_px, options.grid.overlap_px
    return sum(
        check_area(grid, max_tiles=options.grid.max_tiles, tile_size=size, overlap=overlap)
        for grid in grids
    )
