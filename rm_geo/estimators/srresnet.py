"""SRResNet as an estimator."""

from __future__ import annotations

from rm_geo.estimators.super_resolution import SuperResolutionEstimator


class SRResNetEstimator(SuperResolutionEstimator):
    """SRResNet on measurements that form a lattice; parameters as its base class has them."""

    name = "srresnet"
