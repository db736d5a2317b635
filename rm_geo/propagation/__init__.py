"""Radio propagation: the dominant path model and empirical models."""

from rm_geo.propagation.antenna import Antenna, SectorPattern
from rm_geo.propagation.dominant_path import DominantPathModel, DominantPathParameters
from rm_geo.propagation.free_space import free_space_path_loss_db
from rm_geo.propagation.hata import hata_path_loss_db, outside_hata_range
from rm_geo.propagation.scene import Scene
from rm_geo.propagation.spm import SpmConstants, fit_spm, spm_predict

__all__ = [
    "Antenna",
    "DominantPathModel",
    "DominantPathParameters",
    "Scene",
    "SectorPattern",
    "SpmConstants",
    "fit_spm",
    "free_space_path_loss_db",
    "hata_path_loss_db",
    "outside_hata_range",
    "spm_predict",
]
