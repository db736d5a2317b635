"""One run of an algorithm: its parameters' values in rm_geo's words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingUtils,
)

from ..descriptions import describe
from ..inputs import VectorFile, VectorInput


@dataclass(frozen=True)
class Run:
    """The values that a run was started with.

    Attributes
    ----------
    algorithm, parameters, context, feedback
        As Processing gives them.
    scratch : str
        A folder for temporary files, which goes with the run.
    """

    algorithm: QgsProcessingAlgorithm
    parameters: dict[str, Any]
    context: QgsProcessingContext
    feedback: QgsProcessingFeedback
    scratch: str

    def is_given(self, name: str) -> bool:
        """Whether an optional parameter has a value."""
        return self.parameters.get(name) not in (None, "")

    def text(self, name: str) -> str | None:
        """Give a text, or None for an empty one."""
        value = self.algorithm.parameterAsString(self.parameters, name, self.context)
        return value.strip() or None

    def names(self, name: str) -> list[str] | None:
        """Give names that are separated by commas, or None for none."""
        value = self.text(name)
        return [one.strip() for one in value.split(",") if one.strip()] if value else None

    def number(self, name: str) -> float | None:
        """Give a number, or None where an optional one is left empty."""
        definition = self.algorithm.parameterDefinition(name)
        if not self.is_given(name) and definition.defaultValue() is None:
            return None
        return float(self.algorithm.parameterAsDouble(self.parameters, name, self.context))

    def whole(self, name: str) -> int | None:
        """Give a whole number, or None where an optional one is left empty."""
        value = self.number(name)
        return None if value is None else round(value)

    def flag(self, name: str) -> bool:
        """Give a check box."""
        return bool(self.algorithm.parameterAsBool(self.parameters, name, self.context))

    def option(self, name: str, option: str) -> Any:
        """Give the value for an option of rm_geo; None where it is left empty.

        Parameters
        ----------
        name : str
            The parameter.
        option : str
            The library's keyword, such as ``reach_m``.
        """
        read = {
            "boolean": self.flag,
            "integer": self.whole,
            "number": self.number,
            "array": self.names,
        }
        return read.get(describe(option)["type"], self.text)(name)

    def choice(self, name: str) -> str:
        """Give a choice by its name."""
        return str(self.algorithm.parameterAsEnumString(self.parameters, name, self.context))

    def choices(self, name: str) -> list[str]:
        """Give several choices by their names."""
        return list(self.algorithm.parameterAsEnumStrings(self.parameters, name, self.context))

    def crs(self, name: str) -> str | None:
        """Give a CRS as WKT, or None for none."""
        crs = self.algorithm.parameterAsCrs(self.parameters, name, self.context)
        return str(crs.toWkt()) if crs.isValid() else None

    def folder(self, name: str) -> str:
        """Give the folder of the results as an absolute path."""
        path = self.algorithm.parameterAsString(self.parameters, name, self.context)
        if path in ("", QgsProcessing.TEMPORARY_OUTPUT):
            path = QgsProcessingUtils.generateTempFilename(name.lower())
        return os.path.abspath(path)

    def file_target(self, name: str) -> str:
        """Give the file that a table is to be written to."""
        path = self.algorithm.parameterAsFileOutput(self.parameters, name, self.context)
        return os.path.abspath(path)

    def raster_target(self, name: str) -> str | None:
        """Give the file that a raster is to be written to, or None for none."""
        if not self.is_given(name):
            return None
        return self.algorithm.parameterAsOutputLayer(self.parameters, name, self.context) or None

    def file_of(self, layer: VectorInput | None) -> VectorFile | None:
        """Give the file of a layer, made for the run if there is none."""
        return None if layer is None else layer.as_file(self.scratch, self.feedback)
