"""Supreme as an estimator."""

from __future__ import annotations

from rm_geo.estimators.super_resolution import SuperResolutionEstimator
from rm_geo.networks.supreme import Supreme


class SupremeEstimator(SuperResolutionEstimator):
    """Supreme on measurements that form a lattice; parameters as its base class has them."""

    name = "supreme"
    network_type = Supreme
