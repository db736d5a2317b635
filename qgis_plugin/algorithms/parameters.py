"""Parameters that several algorithms have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterString,
)

from ..descriptions import describe

METHODS = (
    "radiocycle",
    "mars",
    "srresnet",
    "supreme",
    "interpolation-net",
    "knn",
    "idw",
    "nearest",
    "linear",
    "rbf",
    "ordinary-kriging",
    "random-forest",
    "street-ensemble",
    "matrix-completion",
    "cost231-hata",
    "spm",
)
"""Methods of rm_geo; a test compares them with ``rm-geo info``."""

DEVICES = ("auto", "cpu", "cuda", "mps")

READING = (
    ("TIME_FIELD", "Time field", "time_column"),
    ("PCI_FIELD", "PCI field", "pci_column"),
    ("NODE_FIELD", "Base station field", "node_column"),
    ("CARRIER_FIELD", "Carrier field", "carrier_column"),
    ("OPERATOR_FIELD", "Operator field", "operator_column"),
    ("TECHNOLOGY_FIELD", "Technology field", "technology_column"),
    ("WHERE", "Row filter", "where"),
    ("TIME_FROM", "From time", "time_from"),
    ("TIME_TO", "To time", "time_to"),
    ("TECHNOLOGIES", "Only these technologies", "technologies"),
    ("OPERATORS", "Only these operators", "operators"),
    ("CHANNELS", "Only these channels", "channels"),
    ("MIN_POINTS", "Fewest measurements of a cell", "min_points"),
    ("TOP", "Most cells", "top"),
    ("STRICT", "Refuse files that may mix up cells", "strict"),
)
"""Advanced parameters for reading options of the library: name, label, keyword."""

_FIELD = "_FIELD"
_CELLS_WIDGET = f"{__name__.split('.')[0]}.cells_widget.CellsWidgetChoice"


def add(
    algorithm: QgsProcessingAlgorithm,
    parameter: QgsProcessingParameterDefinition,
    explanation: str,
    *,
    advanced: bool = False,
) -> None:
    """Add a parameter with its help text.

    Parameters
    ----------
    algorithm : QgsProcessingAlgorithm
        Gets the parameter.
    parameter : QgsProcessingParameterDefinition
        The parameter.
    explanation : str
        Its help text.
    advanced : bool
        Whether the dialog hides it under its advanced parameters.
    """
    parameter.setHelp(explanation)
    if advanced:
        flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
        parameter.setFlags(parameter.flags() | flag)
    algorithm.addParameter(parameter)


def real(
    name: str,
    label: str,
    default: float | None,
    *,
    lowest: float | None = None,
    highest: float | None = None,
) -> QgsProcessingParameterNumber:
    """Create a parameter for a number.

    Parameters
    ----------
    name, label : str
        Name in scripts and label in the dialog.
    default : float, optional
        None makes the parameter optional.
    lowest, highest : float, optional
        Range of the value.
    """
    parameter = QgsProcessingParameterNumber(
        name, label, QgsProcessingParameterNumber.Type.Double, default, default is None
    )
    _limit(parameter, lowest, highest)
    return parameter


def whole(
    name: str,
    label: str,
    default: int | None,
    *,
    lowest: float | None = None,
    highest: float | None = None,
) -> QgsProcessingParameterNumber:
    """Create a parameter for an integer.

    Parameters
    ----------
    name, label : str
        Name in scripts and label in the dialog.
    default : int, optional
        None makes the parameter optional.
    lowest, highest : float, optional
        Range of the value.
    """
    parameter = QgsProcessingParameterNumber(
        name, label, QgsProcessingParameterNumber.Type.Integer, default, default is None
    )
    _limit(parameter, lowest, highest)
    return parameter


def choice(
    name: str, label: str, options: Sequence[str], default: str
) -> QgsProcessingParameterEnum:
    """Create a choice; scripts and models use the names of the values."""
    return QgsProcessingParameterEnum(name, label, list(options), False, default, False, True)


def flag(
    name: str, label: str, default: bool, *, optional: bool = False
) -> QgsProcessingParameterBoolean:
    """Create a check box; models from before an optional one was added stay valid."""
    return QgsProcessingParameterBoolean(name, label, default, optional)


def text(name: str, label: str) -> QgsProcessingParameterString:
    """Create an optional text."""
    return QgsProcessingParameterString(name, label, None, False, True)


def field(name: str, label: str) -> QgsProcessingParameterField:
    """Create an optional choice of a field of the measurements, of any type."""
    kind = QgsProcessingParameterField.DataType.Any
    return QgsProcessingParameterField(name, label, None, "INPUT", kind, False, True)


def raster_output(name: str, label: str) -> QgsProcessingParameterRasterDestination:
    """Create an optional output raster."""
    return QgsProcessingParameterRasterDestination(name, label, None, True, False)


def default_of(option: str) -> Any:
    """Return the default of an option of rm_geo, by the library's keyword."""
    return describe(option)["default"]


def add_option(
    algorithm: QgsProcessingAlgorithm,
    name: str,
    label: str,
    option: str,
    *,
    default: Any = None,
    advanced: bool = False,
    optional: bool = False,
) -> None:
    """Add a parameter for an option of rm_geo, with its description, default and bounds.

    Parameters
    ----------
    algorithm : QgsProcessingAlgorithm
        Gets the parameter.
    name, label : str
        Name in scripts and label in the dialog.
    option : str
        The library's keyword, such as ``reach_m``.
    default : optional
        Default, if it differs from that of the library.
    advanced : bool
        Whether the dialog hides it under its advanced parameters.
    optional : bool
        Whether it may be absent, so that models from before the parameter was added stay valid.
    """
    facts = describe(option)
    value = facts["default"] if default is None else default
    explanation = facts["description"]
    if facts["type"] == "boolean":
        parameter = flag(name, label, value)
    elif facts["type"] in ("string", "array"):
        parameter = text(name, label)
        if facts["type"] == "array":
            explanation += " Separated by commas."
    else:
        make = whole if facts["type"] == "integer" else real
        lowest = facts.get("minimum", facts.get("exclusiveMinimum"))
        highest = facts.get("maximum", facts.get("exclusiveMaximum"))
        parameter = make(name, label, value, lowest=lowest, highest=highest)
    if optional:
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagOptional)
    add(algorithm, parameter, explanation, advanced=advanced)


def add_sites(
    algorithm: QgsProcessingAlgorithm, explanation: str, *, optional: bool = True
) -> None:
    """Add the layer of sites, and the CRS of a table without geometry."""
    add(
        algorithm,
        QgsProcessingParameterFeatureSource(
            "SITES", "Sites", [QgsProcessing.SourceType.TypeVector], None, optional
        ),
        explanation,
    )
    add(
        algorithm,
        QgsProcessingParameterCrs("SITES_CRS", "CRS of the sites", None, True),
        "Of a table with x and y. Layers of points have theirs, longitude and latitude need none.",
        advanced=True,
    )


def add_outlines(algorithm: QgsProcessingAlgorithm) -> None:
    """Add the optional layer of known buildings."""
    add(
        algorithm,
        QgsProcessingParameterFeatureSource(
            "OUTLINES", "Known buildings", [QgsProcessing.SourceType.TypeVectorPolygon], None, True
        ),
        "Building footprints, such as those of OpenStreetMap, for accurate shadowing. Only "
        "networks read them.",
    )


def add_measurements(algorithm: QgsProcessingAlgorithm) -> None:
    """Add the layer of measurements, its fields and row filters."""
    add(
        algorithm,
        QgsProcessingParameterFeatureSource(
            "INPUT", "Measurements", [QgsProcessing.SourceType.TypeVectorPoint]
        ),
        "Points of a drive test, in any CRS. Filters, selections and unsaved edits count.",
    )
    add(
        algorithm,
        field("RSRP_FIELD", "RSRP field"),
        "RSRP in dBm, as numbers or as text. Found by the names that drive-test tools use if left "
        "empty.",
    )
    add(
        algorithm,
        field("CELL_FIELD", "Cell field"),
        "The cell that each measurement belongs to (PCI, cell id): each gets maps of its own. "
        "Found by its name if left empty; without one, all measurements are one cell.",
    )
    add(
        algorithm,
        QgsProcessingParameterExtent("EXTENT", "Only in this extent", None, True),
        "Use only the measurements inside, such as those that the canvas shows. All if left empty.",
    )
    for name, label, option in READING:
        if name.endswith(_FIELD):
            explanation = describe(option)["description"].replace("Column of", "Field of")
            add(algorithm, field(name, label), explanation, advanced=True)
        else:
            add_option(algorithm, name, label, option, advanced=True, optional=True)


def add_cells(algorithm: QgsProcessingAlgorithm, default: str) -> None:
    """Add the choice of cells: a text, in the dialog with a list of the cells of the log."""
    parameter = text("CELLS", "Only these cells")
    parameter.setMetadata({"widget_wrapper": _CELLS_WIDGET})
    explanation = f"Names separated by commas; {default}. '…' lists the cells of the measurements."
    add(algorithm, parameter, explanation, advanced=True)


def add_grid(algorithm: QgsProcessingAlgorithm, *, most_tiles: int = 1000) -> None:
    """Add resolution, CRS and the limit of the area."""
    add_option(algorithm, "RESOLUTION", "Resolution [m]", "resolution_m")
    add(
        algorithm,
        QgsProcessingParameterCrs("TARGET_CRS", "CRS of the maps", None, True),
        "A projected CRS in metres. That of the measurements if it is one, else their UTM zone.",
        advanced=True,
    )
    add_most_tiles(algorithm, most_tiles)


def add_most_tiles(algorithm: QgsProcessingAlgorithm, most_tiles: int) -> None:
    """Add the limit of the area."""
    add_option(algorithm, "MAX_TILES", "Most tiles", "max_tiles", default=most_tiles, advanced=True)


def add_model(algorithm: QgsProcessingAlgorithm) -> None:
    """Add the trained model and the device."""
    add(
        algorithm,
        text("MODEL", "Model"),
        "Trained model: a name that 'Check environment' lists, or a .safetensors file. The "
        "method's default if left empty.",
        advanced=True,
    )
    add(
        algorithm,
        choice("DEVICE", "Device", DEVICES, "auto"),
        describe("device")["description"],
        advanced=True,
    )


def add_folder(
    algorithm: QgsProcessingAlgorithm,
    explanation: str,
    *,
    label: str = "Folder of the maps",
    load: str = "Add all maps to the project",
    load_explanation: str = "Add the maps of every cell as styled layers, in a group for the run. "
    "Switch it off in models and batches.",
) -> None:
    """Add the output folder, and whether its layers are loaded."""
    add(algorithm, flag("LOAD", load, True), load_explanation)
    add(algorithm, QgsProcessingParameterFolderDestination("OUTPUT", label), explanation)


def _limit(
    parameter: QgsProcessingParameterNumber, lowest: float | None, highest: float | None
) -> None:
    """Set the range of a number."""
    if lowest is not None:
        parameter.setMinimum(lowest)
    if highest is not None:
        parameter.setMaximum(highest)
