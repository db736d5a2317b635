"""Results as layers: name, group, style and metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsLayerMetadata,
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsMapLayerStyle,
    QgsPalettedRasterRenderer,
    QgsPalLayerSettings,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsTextBufferSettings,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor

STYLES = Path(__file__).resolve().parent / "styles"

# Order in a group, from the top; building layers are transparent outside buildings.
_ORDER = (
    "buildings",
    "buildings_mask",
    "holes",
    "sectors",
    "overshooters",
    "next_drive",
    "change_areas",
    "contours",
    "overlap_areas",
    "server_areas",
    "coverage_areas",
    "statistics_polygons",
    "statistics_grid",
    "best_server",
    "coverage",
    "rsrp",
    "composite_rsrp",
    "gain",
    "measured",
    "reported",
    "uncertainty",
    "change",
    "difference",
    "probability",
    "dominance",
    "servers",
    "sinr",
    "rsrq",
    "rssi",
    "ci",
)
_TITLES = {
    "rsrp": "RSRP",
    "buildings": "buildings",
    "buildings_mask": "building mask",
    "reported": "probability of being reported",
    "uncertainty": "uncertainty",
    "measured": "measured RSRP",
    "gain": "path gain",
    "difference": "difference",
    "holes": "coverage holes",
    "sectors": "sectors",
    "overshooters": "overshooters",
    "next_drive": "where to drive next",
    "change": "significant change",
    "change_areas": "areas of change",
    "contours": "RSRP contours",
    "overlap_areas": "overlap areas",
    "server_areas": "server areas",
    "coverage_areas": "coverage areas",
    "statistics_polygons": "statistics of polygons",
    "statistics_grid": "statistics of squares",
    "best_server": "best server",
    "coverage": "coverage classes",
    "composite_rsrp": "RSRP of the best server",
    "probability": "probability of coverage",
    "dominance": "dominance",
    "servers": "number of servers",
    "sinr": "SINR",
    "rsrq": "RSRQ",
    "rssi": "RSSI",
    "ci": "C/I",
}
_STYLE_FILES = {
    "rsrp": "rsrp_continuous",
    "measured": "rsrp_continuous",
    "composite_rsrp": "rsrp_continuous",
    "buildings": "buildings",
    "reported": "reported",
    "uncertainty": "uncertainty",
    "gain": "path_gain",
    "difference": "difference",
    "holes": "holes",
    "overshooters": "overshooters",
    "next_drive": "next_drive",
    "change_areas": "change_areas",
    "contours": "contours",
    "overlap_areas": "overlap_areas",
    "statistics_polygons": "statistics",
    "statistics_grid": "statistics",
    "probability": "probability",
    "dominance": "dominance",
    "sinr": "sinr",
    "ci": "sinr",
    "rsrq": "rsrq",
    "rssi": "rssi",
}
_CLASSED_FILES = {
    "rsrp": "rsrp_classed",
    "measured": "rsrp_classed",
    "composite_rsrp": "rsrp_classed",
}
_LABELLED = frozenset(("server_areas", "sectors"))  # with the name of the cell
_KIND, _CELL = "rm_geo/kind", "rm_geo/cell"  # custom properties of nodes in the layer tree
_LEAVING = "leaving"
_HIDDEN = frozenset(
    (
        "buildings_mask",
        "reported",
        "uncertainty",
        "overshooters",
        "next_drive",
        "contours",
        "overlap_areas",
        "server_areas",
        "coverage_areas",
        "statistics_polygons",
        "statistics_grid",
        "best_server",
        "probability",
        "dominance",
        "servers",
        "sinr",
        "rsrq",
        "rssi",
        "ci",
    )
)
_FILL_ALPHA = 120


@dataclass(frozen=True)
class LayerClass:
    """A class of a raster or of polygons.

    Attributes
    ----------
    value : int
        Pixel value, or that of the field ``value``.
    name : str
        Name for the legend.
    colour : str
        As ``#rrggbb``.
    area_m2 : float or None
        Its area, if known.
    """

    value: int
    name: str
    colour: str
    area_m2: float | None = None

    def label(self, total_m2: float) -> str:
        """Return the name with the area and its share of a total."""
        if self.area_m2 is None or total_m2 <= 0.0:
            return self.name
        return f"{self.name} ({area_text(self.area_m2)}, {self.area_m2 / total_m2:.1%})"


@dataclass(frozen=True)
class ResultLayer:
    """Raster or vector layer of a result.

    Attributes
    ----------
    path : str
        Path of the file.
    kind : str
        What it shows: ``rsrp``, ``buildings``, ``holes``, ...
    cell : str
        Name of the cell or site; may be empty.
    tags : mapping
        Provenance tags.
    classes : tuple of LayerClass
        Classes with their colours; empty for other layers.
    group_name : str
        Group in the layer tree; that of the cell if empty.
    is_empty : bool
        Whether it is a vector layer without features.
    """

    path: str
    kind: str
    cell: str
    tags: Mapping[str, str]
    classes: tuple[LayerClass, ...] = ()
    group_name: str = ""
    is_empty: bool = False

    @property
    def name(self) -> str:
        """Return the name of the layer."""
        return f"{self.cell} {_TITLES.get(self.kind, self.kind)}".strip()

    @property
    def group(self) -> str:
        """Return the name of the group; empty for no group."""
        return self.group_name or (f"Cell {self.cell}" if self.cell else "")


class LayerFinisher(QgsProcessingLayerPostProcessorInterface):
    """Sets style, group and metadata of a result layer after Processing has loaded it.

    Each layer needs its own instance: the context deletes the post-processor of each layer.
    """

    def __init__(self, result: ResultLayer) -> None:
        super().__init__()
        self._result = result

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Set name, style, metadata and group; called in the main thread."""
        if not isinstance(layer, (QgsRasterLayer, QgsVectorLayer)):
            return
        layer.setName(self._result.name)
        apply_style(layer, self._result.kind, self._result.classes)
        layer.setMetadata(described(layer, self._result))
        _place(layer, self._result, context.project() or QgsProject.instance())


def register_finisher(
    context: QgsProcessingContext, result: ResultLayer, *, load: bool
) -> LayerFinisher | None:
    """Register the post-processor of a result that Processing will load.

    Parameters
    ----------
    context : QgsProcessingContext
        Context of the run.
    result : ResultLayer
        The result.
    load : bool
        Whether to load the result if the context does not load it yet.

    Returns
    -------
    LayerFinisher or None
        The caller must keep it until the layer is loaded. None if it is not loaded.
    """
    if not context.willLoadLayerOnCompletion(result.path):
        if not load or context.project() is None:
            return None
        details = QgsProcessingContext.LayerDetails(result.name, context.project(), "")
        context.addLayerToLoadOnCompletion(result.path, details)
    finisher = LayerFinisher(result)
    details = context.layerToLoadOnCompletionDetails(result.path)
    details.name = result.name
    details.forceName = True
    details.setPostProcessor(finisher)
    return finisher


def apply_style(layer: QgsMapLayer, kind: str, classes: Sequence[LayerClass] = ()) -> None:
    """Apply the style of a result; radio maps get a second style with classes.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer.
    kind : str
        What it shows, as in :class:`ResultLayer`.
    classes : sequence of LayerClass
        Its classes; a layer of the same classes gets the same colours.
    """
    if classes:
        _style_classes(layer, kind, classes)
    if kind in _CLASSED_FILES:
        layer.loadNamedStyle(str(STYLES / f"{_CLASSED_FILES[kind]}.qml"))
        classed = QgsMapLayerStyle()
        classed.readFromLayer(layer)
        layer.styleManager().addStyle("classes", classed)
    if kind in _STYLE_FILES:
        layer.loadNamedStyle(str(STYLES / f"{_STYLE_FILES[kind]}.qml"))
        if kind in _CLASSED_FILES:
            layer.styleManager().renameStyle(layer.styleManager().currentStyle(), "continuous")
    layer.triggerRepaint()


def area_text(area_m2: float) -> str:
    """Format an area for a legend.

    Parameters
    ----------
    area_m2 : float
        Area in square metres.

    Returns
    -------
    str
        In square kilometres from 0.1 square kilometres on.
    """
    return f"{area_m2 / 1e6:.3g} km²" if area_m2 >= 1e5 else f"{area_m2:,.0f} m²"


def _style_classes(layer: QgsMapLayer, kind: str, classes: Sequence[LayerClass]) -> None:
    """Colour a raster or polygons by their classes, with names and areas in the legend."""
    total_m2 = sum(one.area_m2 or 0.0 for one in classes)
    if isinstance(layer, QgsRasterLayer):
        entries = [
            QgsPalettedRasterRenderer.Class(one.value, QColor(one.colour), one.label(total_m2))
            for one in classes
        ]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries))
        return
    categories = [
        QgsRendererCategory(one.value, _fill(one.colour), one.label(total_m2)) for one in classes
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("value", categories))
    if kind in _LABELLED:
        settings = QgsPalLayerSettings()
        settings.fieldName = "cell"
        text, halo = settings.format(), QgsTextBufferSettings()
        halo.setEnabled(True)
        text.setSize(9)
        text.setBuffer(halo)
        settings.setFormat(text)
        layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
        layer.setLabelsEnabled(True)


def _fill(colour: str) -> QgsFillSymbol:
    """Make a translucent fill with an outline of the same colour."""
    red, green, blue, _ = QColor(colour).getRgb()
    outline = QColor(colour).darker(150).name()
    return QgsFillSymbol.createSimple(
        {
            "color": f"{red},{green},{blue},{_FILL_ALPHA}",
            "outline_color": outline,
            "outline_width": "0.4",
        }
    )


def described(layer: QgsMapLayer, result: ResultLayer) -> QgsLayerMetadata:
    """Return the metadata of a layer, completed with the provenance of the result.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer.
    result : ResultLayer
        The result.

    Returns
    -------
    QgsLayerMetadata
        Title, abstract, history, keywords and CRS.
    """
    tags = result.tags
    metadata = layer.metadata()
    metadata.setTitle(result.name)
    metadata.setIdentifier(os.path.basename(result.path))
    metadata.setType("dataset")
    made_by = tags.get("software", "rm_geo")
    how = (
        tags.get("method")
        or tags.get("super_resolution_model")
        or tags.get("statistic")
        or tags.get("planning_product", "")
    )
    abstract = f"Made by {made_by}" + (f" ({how})" if how else "")
    if tags.get("input"):
        abstract += f" from {tags['input']}"
    lines = [f"{key}: {value}" for key, value in sorted(tags.items())]
    metadata.setAbstract("\n".join((f"{abstract}.", "", *lines)))
    metadata.setHistory(lines)
    metadata.setKeywords({"gmd:topicCategory": ["Communication"], "rm_geo": [result.kind]})
    metadata.setCrs(layer.crs())
    return metadata


def _place(layer: QgsMapLayer, result: ResultLayer, project: QgsProject) -> None:
    """Move a layer into its group."""
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is None or not result.group:
        return
    moved = node.clone()
    moved.setItemVisibilityChecked(result.kind not in _HIDDEN)
    moved.setCustomProperty(_KIND, result.kind)
    place = parent = node.parent()
    # QGIS adds a layer beside the current one, which may be in the group of another cell.
    while parent.customProperty(_CELL) is not None and parent.parent() is not None:
        parent = parent.parent()
    ours = [child for child in parent.children() if isinstance(child, QgsLayerTreeGroup)]
    group = next((child for child in ours if child.name() == result.group), None)
    if group is None:
        group = parent.insertGroup(0, result.group)
        group.setCustomProperty(_CELL, result.cell)
    node.setCustomProperty(_KIND, _LEAVING)
    group.insertChildNode(_row_for(group, result.kind), moved)
    place.removeChildNode(node)  # last: a layer without a node is removed from the project


def _row_for(group: QgsLayerTreeGroup, kind: str) -> int:
    """Return the row of a layer: above earlier results of the same kind, in the order of kinds."""
    rank = _rank(kind)
    for row, child in enumerate(group.children()):
        if isinstance(child, QgsLayerTreeLayer):
            other = child.customProperty(_KIND)
            if other != _LEAVING and (other is None or _rank(str(other)) >= rank):
                return row
    return len(group.children())


def _rank(kind: str) -> int:
    """Return the rank of a kind, from the top."""
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
