"""Training data as people have it, made into folders of scenes that training reads."""

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
    config: TrainingConfig, cache: Path, progress: Progress, team: ProcessGroup | None = None
) -> TrainingConfig:
    """Unpack what is not a folder of scenes yet; gives the configuration with such folders.

    Parameters
    ----------
    config : TrainingConfig
        Its data may be folders of scenes, packed archives (:mod:`rm_geo.datasets.packing`), and
        RadioMapSeer as it was published.
    cache : Path
        Folder for what is unpacked, by name and checksum of the archive, or by where
        RadioMapSeer lies and how it is read; what is there already is taken as it is.
    progress : Progress
        Told of every map.
    team : ProcessGroup, optional
        The first process unpacks, the others wait for it.

    Raises
    ------
    InputError
        If data is missing, damaged, has holes, or images of mixed sizes.
    """
    team = team or ProcessGroup()
    paths = []
    for text in config.data:
        path = Path(text)
        if not path.exists():
            team.agree(None)
            raise InputError(
                f"There is no training data at {path}.",
                hint="Name a folder of scenes, a packed archive, or RadioMapSeer's folder.",
            )
        if path.is_dir() and (path / MANIFEST).exists():
            paths.append(str(path))
            continue
        out = cache / f"{path.stem}-{_identity(path, config)}"
        if team.leads:
            try:
                unpacked(path, out, config, progress)
            except BaseException:
                team.agree(None)
                raise
        if team.agree(1.0) is None:
            raise InputError(f"{path} could not be unpacked by the first process.")
        paths.append(str(out))
    return replace(config, data=paths)


def _identity(path: Path, config: TrainingConfig) -> str:
    """Tell apart what is unpacked of files and folders that may have one name."""
    if path.is_file():
        return files_sha256(path)[:12]
    how = [str(path.resolve()), dict(config.radiomapseer), config.split]
    return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:12]


def unpacked(path: Path, out: Path, config: TrainingConfig, progress: Progress) -> SimulatedSet:
    """Unpack an archive or RadioMapSeer into a folder of scenes.

    Raises
    ------
    InputError
        If it is neither, damaged, or incomplete.
    """
    if path.is_file():
        from rm_geo.datasets.packing import unpack

        return unpack(path, out)
    if not (path / "png").is_dir():
        raise InputError(
            f"{path} holds no training data: neither {MANIFEST} nor RadioMapSeer's folder png.",
            hint="Simulate a set with `python -m rm_geo.datasets.generate`.",
        )
    with needing("Pillow and SciPy", "RadioMapSeer's images"):
        from rm_geo.datasets.generation import generate
        from rm_geo.datasets.radiomapseer_recipes import RadioMapSeerRecipe, expected_maps

    wanted = tuple(range(LAST_TRAINING_MAP + 1))
    if config.split is not None:
        wanted = get_split(config.split).train_maps
    maps = expected_maps(path, wanted)
    if not maps:
        raise ConfigError(f"{path} has none of the maps to be trained on.")
    how = make_options(RadioMapSeerOptions, config.radiomapseer, "radiomapseer")
    recipe = RadioMapSeerRecipe(
        str(path.resolve()), maps, simulation=how.simulation, scale=cast("GreyScale", how.scale)
    )
    recipe.require_complete()
    return generate(recipe, out, workers=1, progress=progress)


@contextmanager
def needing(packages: str, what: str) -> Iterator[None]:
    """Say what to install where an import fails: training machines may have torch alone.

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
    """Say in a line what a model was trained on."""
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
