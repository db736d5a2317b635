"""A picture of a cell: measured points, radio map and buildings side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from rm_geo.atomic import replacing
from rm_geo.estimators.base import FloatArray
from rm_geo.grid import Grid
from rm_geo.measurements import Measurements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from rm_geo.cell_products import CellMaps

RSRP_BREAKS_DBM: Final = (-120.0, -110.0, -100.0, -90.0, -80.0, -70.0)
"""Where planners change the colour."""

_RSRP_COLOURS: Final = ("#30123b", "#4662d7", "#1ae4b6", "#a4fc3c", "#fb8022", "#7a0403")
_LONGEST_SIDE_PX: Final = 900
_POINTS: Final = 20_000
_NOTHING: Final = "#f2f2f2"


def rsrp_colours() -> tuple[Colormap, Normalize]:
    """Colour ramp through the planners' breaks, and its range in dBm."""
    norm = Normalize(RSRP_BREAKS_DBM[0], RSRP_BREAKS_DBM[-1])
    stops = [
        (float(norm(at)), tint) for at, tint in zip(RSRP_BREAKS_DBM, _RSRP_COLOURS, strict=True)
    ]
    ramp = LinearSegmentedColormap.from_list("rsrp", stops)
    return ramp.with_extremes(bad=_NOTHING), norm


def write_preview(path: Path, maps: CellMaps, points: Measurements, title: str) -> None:
    """Draw what was measured and what was made of it.

    Parameters
    ----------
    path : Path
        PNG to write.
    maps : CellMaps
        The cell's maps; large ones are drawn at reduced resolution.
    points : Measurements
        The cell's measurements, in the maps' CRS.
    title : str
        Name of the cell.

    Raises
    ------
    OutputError
        If the picture cannot be written.
    """
    panels = 2 if maps.building_probability is None else 3
    rows, cols = maps.grid.shape
    height = float(np.clip(4.6 * rows / cols, 2.6, 9.0))
    figure = Figure(figsize=(4.6 * panels + 1.0, height + 0.9), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    ramp, norm = rsrp_colours()
    measured = _draw_points(axes[0], maps.grid, points)
    axes[0].set_title(f"{len(points):,} measurements", fontsize=10)
    image = _draw_map(axes[1], maps.grid, maps.rsrp_dbm)
    image.set(cmap=ramp, norm=norm)
    axes[1].set_title("Radio map", fontsize=10)
    figure.colorbar(
        measured, ax=list(axes[:2]), label="RSRP (dBm)", ticks=list(RSRP_BREAKS_DBM),
        extend="both", shrink=0.85,
    )  # fmt: skip
    if maps.building_probability is not None:
        buildings = _draw_map(axes[2], maps.grid, maps.building_probability)
        buildings.set(cmap="Greys", norm=Normalize(0.0, 1.0))
        axes[2].set_title("Buildings", fontsize=10)
        axes[2].set_facecolor("#dfe8f0")
        figure.colorbar(buildings, ax=axes[2], label="probability", shrink=0.85)
    _draw_scale_bar(axes[0], maps.grid)
    figure.suptitle(f"Cell {title}", fontsize=11)
    with replacing(path) as part:
        # No date and no version: the same maps give the same bytes.
        canvas.print_figure(part, format="png", metadata={"Software": None})


def _draw_points(axes: Axes, grid: Grid, points: Measurements) -> AxesImage:
    """Draw the measurements, thinned where there are very many."""
    step = max(1, math.ceil(len(points) / _POINTS))
    ramp, norm = rsrp_colours()
    size = float(np.clip(6000.0 / max(len(points) / step, 1.0), 1.5, 14.0))
    drawn = axes.scatter(
        points.x[::step], points.y[::step], c=points.rsrp_dbm[::step], s=size, cmap=ramp,
        norm=norm, linewidths=0,
    )  # fmt: skip
    axes.set_facecolor(_NOTHING)
    _frame(axes, grid)
    return drawn  # type: ignore[return-value]  # a scatter is as good a source of colours


def _draw_map(axes: Axes, grid: Grid, values: FloatArray) -> AxesImage:
    """Draw a raster, every n-th pixel of a large one."""
    step = max(1, math.ceil(max(grid.shape) / _LONGEST_SIDE_PX))
    west, south, east, north = grid.bounds
    image = axes.imshow(
        np.ma.masked_invalid(values[::step, ::step]), extent=(west, east, south, north),
        interpolation="nearest",
    )  # fmt: skip
    _frame(axes, grid)
    return image


def _frame(axes: Axes, grid: Grid) -> None:
    """Show the grid's whole area, without numbers on the axes."""
    west, south, east, north = grid.bounds
    axes.set(xlim=(west, east), ylim=(south, north), aspect="equal", xticks=[], yticks=[])


def _draw_scale_bar(axes: Axes, grid: Grid) -> None:
    """Draw a bar of a round length, about a quarter of the width."""
    west, south, east, north = grid.bounds
    wanted_m = 0.25 * (east - west)
    power = 10.0 ** math.floor(math.log10(wanted_m))
    length_m = max(factor * power for factor in (1, 2, 5) if factor * power <= wanted_m)
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    axes.plot([x, x + length_m], [y, y], color="black", linewidth=3, solid_capstyle="butt")
    label = f"{length_m:g} m" if length_m < 1000 else f"{length_m / 1000:g} km"
    axes.text(x + length_m / 2, y + 0.015 * (north - south), label, ha="center", fontsize=8)
