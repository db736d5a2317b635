"""Widget of the parameter 'Only these cells': a text, and a button that lists the cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingParameterDefinition
from qgis.gui import (
    QgsAbstractProcessingParameterWidgetWrapper,
    QgsGui,
    QgsProcessingGui,
)
from qgis.PyQt.QtWidgets import QHBoxLayout, QLineEdit, QToolButton, QWidget

from .algorithms.list_cells import ListCells
from .cell_list import CellListDialog

_MODEL_DIALOG = "ModelerParametersDialog"
_BATCH_DIALOG = "BatchAlgorithmDialog"


class CellsWidgetChoice:
    """Chooses the widget by the dialog: QGIS's own for a text in batches and models.

    QGIS creates the widget of a parameter by calling the class that its metadata name. A batch
    and a model take the names as text; a model also takes inputs and results of its steps.
    """

    def __new__(  # noqa: D102 - see the class
        cls,
        parameter: QgsProcessingParameterDefinition,
        dialog: Any,
        row: int = 0,
        column: int = 0,
        **_: object,
    ) -> QgsAbstractProcessingParameterWidgetWrapper:
        registry = QgsGui.processingGuiRegistry()
        kind = type(dialog).__name__
        if kind == _MODEL_DIALOG:
            widget = registry.createModelerParameterWidget(
                dialog.model, dialog.childId, parameter, dialog.context
            )
        elif kind == _BATCH_DIALOG:
            widget = registry.createParameterWidgetWrapper(
                parameter, QgsProcessingGui.WidgetType.Batch
            )
        else:
            return CellsWidget(parameter)
        widget.setDialog(dialog)
        return widget


class CellsWidget(QgsAbstractProcessingParameterWidgetWrapper):
    """The names as text, and a button that lists the cells of the measurements.

    Parameters
    ----------
    parameter : QgsProcessingParameterDefinition
        A text parameter.
    """

    def __init__(self, parameter: QgsProcessingParameterDefinition) -> None:
        super().__init__(parameter, QgsProcessingGui.WidgetType.Standard)
        self._others: dict[str, QgsAbstractProcessingParameterWidgetWrapper] = {}
        self.dialog: CellListDialog | None = None

    def createWidget(self) -> QWidget:
        """Create the line and the button."""
        widget = QWidget()
        self.line = QLineEdit()
        self.line.setPlaceholderText("all cells")
        self.line.textChanged.connect(lambda _: self.widgetValueHasChanged.emit(self))
        self.button = QToolButton()
        self.button.setText("…")
        self.button.setToolTip("List the cells of the measurements with their counts")
        self.button.clicked.connect(lambda _checked=False: self.choose())
        layout = QHBoxLayout(widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.button)
        return widget

    def setWidgetValue(self, value: object, context: QgsProcessingContext) -> None:
        """Show names."""
        self.line.setText(str(value) if isinstance(value, str) else "")

    def widgetValue(self) -> str | None:
        """Return the names, separated by commas; None for all cells."""
        return self.line.text().strip() or None

    def postInitialize(
        self, wrappers: Sequence[QgsAbstractProcessingParameterWidgetWrapper]
    ) -> None:
        """Remember the widgets of the parameters that select the measurements."""
        super().postInitialize(wrappers)
        wanted = ListCells.parameter_names()
        names = {one.parameterDefinition().name(): one for one in wrappers}
        self._others = {name: one for name, one in names.items() if name in wanted}

    def choose(self) -> None:
        """Open the list of cells; its choice becomes the text."""
        parameters = {name: one.parameterValue() for name, one in self._others.items()}
        checked = [name.strip() for name in self.line.text().split(",") if name.strip()]
        self.dialog = CellListDialog(parameters, checked, self.wrappedWidget().window())
        self.dialog.accepted.connect(self._take)
        self.dialog.open()

    def _take(self) -> None:
        """Show the cells that are chosen in the list."""
        if self.dialog is not None:
            self.line.setText(", ".join(self.dialog.names()))
