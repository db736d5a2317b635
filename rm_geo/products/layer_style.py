"""How a raster is drawn: colours and legend of its values, by its colour table or its quantity."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader

from rm_geo._types import FloatArray
from rm_geo._util.json_text import parse_json
from rm_geo.io.raster_reader import opened_raster
from rm_geo.products.colormap import (
    BUILDING_RAMP,
    RSRP_RAMP,
    ColourRamp,
    hex_of,
    rgb_of,
)

MISSING_INDEX: Final = 255
"""Palette index of pixels without data; transparent."""

CLASS_NAMES_TAG: Final = "class_names"
"""Tag of a raster of classes: a JSON object of names by value."""

_ABOVE_INDEX: Final = 254  # 0 is below the ramp, 1..253 are inside
_MOST_CLASSES: Final = 254
_MOST_WHOLE_NUMBERS: Final = 12
_SAMPLE_PX: Final = 512
_LEGEND_STEPS: Final = 6
_GENERIC: Final = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")  # viridis
_SINR_RAMP: Final = ColourRamp(
    -10.0, 30.0, ("#a50026", "#f46d43", "#fee08b", "#a6d96a", "#1a9850", "#006837")
)
_STD_RAMP: Final = ColourRamp(0.0, 12.0, ("#1a9850", "#fee08b", "#d73027"))
_PROBABILITY_RAMP: Final = ColourRamp(0.0, 1.0, ("#a50026", "#f46d43", "#fee08b", "#1a9850"))
_DOMINANCE_RAMP: Final = ColourRamp(0.0, 20.0, ("#f7fbff", "#9ecae1", "#08519c"))
_DIFFERENCE_RAMP: Final = ColourRamp(-15.0, 15.0, ("#b2182b", "#f7f7f7", "#2166ac"))
_RAMPS: Final[tuple[tuple[str, ColourRamp], ...]] = (
    ("sinr", _SINR_RAMP),
    ("standard deviation", _STD_RAMP),
    ("uncertainty", _STD_RAMP),
    ("building", BUILDING_RAMP),
    ("probability", _PROBABILITY_RAMP),
    ("reported", _PROBABILITY_RAMP),
    ("dominance", _DOMINANCE_RAMP),
    ("difference", _DIFFERENCE_RAMP),
)
"""Ramps by a word of the quantity or the file name; the first that fits is taken."""

_CLASS_COLOURS: Final = (
    "#1f78b4",
    "#e31a1c",
    "#33a02c",
    "#ff7f00",
    "#6a3d9a",
    "#b15928",
    "#17becf",
)


@dataclass(frozen=True)
class LegendEntry:
    """A colour of a map and what it stands for.

    Attributes
    ----------
    colour : str
        As ``#rrggbb``.
    label : str
        Name of the class, or value with its unit.
    """

    colour: str
    label: str


@dataclass(frozen=True)
class LayerStyle:
    """Colours of the values of a raster.

    Attributes
    ----------
    title : str
        Quantity with its unit, the heading of a legend.
    unit : str
        Unit of the values; empty for classes.
    ramp : ColourRamp or None
        Colours of a quantity; None for classes.
    classes : mapping of int to (str, str)
        Colour and name of each class; empty for a quantity.

    Examples
    --------
    >>> style = LayerStyle("RSRP in dBm", "dBm", RSRP_RAMP)
    >>> style.indices(np.array([[-130.0, -95.0, np.nan]])).tolist()
    [[0, 127, 255]]
    >>> style.rgba(np.array([[np.nan]])).tolist()
    [[[0, 0, 0, 0]]]
    >>> [entry.label for entry in style.legend()][:2]
    ['above -70 dBm', '-70 dBm']
    """

    title: str
    unit: str
    ramp: ColourRamp | None = None
    classes: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    def indices(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Give the palette indices of values.

        Parameters
        ----------
        values : ndarray of float, any shape
            Values of the raster; NaN where unknown.

        Returns
        -------
        ndarray of uint8, same shape
            Indices into :meth:`palette`; :data:`MISSING_INDEX` where unknown.
        """
        known = np.isfinite(values)
        if self.ramp is not None:
            place = (values - self.ramp.lowest) / (self.ramp.highest - self.ramp.lowest)
            inside = 1.0 + np.rint(np.clip(place, 0.0, 1.0) * (_ABOVE_INDEX - 2))
            inside = np.where(place < 0.0, 0.0, np.where(place > 1.0, _ABOVE_INDEX, inside))
        else:
            codes = np.fromiter(self.classes, dtype=np.int64, count=len(self.classes))
            order = np.argsort(codes)
            whole = np.where(known, values, -1).astype(np.int64)
            found = np.clip(np.searchsorted(codes[order], whole), 0, max(codes.size - 1, 0))
            if codes.size:
                known = known & (codes[order][found] == whole)
                inside = (order[found] % _MOST_CLASSES).astype(np.float64)
            else:
                known, inside = np.zeros_like(known), np.zeros(values.shape)
        return np.where(known, inside, MISSING_INDEX).astype(np.uint8)

    def palette(self) -> NDArray[np.uint8]:
        """Give the colours of the palette indices.

        Returns
        -------
        ndarray of uint8, shape (256, 4)
            Red, green, blue and opacity.
        """
        table = np.zeros((256, 4), dtype=np.uint8)
        if self.ramp is not None:
            table[:MISSING_INDEX, :3] = self.ramp.rgb(self._ramp_values())
            table[:MISSING_INDEX, 3] = 255
        else:
            for index, (colour, _) in enumerate(list(self.classes.values())[:_MOST_CLASSES]):
                table[index] = (*rgb_of(colour), 255)
        return table

    def value_texts(self) -> tuple[str, ...]:
        """Give the value that each palette index stands for, as text.

        Returns
        -------
        tuple of str
            256 texts; empty for indices that are not used.
        """
        if self.ramp is not None:
            unit = f" {self.unit}" if self.unit else ""
            low, high = self.ramp.lowest, self.ramp.highest
            digits = 2 if high - low <= 2.0 else 1
            texts = [f"{value:.{digits}f}{unit}" for value in self._ramp_values()]
            texts[0], texts[_ABOVE_INDEX] = f"below {low:g}{unit}", f"above {high:g}{unit}"
            return (*texts, "")
        names = [name for _, name in self.classes.values()][:_MOST_CLASSES]
        return (*names, *([""] * (256 - len(names))))

    def rgba(self, values: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Give the colours of values.

        Parameters
        ----------
        values : ndarray of float, any shape (...)
            Values of the raster; NaN where unknown.

        Returns
        -------
        ndarray of uint8, shape (..., 4)
            Red, green, blue and opacity; transparent where unknown.
        """
        colours: NDArray[np.uint8] = self.palette()[self.indices(values)]
        return colours

    def legend(self) -> tuple[LegendEntry, ...]:
        """List colours with their meaning, the highest value or the first class first.

        Returns
        -------
        tuple of LegendEntry
        """
        if self.ramp is None:
            entries = list(self.classes.values())
            return tuple(
                LegendEntry(entries[place % _MOST_CLASSES][0], name)
                for place, (_, name) in enumerate(entries)
            )
        unit = f" {self.unit}" if self.unit else ""
        ticks = np.linspace(self.ramp.highest, self.ramp.lowest, _LEGEND_STEPS)
        steps = [
            LegendEntry(_hex(self.ramp.rgb(np.array(tick))), f"{tick:.4g}{unit}") for tick in ticks
        ]
        if self.ramp.above is not None:
            steps.insert(0, LegendEntry(self.ramp.above, f"above {ticks[0]:.4g}{unit}"))
            steps.append(
                LegendEntry(self.ramp.below or self.ramp.colours[0], f"below {ticks[-1]:.4g}{unit}")
            )
        return tuple(steps)

    def _ramp_values(self) -> FloatArray:
        """Give the values of the palette indices 0..254."""
        assert self.ramp is not None
        span = self.ramp.highest - self.ramp.lowest
        steps = (np.arange(MISSING_INDEX) - 1.0) / (_ABOVE_INDEX - 2)
        return np.asarray(self.ramp.lowest + span * steps, dtype=np.float32)


def style_of(path: str | os.PathLike[str], names: Mapping[int, str] | None = None) -> LayerStyle:
    """Choose the colours of a raster.

    A colour table in the file is used as it is, with the names of the tag ``class_names``.
    Otherwise the ramp follows from the quantity that the tags, the unit or the file name state:
    RSRP, SINR, standard deviation, probability, dominance. A few whole numbers are classes; any
    other quantity gets a ramp over its range.

    Parameters
    ----------
    path : path-like
        A raster of one band.
    names : mapping of int to str, optional
        Names of the classes, instead of those in the file.

    Returns
    -------
    LayerStyle

    Raises
    ------
    InputError
        If the file cannot be read as a raster.
    """
    source = Path(path)
    with opened_raster(source) as dataset:
        return _style(dataset, source, names)


def _style(dataset: DatasetReader, path: Path, names: Mapping[int, str] | None) -> LayerStyle:
    """Choose the colours of an open raster."""
    tags = dataset.tags()
    unit = tags.get("units") or (dataset.units[0] or "")
    unit = "" if unit == "1" else unit
    quantity = tags.get("quantity") or dataset.descriptions[0] or path.stem.replace("_", " ")
    title = quantity[:1].upper() + quantity[1:]
    known_names = dict(_named_classes(tags) if names is None else names)
    if dataset.colorinterp[0] == ColorInterp.palette:
        return LayerStyle(title, "", classes=_table_classes(dataset, known_names))
    if known_names:
        return LayerStyle(title, "", classes=_coloured(known_names))
    title = f"{title} in {unit}" if unit else title
    words = f"{quantity} {path.stem}".lower().replace("_", " ")
    if unit == "dBm" and not any(word in words for word in ("difference", "interference")):
        return LayerStyle(title, unit, RSRP_RAMP)
    for word, ramp in _RAMPS:
        if word in words:
            return LayerStyle(title, unit, ramp)
    return _style_by_values(dataset, title, unit)


def _style_by_values(dataset: DatasetReader, title: str, unit: str) -> LayerStyle:
    """Choose colours by the values of a reduced copy of the raster."""
    share = min(1.0, _SAMPLE_PX / max(dataset.shape))
    shape = tuple(max(1, round(length * share)) for length in dataset.shape)
    sample = dataset.read(1, out_shape=shape, resampling=Resampling.nearest, masked=True)
    values = np.ma.compressed(sample).astype(np.float64)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return LayerStyle(title, unit, ColourRamp(0.0, 1.0, _GENERIC))
    distinct = np.unique(values)
    if distinct.size <= _MOST_WHOLE_NUMBERS and not np.any(distinct % 1.0):
        suffix = f" {unit}" if unit else ""
        steps = ColourRamp(float(distinct[0]), float(max(distinct[-1], distinct[0] + 1)), _GENERIC)
        classes = {int(v): (_hex(steps.rgb(np.array(v))), f"{v:g}{suffix}") for v in distinct}
        return LayerStyle(title, "", classes=classes)
    low, high = np.percentile(values, (2.0, 98.0))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return LayerStyle(title, unit, ColourRamp(float(low), float(high), _GENERIC))


def class_names_tag(names: Mapping[int, str]) -> dict[str, str]:
    """Give the tag that keeps the names of classes in a raster.

    Parameters
    ----------
    names : mapping of int to str
        Names by value.

    Returns
    -------
    dict of str to str
        Empty without names.

    Examples
    --------
    >>> class_names_tag({1: "lower", 3: "higher"})
    {'class_names': '{"1": "lower", "3": "higher"}'}
    """
    if not names:
        return {}
    by_value = {str(value): name for value, name in names.items()}
    return {CLASS_NAMES_TAG: json.dumps(by_value, ensure_ascii=False)}


def _named_classes(tags: Mapping[str, str]) -> Mapping[int, str]:
    """Read the names of classes from the tags of a raster; empty without such a tag."""
    try:
        read = parse_json(tags.get(CLASS_NAMES_TAG, "{}"))
        return {int(value): str(name) for value, name in read.items()}
    except (ValueError, AttributeError):
        return {}


def _table_classes(
    dataset: DatasetReader, names: Mapping[int, str]
) -> Mapping[int, tuple[str, str]]:
    """Give colours and names of the classes in a colour table.

    A TIFF's colour table has 256 colours; of those without a name, the ones that are not black
    are classes if nothing has a name.
    """
    table = dataset.colormap(1)
    named: Iterable[int] = names or (v for v, c in table.items() if c[:3] != (0, 0, 0))
    return {
        value: (_hex(np.array(table[value][:3])), names.get(value, str(value)))
        for value in named
        if value in table and value != dataset.nodata
    }


def _coloured(names: Mapping[int, str]) -> Mapping[int, tuple[str, str]]:
    """Give each class a colour."""
    return {
        value: (_CLASS_COLOURS[place % len(_CLASS_COLOURS)], name)
        for place, (value, name) in enumerate(names.items())
    }


def _hex(rgb: NDArray[np.integer]) -> str:
    """Write a colour as ``#rrggbb``."""
    red, green, blue = (int(part) for part in rgb.ravel()[:3])
    return hex_of((red, green, blue))
