"""scikit-learn's trees, imported without what they do not use: half of the time.

scikit-learn imports ``scipy.stats`` and pandas for functions of its own, and the package of its
neighbour searches for the sake of one compiled module.
"""

from __future__ import annotations

from rm_geo._util.deferred_modules import deferred_modules

__all__ = ["ExtraTreeRegressor", "config_context"]

with deferred_modules("scipy.stats", "pandas", "sklearn.neighbors"):
    from sklearn import config_context
    from sklearn.tree import ExtraTreeRegressor
