"""Simulate radio map: dominant path model for sites among buildings."""

from __future__ import annotations

import csv
import os
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterPoint,
)

from ..inputs import POINTS, POLYGONS, TABLE, VectorInput, vector_input
from . import parameters as make
from .base import RmGeoAlgorithm, result_layers, run_group
from .run import Run


class SimulateRadioMap(RmGeoAlgorithm):
    """Map of each site from buildings and sites."""

    NAME = "simulate"
    TITLE = "Simulate radio map"
    GROUP = ("simulation", "Simulation")
    TAGS = ("propagation", "dominant path", "ray", "prediction", "planning", "site", "antenna")
    SUMMARY = "Radio maps of sites among buildings, by the dominant path model."
    HELP = (
        "Predicts the level of each site among buildings by the dominant path model: over roofs, "
        "around corners, with the sector's pattern.\n\n"
        "Give either a layer of sites or a single position. With an EIRP per resource element "
        "the maps are RSRP in dBm, without one path gain in dB. Inside buildings they are empty."
    )

    _buildings: VectorInput | None = None
    _sites: VectorInput | None = None

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        make.add(
            self,
            QgsProcessingParameterFeatureSource(
                "BUILDINGS", "Buildings", [QgsProcessing.SourceType.TypeVectorPolygon]
            ),
            "Footprints.",
        )
        make.add(
            self,
            QgsProcessingParameterField(
                "HEIGHT_FIELD",
                "Height field",
                None,
                "BUILDINGS",
                QgsProcessingParameterField.DataType.Numeric,
                False,
                True,
            ),
            "Height of each building over ground in metres; found by its name if left empty.",
        )
        make.add(
            self,
            make.real("BUILDING_HEIGHT", "Height of other buildings [m]", 25.0, lowest=0.1),
            "Of buildings without a height.",
        )
        make.add_sites(
            self,
            "One point for each cell, with the cell's name and where known height_m, eirp_dbm, "
            "azimuth, downtilt, beamwidth, frequency_mhz.",
        )
        make.add(
            self,
            QgsProcessingParameterPoint("POSITION", "Or one site here", None, True),
            "The position of a single antenna, instead of a layer of sites.",
        )
        make.add(
            self,
            make.real("HEIGHT", "Antenna height [m]", 25.0, lowest=0.1, highest=1000.0),
            "Over ground, of the single site.",
        )
        make.add(
            self,
            make.real("AZIMUTH", "Azimuth [°]", None, lowest=-360.0, highest=360.0),
            "Of the single site's sector, clockwise from north; omnidirectional if left empty.",
            advanced=True,
        )
        make.add(
            self,
            make.real("DOWNTILT", "Downtilt [°]", 0.0, lowest=-90.0, highest=90.0),
            "Of the single site's sector.",
            advanced=True,
        )
        make.add(
            self,
            make.real("EIRP", "EIRP [dBm]", None),
            "Per resource element, where the sites do not say.",
        )
        make.add(
            self,
            make.real("FREQUENCY", "Carrier frequency [MHz]", None, lowest=30.0, highest=300_000.0),
            "Of all sites, whatever their layer says.",
        )
        make.add_option(self, "RESOLUTION", "Resolution [m]", "resolution_m")
        make.add(
            self,
            make.real("MARGIN", "Margin [m]", 50.0, lowest=0.0),
            "Ground around buildings and sites.",
            advanced=True,
        )
        make.add_most_tiles(self, 100)
        make.add_folder(self, "Gets a map for each site.")
        make.add(self, make.raster_output("RADIO_MAP", "Radio map"), "RSRP of the first site.")
        self.addOutput(QgsProcessingOutputMultipleLayers("RADIO_MAPS", "Maps of all sites"))

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Check the layers of buildings and sites."""
        self._buildings = vector_input(self, parameters, "BUILDINGS", context, (POLYGONS,))
        self._sites = vector_input(
            self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
        )
        has_position = parameters.get("POSITION") not in (None, "")
        if (self._sites is None) == (not has_position):
            raise QgsProcessingException(
                "Give either a layer of 'Sites' or one position ('Or one site here')."
            )

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Run the job ``simulate``."""
        self.check_outputs(run, ("RADIO_MAP",))
        folder = run.folder("OUTPUT")
        buildings, sites = run.required_file_of(self._buildings), run.file_of(self._sites)
        request = {
            "request": "simulate",
            "output": folder,
            "buildings": buildings.path,
            "sites": _one_site(run) if sites is None else sites.path,
            "origin": self._origin(),
            "footprints": {
                "layer": buildings.layer,
                "height_column": run.text("HEIGHT_FIELD"),
                "default_height_m": run.number("BUILDING_HEIGHT"),
            },
            "options": {
                "sites_crs": run.crs("SITES_CRS"),
                "resolution_m": run.number("RESOLUTION"),
                "margin_m": run.number("MARGIN"),
                "eirp_dbm": run.number("EIRP"),
                "frequency_mhz": run.number("FREQUENCY"),
                "max_tiles": run.whole("MAX_TILES"),
            },
        }
        answer = self.run_worker(request, run.feedback)
        first = answer["rasters"][0]["cell"]
        name = "" if self._buildings is None else self._buildings.name
        group = run_group(f"{name}: simulated", by_cell=True, shown_cell=first)
        rasters = result_layers(answer, group)
        # Without an EIRP the map is path gain instead of RSRP.
        found = self.collect_outputs(run, rasters, {"RADIO_MAP": rasters[0].kind})
        return {"OUTPUT": folder, "RADIO_MAPS": [raster.path for raster in rasters], **found}

    def _origin(self) -> dict[str, str]:
        """Return the tags of the layers that are not plain files."""
        layers = {"buildings": self._buildings, "sites": self._sites}
        return {
            name + key[len("input") :]: text
            for name, layer in layers.items()
            if layer is not None
            for key, text in layer.origin.items()
        }


def _one_site(run: Run) -> str:
    """Write a table with the single site."""
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    point = run.algorithm.parameterAsPoint(run.parameters, "POSITION", run.context, degrees)
    row: dict[str, Any] = {
        "cell": "site",
        "longitude": repr(point.x()),
        "latitude": repr(point.y()),
        "height_m": run.number("HEIGHT"),
    }
    azimuth = run.number("AZIMUTH")
    if azimuth is not None:
        row["azimuth"] = azimuth
        row["downtilt"] = run.number("DOWNTILT")
    path = os.path.join(run.scratch, "site.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(row))
        table.writeheader()
        table.writerow(row)
    return path
