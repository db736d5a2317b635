"""Radio maps and building maps from sparse drive-test measurements."""

from rm_geo._version import __version__

__all__ = ["__version__"]
