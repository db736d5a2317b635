"""Export map: rasters and layers in the formats of other tools."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
)

from ..inputs import POINTS, TABLE, VectorFile, VectorInput, layer_file, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm
from .planning import GROUP
from .run import Run

FORMATS = ("kmz", "tab", "mif", "grd", "bil", "asc", "xyz", "png", "geoparquet")
"""Formats of rm_geo; a test compares them with its registry."""


class ExportMap(RmGeoAlgorithm):
    """Files for Google Earth, MapInfo, Atoll, Planet or a table."""

    NAME = "export_map"
    TITLE = "Export map"
    GROUP = GROUP
    ICON = "export"
    TAGS = ("KMZ", "Google Earth", "MapInfo", "TAB", "Atoll", "Planet", "BIL", "GeoParquet")
    SUMMARY = "Write maps and layers for Google Earth, MapInfo, Atoll, Planet or a table."
    HELP = (
        "Writes rasters of 'Estimate radio map' or 'Plan', or layers such as coverage holes, for "
        "other programs.\n\n"
        "Rasters: kmz (Google Earth, with legend, sites and holes), grd (Vertical Mapper and "
        "Surfer), bil (Planet and Atoll, with index.txt), asc (Esri), xyz (CSV), png (with world "
        "file), geoparquet. Layers of features: kmz, tab and mif (MapInfo), geoparquet. The files "
        "have the names of the layers' files."
    )

    _files: tuple[VectorFile, ...] = ()
    _features: tuple[str, ...] = ()
    _sites: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add(
            self,
            QgsProcessingParameterMultipleLayers(
                "INPUT", "Maps and layers", QgsProcessing.SourceType.TypeMapLayer
            ),
            "Rasters, or layers of features; a format takes one or the other, or both.",
        )
        make.add(
            self,
            make.choice("FORMAT", "Format", FORMATS, "kmz"),
            "Rasters: kmz, grd, bil, asc, xyz, png, geoparquet. Features: kmz, tab, mif, "
            "geoparquet.",
        )
        make.add_sites(self, "Of kmz: shown besides the site that the map states.")
        make.add(
            self,
            QgsProcessingParameterMultipleLayers(
                "FEATURES",
                "Layers over the map",
                QgsProcessing.SourceType.TypeVectorAnyGeometry,
                None,
                True,
            ),
            "Of kmz: placemarks; holes.gpkg beside the map if left empty.",
            advanced=True,
        )
        make.add(
            self,
            make.flag("INTEGER", "Whole numbers", False),
            "Of bil: 16-bit whole numbers, which every planning tool reads.",
            advanced=True,
        )
        make.add(
            self,
            QgsProcessingParameterFolderDestination("OUTPUT", "Folder of the files"),
            "Gets a file for each layer, with those that the format needs beside it.",
        )
        self.addOutput(QgsProcessingOutputMultipleLayers("FILES", "Files"))

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Find the files of the layers, and check the layer of sites."""
        self._files, features = (
            tuple(
                layer_file(layer, self.parameterDefinition(name).description())
                for layer in self.parameterAsLayerList(parameters, name, context) or []
            )
            for name in ("INPUT", "FEATURES")
        )
        self._features = tuple(file.path for file in features)
        self._sites = vector_input(
            self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
        )

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``export_map`` for the layers of each name, mostly one."""
        folder = run.folder("OUTPUT")
        sites = run.file_of(self._sites)
        made: list[str] = []
        for layer in dict.fromkeys(file.layer for file in self._files):
            request = {
                "request": "export_map",
                "output": folder,
                "maps": [file.path for file in self._files if file.layer == layer],
                "to": run.choice("FORMAT"),
                "layer": layer,
                "integer": run.flag("INTEGER"),
                "sites": None if sites is None else sites.path,
                "sites_crs": run.crs("SITES_CRS"),
                "features": list(self._features),
            }
            made += self.run_worker(request, run.feedback)["made"]
        for name in made:
            run.feedback.pushInfo(f"{folder}/{name}")
        return {"OUTPUT": folder, "FILES": [f"{folder}/{name}" for name in made]}
