"""The Processing provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from qgis.core import QgsProcessingModelAlgorithm, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.check import CheckEnvironment
from .algorithms.compare import CompareRadioMaps
from .algorithms.demo_data import DemoData
from .algorithms.estimate import EstimateRadioMap
from .algorithms.export_map import ExportMap
from .algorithms.inspect import InspectMeasurements
from .algorithms.plan import PlanRadioMaps
from .algorithms.plan_products import PRODUCT_ALGORITHMS
from .algorithms.rasterize import RasterizeMeasurements
from .algorithms.report import WriteReport
from .algorithms.simulate import SimulateRadioMap
from .algorithms.sites_layer import SitesLayer
from .algorithms.superresolve import SuperResolveRadioMap
from .algorithms.validate import ValidateMethods
from .layer_loader import LayerLoader
from .plugin_metadata import version
from .results import LayerFinisher
from .settings import register_setting, unregister_setting
from .worker_keeper import WorkerKeeper

FOLDER = Path(__file__).resolve().parent
ICON = str(FOLDER / "icon.svg")
_KEPT_RUNS = 32


class RmGeoProvider(QgsProcessingProvider):
    """Provider of the algorithms of rm_geo and of example models."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = WorkerKeeper()
        self._kept: deque[Sequence[LayerFinisher | LayerLoader]] = deque(maxlen=_KEPT_RUNS)

    def keep(self, loading: Sequence[LayerFinisher | LayerLoader]) -> None:
        """Keep references to what loads the layers of a run until they are loaded.

        The algorithm instance is deleted before. Since the time of loading is unknown, those of the
        latest runs are kept.
        """
        self._kept.append(loading)

    def id(self) -> str:
        """Return the name in scripts."""
        return "rm_geo"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "Radio maps (rm_geo)"

    def longName(self) -> str:
        """Return the long name."""
        return "Radio maps from sparse measurements (rm_geo)"

    def versionInfo(self) -> str:
        """Return the version of the plugin, from its metadata."""
        return version()

    def icon(self) -> QIcon:
        """Return the icon in the toolbox."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """Return the file of the icon."""
        return ICON

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Return the extension of the rasters that rm_geo writes."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Return the extension of the vector files that rm_geo writes."""
        return ["gpkg"]

    def supportsNonFileBasedOutput(self) -> bool:
        """Return that layers are files, not tables of a database or in memory."""
        return False

    def load(self) -> bool:
        """Register the settings, then the algorithms."""
        register_setting(self.name(), self.icon())
        return super().load()

    def unload(self) -> None:
        """End the idle worker and remove the settings."""
        self.workers.close()
        unregister_setting()

    def loadAlgorithms(self) -> None:
        """Add all algorithms."""
        for algorithm in (
            EstimateRadioMap,
            SuperResolveRadioMap,
            InspectMeasurements,
            RasterizeMeasurements,
            DemoData,
            SimulateRadioMap,
            ValidateMethods,
            PlanRadioMaps,
            *PRODUCT_ALGORITHMS,
            SitesLayer,
            CompareRadioMaps,
            ExportMap,
            WriteReport,
            CheckEnvironment,
        ):
            self.addAlgorithm(algorithm())
        for path in sorted((FOLDER / "models").glob("*.model3")):
            model = QgsProcessingModelAlgorithm()
            if model.fromFile(str(path)):
                self.addAlgorithm(model)
