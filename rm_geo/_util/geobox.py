"""odc-geo's ``GeoBox``, imported without Dask: odc-geo only checks that it is installed."""

from __future__ import annotations

import sys

from rm_geo._util.deferred_modules import deferred_modules

__all__ = ["GeoBox"]


def _is_dask_collection(value: object) -> bool:
    """Whether a value is a collection of Dask; none is before Dask was imported."""
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(value))


with deferred_modules("dask", is_dask_collection=_is_dask_collection):
    from odc.geo.geobox import GeoBox
