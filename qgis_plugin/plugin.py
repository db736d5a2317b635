"""The plugin: the provider, and with a GUI a menu entry and a settings page."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication

from .provider import ICON, RmGeoProvider

MENU = "Radio maps (rm_geo)"


class RmGeoPlugin:
    """Plugin object that QGIS loads; ``iface`` is None in ``qgis_process``."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: RmGeoProvider | None = None
        self._page_factory: Any = None
        self._action: Any = None

    def initProcessing(self) -> None:
        """Add the provider; ``qgis_process`` calls only this method."""
        self._provider = RmGeoProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)
        # Refreshed, since the example models need the algorithms to be registered.
        self._provider.refreshAlgorithms()

    def initGui(self) -> None:
        """Add the provider, the settings page and the menu entry."""
        self.initProcessing()
        if self._iface is None:
            return
        from qgis.PyQt.QtGui import QIcon
        from qgis.PyQt.QtWidgets import QAction

        from .options_page import OptionsPageFactory

        self._page_factory = OptionsPageFactory()
        self._iface.registerOptionsWidgetFactory(self._page_factory)
        self._action = QAction(QIcon(ICON), "Estimate radio map…", self._iface.mainWindow())
        self._action.setObjectName("rm_geo_estimate")
        self._action.triggered.connect(_open_estimate)
        self._iface.addPluginToMenu(MENU, self._action)

    def unload(self) -> None:
        """Remove provider, settings page and menu entry."""
        if self._action is not None:
            self._iface.removePluginMenu(MENU, self._action)
            self._action = None
        if self._page_factory is not None:
            self._iface.unregisterOptionsWidgetFactory(self._page_factory)
            self._page_factory = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None


def _open_estimate() -> None:
    """Open the dialog of the main algorithm."""
    import processing

    processing.execAlgorithmDialog("rm_geo:estimate", {})
