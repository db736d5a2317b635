"""Computation of simulated sets in several processes, resumable scene by scene.

The set is written to ``<out>.part``, which is renamed when it is complete. The flag of a scene is
written after its data, so that an interrupted run can be continued. The result does not depend
on interruptions or on the number of workers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from rm_geo._util.own_folder import OwnFolder
from rm_geo.datasets.maps_archive import CityMaps, read_maps_archive
from rm_geo.datasets.recipes import Recipe, SceneDraft
from rm_geo.datasets.simulated import ANTENNA_COLUMNS, FORMAT, MANIFEST, SimulatedSet, read_manifest
from rm_geo.errors import ConfigError, InputError, OutputError
from rm_geo.progress import Progress, SilentProgress
from rm_geo.propagation import (
    Antenna,
    DominantPathModel,
    DominantPathParameters,
    Scene,
    SectorPattern,
)

_DONE = "done.npy"


def generate(
    recipe: Recipe,
    out: str | Path,
    *,
    source: str | Path | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> SimulatedSet:
    """Simulate the scenes of a recipe.

    Parameters
    ----------
    recipe : Recipe
        Recipe of the scenes.
    out : str or Path
        Folder to create. If it exists with the same recipe, it is opened without computation.
        An interrupted run of the same recipe is continued.
    source : str or Path, optional
        Archive of maps (:func:`rm_geo.datasets.maps_archive.read_maps_archive`), for recipes
        that need maps.
    workers : int
        Number of processes. With 1 the scenes are computed in the current process.
    progress : Progress, optional
        Receiver of the progress, which may also cancel.

    Returns
    -------
    SimulatedSet

    Raises
    ------
    ConfigError
        If the recipe contains maps that the archive does not have, or ``workers`` is below 1.
    InputError
        If the archive cannot be read.
    OutputError
        If the folder has other contents or cannot be written, or the disk space is too small.
    CancelledError
        If ``progress`` cancels. The completed scenes are kept.
    """
    if workers < 1:
        raise ConfigError(f"The number of workers must be at least 1, not {workers}.")
    out, progress = Path(out), progress or SilentProgress()
    maps = None if source is None else read_maps_archive(source)
    manifest = _manifest(recipe, maps)
    if out.exists():
        _require_same(out, manifest)
        return SimulatedSet.open(out)
    part = out.with_name(out.name + ".part")
    OwnFolder(part.parent, (part.name,)).refuse_links()
    try:
        done = _prepare(part, manifest)
        todo = [int(index) for index in np.flatnonzero(~done)]
        progress.start(len(done), "scenes", f"Simulating {recipe.name}")
        progress.advance(len(done) - len(todo))
        with _scene_runner(recipe, source, maps, part, workers) as run:
            for _ in run(todo, progress):
                progress.advance()
        progress.finish()
        (part / _DONE).unlink()
        part.rename(out)
    except OSError as error:
        hint = "Run the same command again to continue."
        if isinstance(error, FileExistsError | NotADirectoryError):
            hint = "Name another folder: a parent of this one is a file."
        raise OutputError(f"{part} cannot be written: {error}", hint=hint) from error
    return SimulatedSet.open(out)


def simulate_gains(draft: SceneDraft) -> NDArray[np.float16]:
    """Compute the path gains of the antennas of a draft with the dominant path model.

    Parameters
    ----------
    draft : SceneDraft
        Scene with T antennas.

    Returns
    -------
    ndarray of float16, shape (T, H, W)
        Path gains in dB. The resolution of float16 is 0.06 dB down to -128 dB and 0.13 dB below.
    """
    heights: NDArray[Any] | float = draft.heights_m.astype(np.float32)
    uniform_heights = np.unique(draft.heights_m[draft.buildings])
    if uniform_heights.size <= 1:
        heights = float(uniform_heights[0]) if uniform_heights.size else 1.0
    scene = Scene.from_mask(draft.buildings, heights, offset_px=draft.footprint_offset_px)
    model = DominantPathModel()
    gains = np.empty((len(draft.antennas), *draft.buildings.shape), dtype=np.float16)
    for index, row in enumerate(draft.antennas):
        gains[index] = model.path_gain(scene, antenna_from_row(row))
    return gains


def antenna_from_row(row: NDArray[np.float32]) -> Antenna:
    """Create an antenna of the simulator from a row of an antenna table."""
    values = dict(zip(ANTENNA_COLUMNS, row.astype(float).tolist(), strict=True))
    pattern = None
    if values["sector"]:
        pattern = SectorPattern(
            azimuth_deg=values["azimuth_deg"],
            downtilt_deg=values["downtilt_deg"],
            horizontal_beamwidth_deg=values["beamwidth_deg"],
            vertical_beamwidth_deg=values["vertical_beamwidth_deg"],
            max_gain_dbi=values["max_gain_dbi"],
        )
    return Antenna.at_pixel(
        values["row"],
        values["col"],
        height_m=values["height_m"],
        frequency_hz=values["frequency_mhz"] * 1e6,
        pattern=pattern,
    )


@contextmanager
def _scene_runner(
    recipe: Recipe, source: str | Path | None, maps: CityMaps | None, part: Path, workers: int
) -> Iterator[Any]:
    """Provide a generator function that computes scenes and yields after each."""
    if workers == 1:

        def here(todo: list[int], progress: Progress) -> Iterator[None]:
            writer = _SceneWriter(recipe, maps, part)
            for index in todo:
                progress.check()
                writer.write(index)
                yield

        yield here
        return
    # Spawn, because the parent process may have threads of torch or GDAL.
    with ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(recipe, source, part),
    ) as pool:

        def elsewhere(todo: list[int], progress: Progress) -> Iterator[None]:
            pending: set[Future[None]] = {pool.submit(_write_in_worker, index) for index in todo}
            try:
                while pending:
                    progress.check()
                    finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                        yield
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

        yield elsewhere


class _SceneWriter:
    """Writer of scenes to the arrays of an incomplete set."""

    def __init__(self, recipe: Recipe, maps: CityMaps | None, part: Path) -> None:
        self._recipe, self._maps = recipe, maps
        names = (*read_manifest(part)["arrays"], Path(_DONE).stem)
        self._arrays = {name: open_memmap(part / f"{name}.npy", mode="r+") for name in names}

    def write(self, index: int) -> None:
        """Compute and write one scene, and its flag at the end."""
        draft = self._recipe.draft(index, self._maps)
        arrays = self._arrays
        arrays["buildings"][index] = np.packbits(draft.buildings, axis=-1)
        arrays["roads"][index] = np.packbits(draft.roads, axis=-1)
        arrays["heights_m"][index] = draft.heights_m
        arrays["orders"][index] = draft.orders
        arrays["antennas"][index] = draft.antennas
        arrays["gains_db"][index] = (
            simulate_gains(draft) if draft.gains_db is None else draft.gains_db
        )
        arrays["done"][index] = True


_worker: list[_SceneWriter] = []  # the writer of a worker process, set by its initializer


def _start_worker(recipe: Recipe, source: str | Path | None, part: Path) -> None:
    """Open maps and arrays once per process, and limit numba to one thread."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    maps = None if source is None else read_maps_archive(source)
    _worker.append(_SceneWriter(recipe, maps, part))


def _write_in_worker(index: int) -> None:
    """Write one scene with the writer of the process."""
    _worker[0].write(index)


def _manifest(recipe: Recipe, maps: CityMaps | None) -> dict[str, Any]:
    """Return the manifest of a set before its computation."""
    scenes, (rows, columns) = len(recipe.scene_ids), recipe.scene_shape(maps)
    map_ids = [recipe.map_ids(index, maps) for index in range(scenes)]
    largest = max((number for numbers in map_ids for number in numbers), default=0)
    if maps is not None and largest >= len(maps):
        raise ConfigError(f"There is no map {largest}: the last in the archive is {len(maps) - 1}.")
    if scenes == 0 or columns % 8:
        raise ConfigError(
            f"A set cannot have {scenes} scenes of {columns} columns: it needs at least one scene, "
            "and a number of columns that is a multiple of 8."
        )
    layout: dict[str, tuple[type, tuple[int, ...]]] = {
        "buildings": (np.uint8, (scenes, rows, columns // 8)),
        "heights_m": (np.uint8, (scenes, rows, columns)),
        "roads": (np.uint8, (scenes, rows, columns // 8)),
        "orders": (np.int16, (scenes, recipe.drives, rows, columns)),
        "gains_db": (np.float16, (scenes, recipe.transmitters, rows, columns)),
        "antennas": (np.float32, (scenes, recipe.transmitters, len(ANTENNA_COLUMNS))),
    }
    manifest = {
        "format": FORMAT,
        "recipe": asdict(recipe),  # type: ignore[call-overload]
        "dominant_path": asdict(DominantPathParameters()) if recipe.is_simulated else None,
        "spacing_m": 1.0,
        "shape": [rows, columns],
        "antenna_columns": ANTENNA_COLUMNS,
        "scene_ids": recipe.scene_ids,
        "map_ids": map_ids,
        "arrays": {
            name: {"dtype": np.dtype(dtype).str, "shape": shape}
            for name, (dtype, shape) in layout.items()
        },
    }
    # Convert through JSON, so that it compares equal to a manifest read from disk.
    return dict(json.loads(json.dumps(manifest)))


def _prepare(part: Path, manifest: dict[str, Any]) -> NDArray[np.bool_]:
    """Create the arrays of a new run or check those of an interrupted one; return the flags."""
    if (part / MANIFEST).exists():
        _require_same(part, manifest)
        try:
            return np.array(np.load(part / _DONE, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{part} cannot be continued: {error}", hint="Remove it and start again."
            ) from error
    needed = sum(
        int(np.prod(array["shape"])) * np.dtype(array["dtype"]).itemsize
        for array in manifest["arrays"].values()
    )
    part.parent.mkdir(parents=True, exist_ok=True)
    available = shutil.disk_usage(part.parent).free
    if needed * 1.02 > available:
        raise OutputError(
            f"{part.parent} has {available / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed.",
            hint="Use fewer scenes or transmitters, or choose another disk.",
        )
    part.mkdir(exist_ok=True)
    for name, array in manifest["arrays"].items():
        open_memmap(part / f"{name}.npy", "w+", array["dtype"], tuple(array["shape"]))
    done = np.zeros(len(manifest["scene_ids"]), dtype=np.bool_)
    np.save(part / _DONE, done)
    # Write the manifest last, so that a folder with a manifest has all arrays.
    (part / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return done


def _require_same(path: Path, manifest: dict[str, Any]) -> None:
    """Raise OutputError if a folder contains anything but a set with this manifest."""
    hint = "Choose another folder, or remove this one."
    try:
        found = read_manifest(path)
    except InputError as error:
        raise OutputError(f"{path} exists and contains no simulated scenes.", hint=hint) from error
    if found != manifest:
        raise OutputError(f"{path} contains scenes of another recipe.", hint=hint)
