"""MARS as an estimator."""

from __future__ import annotations

from rm_geo.estimators.super_resolution import SuperResolutionEstimator


class MarsEstimator(SuperResolutionEstimator):
    """MARS on measurements that form a lattice; parameters as those of its base class."""

    name = "mars"
