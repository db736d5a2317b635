"""Nearest neighbour: the map of Voronoi cells around the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from rm_geo._types import Float64Array
from rm_geo.estimators.base import Estimate, TileBatch
from rm_geo.estimators.tilewise import FittedField, TileSamples, interpolate_tiles


def nearest_field(samples: TileSamples) -> FittedField:
    """Give each position the value of its nearest sample."""
    tree = KDTree(samples.position_m)

    def field(position_m: Float64Array) -> Float64Array:
        _, index = tree.query(position_m)
        return np.asarray(samples.rsrp_dbm[index])

    return field


@dataclass(frozen=True)
class NearestEstimator:
    """Every pixel takes the value of the nearest measured one."""

    name = "nearest"
    maps_buildings = False

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return {"method": self.name}

    def estimate(self, batch: TileBatch) -> Estimate:
        """Estimate a batch; tiles without a sample are NaN."""
        return Estimate(interpolate_tiles(batch, nearest_field))
