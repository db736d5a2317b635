"""Entries of the menu that style the current layer."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsRasterLayer, QgsVectorLayer, QgsWkbTypes
from qgis.PyQt.QtWidgets import QInputDialog

from .layer_styles import apply_style, rsrp_field, style_measurements, style_sites

_TITLE = "Radio maps (rm_geo)"


def style_drive_test(iface: Any) -> None:
    """Colour the points of the current layer by RSRP; ask for the field if no name says it."""
    layer = _points(iface)
    if layer is None:
        return
    field = rsrp_field(layer)
    if not field:
        names = [one.name() for one in layer.fields()]
        field, is_chosen = QInputDialog.getItem(
            iface.mainWindow(), _TITLE, "Field of the RSRP in dBm", names, 0, False
        )
        if not is_chosen:
            return
    style_measurements(layer, field)
    iface.layerTreeView().refreshLayerSymbology(layer.id())


def style_sites_layer(iface: Any) -> None:
    """Draw the points of the current layer as sites, with wedges towards their azimuths."""
    layer = _points(iface)
    if layer is None:
        return
    style_sites(layer, *(_field(layer, words) for words in (("azim",), ("beam",), _CELL_WORDS)))
    iface.layerTreeView().refreshLayerSymbology(layer.id())


def style_radio_map(iface: Any) -> None:
    """Give the current raster the scale of RSRP, continuous and in classes."""
    layer = iface.activeLayer()
    if not isinstance(layer, QgsRasterLayer):
        iface.messageBar().pushMessage(_TITLE, "Choose a raster of RSRP in the list of layers.")
        return
    apply_style(layer, "rsrp")
    iface.layerTreeView().refreshLayerSymbology(layer.id())


_CELL_WORDS = ("cell", "pci", "eci", "name", "site")


def _points(iface: Any) -> QgsVectorLayer | None:
    """Return the current layer if it holds points, else say what to do."""
    layer = iface.activeLayer()
    is_vector = isinstance(layer, QgsVectorLayer)
    if is_vector and layer.geometryType() == QgsWkbTypes.GeometryType.PointGeometry:
        return layer
    iface.messageBar().pushMessage(_TITLE, "Choose a layer of points in the list of layers.")
    return None


def _field(layer: QgsVectorLayer, words: tuple[str, ...]) -> str:
    """Return the first field whose name has one of some words; empty if there is none."""
    names = [one.name() for one in layer.fields()]
    return next((name for word in words for name in names if word in name.lower()), "")
