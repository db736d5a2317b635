"""Dialog that lists the cells of a drive test with their counts, to choose some of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QProgressBar,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .algorithms.list_cells import ListCells

_COLUMNS = (
    ("Cell", "identity"),
    ("Measurements", "points"),
    ("Median RSRP [dBm]", "median_dbm"),
    ("Technology", "technology"),
    ("Carrier", "carrier"),
    ("Operator", "operator"),
)
_NAME_ROLE = Qt.ItemDataRole.UserRole


class CellListDialog(QDialog):
    """Reads the cells of a log in the background, and lists them with check boxes.

    Parameters
    ----------
    parameters : mapping
        Values of the parameters that select the measurements.
    checked : iterable of str
        Cells that are checked at first; all if there are none.
    parent : QWidget or None
        Window of the dialog.
    """

    def __init__(
        self, parameters: Mapping[str, Any], checked: Iterable[str], parent: QWidget | None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Cells of the measurements")
        self.resize(640, 480)
        self._checked = set(checked)
        context = QgsProcessingContext()
        context.setProject(QgsProject.instance())
        self.feedback = _Messages()
        self.label = QLabel("Reading the measurements…")
        self.label.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.tree = QTreeWidget()
        self.tree.setRootIsDecorated(False)
        self.tree.setHeaderLabels([title for title, _ in _COLUMNS])
        self.tree.itemChanged.connect(self._count)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.all_button = self._add_button("Select All", Qt.CheckState.Checked)
        self.none_button = self._add_button("Clear Selection", Qt.CheckState.Unchecked)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.ok_button = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.ok_button.setEnabled(False)
        layout = QVBoxLayout(self)
        for widget in (self.label, self.bar, self.tree, self.buttons):
            layout.addWidget(widget)
        algorithm = ListCells()
        task = QgsProcessingAlgRunnerTask(algorithm, dict(parameters), context, self.feedback)
        task.kept = (algorithm, context, self.feedback)  # the task may outlive the dialog
        task.executed.connect(self._show)
        self._task: QgsProcessingAlgRunnerTask | None = task
        QgsApplication.taskManager().addTask(task)

    def names(self) -> list[str]:
        """Return the cells that are checked.

        Returns
        -------
        list of str
            Empty if all are, since then cells of a later version of the log belong to them too.
        """
        items = self._items()
        chosen = [one for one in items if one.checkState(0) == Qt.CheckState.Checked]
        if len(chosen) == len(items):
            return []
        return [str(one.data(0, _NAME_ROLE)) for one in chosen]

    def done(self, result: int) -> None:
        """Close the dialog, and stop reading."""
        if self._task is not None:
            self._task.cancel()
        super().done(result)

    def _add_button(self, text: str, state: Any) -> Any:
        """Add a button that sets all check boxes."""
        button = self.buttons.addButton(text, QDialogButtonBox.ButtonRole.ActionRole)
        button.clicked.connect(lambda _checked=False: self._check_all(state))
        button.setEnabled(False)
        return button

    def _items(self) -> list[QTreeWidgetItem]:
        """Return all rows."""
        return [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]

    def _show(self, is_good: bool, results: Mapping[str, Any]) -> None:
        """List the cells, or say why there are none; called by the task at its end."""
        self._task = None
        self.bar.hide()
        if not is_good or "CELLS" not in results:
            self.label.setText("\n".join(self.feedback.errors) or "The cells cannot be read.")
            return
        self.tree.blockSignals(True)
        for cell in results["CELLS"]:
            self.tree.addTopLevelItem(self._item(cell))
        self.tree.blockSignals(False)
        self.tree.header().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)  # as in the report
        self.tree.setSortingEnabled(True)
        for column in range(len(_COLUMNS)):
            self.tree.resizeColumnToContents(column)
            is_empty = not any(item.text(column) for item in self._items())
            self.tree.setColumnHidden(column, is_empty)
        self.all_button.setEnabled(True)
        self.none_button.setEnabled(True)
        self._count()

    def _item(self, cell: Mapping[str, Any]) -> QTreeWidgetItem:
        """Return the row of a cell."""
        item = QTreeWidgetItem()
        for column, (_, key) in enumerate(_COLUMNS):
            value = cell[key]
            shown = round(value, 1) if isinstance(value, float) else value
            item.setData(column, Qt.ItemDataRole.DisplayRole, shown)
        name, identity = str(cell["name"]), str(cell["identity"])
        item.setText(0, identity or name)
        item.setData(0, _NAME_ROLE, name)
        is_checked = not self._checked or bool({name, identity} & self._checked)
        item.setCheckState(0, Qt.CheckState.Checked if is_checked else Qt.CheckState.Unchecked)
        return item

    def _check_all(self, state: Any) -> None:
        """Set all check boxes."""
        self.tree.blockSignals(True)
        for item in self._items():
            item.setCheckState(0, state)
        self.tree.blockSignals(False)
        self._count()

    def _count(self, *_: object) -> None:
        """Say how many cells are checked; none at all cannot be chosen."""
        items = self._items()
        checked = sum(item.checkState(0) == Qt.CheckState.Checked for item in items)
        self.label.setText(f"{checked} of {len(items)} cells")
        self.ok_button.setEnabled(checked > 0)


class _Messages(QgsProcessingFeedback):
    """Keeps the errors of a run."""

    def __init__(self) -> None:
        super().__init__(False)
        self.errors: list[str] = []

    def reportError(self, error: str, fatalError: bool = False) -> None:
        """Keep an error."""
        self.errors.append(error)
