"""Place of results in the layer tree: a group for each run, in it a group for each cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from qgis.core import (
    QgsLayerTreeGroup,
    QgsLayerTreeLayer,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProject,
    QgsRasterLayer,
)

_RUN, _KIND, _CELL = "rm_geo/run", "rm_geo/kind", "rm_geo/cell"  # properties of nodes in the tree
_LEAVING = "leaving"
_MOST_VALUES = 24  # in a map tip
_POINT = "coalesce(@layer_cursor_point, $geometry)"

# Order in a group, from the top; building layers are transparent outside buildings.
_ORDER = (
    "buildings",
    "buildings_mask",
    "held_out",
    "sites",
    "drive_test",
    "holes",
    "sectors",
    "overshooters",
    "next_drive",
    "change_areas",
    "contours",
    "overlap_areas",
    "server_areas",
    "coverage_areas",
    "statistics_polygons",
    "statistics_grid",
    "best_server",
    "coverage",
    "composite_rsrp",
    "rsrp",
    "gain",
    "measured",
    "reported",
    "uncertainty",
    "change",
    "difference",
    "probability",
    "dominance",
    "servers",
    "sinr",
    "rsrq",
    "rssi",
    "ci",
)
_HIDDEN = frozenset(
    (
        "buildings_mask",
        "reported",
        "uncertainty",
        "overshooters",
        "next_drive",
        "contours",
        "overlap_areas",
        "server_areas",
        "coverage_areas",
        "statistics_polygons",
        "statistics_grid",
        "best_server",
        "probability",
        "dominance",
        "servers",
        "sinr",
        "rsrq",
        "rssi",
        "ci",
    )
)


@dataclass(frozen=True)
class RunGroup:
    """Group of the layers of one run.

    Attributes
    ----------
    key : str
        Differs from that of every other run.
    title : str
        Name of the group; a number is added if another run has a group of that name.
    by_cell : bool
        Whether the layers of a cell have a group of their own in it.
    shown_cell : str or None
        The only cell whose group is switched on; empty for no cell, None for all. A layer that is
        of no cell switches the groups of cells off if it is empty.
    """

    key: str
    title: str
    by_cell: bool = False
    shown_cell: str | None = None


def place(layer: QgsMapLayer, kind: str, cell: str, run: RunGroup, project: QgsProject) -> None:
    """Move a layer into the group of its run.

    Parameters
    ----------
    layer : QgsMapLayer
        The layer, in the project.
    kind, cell : str
        What it shows, and of which cell.
    run : RunGroup
        The run.
    project : QgsProject
        The project.
    """
    node = project.layerTreeRoot().findLayer(layer.id())
    if node is None:
        return
    moved = node.clone()
    moved.setItemVisibilityChecked(kind not in _HIDDEN)
    moved.setCustomProperty(_KIND, kind)
    origin = parent = node.parent()
    # QGIS adds a layer beside the current one, which may be in the group of another run.
    while _is_ours(parent) and parent.parent() is not None:
        parent = parent.parent()
    group = of_run = _run_group(parent, run, project)
    if run.by_cell and cell:
        group = _cell_group(of_run, cell, run)
    node.setCustomProperty(_KIND, _LEAVING)
    group.insertChildNode(_row_for(group, kind), moved)
    if group is not of_run:
        group.setExpanded(run.shown_cell in (None, cell))  # QGIS opens groups that it adds to
    elif run.shown_cell == "":
        for other in _groups(of_run):
            other.setItemVisibilityChecked(False)
            other.setExpanded(False)
    origin.removeChildNode(node)  # last: a layer without a node is removed from the project
    while _is_ours(origin) and not origin.children():
        empty, origin = origin, origin.parent()
        origin.removeChildNode(empty)
    _set_map_tips(group, of_run)


def _is_ours(group: QgsLayerTreeGroup) -> bool:
    """Return whether a group is that of a run or of a cell."""
    return any(group.customProperty(name) is not None for name in (_RUN, _CELL))


def _groups(parent: QgsLayerTreeGroup) -> list[QgsLayerTreeGroup]:
    """Return the groups directly in a group."""
    return [child for child in parent.children() if isinstance(child, QgsLayerTreeGroup)]


def _run_group(parent: QgsLayerTreeGroup, run: RunGroup, project: QgsProject) -> QgsLayerTreeGroup:
    """Return the group of a run, wherever it is; make it on top of ``parent`` if there is none."""
    for group in project.layerTreeRoot().findGroups(True):
        if group.customProperty(_RUN) == run.key:
            return group
    names = {group.name() for group in _groups(parent)}
    title, number = run.title, 1
    while title in names:
        number += 1
        title = f"{run.title} ({number})"
    group = parent.insertGroup(0, title)
    group.setCustomProperty(_RUN, run.key)
    return group


def _cell_group(parent: QgsLayerTreeGroup, cell: str, run: RunGroup) -> QgsLayerTreeGroup:
    """Return the group of a cell in that of its run; make it in the order of numbers."""
    row = 0
    for number, child in enumerate(parent.children()):
        if isinstance(child, QgsLayerTreeGroup):
            other = str(child.customProperty(_CELL))
            if other == cell:
                return child
            if _in_order(other) > _in_order(cell):
                break
        row = number + 1
    group = parent.insertGroup(row, f"Cell {cell}")
    group.setCustomProperty(_CELL, cell)
    group.setItemVisibilityChecked(run.shown_cell in (None, cell))
    return group


def _in_order(cell: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in names by their values."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", cell)]


def _row_for(group: QgsLayerTreeGroup, kind: str) -> int:
    """Return the row of a layer: in the order of kinds, and above the groups of cells."""
    rank = _rank(kind)
    for row, child in enumerate(group.children()):
        if isinstance(child, QgsLayerTreeGroup):
            return row
        if isinstance(child, QgsLayerTreeLayer):
            other = child.customProperty(_KIND)
            if other != _LEAVING and (other is None or _rank(str(other)) >= rank):
                return row
    return len(group.children())


def _rank(kind: str) -> int:
    """Return the rank of a kind, from the top."""
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _set_map_tips(group: QgsLayerTreeGroup, of_run: QgsLayerTreeGroup) -> None:
    """Let the map tips of a group list the values of all its rasters under the cursor.

    The tips of the layers of the whole run also list the RSRP of each cell.
    """
    for one in {group, of_run}:
        layers = [n.layer() for n in one.children() if isinstance(n, QgsLayerTreeLayer)]
        rasters = [layer for layer in layers if isinstance(layer, QgsRasterLayer)]
        for inner in _groups(one):
            rasters += [
                node.layer()
                for node in inner.children()
                if isinstance(node.layer(), QgsRasterLayer) and node.customProperty(_KIND) == "rsrp"
            ]
        template = "<br>".join(_value_line(layer) for layer in rasters[:_MOST_VALUES])
        for layer in layers:
            # QGIS 3.22 has map tips of vector layers alone.
            if layer is not None and hasattr(layer, "setMapTipTemplate"):
                layer.setMapTipTemplate(template)


def _value_line(layer: QgsRasterLayer) -> str:
    """Write the line of a map tip with the value of a raster under the cursor."""
    value = f"raster_value('{layer.id()}', 1, {_POINT})"
    shown = f"coalesce(to_string(round({value}, 1)), '–')"
    if isinstance(layer.renderer(), QgsPalettedRasterRenderer):
        names = ", ".join(
            f"'{one.value:g}', '{_expression_text(one.label)}'"
            for one in layer.renderer().classes()
        )
        shown = f"coalesce(map_get(map({names}), to_string({value})), '–')"
    return f"<b>{escape(layer.name())}</b>: [% {shown} %]"


def _expression_text(label: str) -> str:
    """Write a text for an expression in HTML."""
    return escape(label).replace("\\", "\\\\").replace("'", "''")
