"""Styles of layers: those of results by what they show, of drive tests, and of sites.

RSRP has one scale in all of them: the classes of ``styles/rsrp_classed.qml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsGeometryGeneratorSymbolLayer,
    QgsGraduatedSymbolRenderer,
    QgsMapLayer,
    QgsMapLayerStyle,
    QgsMarkerSymbol,
    QgsPalettedRasterRenderer,
    QgsPalLayerSettings,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsRendererRange,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtXml import QDomDocument

STYLES = Path(__file__).resolve().parent / "styles"

_STYLE_FILES = {
    "rsrp": "rsrp_continuous",
    "measured": "rsrp_continuous",
    "composite_rsrp": "rsrp_continuous",
    "buildings": "buildings",
    "reported": "reported",
    "uncertainty": "uncertainty",
    "gain": "path_gain",
    "difference": "difference",
    "holes": "holes",
    "overshooters": "overshooters",
    "next_drive": "next_drive",
    "change_areas": "change_areas",
    "contours": "contours",
    "overlap_areas": "overlap_areas",
    "statistics_polygons": "statistics",
    "statistics_grid": "statistics",
    "probability": "probability",
    "dominance": "dominance",
    "sinr": "sinr",
    "ci": "sinr",
    "rsrq": "rsrq",
    "rssi": "rssi",
}
_CLASSED_FILES = {
    "rsrp": "rsrp_classed",
    "measured": "rsrp_classed",
    "composite_rsrp": "rsrp_classed",
}
_LABELLED = frozenset(("server_areas", "sectors"))  # with the name of the cell
_FILL_ALPHA = 120
_ERROR_BREAKS_DB = (-12.0, -6.0, -3.0, 3.0, 6.0, 12.0)
_ERROR_COLOURS = ("#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b")
_WEDGE_MM = 7.0
_LABELS_FROM_SCALE = 2500.0
_FAR = 1e4  # beyond every level and error: ends of the outer classes


@dataclass(frozen=True)
class LayerClass:
    """A class of a raster or of polygons.

    Attributes
    ----------
    value : int
        Pixel value, or that of the field ``value``.
    name : str
        Name for the legend.
    colour : str
        As ``#rrggbb``.
    area_m2 : float or None
        Its area, if known.
    """

    value: int
    name: str
    colour: str
    area_m2: float | None = None

    def label(self, total_m2: float) -> str:
        """Return the name with the area and its share of a total."""
        if self.area_m2 is None or total_m2 <= 0.0:
            return self.name
        return f"{self.name} ({area_text(self.area_m2)}, {self.area_m2 / total_m2:.1%})"


def apply_style(layer: QgsMapLayer, kind: str, classes: Sequence[LayerClass] = ()) -> None:
    """Apply the style of a result; radio maps get a second style with classes.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer.
    kind : str
        What it shows, as in :class:`ResultLayer`.
    classes : sequence of LayerClass
        Its classes; a layer of the same classes gets the same colours.
    """
    if classes:
        _style_classes(layer, kind, classes)
    if kind == "held_out":
        style_errors(layer)
    if kind == "drive_test":
        style_measurements(layer, rsrp_field(layer))
    if kind == "sites":
        style_sites(layer, "azimuth_deg", "beamwidth_deg", "cell")
    if kind in _CLASSED_FILES:
        layer.loadNamedStyle(str(STYLES / f"{_CLASSED_FILES[kind]}.qml"))
        classed = QgsMapLayerStyle()
        classed.readFromLayer(layer)
        layer.styleManager().addStyle("classes", classed)
    if kind in _STYLE_FILES:
        layer.loadNamedStyle(str(STYLES / f"{_STYLE_FILES[kind]}.qml"))
        if kind in _CLASSED_FILES:
            layer.styleManager().renameStyle(layer.styleManager().currentStyle(), "continuous")
    layer.triggerRepaint()


def area_text(area_m2: float) -> str:
    """Format an area for a legend.

    Parameters
    ----------
    area_m2 : float
        Area in square metres.

    Returns
    -------
    str
        In square kilometres from 0.1 square kilometres on.
    """
    return f"{area_m2 / 1e6:.3g} km²" if area_m2 >= 1e5 else f"{area_m2:,.0f} m²"


def _style_classes(layer: QgsMapLayer, kind: str, classes: Sequence[LayerClass]) -> None:
    """Colour a raster or polygons by their classes, with names and areas in the legend."""
    total_m2 = sum(one.area_m2 or 0.0 for one in classes)
    if isinstance(layer, QgsRasterLayer):
        entries = [
            QgsPalettedRasterRenderer.Class(one.value, QColor(one.colour), one.label(total_m2))
            for one in classes
        ]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries))
        return
    categories = [
        QgsRendererCategory(one.value, _fill(one.colour), one.label(total_m2)) for one in classes
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("value", categories))
    if kind in _LABELLED:
        _label(layer, '"cell"', is_expression=True)


def _label(layer: QgsVectorLayer, text: str, *, is_expression: bool, scale: float = 0.0) -> None:
    """Label features with a field or an expression, from a scale on if it is not 0."""
    settings = QgsPalLayerSettings()
    settings.fieldName, settings.isExpression = text, is_expression
    font, halo = settings.format(), QgsTextBufferSettings()
    halo.setEnabled(True)
    font.setSize(9)
    font.setBuffer(halo)
    settings.setFormat(font)
    if scale:
        settings.scaleVisibility = True
        settings.minimumScale, settings.maximumScale = scale, 0.0
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)


def _fill(colour: str) -> QgsFillSymbol:
    """Make a translucent fill with an outline of the same colour."""
    red, green, blue, _ = QColor(colour).getRgb()
    outline = QColor(colour).darker(150).name()
    return QgsFillSymbol.createSimple(
        {
            "color": f"{red},{green},{blue},{_FILL_ALPHA}",
            "outline_color": outline,
            "outline_width": "0.4",
        }
    )


@dataclass(frozen=True)
class ScaleClass:
    """A class of the scale of RSRP: values below ``upper_dbm``, from that of the class before."""

    upper_dbm: float
    colour: str
    label: str


@lru_cache(maxsize=1)
def rsrp_scale() -> tuple[ScaleClass, ...]:
    """Return the classes of RSRP, the lowest first; the last one has no upper end."""
    document = QDomDocument()
    document.setContent((STYLES / "rsrp_classed.qml").read_text("utf-8"))
    items = document.elementsByTagName("item")
    found = (items.at(number).toElement() for number in range(items.count()))
    return tuple(
        ScaleClass(float(one.attribute("value")), one.attribute("color"), one.attribute("label"))
        for one in found
    )


def rsrp_field(layer: QgsVectorLayer) -> str:
    """Return the field whose name says that it holds the RSRP; empty if none does.

    Parameters
    ----------
    layer : QgsVectorLayer
        Measurements.

    Returns
    -------
    str
        The field with the shortest name, if there are several.
    """
    names = [one.name() for one in layer.fields() if "rsrp" in one.name().lower()]
    return min(names, key=len, default="")


def style_measurements(layer: QgsVectorLayer, field: str) -> None:
    """Colour the points of a drive test by RSRP, in the classes and colours of the maps.

    Labels appear when the map is enlarged, and the map tip lists all fields.

    Parameters
    ----------
    layer : QgsVectorLayer
        Points.
    field : str
        Field of the RSRP in dBm; it may hold text.
    """
    expression = f"to_real({_quoted(field)})"
    ranges, lower = [], -_FAR
    for one in rsrp_scale():
        symbol = _point_symbol(one.colour)
        upper = min(one.upper_dbm, _FAR)
        ranges.append(QgsRendererRange(lower, upper, symbol, one.label))
        lower = one.upper_dbm
    layer.setRenderer(QgsGraduatedSymbolRenderer(expression, ranges))
    _label(layer, f"round({expression})", is_expression=True, scale=_LABELS_FROM_SCALE)
    names = [one.name() for one in layer.fields()]
    layer.setMapTipTemplate("".join(f"<b>{name}</b> [% {_quoted(name)} %]<br>" for name in names))
    layer.triggerRepaint()


def style_errors(layer: QgsVectorLayer) -> None:
    """Colour held-out points by the error of the estimate, with its value as label.

    Parameters
    ----------
    layer : QgsVectorLayer
        Points with the fields ``error_db``, ``measured_dbm``, ``estimate_dbm``, ``cell`` and
        ``method``.
    """
    bounds = (-_FAR, *_ERROR_BREAKS_DB, _FAR)
    labels = [f"below {bounds[1]:g} dB: too low"]
    labels += [f"{low:g} to {high:g} dB" for low, high in zip(bounds[1:-2], bounds[2:-1])]
    labels += [f"{bounds[-2]:g} dB and above: too high"]
    ranges = [
        QgsRendererRange(low, high, _point_symbol(colour), label)
        for low, high, colour, label in zip(bounds, bounds[1:], _ERROR_COLOURS, labels)
    ]
    layer.setRenderer(QgsGraduatedSymbolRenderer("error_db", ranges))
    _label(layer, "round(error_db)", is_expression=True, scale=_LABELS_FROM_SCALE)
    layer.setMapTipTemplate(
        "<b>cell [% cell %], [% method %]</b><br>measured [% round(measured_dbm, 1) %] dBm<br>"
        "estimated [% round(estimate_dbm, 1) %] dBm<br>error [% round(error_db, 1) %] dB"
    )


def style_sites(
    layer: QgsVectorLayer, azimuth: str = "", beamwidth: str = "", cell: str = ""
) -> None:
    """Draw the points of sites: a wedge towards the azimuth, a dot for a site without one.

    Parameters
    ----------
    layer : QgsVectorLayer
        Points.
    azimuth, beamwidth, cell : str
        Fields of the azimuth and the beam width in degrees, and of the name; may be empty.
    """
    symbol = _point_symbol("#222222", size=2.0)
    if azimuth:
        width = f"coalesce(to_real({_quoted(beamwidth)}), 65)" if beamwidth else "65"
        wedge = QgsGeometryGeneratorSymbolLayer.create(
            {
                "SymbolType": "Fill",
                "geometryModifier": f"if(to_real({_quoted(azimuth)}) is null, null, wedge_buffer("
                f"$geometry, to_real({_quoted(azimuth)}), {width}, {_WEDGE_MM}))",
                "units": "MM",
            }
        )
        wedge.setSubSymbol(_fill("#2b6cb0"))
        symbol.insertSymbolLayer(0, wedge)
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    if cell:
        _label(layer, cell, is_expression=False)
    names = [one.name() for one in layer.fields()]
    layer.setMapTipTemplate("".join(f"<b>{name}</b> [% {_quoted(name)} %]<br>" for name in names))
    layer.triggerRepaint()


def _point_symbol(colour: str, size: float = 2.4) -> QgsMarkerSymbol:
    """Make a dot with a thin outline."""
    outline = QColor(colour).darker(140).name()
    return QgsMarkerSymbol.createSimple(
        {
            "name": "circle",
            "color": colour,
            "outline_color": outline,
            "outline_width": "0.1",
            "size": str(size),
        }
    )


def _quoted(field: str) -> str:
    """Quote a field for an expression."""
    return '"' + field.replace('"', '""') + '"'
