"""scipy's modules that every run needs, imported without what these do not use: half of the time.

scipy takes all names of numpy, and with them what numpy imports only when it is asked for: its
tests, and its compiler for Fortran. To be imported before anything else of scipy.
"""

from __future__ import annotations

import numpy as np  # noqa: F401 - before its modules are deferred

from rm_geo._util.deferred_modules import deferred_modules

__all__ = ["KDTree", "linalg", "ndimage", "nnls"]

with deferred_modules("numpy.f2py", "numpy.testing", "scipy.spatial.transform", "scipy.optimize"):
    from scipy import linalg, ndimage
    from scipy.optimize._nnls import nnls  # the package imports all its solvers
    from scipy.spatial import KDTree
