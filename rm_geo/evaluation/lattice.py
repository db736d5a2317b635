"""Scenes sampled on a lattice, as super-resolution of measurements sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rm_geo._types import BoolArray, FloatArray
from rm_geo.datasets.simulated import SimulatedScene
from rm_geo.estimators.base import TileBatch
from rm_geo.evaluation.cases import unit_scene
from rm_geo.units import gain_to_unit, unit_to_gain


@dataclass(frozen=True)
class LatticeCases:
    """All chosen transmitters of a scene, sampled at the centres of cells.

    Attributes
    ----------
    batch : TileBatch
        Every node measured; those in buildings at the bottom of the scale, which is 0.
    outdoor_batch : TileBatch
        The same without the nodes in buildings.
    truth_unit : ndarray of float32, shape (T, H, W)
        0 in buildings.
    indoor : ndarray of bool, shape (T, H, W)
        Pixels that no outdoor score counts.
    """

    batch: TileBatch
    outdoor_batch: TileBatch
    truth_unit: FloatArray
    indoor: BoolArray


def known_buildings(scene: SimulatedScene, antennas: NDArray[np.int64]) -> BoolArray | None:
    """Tell which pixels have no gain by the maps of some antennas; None where there are none."""
    if not antennas.size:
        return None
    gains = gain_to_unit(np.asarray(scene.gains_db[antennas], dtype=np.float32))
    return np.asarray((gains <= 0.0).all(axis=0))


def lattice_cases(
    scene: SimulatedScene,
    antennas: NDArray[np.int64],
    scale: int,
    buildings: BoolArray | None = None,
) -> LatticeCases:
    """Sample a scene as the paper does: pixel ``scale // 2`` of each cell, along each axis.

    ``walls``, shape (H, W), are what a method may be told of a known scene.
    """
    whole = unit_scene(scene, antennas)
    nodes = np.zeros(whole.truth_unit.shape, dtype=np.bool_)
    nodes[:, scale // 2 :: scale, scale // 2 :: scale] = True
    level = unit_to_gain(whole.truth_unit)
    batch = whole.batch(np.where(nodes, level, np.float32(np.nan)))
    outdoor = whole.batch(np.where(nodes & ~whole.indoor, level, np.float32(np.nan)))
    if buildings is not None:
        batch = replace(batch, buildings=np.broadcast_to(buildings, nodes.shape))
    return LatticeCases(batch, outdoor, whole.truth_unit, whole.indoor)
