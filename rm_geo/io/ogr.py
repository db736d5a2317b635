"""pyogrio, imported without GeoPandas and pandas, which only its data frames need."""

from __future__ import annotations

from rm_geo._util.deferred_modules import deferred_modules

__all__ = ["pyogrio"]

with deferred_modules("geopandas", "pandas"):
    import pyogrio
    import pyogrio.errors
    import pyogrio.raw
