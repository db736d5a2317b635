"""Results as layers: named by their cell, grouped, styled, and with their history."""

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

# What is on top of a group: buildings are transparent where there are none.
_ORDER = ("buildings", "buildings_mask", "rsrp", "gain", "measured", "uncertainty", "difference")
_TITLES = {
    "rsrp": "RSRP",
    "buildings": "buildings",
    "buildings_mask": "building mask",
    "uncertainty": "uncertainty",
    "measured": "measured RSRP",
    "gain": "path gain",
    "difference": "difference",
}
_STYLE_FILES = {
    "rsrp": "rsrp_continuous",
    "measured": "rsrp_continuous",
    "buildings": "buildings",
    "uncertainty": "uncertainty",
    "gain": "path_gain",
    "difference": "difference",
}
_CLASSED_FILES = {"rsrp": "rsrp_classed", "measured": "rsrp_classed"}
_KIND, _CELL = "rm_geo/kind", "rm_geo/cell"  # properties of our nodes in the layer tree
_LEAVING = "leaving"
_HIDDEN = frozenset(("buildings_mask", "uncertainty"))


@dataclass(frozen=True)
class ResultLayer:
    """A raster that was made.

    Attributes
    ----------
    path : str
        Its file.
    kind : str
        What it holds: ``rsrp``, ``buildings``, ...
    cell : str
        The cell or site that it belongs to; empty for none.
    tags : mapping
        Its provenance.
    """

    path: str
    kind: str
    cell: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of the layer."""
        return f"{self.cell} {_TITLES.get(self.kind, self.kind)}".strip()

    @property
    def group(self) -> str:
        """Name of the group; empty for none."""
        return f"Cell {self.cell}" if self.cell else ""


class LayerFinisher(QgsProcessingLayerPostProcessorInterface):
    """Styles, groups and describes one result layer after Processing has loaded it.

    One for each layer: the context deletes the post-processors of its layers one by one.
    """

    def __init__(self, result: ResultLayer) -> None:
        super().__init__()
        self._result = result

    def postProcessLayer(
        self, layer: QgsMapLayer, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Finish the layer; called in the main thread."""
        if not isinstance(layer, QgsRasterLayer):
            return
        layer.setName(self._result.name)
        apply_style(layer, self._result.kind)
        layer.setMetadata(described(layer, self._result))
        _place(layer, self._result, context.project() or QgsProject.instance())


def expect(
    context: QgsProcessingContext, result: ResultLayer, *, load: bool
) -> LayerFinisher | None:
    """Have a layer finished if it is to be loaded, and loaded if so wished.

    Returns
    -------
    LayerFinisher or None
        To be kept by the caller until the layer is loaded; None if it is not.
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
    """Style a layer by what it holds; a radio map gets a second style with classes."""
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
    """Give a layer's metadata with where the result comes from."""
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
    """Move a layer into the group of its cell, in the order of a map."""
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is None or not result.group:
        return
    moved = node.clone()
    moved.setItemVisibilityChecked(result.kind not in _HIDDEN)
    moved.setCustomProperty(_KIND, result.kind)
    place = parent = node.parent()
    # QGIS puts a new layer beside the current one, which may be in the group of another cell.
    while parent.customProperty(_CELL) is not None and parent.parent() is not None:
        parent = parent.parent()
    ours = [child for child in parent.children() if isinstance(child, QgsLayerTreeGroup)]
    group = next((child for child in ours if child.name() == result.group), None)
    if group is None:
        group = parent.insertGroup(0, result.group)
        group.setCustomProperty(_CELL, result.cell)
    node.setCustomProperty(_KIND, _LEAVING)
    group.insertChildNode(_row_for(group, result.kind), moved)
    place.removeChildNode(node)  # last: a layer without any node leaves the project


def _row_for(group: QgsLayerTreeGroup, kind: str) -> int:
    """Find the row for a layer: above earlier results of its kind, below what goes on top."""
    rank = _rank(kind)
    for row, child in enumerate(group.children()):
        if isinstance(child, QgsLayerTreeLayer):
            other = child.customProperty(_KIND)
            if other != _LEAVING and (other is None or _rank(str(other)) >= rank):
                return row
    return len(group.children())


def _rank(kind: str) -> int:
    """Place of a kind, from the top."""
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
