"""The environment: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from rm_geo._version import __version__
from rm_geo.errors import DependencyError

REQUIRED: Final = (
    "torch",
    "numpy",
    "scipy",
    "rasterio",
    "pyogrio",
    "geopandas",
    "pyproj",
    "odc-geo",
    "scikit-learn",
    "safetensors",
    "pyarrow",
    "matplotlib",
    "click",
    "rich",
)
OPTIONAL: Final = {"numba": "simulate", "PyKrige": "geostat", "dask": "dask"}
DRIVERS: Final = ("ESRI Shapefile", "GPKG", "GeoJSON", "FlatGeobuf", "Parquet")


@dataclass(frozen=True)
class Environment:
    """What was found.

    Attributes
    ----------
    sections : mapping of str to mapping
        ``rm_geo``, ``packages``, ``device``, ``formats`` and ``models``.
    hints : tuple of str
        What to do about what is missing or damaged.
    """

    sections: Mapping[str, Mapping[str, Any]]
    hints: tuple[str, ...]

    def lines(self) -> list[str]:
        """Write it down for a person."""
        lines = []
        for title, values in self.sections.items():
            lines.append(f"{title}:")
            lines += [f"  {key:<16} {value}" for key, value in values.items()]
        if not self.hints:
            return [*lines, "Nothing to mend."]
        return [*lines, "hints:", *(f"  - {hint}" for hint in self.hints)]


def describe_environment() -> Environment:
    """Look at versions, device, formats and models."""
    hints: list[str] = []
    sections = {
        "rm_geo": {
            "version": __version__,
            "python": f"{platform.python_version()} ({sys.executable})",
            "platform": platform.platform(),
        },
        "packages": _packages(hints),
        "device": _device(hints),
        "formats": _formats(),
        "models": _models(hints),
    }
    return Environment(sections, tuple(hints))


def require_packages(environment: Environment) -> None:
    """Refuse an environment in which a package that rm_geo needs is missing.

    Raises
    ------
    DependencyError
        If one is.
    """
    if "missing" in environment.sections["packages"].values():
        raise DependencyError(
            "Packages that rm_geo needs are missing.",
            hint="Install it again: pip install --upgrade rm-geo",
        )


def _packages(hints: list[str]) -> dict[str, str]:
    """Versions of what is needed and of what is optional."""
    found = {}
    for name in REQUIRED:
        version = _version_of(name)
        found[name] = version or "missing"
    for name, extra in OPTIONAL.items():
        version = _version_of(name)
        found[name] = version or f"not installed (optional, extra {extra!r})"
        if version is None:
            hints.append(f"For {name}: pip install 'rm-geo[{extra}]'")
    return found


def _version_of(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(hints: list[str]) -> dict[str, Any]:
    """Describe what networks can run on."""
    try:
        import torch
    except (ImportError, OSError) as error:
        hints.append("PyTorch cannot be imported: install it again.")
        return {"torch": f"broken: {error}"}
    from rm_geo.devices import choose_device, choose_precision, cpu_has_bfloat16

    device = choose_device("auto")
    values: dict[str, Any] = {
        "auto": device,
        "precision": choose_precision(device),
        "cpu threads": torch.get_num_threads(),
        "cpu bfloat16": "native" if cpu_has_bfloat16() else "no (float32 is used)",
    }
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info()
        values["gpu"] = torch.cuda.get_device_name()
        values["gpu memory"] = f"{free / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB"
    elif torch.version.cuda is None and device == "cpu":
        hints.append(
            "This PyTorch is a CPU build. With an NVIDIA GPU, install the CUDA build that fits "
            "its driver into this environment: https://pytorch.org/get-started/locally"
        )
    elif device == "cpu":
        hints.append("This PyTorch has CUDA but sees no GPU: check the driver with nvidia-smi.")
    return values


def _formats() -> dict[str, str]:
    """Which formats of measurements and rasters can be read and written."""
    import pyogrio
    import rasterio
    from rasterio.drivers import raster_driver_extensions

    drivers = pyogrio.list_drivers()
    vectors = {name: "yes" if name in drivers else "no" for name in DRIVERS}
    vectors["Parquet"] = "yes"  # read by pyarrow, whether GDAL has a driver or not
    cog = "GTiff" in set(raster_driver_extensions().values())
    return {
        "GDAL": f"{rasterio.__gdal_version__} (rasters), {pyogrio.__gdal_version_string__} "
        "(measurements)",
        **vectors,
        "GeoTIFF": "yes" if cog else "no",
    }


def _models(hints: list[str]) -> dict[str, str]:
    """Whether every installed model is whole."""
    from rm_geo.errors import ModelError
    from rm_geo.zoo.catalog import list_models, models_root, verify_model

    values = {"folder": str(models_root())}
    try:
        records = list_models()
    except ModelError as error:
        hints.append(str(error))
        return values
    for record in records:
        try:
            verify_model(record)
            values[record.name] = f"whole ({record.kind}, {record.size})"
        except ModelError as error:
            values[record.name] = "damaged"
            hints.append(str(error))
    if not records:
        hints.append(
            "No trained models are installed; --method knn and other classical "
            "methods work without."
        )
    return values
