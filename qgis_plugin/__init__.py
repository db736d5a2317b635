"""The QGIS plugin of rm_geo: radio maps from the Processing toolbox.

Everything here is PyQGIS and Python's standard library, for the Python of QGIS 3.22 (3.9) and
later. rm_geo itself runs in a process of its own, in the user's environment.
"""


def classFactory(iface):  # noqa: ANN001, ANN201 - QGIS's
    """Make the plugin; called by QGIS."""
    from .plugin import RmGeoPlugin

    return RmGeoPlugin(iface)
