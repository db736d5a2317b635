"""The QGIS plugin of rm_geo: radio maps from the Processing toolbox.

The plugin imports only PyQGIS and the standard library, and runs in Python 3.9 (QGIS 3.22) and
later. rm_geo runs in a separate process, in the user's environment.
"""


def classFactory(iface):  # noqa: ANN001, ANN201 - QGIS's
    """Create the plugin; called by QGIS."""
    from .plugin import RmGeoPlugin

    return RmGeoPlugin(iface)
