"""Checks of the environment: packages, folders, devices, formats and models."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from rm_geo._util.cache import user_cache_folder
from rm_geo._version import __version__
from rm_geo.devices import (
    choose_device,
    choose_precision,
    count_cuda_devices,
    is_cuda_build,
    is_rocm_build,
    torch_is_installed,
)
from rm_geo.errors import DependencyError, RmGeoError
from rm_geo.workflows.dependencies import Dependency, find_dependencies

Status: TypeAlias = Literal["ok", "note", "warning", "error"]

DRIVERS: Final = ("ESRI Shapefile", "GPKG", "GeoJSON", "FlatGeobuf")
"""Vector formats of measurements that GDAL reads; Parquet is read by pyarrow."""

_PURPOSES: Final = {
    "torch": "networks on a GPU, and training",
    "train": "training and evaluation",
    "simulate": "the dominant path model",
    "geostat": "ordinary kriging",
    "stac": "STAC items",
    "dask": "several workers",
    "remote": "object storage",
    "onnx": "export to ONNX",
    "dev": "development of rm_geo",
}
_LOW_DISK_BYTES: Final = 2**30
_DATA_VARIABLES: Final = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    section : str
        ``packages``, ``extras``, ``folders``, ``device``, ``formats`` or ``models``.
    name : str
        Name of the package, folder, device, library or model.
    status : str
        ``ok``; ``note`` for an optional part that is absent; ``warning`` for a part with reduced
        function; ``error`` for a required part that is missing or broken.
    detail : str
        Result of the check.
    hint : str or None
        Remedy.
    """

    section: str
    name: str
    status: Status
    detail: str
    hint: str | None = None

    def line(self, width: int = 16) -> str:
        """Format the check as one line.

        Parameters
        ----------
        width : int
            Width of the column of names.

        Returns
        -------
        str

        Examples
        --------
        >>> Check("packages", "numpy", "error", "not installed", "Run: pip install numpy").line(6)
        '  numpy  ERROR: not installed. Run: pip install numpy'
        """
        mark = "" if self.status == "ok" else f"{self.status.upper()}: "
        hint = "" if self.hint is None else f". {self.hint}"
        return f"  {self.name:<{width}} {mark}{self.detail}{hint}"


@dataclass(frozen=True)
class Environment:
    """The report on an environment.

    Attributes
    ----------
    checks : tuple of Check
        In the order of the report.
    device : str
        Device that ``--device auto`` chooses.
    models : tuple of str
        Names of the installed models.

    Examples
    --------
    >>> check = Check("device", "auto", "ok", "cpu, float32")
    >>> Environment((check,), "cpu", ()).lines()[1:]
    ['device:', '  auto cpu, float32', 'rm_geo is ready to use.']
    """

    checks: tuple[Check, ...]
    device: str
    models: tuple[str, ...]

    def lines(self) -> list[str]:
        """Format the report as text.

        Returns
        -------
        list of str
        """
        lines = [
            f"rm_geo {__version__}, Python {platform.python_version()} ({sys.executable}), "
            f"{platform.platform()}"
        ]
        for section in dict.fromkeys(check.section for check in self.checks):
            checks = [check for check in self.checks if check.section == section]
            width = max(len(check.name) for check in checks)
            lines += [f"{section}:", *(check.line(width) for check in checks)]
        counts = {s: sum(c.status == s for c in self.checks) for s in ("error", "warning")}
        if not any(counts.values()):
            return [*lines, "rm_geo is ready to use."]
        return [*lines, ", ".join(f"{number} {s}s" for s, number in counts.items() if number) + "."]

    def as_dict(self) -> dict[str, Any]:
        """Convert the report to values for JSON.

        Returns
        -------
        dict of str to object
        """
        return {
            "version": __version__,
            "python": platform.python_version(),
            "executable": sys.executable,
            "platform": platform.platform(),
            "device": self.device,
            "models": list(self.models),
            "checks": [asdict(check) for check in self.checks],
            "hints": [
                f"{check.name}: {check.detail}. {check.hint or ''}".rstrip()
                for check in self.checks
                if check.status in ("warning", "error")
            ],
        }


def describe_environment() -> Environment:
    """Check packages, folders, devices, formats and models.

    Returns
    -------
    Environment
        The report. Errors are not raised: a broken part is a check with status ``error``.

    Examples
    --------
    >>> describe_environment().device  # doctest: +SKIP
    'cpu'
    """
    device = _auto_device()
    models = list(_check_models())
    checks = [
        *_check_packages(),
        *_check_folders(),
        *_check_device(device),
        *_check_formats(),
        *models,
    ]
    names = tuple(check.name for check in models if check.status == "ok" and check.name != "folder")
    return Environment(tuple(checks), device, names)


def require_working(environment: Environment) -> None:
    """Raise an error if a required part of an environment is missing or broken.

    Parameters
    ----------
    environment : Environment
        The report.

    Raises
    ------
    DependencyError
        If a check has the status ``error``.

    Examples
    --------
    >>> require_working(Environment((Check("device", "auto", "ok", "cpu"),), "cpu", ()))
    """
    broken = [check.name for check in environment.checks if check.status == "error"]
    if broken:
        raise DependencyError(
            f"Missing or broken: {', '.join(broken)}.", hint="Follow the hints in the report."
        )


def _check_packages() -> Iterator[Check]:
    """Check the dependencies: a line for each required one, and one for each extra."""
    try:
        found = find_dependencies()
    except metadata.PackageNotFoundError:
        yield Check(
            "packages",
            "rm-geo",
            "warning",
            "runs from a folder that is not installed, so its dependencies are not known",
            "Install it: pip install -e FOLDER",
        )
        return
    except ImportError as error:  # the package that reads requirements
        hint = "Install rm_geo again: pip install --upgrade rm-geo"
        yield Check("packages", str(error.name), "error", "not installed", hint)
        return
    for dependency in found:
        if not dependency.extras:
            hint = f"Run: pip install --upgrade {_quoted(dependency)}"
            yield Check(
                "packages",
                dependency.name,
                "ok" if dependency.is_usable else "error",
                dependency.describe(),
                None if dependency.is_usable else hint,
            )
    for extra in dict.fromkeys(extra for one in found for extra in one.extras):
        yield _check_extra(extra, [one for one in found if extra in one.extras])


def _check_extra(extra: str, members: list[Dependency]) -> Check:
    """Check the packages of an extra; an extra without any installed package is a note."""
    unusable = [one for one in members if not one.is_usable]
    states = ", ".join(f"{one.name} {one.describe()}" for one in unusable or members)
    if not unusable:
        return Check("extras", extra, "ok", states)
    purpose = f"For {_PURPOSES[extra]}" if extra in _PURPOSES else "To use it"
    is_absent = all(one.version is None for one in unusable)
    return Check(
        "extras",
        extra,
        "note" if is_absent else "warning",
        states,
        f'{purpose}: pip install --upgrade "rm-geo[{extra}]"',
    )


def _quoted(dependency: Dependency) -> str:
    """Format a requirement for a shell."""
    return f'"{dependency.name}{dependency.specifier}"'


def _check_folders() -> Iterator[Check]:
    """Check the folders that rm_geo and its libraries write to."""
    try:
        temporary = Path(tempfile.gettempdir())
        tempfile.TemporaryFile(dir=temporary).close()
        free = shutil.disk_usage(temporary).free
        detail = f"{temporary}, {free / 2**30:.1f} GiB free"
        low = free < _LOW_DISK_BYTES
        hint = "Large drive tests are sorted there. Free some space, or set TMPDIR to another disk"
        yield Check(
            "folders", "temporary", "warning" if low else "ok", detail, hint if low else None
        )
    except OSError as error:
        yield Check(
            "folders",
            "temporary",
            "error",
            str(error),
            "Set TMPDIR to a folder that you may write to",
        )
    yield _check_cache(
        "cache",
        user_cache_folder,
        "exported networks and results that wait for their upload",
        "XDG_CACHE_HOME",
    )
    if os.environ.get("RM_GEO_ONNX"):
        from rm_geo.zoo.onnx_files import export_folder

        yield _check_cache("ONNX exports", export_folder, "exported networks", "RM_GEO_ONNX")
    yield from _check_matplotlib()
    yield from _check_numba()


def _check_cache(name: str, folder: Any, content: str, variable: str) -> Check:  # noqa: ANN401
    """Check that a cache folder can be written or created, without creating it."""
    try:
        path: Path = folder()
        existing = next(place for place in (path, *path.absolute().parents) if place.exists())
        tempfile.TemporaryFile(dir=existing).close()
    except (OSError, RmGeoError) as error:
        return Check(
            "folders",
            name,
            "warning",
            f"cannot be written, so {content} are not kept ({error})",
            f"Set {variable} to a folder that you may write to",
        )
    return Check("folders", name, "ok", str(path))


def _check_matplotlib() -> Iterator[Check]:
    """Check matplotlib's font cache; without a writable one, it uses a temporary folder."""
    try:
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        import matplotlib

        folder = Path(matplotlib.get_cachedir())
    except Exception:  # reported by the check of packages
        return
    if folder.name.startswith("matplotlib-") and folder.parent == Path(tempfile.gettempdir()):
        yield Check(
            "folders",
            "matplotlib",
            "warning",
            "its cache cannot be written, so fonts are searched in every run",
            "Set MPLCONFIGDIR to a folder that you may write to",
        )
        return
    yield Check("folders", "matplotlib", "ok", str(folder))


def _check_numba() -> Iterator[Check]:
    """Check the cache of compiled code of numba."""
    from rm_geo.propagation.compiled import PRIVATE_CACHE_PREFIX, import_compiled

    try:
        path = Path(import_compiled("profile").roof_profiles.stats.cache_path)
    except DependencyError:  # reported by the check of extras
        return
    except Exception as error:
        yield Check("folders", "numba", "warning", str(error))
        return
    if path.parent.name.startswith(PRIVATE_CACHE_PREFIX):
        yield Check(
            "folders",
            "numba",
            "warning",
            f"compiled code is kept in {path}, because no other cache folder can be written",
            "Set NUMBA_CACHE_DIR to a folder that lasts",
        )
        return
    yield Check("folders", "numba", "ok", str(path))


def _auto_device() -> str:
    """Return the device that is chosen by default; the CPU if PyTorch is broken."""
    try:
        return choose_device("auto")
    except Exception:
        return "cpu"


def _check_device(device: str) -> Iterator[Check]:
    """Check the engines of networks: ONNX Runtime, PyTorch, and the driver of a GPU."""
    yield Check("device", "auto", "ok", f"{device}, {choose_precision(device)}")
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
        providers = ", ".join(onnxruntime.get_available_providers())
        yield Check("device", "ONNX Runtime", "ok", f"{onnxruntime.__version__}, {providers}")
    except Exception:  # reported by the check of packages
        pass
    gpus = count_cuda_devices()
    spec = _spec_of_torch()
    if spec is None:
        if gpus:
            yield Check(
                "device",
                "GPU",
                "warning",
                f"{gpus} NVIDIA GPU(s), but PyTorch is not installed",
                'To use them: pip install "rm-geo[torch]", with the CUDA build of PyTorch',
            )
        return
    yield from _check_torch(spec, gpus, device)


def _spec_of_torch() -> Path | None:
    """Return the file that describes the installed build of PyTorch."""
    spec = importlib.util.find_spec("torch") if torch_is_installed() else None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("version.py")


def _check_torch(version_file: Path, gpus: int, device: str) -> Iterator[Check]:
    """Compare the build of PyTorch with the GPUs that the driver reports."""
    guide = "https://pytorch.org/get-started/locally"
    is_cuda, is_rocm = is_cuda_build(version_file), is_rocm_build(version_file)
    build = "CUDA build" if is_cuda else "ROCm build" if is_rocm else "build without CUDA"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import torch

            usable = torch.cuda.is_available()
    except Exception as error:
        hint = f"Install it again: {guide}"
        yield Check("device", "PyTorch", "warning", f"cannot be imported ({error})", hint)
        return
    detail = f"{torch.__version__}, {build}, {torch.get_num_threads()} CPU threads"
    if usable:
        free, total = torch.cuda.mem_get_info()
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        yield Check("device", "PyTorch", "ok", detail)
        yield Check("device", "GPU", "ok", f"{torch.cuda.get_device_name()}, {memory}")
    elif gpus and not is_cuda:
        yield Check(
            "device",
            "PyTorch",
            "warning",
            f"{detail}, but the driver reports {gpus} NVIDIA GPU(s)",
            f"Install the CUDA build that fits the driver: {guide}",
        )
    elif gpus:
        reason = str(caught[0].message).splitlines()[0] if caught else "PyTorch cannot use them"
        yield Check(
            "device",
            "PyTorch",
            "warning",
            f"{detail}; the driver reports {gpus} NVIDIA GPU(s), but: {reason}",
            f"Update the driver, or install the build that fits it: {guide}",
        )
    elif (is_cuda or is_rocm) and device == "cpu":
        yield Check(
            "device",
            "PyTorch",
            "note",
            f"{detail}, but no driver reports a GPU",
            "If this machine has one, check its driver (nvidia-smi)",
        )
    else:
        yield Check("device", "PyTorch", "ok", detail)


def _check_formats() -> Iterator[Check]:
    """Check GDAL and PROJ with their data, and the drivers of the formats."""
    variables = [f"{name}={os.environ[name]}" for name in _DATA_VARIABLES if name in os.environ]
    hint = (
        f"Another program has set {', '.join(variables)}: unset it"
        if variables
        else "Install it again: pip install --force-reinstall rasterio pyogrio pyproj"
    )
    for name, test in (
        ("pyproj", _test_pyproj),
        ("rasterio", _test_rasterio),
        ("pyogrio", _test_pyogrio),
    ):
        try:
            yield Check("formats", name, "ok", test())
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            yield Check("formats", name, "error", f"does not work ({reason})", hint)


def _test_pyproj() -> str:
    """Transform a point with pyproj, which needs the PROJ database."""
    import pyproj

    transformer = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    x, _ = transformer.transform(15.0, 50.0)
    if abs(x - 500_000.0) > 1.0:
        raise ValueError(f"15 degrees east is {x:.0f} m in UTM zone 33, which is wrong")
    return f"PROJ {pyproj.proj_version_str}, data in {pyproj.datadir.get_data_dir()}"


def _test_rasterio() -> str:
    """Write a small GeoTIFF with rasterio, and look up the driver of the maps."""
    import numpy as np
    import rasterio
    from rasterio.io import MemoryFile

    crs = rasterio.crs.CRS.from_epsg(32633)
    profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "float32"}
    with MemoryFile() as memory, rasterio.Env() as environment:
        if "COG" not in environment.drivers():
            raise ValueError("GDAL has no driver for cloud-optimized GeoTIFF")
        with memory.open(**profile, crs=crs, transform=rasterio.Affine(1, 0, 0, 0, -1, 2)) as file:
            file.write(np.zeros((1, 2, 2), np.float32))
        with memory.open() as file:
            if file.crs != crs:
                raise ValueError("the CRS of a GeoTIFF is lost")
    return f"GDAL {rasterio.__gdal_version__}, GeoTIFF and COG"


def _test_pyogrio() -> str:
    """Look up the drivers of the formats of measurements."""
    import pyogrio

    drivers = pyogrio.list_drivers()
    if missing := [name for name in DRIVERS if name not in drivers]:
        raise ValueError(f"GDAL has no driver for {', '.join(missing)}")
    if pyogrio.get_gdal_data_path() is None:
        raise ValueError("the data of GDAL is not found")
    return f"GDAL {pyogrio.__gdal_version_string__}, {', '.join(DRIVERS)}"


def _check_models() -> Iterator[Check]:
    """Check that the files of the installed models are complete."""
    from rm_geo.errors import ModelError
    from rm_geo.zoo.catalog import list_models, models_root, verify_model

    try:
        records = list_models()
    except ModelError as error:
        yield Check("models", "folder", "error", error.message, error.hint)
        return
    if not records:
        yield Check(
            "models",
            "folder",
            "warning",
            f"{models_root()} holds no trained models, so only methods without networks work",
            "Install rm_geo again: pip install --force-reinstall rm-geo",
        )
        return
    yield Check("models", "folder", "ok", str(models_root()))
    absent = list_models(installed=False)
    for package in dict.fromkeys(str(record.package) for record in absent):
        number = sum(record.package == package for record in absent)
        yield Check(
            "models",
            package,
            "note",
            f"not installed, so {number} models of the papers' tables are absent",
            f"To use them: pip install {package}",
        )
    for record in records:
        try:
            verify_model(record)
            yield Check("models", record.name, "ok", f"{record.kind}, size {record.size}")
        except ModelError as error:
            yield Check("models", record.name, "error", f"damaged: {error.message}", error.hint)
