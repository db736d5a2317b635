"""Layers of the project that show files which a run replaces.

QGIS keeps the files of its layers open. It would go on to show the old content, Windows would
refuse to replace the file, and SQLite would refuse to replace a GeoPackage. So the files are
closed during the run, and opened again after it.
"""

from __future__ import annotations

import os

from qgis.core import (
    QgsApplication,
    QgsDataProvider,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QObject, QThread, pyqtSignal

from .results import RESULT_PROPERTY, reload_data, source_path

_MUST_CLOSE_RASTERS = os.name == "nt"


class OpenLayers(QObject):
    """The layers of the project in some folders or files; made in the main thread.

    :meth:`reopen` may be called from any thread. Made in another thread, as in a step of a model,
    it leaves all layers alone, since only the main thread may change them.

    Parameters
    ----------
    project : QgsProject or None
        The project of the run.
    targets : list of str
        Folders and files that the run writes.
    must_close_rasters : bool
        Whether open rasters cannot be replaced.
    """

    _reopened = pyqtSignal()

    def __init__(
        self,
        project: QgsProject | None,
        targets: list[str],
        *,
        must_close_rasters: bool = _MUST_CLOSE_RASTERS,
    ) -> None:
        super().__init__()
        self._project = project if is_main_thread() else None
        self._shown: list[str] = []
        self._closed: list[tuple[str, str, str]] = []
        self._reopened.connect(self._reopen)
        for layer in [] if self._project is None else self._project.mapLayers().values():
            if not isinstance(layer, (QgsRasterLayer, QgsVectorLayer)) or not layer.isValid():
                continue
            path = source_path(layer)
            if path and any(_is_in(path, target) for target in targets):
                self._shown.append(layer.id())
                is_vector = isinstance(layer, QgsVectorLayer)
                is_result = layer.customProperty(RESULT_PROPERTY) is not None
                if is_result and (must_close_rasters or is_vector):
                    self._close(layer)

    def reopen(self) -> None:
        """Open the files again and read them; in the main thread, soon."""
        self._reopened.emit()

    def take(self, path: str) -> QgsMapLayer | None:
        """Return a layer of a file that is already replaced, opened again; in the main thread.

        Parameters
        ----------
        path : str
            The file.

        Returns
        -------
        QgsMapLayer or None
            None if the project has no such layer.
        """
        for one in self._closed:
            identifier, source, provider = one
            layer = self._layer(identifier)
            if layer is not None and _same_file(source.partition("|")[0], path):
                self._closed.remove(one)
                _set_source(layer, source, provider)
                return layer
        layers = (self._layer(identifier) for identifier in self._shown)
        return next(
            (one for one in layers if one is not None and _same_file(source_path(one), path)), None
        )

    def _close(self, layer: QgsMapLayer) -> None:
        """Close the file of a layer, which keeps its style and its place."""
        self._closed.append((layer.id(), layer.source(), layer.providerType()))
        _set_source(layer, "", layer.providerType())

    def _reopen(self) -> None:
        """Open the files that were closed, and read the others again."""
        for identifier, source, provider in self._closed:
            layer = self._layer(identifier)
            if layer is not None:
                _set_source(layer, source, provider)
        for identifier in self._shown:
            layer = self._layer(identifier)
            if layer is not None and layer.isValid():
                reload_data(layer)
        self._closed, self._shown = [], []

    def _layer(self, identifier: str) -> QgsMapLayer | None:
        """Return a layer that is still in the project."""
        return None if self._project is None else self._project.mapLayer(identifier)


def is_main_thread() -> bool:
    """Return whether this is the thread of the user interface.

    Returns
    -------
    bool
    """
    application = QgsApplication.instance()
    return application is not None and QThread.currentThread() == application.thread()


def _set_source(layer: QgsMapLayer, source: str, provider: str) -> None:
    """Change the data source of a layer, and nothing else."""
    options = QgsDataProvider.ProviderOptions()
    layer.setDataSource(source, layer.name(), provider, options, False)


def _is_in(path: str, target: str) -> bool:
    """Return whether a path is that of a target, or directly in that folder."""
    if os.path.isfile(target) and os.path.isfile(path):
        return os.path.samefile(path, target)
    return _folder_is(path, target)


def _same_file(path: str, other: str) -> bool:
    """Return whether two paths lead to one file that exists."""
    return os.path.isfile(path) and os.path.isfile(other) and os.path.samefile(path, other)


def _folder_is(path: str, folder: str) -> bool:
    """Return whether a file is directly in a folder."""
    parent = os.path.dirname(path)
    return os.path.isdir(parent) and os.path.isdir(folder) and os.path.samefile(parent, folder)
