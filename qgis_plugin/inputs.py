"""Layers as files that the worker can read.

The file of a layer is read directly if the layer shows exactly its contents. A layer with a
filter, a selection, unsaved edits, another CRS or virtual fields, or without a file, is exported
to a temporary file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from qgis.core import (
    QgsCoordinateTransformContext,
    QgsFeatureSink,
    QgsMapLayer,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

_SHAPES = {
    QgsWkbTypes.GeometryType.PointGeometry: "points",
    QgsWkbTypes.GeometryType.LineGeometry: "lines",
    QgsWkbTypes.GeometryType.PolygonGeometry: "polygons",
    QgsWkbTypes.GeometryType.NullGeometry: "no geometry",
}
POINTS = QgsWkbTypes.GeometryType.PointGeometry
LINES = QgsWkbTypes.GeometryType.LineGeometry
POLYGONS = QgsWkbTypes.GeometryType.PolygonGeometry
TABLE = QgsWkbTypes.GeometryType.NullGeometry


@dataclass(frozen=True)
class VectorFile:
    """File for the worker, and the name of its layer if it has several."""

    path: str
    layer: str | None = None


@dataclass(frozen=True)
class VectorInput:
    """A vector layer, checked in QGIS's main thread.

    Attributes
    ----------
    name : str
        Name of the layer, for messages and the temporary file.
    source : QgsProcessingFeatureSource
        Features of the layer as QGIS shows them.
    direct : VectorFile or None
        File with exactly these features, if there is one.
    origin : dict of str to str
        Tags that name the layer, its file, filter and selection; empty for a plain file.
    """

    name: str
    source: QgsProcessingFeatureSource
    direct: VectorFile | None
    origin: dict[str, str]

    def as_file(self, folder: str, feedback: QgsProcessingFeedback) -> VectorFile:
        """Return the file of the layer, or export the layer to a temporary file."""
        if self.direct is not None:
            return self.direct
        feedback.pushInfo(f"Writing the features of {self.name!r} for the worker.")
        return VectorFile(_export(self.source, self.name, folder, feedback))


def vector_input(
    algorithm: QgsProcessingAlgorithm,
    parameters: dict,
    name: str,
    context: QgsProcessingContext,
    shapes: tuple[object, ...],
    *,
    one_layer_only: bool = False,
) -> VectorInput | None:
    """Check the layer of a parameter.

    Parameters
    ----------
    algorithm : QgsProcessingAlgorithm
        Algorithm with the parameter.
    parameters : dict
        Parameter values of the run.
    name : str
        Name of the parameter.
    context : QgsProcessingContext
        Context of the run.
    shapes : tuple of QgsWkbTypes.GeometryType
        Accepted geometry types.
    one_layer_only : bool
        Whether a layer of a file with several layers is exported.

    Returns
    -------
    VectorInput or None
        None if the parameter has no value.

    Raises
    ------
    QgsProcessingException
        If the layer is missing, empty, of the wrong geometry, or has no CRS.
    """
    definition = algorithm.parameterDefinition(name)
    label = definition.description()
    source = algorithm.parameterAsSource(parameters, name, context)
    if source is None:
        if parameters.get(name) in (None, ""):
            return None
        raise QgsProcessingException(
            f"The layer of {label!r} cannot be opened: {_value_text(parameters.get(name))}.\n"
            "Choose a layer of the project, or a file that exists."
        )
    layer = algorithm.parameterAsVectorLayer(parameters, name, context)
    title = source.sourceName() or (layer.name() if layer is not None else name)
    shape = QgsWkbTypes.geometryType(source.wkbType())
    if shape not in shapes:
        wanted = " or ".join(_SHAPES[one] for one in shapes if one != TABLE)
        raise QgsProcessingException(
            f"The layer {title!r} of {label!r} holds {_SHAPES.get(shape, 'other geometries')}, "
            f"not {wanted}.\nChoose a layer of {wanted}"
            + ("; 'Extract vertices' makes points of lines." if shapes[0] == POINTS else ".")
        )
    if source.featureCount() == 0:
        raise QgsProcessingException(
            f"The layer {title!r} of {label!r} has no features to work on.\n"
            "Check its filter and, with 'Selected features only', its selection."
        )
    if shape != TABLE and not source.sourceCrs().isValid():
        raise QgsProcessingException(
            f"The layer {title!r} of {label!r} has no coordinate reference system (CRS).\n"
            "Assign the right one: right-click the layer, Layer CRS, Set Layer CRS."
        )
    direct = None
    if layer is not None and _takes_all(parameters.get(name)):
        direct = _file_of(layer, one_layer_only=one_layer_only)
    origin = {}
    if direct is None:
        value = parameters.get(name)
        if layer is None and isinstance(value, QgsProcessingFeatureSourceDefinition):
            layer = QgsProcessingUtils.mapLayerFromString(value.source.staticValue(), context)
        origin = _origin(title, layer, value, source.featureCount())
    return VectorInput(title, source, direct, origin)


def raster_file(layer: QgsRasterLayer | None, label: str) -> str:
    """Return the file of a raster layer.

    Parameters
    ----------
    layer : QgsRasterLayer or None
        The layer.
    label : str
        Label of the parameter, for messages.

    Returns
    -------
    str
        Path of the file.

    Raises
    ------
    QgsProcessingException
        If there is no file, or the CRS of the layer differs from that of the file.
    """
    if layer is None or not layer.isValid():
        raise QgsProcessingException(
            f"The raster of {label!r} cannot be opened.\nChoose a raster layer or a file."
        )
    path = layer.source().partition("|")[0]
    if layer.providerType() != "gdal" or not os.path.isfile(path):
        raise QgsProcessingException(
            f"The raster layer {layer.name()!r} is not a file.\n"
            "Save it as a GeoTIFF first: right-click the layer, Export, Save As."
        )
    if layer.dataProvider().crs() != layer.crs():
        raise QgsProcessingException(
            f"The file of the raster layer {layer.name()!r} does not say the CRS that the layer "
            "has in the project.\nWrite it into the file with 'Assign projection' first."
        )
    return path


def layer_file(layer: QgsMapLayer, label: str) -> VectorFile:
    """Return the file of a raster or vector layer that is used as it is.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer.
    label : str
        Label of the parameter, for messages.

    Returns
    -------
    VectorFile
        Path of the file, and the name of its layer if it has several.

    Raises
    ------
    QgsProcessingException
        If the layer is not exactly a file.
    """
    if isinstance(layer, QgsRasterLayer):
        return VectorFile(raster_file(layer, label))
    found = None
    if isinstance(layer, QgsVectorLayer) and layer.isValid():
        found = _file_of(layer, one_layer_only=False)
    if found is None:
        raise QgsProcessingException(
            f"The layer {layer.name()!r} of {label!r} is not a file as it is shown.\n"
            "Save it as a GeoPackage first: right-click the layer, Export, Save Features As."
        )
    return found


def folder_of(path: str | None, label: str) -> str | None:
    """Check a folder of inputs.

    Parameters
    ----------
    path : str or None
        The folder; None if it is not given.
    label : str
        Label of the parameter, for messages.

    Returns
    -------
    str or None
        Its absolute path.

    Raises
    ------
    QgsProcessingException
        If it does not exist.
    """
    if path is None:
        return None
    if not os.path.isdir(path):
        raise QgsProcessingException(
            f"The folder of {label!r} does not exist: {path}.\nChoose an existing folder."
        )
    return os.path.abspath(path)


def _origin(
    title: str, layer: QgsVectorLayer | None, value: object, features: int
) -> dict[str, str]:
    """Describe a layer whose features are exported, for the provenance of results."""
    tags = {"input": f"layer {title}", "input_features": str(features)}
    if layer is None:
        return tags
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    path = os.path.basename(str(parts.get("path") or ""))
    tags["input"] += f" of {path}" if path else f" ({layer.providerType()})"
    if parts.get("layerName"):
        tags["input_layer"] = str(parts["layerName"])
    if layer.subsetString():
        tags["input_filter"] = layer.subsetString()
    if layer.isModified():
        tags["input_edits"] = "unsaved"
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        if value.selectedFeaturesOnly:
            tags["input_selection"] = f"{layer.selectedFeatureCount()} selected features"
        if getattr(value, "filterExpression", ""):
            tags["input_expression"] = value.filterExpression
        if value.featureLimit >= 0:
            tags["input_limit"] = str(value.featureLimit)
    return tags


def _takes_all(value: object) -> bool:
    """Return whether the value of a parameter selects all features of the layer."""
    if not isinstance(value, QgsProcessingFeatureSourceDefinition):
        return True
    return not (
        value.selectedFeaturesOnly
        or value.featureLimit >= 0
        or getattr(value, "filterExpression", "")
    )


def _file_of(layer: QgsVectorLayer, *, one_layer_only: bool) -> VectorFile | None:
    """Return the file that has exactly the features of a layer, or None."""
    provider = layer.dataProvider()
    if layer.providerType() != "ogr" or provider is None:
        return None
    if provider.subsetString() or layer.isModified() or layer.crs() != provider.crs():
        return None
    if [f.name() for f in layer.fields()] != [f.name() for f in provider.fields()]:
        return None  # joined or virtual fields
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    known = {"path", "layerName", "layerId"}
    extra = {
        key for key, value in parts.items() if key not in known and value not in (None, "", [])
    }
    path = str(parts.get("path") or "")
    if extra or parts.get("layerId") is not None or not os.path.isfile(path):
        return None
    found = QgsProviderRegistry.instance().querySublayers(path)
    several = sum(1 for one in found if one.providerKey() == "ogr") > 1
    if several and one_layer_only:
        return None
    # A file with a single layer needs no layer name.
    name = parts.get("layerName") if several else None
    if several and not name:
        return None
    return VectorFile(os.path.abspath(path), name)


def _export(
    source: QgsProcessingFeatureSource, name: str, folder: str, feedback: QgsProcessingFeedback
) -> str:
    """Export features to FlatGeobuf, or to CSV if they have no geometry."""
    is_table = QgsWkbTypes.geometryType(source.wkbType()) == TABLE
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "CSV" if is_table else "FlatGeobuf"
    options.fileEncoding = "UTF-8"
    if not is_table:
        options.layerOptions = ["SPATIAL_INDEX=NO"]  # keeps the order of the features
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "layer"
    path = os.path.join(folder, f"{stem}.{'csv' if is_table else 'fgb'}")
    writer = QgsVectorFileWriter.create(
        path,
        source.fields(),
        source.wkbType(),
        source.sourceCrs(),
        QgsCoordinateTransformContext(),
        options,
    )
    _require_no_error(writer, name)
    for feature in source.getFeatures():
        if feedback.isCanceled():
            break
        if not writer.addFeature(feature, QgsFeatureSink.Flag.FastInsert):
            _require_no_error(writer, name)
    del writer  # flushes and closes the file
    return path


def _require_no_error(writer: QgsVectorFileWriter, name: str) -> None:
    """Raise the error of a writer, if it has one."""
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(
            f"The features of {name!r} cannot be written to a temporary file: "
            f"{writer.errorMessage()}\nSave the layer as a GeoPackage, and use that."
        )


def _value_text(value: object) -> str:
    """Format the value of a parameter for a message."""
    if isinstance(value, QgsProcessingFeatureSourceDefinition):
        return value.source.asExpression()
    return repr(value) if isinstance(value, str) else type(value).__name__
