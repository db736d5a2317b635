"""Adds layers to the project while the algorithm that makes them still runs.

Processing itself loads layers at the end of a run. Only the main thread may change a project, so
that the thread of the algorithm hands each layer over by a signal.
"""

from __future__ import annotations

from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .open_layers import OpenLayers, is_main_thread
from .results import ResultLayer, finish_layer


class LayerLoader(QObject):
    """Loads result rasters into a project in the main thread; made there.

    Parameters
    ----------
    project : QgsProject
        The project. Nothing is added once it is cleared, as for another project.
    open_layers : OpenLayers
        Layers of the project whose files the run replaces; they are used again.
    """

    _given = pyqtSignal(object)

    def __init__(self, project: QgsProject, open_layers: OpenLayers) -> None:
        super().__init__()
        self._project: QgsProject | None = project
        self._open_layers = open_layers
        self._given.connect(self._load)
        project.cleared.connect(self._forget)

    @staticmethod
    def is_useful() -> bool:
        """Return whether this thread leaves the main thread free to load layers meanwhile."""
        return not is_main_thread()

    def load(self, result: ResultLayer) -> None:
        """Add a layer to the project, soon; from any thread.

        Parameters
        ----------
        result : ResultLayer
            A raster whose file is complete.
        """
        self._given.emit(result)

    def _load(self, result: ResultLayer) -> None:
        """Add a layer, or show the new content of one that the project has."""
        if self._project is None:
            return
        layer = self._open_layers.take(result.path)
        if layer is None:
            layer = QgsRasterLayer(result.path, result.name)
            if not layer.isValid():
                return
            self._project.addMapLayer(layer)
        finish_layer(layer, result, self._project)

    def _forget(self) -> None:
        """Add nothing more: the project is another one now."""
        self._project = None
