"""Results as layers: name, style, metadata, and their place in the layer tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from qgis.core import (
    QgsLayerMetadata,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorLayer,
)

from .layer_styles import LayerClass, apply_style
from .layer_tree import RunGroup, place

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
    "drive_test": "demo drive test",
    "sites": "sites",
    "errors": "table of errors",
    "held_out": "errors at held-out points",
}
_OF_A_METHOD = frozenset(("rsrp", "buildings", "uncertainty", "reported", "gain", "measured"))
_SIMULATED = "dominant path model"

RESULT_PROPERTY = "rm_geo/kind"
"""Custom property of the layers of results: what they show."""


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
    run : RunGroup or None
        Group of the run in the layer tree; None for no group.
    is_empty : bool
        Whether it is a vector layer without features.
    """

    path: str
    kind: str
    cell: str
    tags: Mapping[str, str]
    classes: tuple[LayerClass, ...] = ()
    run: RunGroup | None = None
    is_empty: bool = False

    @property
    def name(self) -> str:
        """Return the name of the layer: the cell, what it shows, and the method."""
        title = f"{self.cell} {_TITLES.get(self.kind, self.kind)}".strip()
        method = method_of(self.tags)
        return f"{title}, {method}" if method and self.kind in _OF_A_METHOD else title


def method_of(tags: Mapping[str, str]) -> str:
    """Return the name of the method that made a raster, for the user; empty if unknown.

    Parameters
    ----------
    tags : mapping of str to str
        Provenance tags of the raster.

    Returns
    -------
    str
        Such as ``idw``, ``simulated`` or ``mean``.
    """
    method = tags.get("method", "")
    if method == _SIMULATED:
        return "simulated"
    if tags.get("super_resolution_model"):
        return f"refined by {tags['super_resolution_model']}"
    return method or tags.get("statistic", "")


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
        if isinstance(layer, (QgsRasterLayer, QgsVectorLayer)):
            finish_layer(layer, self._result, context.project() or QgsProject.instance())


def finish_layer(layer: QgsMapLayer, result: ResultLayer, project: QgsProject) -> None:
    """Set name, style, metadata and group of a layer; in the main thread.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer, in the project.
    result : ResultLayer
        What it shows.
    project : QgsProject
        The project.
    """
    reload_data(layer)  # a layer of the project is loaded again under the same path
    layer.setName(result.name)
    apply_style(layer, result.kind, result.classes)
    layer.setCustomProperty(RESULT_PROPERTY, result.kind)
    layer.setMetadata(described(layer, result))
    if result.run is not None:
        place(layer, result.kind, result.cell, result.run, project)


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


def reload_data(layer: QgsMapLayer) -> None:
    """Read the file of a layer again; QGIS keeps it open, and shows the old content.

    Parameters
    ----------
    layer : QgsMapLayer
        A layer whose file may have been replaced.
    """
    layer.dataProvider().reloadData()
    layer.reload()
    layer.triggerRepaint()


def source_path(layer: QgsMapLayer) -> str:
    """Return the absolute path of the file of a layer; empty if it is no file.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer.

    Returns
    -------
    str
        Path.
    """
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    path = str(parts.get("path") or "")
    return os.path.abspath(path) if path else ""


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
