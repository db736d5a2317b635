"""Radio maps and building maps from sparse drive-test measurements.

Public names are imported from their modules when they are first used, as ``__init__.pyi`` lists
them: ``import rm_geo`` is quick and imports neither PyTorch, GDAL nor pydantic.
"""

from __future__ import annotations

import lazy_loader

from rm_geo._util.threads import wait_passively
from rm_geo._version import __version__ as __version__

wait_passively()  # before a library of OpenMP is loaded
__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted(["__version__", *_names])


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
