"""Radio maps and building maps from sparse drive-test measurements.

Public names are imported from their modules when they are first used, as ``__init__.pyi`` lists
them: ``import rm_geo`` is quick and imports neither PyTorch, GDAL nor pydantic.
"""

from __future__ import annotations

import lazy_loader

from rm_geo._version import __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
