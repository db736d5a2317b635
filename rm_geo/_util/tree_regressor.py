"""scikit-learn's trees, imported without what they do not use: half of the time.

scikit-learn imports ``scipy.stats``, pandas and narwhals for functions that trees do not call, and
the package of its neighbour searches for the sake of one compiled module.
"""

from __future__ import annotations

from typing import Final

from rm_geo._util.deferred_modules import deferred_modules

__all__ = ["ExtraTreeRegressor", "config_context"]

_UNUSED: Final = (
    "scipy.stats",
    "pandas",
    *("narwhals", "narwhals.stable", "narwhals.stable.v2"),
    "sklearn.neighbors",
)

with deferred_modules(*_UNUSED):
    from sklearn import config_context
    from sklearn.tree import ExtraTreeRegressor
