"""MARS as an estimator."""

from __future__ import annotations

from rm_geo.estimators.super_resolution import SuperResolutionEstimator
from rm_geo.networks.mars import MARS


class MarsEstimator(SuperResolutionEstimator):
    """MARS on measurements that form a lattice; parameters as its base class has them."""

    name = "mars"
    network_type = MARS
