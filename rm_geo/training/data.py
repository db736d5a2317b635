"""Conversion of training data to folders of scenes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rm_geo.datasets.simulated import MANIFEST, SimulatedSet, read_manifest
from rm_geo.datasets.splits import LAST_TRAINING_MAP, get_split
from rm_geo.errors import ConfigError, DependencyError, InputError
from rm_geo.io.provenance import files_sha256
from rm_geo.progress import Progress
from rm_geo.training.config import TrainingConfig
from rm_geo.training.options import make_options
from rm_geo.training.process_group import ProcessGroup
from rm_geo.training.run import RadioMapSeerOptions

if TYPE_CHECKING:
    from rm_geo.datasets.splits import GreyScale


def prepare_data(
    config: TrainingConfig, cache: Path, progress: Progress, group: ProcessGroup | None = None
) -> TrainingConfig:
    """Unpack all training data that is not a folder of scenes.

    Parameters
    ----------
    config : TrainingConfig
        Configuration whose data are folders of scenes, packed archives
        (:mod:`rm_geo.datasets.packing`), or folders of RadioMapSeer as published.
    cache : Path
        Folder for unpacked data. The names of its subfolders contain a checksum of the archive,
        or of the path and the options of RadioMapSeer. Existing subfolders are reused.
    progress : Progress
        Receiver of the progress.
    group : ProcessGroup, optional
        Processes that train together. The main process unpacks, the others wait.

    Returns
    -------
    TrainingConfig
        The configuration with folders of scenes as data.

    Raises
    ------
    InputError
        If data are missing, damaged or incomplete, or images differ in size.
    """
    group = group or ProcessGroup()
    paths = []
    for text in config.data:
        path = Path(text)
        if not path.exists():
            group.broadcast(None)
            raise InputError(
                f"There is no training data at {path}.",
                hint="Name a folder of scenes, a packed archive, or a folder of RadioMapSeer.",
            )
        if path.is_dir() and (path / MANIFEST).exists():
            paths.append(str(path))
            continue
        out = cache / f"{path.stem}-{_identity(path, config)}"
        if group.is_main:
            try:
                unpack_data(path, out, config, progress)
            except BaseException:
                group.broadcast(None)
                raise
        if group.broadcast(1.0) is None:
            raise InputError(f"The main process could not unpack {path}.")
        paths.append(str(out))
    return replace(config, data=paths)


def _identity(path: Path, config: TrainingConfig) -> str:
    """Return a checksum that identifies the unpacked data of a file or folder."""
    if path.is_file():
        return files_sha256(path)[:12]
    how = [str(path.resolve()), dict(config.radiomapseer), config.split]
    return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:12]


def unpack_data(path: Path, out: Path, config: TrainingConfig, progress: Progress) -> SimulatedSet:
    """Convert a packed archive or RadioMapSeer to a folder of scenes.

    Parameters
    ----------
    path : Path
        Packed archive, or folder of RadioMapSeer.
    out : Path
        Folder to create.
    config : TrainingConfig
        Configuration with the split and the options of RadioMapSeer.
    progress : Progress
        Receiver of the progress.

    Returns
    -------
    SimulatedSet

    Raises
    ------
    InputError
        If the data are of another type, damaged or incomplete.
    ConfigError
        If the data contain none of the training maps.
    """
    if path.is_file():
        from rm_geo.datasets.packing import unpack

        return unpack(path, out)
    if not (path / "png").is_dir():
        raise InputError(
            f"{path} contains no training data: neither {MANIFEST} nor RadioMapSeer's folder png.",
            hint="Simulate a set with `python -m rm_geo.datasets.generate`.",
        )
    with require_packages("Pillow and SciPy", "The images of RadioMapSeer"):
        from rm_geo.datasets.generation import generate
        from rm_geo.datasets.radiomapseer_recipes import RadioMapSeerRecipe, expected_maps

    wanted = tuple(range(LAST_TRAINING_MAP + 1))
    if config.split is not None:
        wanted = get_split(config.split).train_maps
    maps = expected_maps(path, wanted)
    if not maps:
        raise ConfigError(f"{path} contains none of the training maps.")
    how = make_options(RadioMapSeerOptions, config.radiomapseer, "radiomapseer")
    recipe = RadioMapSeerRecipe(
        str(path.resolve()), maps, simulation=how.simulation, scale=cast("GreyScale", how.scale)
    )
    recipe.require_complete()
    return generate(recipe, out, workers=1, progress=progress)


@contextmanager
def require_packages(packages: str, what: str) -> Iterator[None]:
    """Convert a failed import to an error that names the packages to install.

    A training machine may have only torch and numpy.

    Parameters
    ----------
    packages : str
        Required packages.
    what : str
        Subject of the error message, in the plural.

    Yields
    ------
    None
        While the block runs.

    Raises
    ------
    DependencyError
        If a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{what} need {packages}: {error.name} is not installed.",
            hint="Install it, or bring a packed archive (python -m rm_geo.datasets.packing).",
        ) from error


def describe_data(config: TrainingConfig) -> str:
    """Describe the training data of a configuration in one line."""
    lines = []
    for text in config.data:
        manifest = read_manifest(Path(text))
        maps = sorted({number for numbers in manifest["map_ids"] for number in numbers})
        shape = json.loads(json.dumps(manifest["arrays"]["gains_db"]["shape"]))
        where = f" of RadioMapSeer maps {maps[0]}-{maps[-1]}" if maps else ""
        genuine = "simulated" if manifest.get("dominant_path") else "genuine"
        lines.append(f"{shape[0]} scenes{where}, {shape[1]} transmitters each, {genuine} gains")
    split = "" if config.split is None else f" (split {config.split})"
    return "; ".join(lines) + split
