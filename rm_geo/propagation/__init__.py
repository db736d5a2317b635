"""Radio propagation: the dominant path model and empirical models."""

from rm_geo.propagation.antenna import Antenna, SectorPattern
from rm_geo.propagation.dominant_path import DominantPathModel
from rm_geo.propagation.parameters import DominantPathParameters
from rm_geo.propagation.scene import Scene

__all__ = [
    "Antenna",
    "DominantPathModel",
    "DominantPathParameters",
    "Scene",
    "SectorPattern",
]
