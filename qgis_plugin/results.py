"""Results as layers: name, group, style and metadata."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qgis.core import (
    QgsLayerMetadata,
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsMapLayerStyle,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsRasterLayer,
)

STYLES = Path(__file__).resolve().parent / "styles"

# Order in a group, from the top; building layers are transparent outside buildings.
_ORDER = (
    "buildings",
    "buildings_mask",
    "rsrp",
    "gain",
    "measured",
    "reported",
    "uncertainty",
    "difference",
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
}
_STYLE_FILES = {
    "rsrp": "rsrp_continuous",
    "measured": "rsrp_continuous",
    "buildings": "buildings",
    "reported": "reported",
    "uncertainty": "uncertainty",
    "gain": "path_gain",
    "difference": "difference",
}
_CLASSED_FILES = {"rsrp": "rsrp_classed", "measured": "rsrp_classed"}
_KIND, _CELL = "rm_geo/kind", "rm_geo/cell"  # custom properties of nodes in the layer tree
_LEAVING = "leaving"
_HIDDEN = frozenset(("buildings_mask", "reported", "uncertainty"))


@dataclass(frozen=True)
class ResultLayer:
    """Raster of a result.

    Attributes
    ----------
    path : str
        Path of the file.
    kind : str
        Quantity: ``rsrp``, ``buildings``, ...
    cell : str
        Name of the cell or site; may be empty.
    tags : mapping
        Provenance tags.
    """

    path: str
    kind: str
    cell: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the name of the layer."""
        return f"{self.cell} {_TITLES.get(self.kind, self.kind)}".strip()

    @property
    def group(self) -> str:
        """Return the name of the group; empty for no group."""
        return f"Cell {self.cell}" if self.cell else ""


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
        if not isinstance(layer, QgsRasterLayer):
            return
        layer.setName(self._result.name)
        apply_style(layer, self._result.kind)
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


def apply_style(layer: QgsRasterLayer, kind: str) -> None:
    """Apply the style of a quantity; radio maps get a second style with classes.

    Parameters
    ----------
    layer : QgsRasterLayer
        The layer.
    kind : str
        Quantity, as in :class:`ResultLayer`.
    """
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


def described(layer: QgsRasterLayer, result: ResultLayer) -> QgsLayerMetadata:
    """Return the metadata of a layer, completed with the provenance of the result.

    Parameters
    ----------
    layer : QgsRasterLayer
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
    how = tags.get("method") or tags.get("super_resolution_model") or tags.get("statistic", "")
    abstract = f"Made by {made_by}" + (f" ({how})" if how else "")
    if tags.get("input"):
        abstract += f" from {tags['input']}"
    lines = [f"{key}: {value}" for key, value in sorted(tags.items())]
    metadata.setAbstract("\n".join((f"{abstract}.", "", *lines)))
    metadata.setHistory(lines)
    metadata.setKeywords({"gmd:topicCategory": ["Communication"], "rm_geo": [result.kind]})
    metadata.setCrs(layer.crs())
    return metadata


def _place(layer: QgsRasterLayer, result: ResultLayer, project: QgsProject) -> None:
    """Move a layer into the group of its cell."""
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
