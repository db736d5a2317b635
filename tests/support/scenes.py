"""Scenes whose right answers are known, for tests of training and evaluation."""

import json
import math
from pathlib import Path

import numpy as np

from rm_geo.datasets.simulated import ANTENNA_COLUMNS, FORMAT, SimulatedSet

FREQUENCY_MHZ = 5900.0
NO_GAIN_DB = -200.0
INTERCEPT_DB = 147.55 - 20.0 * math.log10(FREQUENCY_MHZ * 1e6)


def free_space_set(scenes=3, antennas=2, side=64, seed=0, map_ids=None):
    """Scenes in free space, so that gains tell where the antenna is; one building without any.

    As in RadioMapSeer its southern row and western column have a gain.
    """
    rng = np.random.default_rng(seed)
    table = np.full((scenes, antennas, len(ANTENNA_COLUMNS)), np.nan, dtype=np.float32)
    position = rng.integers(0, side, (scenes, antennas, 2))
    for name, value in (
        ("row", position[..., 0]),
        ("col", position[..., 1]),
        ("height_m", 1.5),
        ("sector", 0.0),
        ("max_gain_dbi", 0.0),
        ("frequency_mhz", FREQUENCY_MHZ),
        ("transmitter", np.arange(antennas)),
    ):
        table[..., ANTENNA_COLUMNS.index(name)] = value
    rows, cols = np.mgrid[:side, :side]
    distance = np.hypot(
        rows - position[..., 0, None, None], cols - position[..., 1, None, None]
    ).clip(1.0)
    buildings = np.zeros((scenes, side, side), dtype=bool)
    buildings[:, 10:20, 30:50] = True
    gains = INTERCEPT_DB - 20.0 * np.log10(distance)
    gains[..., 10:19, 31:50] = NO_GAIN_DB
    orders = np.full((scenes, 1, side, side), -1, dtype=np.int16)
    orders[:, 0, 25, :] = np.arange(side)
    ids = [[k + 1] for k in range(scenes)] if map_ids is None else map_ids
    return SimulatedSet(
        path=Path("free-space"),
        manifest={"scene_ids": [str(k) for k in range(scenes)], "map_ids": ids},
        buildings=np.packbits(buildings, axis=-1),
        heights_m=np.where(buildings, 25, 0).astype(np.uint8),
        roads=np.packbits(orders[:, 0] >= 0, axis=-1),
        orders=orders,
        gains_db=gains.astype(np.float16),
        antennas=table,
    )


def save_set(data, folder):
    """Write a set as a folder that training and evaluation open."""
    folder.mkdir(parents=True)
    arrays = {
        name: np.asarray(getattr(data, name))
        for name in ("buildings", "heights_m", "roads", "orders", "gains_db", "antennas")
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    layout = {n: {"dtype": a.dtype.str, "shape": list(a.shape)} for n, a in arrays.items()}
    manifest = {**data.manifest, "format": FORMAT, "arrays": layout}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
