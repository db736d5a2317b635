"""What the algorithms of planning share: maps, sites, thresholds, and the job ``plan``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterFile,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterVectorDestination,
)

from ..descriptions import describe
from ..inputs import POINTS, TABLE, VectorInput, folder_of, raster_file, vector_input
from ..labels import with_labels
from ..worker_client import Event
from . import parameters as make
from .base import RmGeoAlgorithm
from .run import Run

GROUP = ("planning", "Planning")
PRESETS = ("lte", "nr-fr1", "nb-iot", "lora")
_OF_PRESET = (
    "coverage.threshold_dbm",
    "servers.minimum_dbm",
    "overlap.floor_dbm",
    "interference.bandwidth_mhz",
    "interference.noise_figure_db",
)
"""Settings whose defaults depend on the technology; a test compares them with rm_geo."""

Setting = tuple[str, str, str]
"""Name of a parameter, its label, and ``group.name`` of a setting of rm_geo."""

THRESHOLD: Setting = ("THRESHOLD", "Threshold [dBm]", "coverage.threshold_dbm")
STD: Setting = ("STD", "Standard deviation of maps without one [dB]", "coverage.std_db")
INTERFERENCE: tuple[Setting, ...] = (
    ("BANDWIDTH", "Bandwidth [MHz]", "interference.bandwidth_mhz"),
    ("LOAD_SHARE", "Load of the cells, 0 to 1", "interference.load"),
    ("NOISE_FIGURE", "Noise figure [dB]", "interference.noise_figure_db"),
    ("SAME_CARRIER", "All cells share one carrier", "interference.same_carrier"),
)


class PlanningAlgorithm(RmGeoAlgorithm):
    """Base class of the algorithms that derive products from radio maps."""

    GROUP = GROUP
    SETTINGS: tuple[Setting, ...] = ()

    _maps: tuple[str, ...] = ()
    _sites: VectorInput | None = None

    def add_maps(self, sites_explanation: str) -> None:
        """Add the radio maps, the technology and the sites."""
        make.add(
            self,
            QgsProcessingParameterMultipleLayers(
                "LAYERS", "Radio maps", QgsProcessing.SourceType.TypeRaster, None, True
            ),
            "Rasters of RSRP in dBm, one cell each, named by the file. Uncertainty and other maps "
            "of 'Estimate radio map' beside them are read too.",
        )
        make.add(
            self,
            QgsProcessingParameterFile(
                "MAPS",
                "Or folder of radio maps",
                QgsProcessingParameterFile.Behavior.Folder,
                "",
                None,
                True,
            ),
            "Folder of the maps that 'Estimate radio map' made, or of GeoTIFFs of RSRP in dBm.",
        )
        make.add(
            self,
            make.choice("PRESET", "Technology", PRESETS, "lte"),
            "Its thresholds and coverage classes are the defaults.",
        )
        make.add_sites(self, sites_explanation)

    def check_inputs(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Find the files of the maps, and check the layer of sites."""
        layers = self.parameterAsLayerList(parameters, "LAYERS", context) or []
        maps = [raster_file(layer, "Radio maps") for layer in layers]
        folder = folder_of(
            self.parameterAsString(parameters, "MAPS", context) or None, "Or folder of radio maps"
        )
        self._maps = tuple(dict.fromkeys((*maps, *([] if folder is None else [folder]))))
        if not self._maps:
            raise QgsProcessingException(
                "There are no radio maps.\nChoose layers in 'Radio maps', or a folder."
            )
        self._sites = vector_input(
            self, parameters, "SITES", context, (POINTS, TABLE), one_layer_only=True
        )

    def plan_request(self, run: Run, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the part of the job ``plan`` with maps, sites and settings."""
        sites = run.file_of(self._sites)
        groups = settings_of(run, self.SETTINGS)
        for group, values in (settings or {}).items():
            groups.setdefault(group, {}).update(values)
        return {
            "maps": list(self._maps),
            "sites": None if sites is None else sites.path,
            "sites_crs": run.crs("SITES_CRS"),
            "settings": {"preset": run.choice("PRESET"), **groups},
        }


def add_settings(
    algorithm: RmGeoAlgorithm, settings: Iterable[Setting], *, advanced: bool = False
) -> None:
    """Add optional parameters for settings of a plan, with their descriptions and bounds.

    Parameters
    ----------
    algorithm : RmGeoAlgorithm
        Gets the parameters.
    settings : iterable of (str, str, str)
        Name, label and setting of each.
    advanced : bool
        Whether the dialog hides them under its advanced parameters.
    """
    for name, label, setting in settings:
        facts = describe(setting)
        explanation = facts["description"]
        if facts["type"] == "boolean":
            box = make.flag(name, label, facts["default"])
            make.add(algorithm, box, explanation, advanced=advanced)
            continue
        kind = make.whole if facts["type"] == "integer" else make.real
        lowest = facts.get("minimum", facts.get("exclusiveMinimum"))
        highest = facts.get("maximum", facts.get("exclusiveMaximum"))
        if setting in _OF_PRESET:
            explanation += " That of the technology if left empty."
        elif facts["default"] is not None:
            explanation += f" {facts['default']:g} if left empty."
        parameter = kind(name, label, None, lowest=lowest, highest=highest)
        make.add(algorithm, parameter, explanation, advanced=advanced)


def settings_of(run: Run, settings: Iterable[Setting]) -> dict[str, dict[str, Any]]:
    """Return the settings that are given, by group.

    Parameters
    ----------
    run : Run
        Values of the parameters.
    settings : iterable of (str, str, str)
        As of :func:`add_settings`.

    Returns
    -------
    dict of str to dict
        Values by group and name. A check box that is not set is not given.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, _, setting in settings:
        value = run.option(name, setting)
        if value is not None and value is not False:
            group, key = setting.split(".")
            groups.setdefault(group, {})[key] = value
    return groups


def vector_output(
    name: str,
    label: str,
    kind: QgsProcessing.SourceType,
    *,
    optional: bool = True,
    by_default: bool = False,
) -> QgsProcessingParameterVectorDestination:
    """Create an output layer of features; made by default if it is not optional, or on request."""
    return QgsProcessingParameterVectorDestination(
        name, label, kind, None, optional, by_default or not optional
    )


def log_plan(answer: Event, run: Run) -> None:
    """Log the statistics of a plan; its notes are in the log already.

    Parameters
    ----------
    answer : dict
        The ``result`` event of the job ``plan``.
    run : Run
        Its feedback gets the lines.
    """
    products: Mapping[str, Any] = answer["products"]
    for name, share in products.get("coverage", {}).get("share_by_class", {}).items():
        run.feedback.pushInfo(f"{name}: {share:.1%} of the area")
    for share, part in products.get("probability", {}).get("share_at_least", {}).items():
        run.feedback.pushInfo(
            f"Covered with a probability of at least {float(share):.0%}: {part:.1%} of the area"
        )
    if "holes" in products:
        found = products["holes"]
        run.feedback.pushInfo(
            f"{found['holes']} coverage holes, {found['area_km2']:.3g} km² in all"
        )


def require_made(answer: Event, products: Sequence[str]) -> None:
    """Raise if a product could not be made, with its reason.

    Parameters
    ----------
    answer : dict
        The ``result`` event of the job ``plan``.
    products : sequence of str
        Names of the products.

    Raises
    ------
    QgsProcessingException
        With the reason of the first one that was not made.
    """
    for name in products:
        if name in answer["not_made"]:
            reason = str(answer["not_made"][name])
            raise QgsProcessingException(with_labels(f"{reason[:1].upper()}{reason[1:]}"))
