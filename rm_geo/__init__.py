"""Radio maps and building maps from sparse drive-test measurements.

The names below are loaded when they are first used: ``import rm_geo`` is quick and imports
neither torch nor rasterio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rm_geo._version import __version__

if TYPE_CHECKING:
    from rm_geo.buildings.reader import read_buildings
    from rm_geo.errors import RmGeoError
    from rm_geo.estimators.base import Estimate, Estimator, TileBatch
    from rm_geo.estimators.registry import get_method as create_estimator
    from rm_geo.estimators.registry import list_methods as available_methods
    from rm_geo.grid import Grid, Tile
    from rm_geo.io.cog import read_raster, write_raster
    from rm_geo.measurements.model import Measurements
    from rm_geo.measurements.reader import read_measurements
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline.dry_run import dry_run
    from rm_geo.pipeline.predict import predict
    from rm_geo.products.summary import CellResult
    from rm_geo.progress import Progress
    from rm_geo.raster.binning import bin_measurements
    from rm_geo.sites.site import Site
    from rm_geo.sites.table import read_sites
    from rm_geo.workflows.simulate import simulate
    from rm_geo.workflows.superresolve import superresolve
    from rm_geo.zoo.catalog import find_model, list_models
    from rm_geo.zoo.weights import load_network

_HOMES = {
    "CellResult": "products.summary",
    "Estimate": "estimators.base",
    "Estimator": "estimators.base",
    "Grid": "grid",
    "Measurements": "measurements.model",
    "PredictOptions": "options",
    "Progress": "progress",
    "RmGeoError": "errors",
    "SparseRaster": "raster.sparse",
    "Tile": "grid",
    "TileBatch": "estimators.base",
    "Site": "sites.site",
    "available_methods": "estimators.registry:list_methods",
    "bin_measurements": "raster.binning",
    "create_estimator": "estimators.registry:get_method",
    "dry_run": "pipeline.dry_run",
    "find_model": "zoo.catalog",
    "list_models": "zoo.catalog",
    "load_network": "zoo.weights",
    "predict": "pipeline.predict",
    "read_buildings": "buildings.reader",
    "read_measurements": "measurements.reader",
    "read_raster": "io.cog",
    "read_sites": "sites.table",
    "simulate": "workflows.simulate",
    "superresolve": "workflows.superresolve",
    "write_raster": "io.cog",
}

__all__ = [
    "CellResult",
    "Estimate",
    "Estimator",
    "Grid",
    "Measurements",
    "PredictOptions",
    "Progress",
    "RmGeoError",
    "Site",
    "SparseRaster",
    "Tile",
    "TileBatch",
    "__version__",
    "available_methods",
    "bin_measurements",
    "create_estimator",
    "dry_run",
    "find_model",
    "list_models",
    "load_network",
    "predict",
    "read_buildings",
    "read_measurements",
    "read_raster",
    "read_sites",
    "simulate",
    "superresolve",
    "write_raster",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a public name from its module."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = home.partition(":")
    return getattr(import_module(f"rm_geo.{module}"), attribute or name)


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
