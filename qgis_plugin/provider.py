"""The Processing provider."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from qgis.core import QgsProcessingModelAlgorithm, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.check import CheckEnvironment
from .algorithms.estimate import EstimateRadioMap
from .algorithms.inspect import InspectMeasurements
from .algorithms.rasterize import RasterizeMeasurements
from .algorithms.simulate import SimulateRadioMap
from .algorithms.superresolve import SuperResolveRadioMap
from .algorithms.validate import ValidateMethods
from .results import LayerFinisher
from .settings import register_setting, unregister_setting

FOLDER = Path(__file__).resolve().parent
ICON = str(FOLDER / "icon.svg")
_KEPT_RUNS = 16


class RmGeoProvider(QgsProcessingProvider):
    """Algorithms of rm_geo, and example models of them."""

    def __init__(self) -> None:
        super().__init__()
        self._finishers: deque[list[LayerFinisher]] = deque(maxlen=_KEPT_RUNS)

    def keep(self, finishers: list[LayerFinisher]) -> None:
        """Keep a run's finishers until its layers are loaded.

        Python must not forget them before, and the run's own object is gone by then. How many
        runs ago that was cannot be known: the latest are kept, they are small.
        """
        self._finishers.append(finishers)

    def id(self) -> str:
        """Name in scripts."""
        return "rm_geo"

    def name(self) -> str:
        """Name in the toolbox."""
        return "Radio maps (rm_geo)"

    def longName(self) -> str:
        """Name with more room."""
        return "Radio maps from sparse measurements (rm_geo)"

    def versionInfo(self) -> str:
        """Version of the plugin, from its metadata."""
        try:
            text = (FOLDER / "metadata.txt").read_text("utf-8")
        except OSError:
            return ""
        found = re.search(r"^version\s*=\s*(\S+)", text, re.MULTILINE)
        return found.group(1) if found else ""

    def icon(self) -> QIcon:
        """Icon in the toolbox."""
        return QIcon(ICON)

    def svgIconPath(self) -> str:
        """Icon as a file."""
        return ICON

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Give the only kind of raster that rm_geo writes."""
        return ["tif"]

    def load(self) -> bool:
        """Register the settings, then the algorithms."""
        register_setting(self.name(), self.icon())
        return super().load()

    def unload(self) -> None:
        """Take the settings away."""
        unregister_setting()

    def loadAlgorithms(self) -> None:
        """Add all algorithms."""
        for algorithm in (
            EstimateRadioMap,
            SuperResolveRadioMap,
            InspectMeasurements,
            RasterizeMeasurements,
            SimulateRadioMap,
            ValidateMethods,
            CheckEnvironment,
        ):
            self.addAlgorithm(algorithm())
        for path in sorted((FOLDER / "models").glob("*.model3")):
            model = QgsProcessingModelAlgorithm()
            if model.fromFile(str(path)):
                self.addAlgorithm(model)
