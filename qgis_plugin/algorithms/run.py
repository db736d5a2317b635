"""One run of an algorithm: parameter values converted for the worker."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingUtils,
)

from ..descriptions import describe
from ..inputs import VectorFile, VectorInput


@dataclass(frozen=True)
class Run:
    """Parameter values of a run.

    Attributes
    ----------
    algorithm, parameters, context, feedback
        As Processing gives them.
    scratch : str
        Folder of temporary files, removed after the run.
    targets : dict of str to str or None
        Output layers by parameter, once they have been asked for: Processing gives a temporary
        output another name, and loads another layer, each time it is asked.
    """

    algorithm: QgsProcessingAlgorithm
    parameters: dict[str, Any]
    context: QgsProcessingContext
    feedback: QgsProcessingFeedback
    scratch: str
    targets: dict[str, str | None] = field(default_factory=dict)

    def is_given(self, name: str) -> bool:
        """Return whether an optional parameter has a value; an output without a path has none."""
        value = self.parameters.get(name)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            return bool(path_of(value))
        return value not in (None, "")

    @cached_property
    def loads_layers(self) -> bool:
        """Whether all layers of the result are loaded; read before the job, like all parameters.

        Layers of the parameters may be gone after it, and with them what QGIS reads of the others.

        The batch dialog says by its outputs whether it loads layers. Those that are left empty
        come from no other dialog.
        """
        if self.algorithm.parameterDefinition("LOAD") is None or not self.flag("LOAD"):
            return False
        given = [
            value
            for value in self.parameters.values()
            if isinstance(value, QgsProcessingOutputLayerDefinition)
        ]
        is_batch = any(not path_of(value) for value in given)
        return not is_batch or any(value.destinationProject is not None for value in given)

    def text(self, name: str) -> str | None:
        """Return a text, or None if it is empty."""
        value = self.algorithm.parameterAsString(self.parameters, name, self.context)
        return value.strip() or None

    def names(self, name: str) -> list[str] | None:
        """Return names separated by commas, or None if there are none."""
        value = self.text(name)
        return [one.strip() for one in value.split(",") if one.strip()] if value else None

    def number(self, name: str) -> float | None:
        """Return a number, or None if it is empty."""
        definition = self.algorithm.parameterDefinition(name)
        if not self.is_given(name) and definition.defaultValue() is None:
            return None
        return float(self.algorithm.parameterAsDouble(self.parameters, name, self.context))

    def whole(self, name: str) -> int | None:
        """Return an integer, or None if it is empty."""
        value = self.number(name)
        return None if value is None else round(value)

    def flag(self, name: str) -> bool:
        """Return the state of a check box."""
        return bool(self.algorithm.parameterAsBool(self.parameters, name, self.context))

    def option(self, name: str, option: str) -> Any:
        """Return the value for an option of rm_geo, or None if it is empty.

        Parameters
        ----------
        name : str
            Name of the parameter.
        option : str
            The library's keyword, such as ``reach_m``.

        Returns
        -------
        bool, int, float, str, list of str or None
            Value of the type of the option.
        """
        read = {
            "boolean": self.flag,
            "integer": self.whole,
            "number": self.number,
            "array": self.names,
        }
        return read.get(describe(option)["type"], self.text)(name)

    def choice(self, name: str) -> str:
        """Return the name of a choice."""
        return str(self.algorithm.parameterAsEnumString(self.parameters, name, self.context))

    def choices(self, name: str) -> list[str]:
        """Return the names of several choices."""
        found = self.algorithm.parameterAsEnumStrings(self.parameters, name, self.context)
        return [one for one in found if one]

    def crs(self, name: str) -> str | None:
        """Return a CRS as WKT, or None if it is empty."""
        crs = self.algorithm.parameterAsCrs(self.parameters, name, self.context)
        return str(crs.toWkt()) if crs.isValid() else None

    def extent(self, name: str, layer: VectorInput | None) -> list[float] | None:
        """Return an extent in the CRS of a layer: west, south, east, north; None if empty."""
        if layer is None:
            return None
        crs = layer.source.sourceCrs()
        box = self.algorithm.parameterAsExtent(self.parameters, name, self.context, crs)
        if box.isNull():
            return None
        if not crs.isValid():
            raise QgsProcessingException(
                f"The layer {layer.name!r} has no geometry, so that an extent cannot choose rows.\n"
                "Leave the extent empty, or make points of the table first."
            )
        return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]

    def folder(self, name: str) -> str:
        """Return the absolute path of an output folder."""
        path = self.algorithm.parameterAsString(self.parameters, name, self.context)
        if path in ("", QgsProcessing.TEMPORARY_OUTPUT):
            path = QgsProcessingUtils.generateTempFilename(name.lower())
        return os.path.abspath(path)

    def file_target(self, name: str) -> str:
        """Return the absolute path of an output file."""
        path = self.algorithm.parameterAsFileOutput(self.parameters, name, self.context)
        return os.path.abspath(path)

    def layer_target(self, name: str) -> str | None:
        """Return the path of an output layer, or None if it is not requested."""
        if name not in self.targets:
            target = None
            if self.is_given(name):
                read = self.algorithm.parameterAsOutputLayer
                target = read(self.parameters, name, self.context) or None
            self.targets[name] = target
        return self.targets[name]

    def file_of(self, layer: VectorInput | None) -> VectorFile | None:
        """Return the file of a layer, exported if necessary."""
        return None if layer is None else layer.as_file(self.scratch, self.feedback)

    def required_file_of(self, layer: VectorInput | None) -> VectorFile:
        """Return the file of a layer that has to be given."""
        found = self.file_of(layer)
        if found is None:
            raise QgsProcessingException(
                "A layer of the input is missing.\nChoose it, and run again."
            )
        return found


def path_of(value: object) -> str:
    """Return the path in the value of an output parameter.

    Parameters
    ----------
    value : object
        A path, a definition of an output layer, or None.

    Returns
    -------
    str
        The path; empty if there is none.
    """
    if isinstance(value, QgsProcessingOutputLayerDefinition):
        return str(value.sink.staticValue() or "")
    return value if isinstance(value, str) else ""
