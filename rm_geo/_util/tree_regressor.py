"""scikit-learn's trees, imported without what they do not use: a third of the time.

scikit-learn imports ``scipy.stats``, joblib, pandas and narwhals for functions that trees do not
call, and the package of its neighbour searches for the sake of one compiled module. Of some
modules it imports functions by their names.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import rm_geo._util.scipy_modules  # noqa: F401 - before scikit-learn imports scipy
from rm_geo._util.deferred_modules import deferred_function, deferred_modules

__all__ = ["ExtraTreeRegressor"]

_UNUSED: Final = (
    "scipy.stats",
    "pandas",
    *("narwhals", "narwhals.stable", "narwhals.stable.v2"),
    "sklearn.neighbors",
)
_FUNCTIONS: Final = {
    "joblib": "cpu_count",
    "sklearn.utils.parallel": "_get_threadpool_controller",
    "scipy.sparse.csgraph": "laplacian",
}

with ExitStack() as _imports:
    _imports.enter_context(deferred_modules(*_UNUSED))
    for _module, _name in _FUNCTIONS.items():
        _function = {_name: deferred_function(_module, _name)}
        _imports.enter_context(deferred_modules(_module, **_function))
    from sklearn.tree import ExtraTreeRegressor
