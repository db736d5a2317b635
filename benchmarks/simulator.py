"""Error of the dominant path model on the gain maps of RadioMapSeer, and its speed.

    python benchmarks/simulator.py FOLDER

FOLDER contains ``maps.npz`` and ``dpm_reference/<map>_<transmitter>.png`` of RadioMapSeer.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imread  # reads grey PNG as 0..1
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from rm_geo.datasets.street_scenes import FOOTPRINT_OFFSET_PX
from rm_geo.propagation import Antenna, DominantPathModel, Scene
from rm_geo.units import GAIN_SPAN_DB, gain_to_unit

WALL_PX = 1.5  # pixels whose centres are nearer than this to an indoor pixel are at a wall


@dataclass(frozen=True)
class Case:
    """Reference gain map, and the simulated one for the same transmitter."""

    name: str
    reference: NDArray[np.float64]
    modelled: NDArray[np.float64]
    indoor: NDArray[np.bool_]
    sighted: NDArray[np.bool_]


def cases(folder: Path, model: DominantPathModel) -> Iterator[Case]:
    """Yield the cases of all reference maps, ordered by map."""
    with np.load(folder / "maps.npz") as maps:
        buildings = np.unpackbits(maps["buildings"], axis=-1)
        transmitters = maps["transmitters"]
    by_map: dict[int, list[tuple[int, Path]]] = defaultdict(list)
    for path in sorted((folder / "dpm_reference").glob("*_*.png")):
        number, transmitter = map(int, path.stem.split("_"))
        by_map[number].append((transmitter, path))
    for number, files in sorted(by_map.items()):
        scene = Scene.from_mask(buildings[number], offset_px=FOOTPRINT_OFFSET_PX)
        for transmitter, path in files:
            row, col = map(int, transmitters[number, transmitter])
            gain = model.path_gain(scene, Antenna.at_pixel(row, col))
            yield Case(
                path.stem,
                imread(path).astype(np.float64),
                gain_to_unit(gain).astype(np.float64),
                scene.indoor,
                sighted_pixels(gain, row, col),
            )


def sighted_pixels(gain: NDArray[np.float32], row: int, col: int) -> NDArray[np.bool_]:
    """Return the pixels with the gain of free space."""
    rows, cols = np.indices(gain.shape)
    distance = np.maximum(np.hypot(rows - row, cols - col), 1.0)
    free = Antenna(0.0, 0.0).reference_gain_db - 20.0 * np.log10(distance)
    return np.asarray(np.abs(gain - free) < 1e-3)


def errors(case: Case) -> dict[str, NDArray[np.float64]]:
    """Return squared errors on the noise-floor scale by type of pixel."""
    squared = (case.modelled - case.reference) ** 2
    away = ~case.indoor & (distance_transform_edt(~case.indoor) > WALL_PX)
    return {
        "all pixels": squared.ravel(),
        "more than one pixel from a wall": squared[away],
        "the same, not in line of sight": squared[away & ~case.sighted],
        "the same, in line of sight": squared[away & case.sighted],
    }


def report_errors(folder: Path) -> None:
    """Print the table of errors."""
    rows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for case in cases(folder, DominantPathModel()):
        for kind, squared in errors(case).items():
            rows[kind].append(squared)
    print(f"{'RMSE on the noise-floor scale':34} {'unit':>7} {'dB':>6}")
    for kind, parts in rows.items():
        rmse = float(np.sqrt(np.mean(np.concatenate(parts))))
        print(f"{kind:34} {rmse:7.4f} {rmse * GAIN_SPAN_DB:6.2f}")


def report_speed(folder: Path, sizes: tuple[int, ...] = (1, 2, 4)) -> None:
    """Print the CPU time of 80 transmitters on one map and on mosaics of maps."""
    with np.load(folder / "maps.npz") as maps:
        buildings = np.unpackbits(maps["buildings"][:64], axis=-1)
        transmitters = maps["transmitters"][:64]
    model = DominantPathModel()
    model.path_gain(Scene.from_mask(buildings[0]), Antenna(5.0, 5.0))  # compile
    for size in sizes:
        block = buildings[: size * size].reshape(size, size, 256, 256)
        mask = block.transpose(0, 2, 1, 3).reshape(size * 256, size * 256)
        start = time.process_time()
        scene = Scene.from_mask(mask)
        built = time.process_time() - start
        count = 80 if size == 1 else 8
        start = time.process_time()
        for row, col in transmitters[0, :count]:
            model.path_gain(scene, Antenna.at_pixel(int(row), int(col)))
        each = (time.process_time() - start) / count
        print(
            f"{size * 256:5} px: geometry {built:6.2f} s, {len(scene.corners)} corners, "
            f"{scene.runs.nbytes / 2**20:.1f} MiB of runs; {each * 1e3:6.1f} ms a transmitter; "
            f"80 transmitters {built + 80 * each:6.2f} s"
        )


def main() -> None:
    """Run both reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    report_errors(folder)
    report_speed(folder)


if __name__ == "__main__":
    main()
