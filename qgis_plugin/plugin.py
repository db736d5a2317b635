"""The plugin: the provider, and with a GUI a menu, a toolbar and a settings page."""

from __future__ import annotations

from functools import partial
from typing import Any

from qgis.core import QgsApplication

from .provider import ICON, RmGeoProvider

MENU = "Radio maps (rm_geo)"

TOOLBAR = ("estimate", "inspect", "plan", "compare", "report")
"""Algorithms in the toolbar, and at the top of the menu."""

_FURTHER = ("export_map", "sites_layer", "validate", "simulate")


class RmGeoPlugin:
    """Plugin object that QGIS loads; ``iface`` is None in ``qgis_process``."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: RmGeoProvider | None = None
        self._page_factory: Any = None
        self._toolbar: Any = None
        self._actions: list[Any] = []

    def initProcessing(self) -> None:
        """Add the provider; ``qgis_process`` calls only this method."""
        self._provider = RmGeoProvider()
        QgsApplication.processingRegistry().addProvider(self._provider)
        # Refreshed, since the example models need the algorithms to be registered.
        self._provider.refreshAlgorithms()

    def initGui(self) -> None:
        """Add the provider, the settings page, the menu and the toolbar."""
        self.initProcessing()
        if self._iface is None:
            return
        from . import layer_actions
        from .first_run import tell_if_no_interpreter
        from .options_page import OptionsPageFactory

        self._page_factory = OptionsPageFactory()
        self._iface.registerOptionsWidgetFactory(self._page_factory)
        self._toolbar = self._iface.addToolBar(MENU)
        self._toolbar.setObjectName("rm_geo_toolbar")
        for name in (*TOOLBAR, *_FURTHER):
            self._add_algorithm(name, in_toolbar=name in TOOLBAR)
        self._add_separator()
        self._add("Style as drive test…", partial(layer_actions.style_drive_test, self._iface))
        self._add("Style as sites", partial(layer_actions.style_sites_layer, self._iface))
        self._add("Style as radio map", partial(layer_actions.style_radio_map, self._iface))
        self._add_separator()
        self._add_algorithm("demo_data")
        self._add_algorithm("check_environment")
        self._add("Settings…", partial(_open_settings, self._iface))
        tell_if_no_interpreter(self._iface)

    def unload(self) -> None:
        """Remove provider, settings page, menu and toolbar."""
        for action in self._actions:
            self._iface.removePluginRasterMenu(MENU, action)
        self._actions = []
        if self._toolbar is not None:
            self._toolbar.deleteLater()
            self._toolbar = None
        if self._page_factory is not None:
            self._iface.unregisterOptionsWidgetFactory(self._page_factory)
            self._page_factory = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

    def _add_algorithm(self, name: str, *, in_toolbar: bool = False) -> None:
        """Add an entry that opens the dialog of an algorithm."""
        algorithm = QgsApplication.processingRegistry().algorithmById(f"rm_geo:{name}")
        action = self._add(f"{algorithm.displayName()}…", partial(_open_dialog, name))
        action.setObjectName(f"rm_geo_{name}")
        action.setIcon(algorithm.icon())
        action.setToolTip(f"{algorithm.displayName()}: {algorithm.shortDescription()}")
        if in_toolbar:
            self._toolbar.addAction(action)

    def _add(self, text: str, carry_out: Any) -> Any:
        """Add an entry to the menu."""
        from qgis.PyQt.QtGui import QIcon
        from qgis.PyQt.QtWidgets import QAction

        action = QAction(QIcon(ICON), text, self._iface.mainWindow())
        action.triggered.connect(lambda _checked=False: carry_out())
        self._iface.addPluginToRasterMenu(MENU, action)
        self._actions.append(action)
        return action

    def _add_separator(self) -> None:
        """Add a line to the menu."""
        self._add("", lambda: None).setSeparator(True)


def _open_dialog(name: str) -> None:
    """Open the dialog of an algorithm."""
    import processing

    processing.execAlgorithmDialog(f"rm_geo:{name}", {})


def _open_settings(iface: Any) -> None:
    """Open the settings page of the plugin."""
    from .options_page import PAGE

    iface.showOptionsDialog(iface.mainWindow(), PAGE)
