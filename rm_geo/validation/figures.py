"""Figures of the evaluations: scores against sampling rates, and maps side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rm_geo._types import FloatArray
from rm_geo._util.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
"""Pairs of sampling rate (0..1) and score."""


def draw_curves(
    path: Path,
    curves: Mapping[str, Points],
    *,
    title: str,
    ylabel: str,
    published: Mapping[str, tuple[float, float]] | None = None,
    spread: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Plot scores against the sampling rate, and published scores as hollow markers.

    Parameters
    ----------
    path : Path
        PNG to write.
    curves : mapping of str to sequence of (float, float)
        Sampling rate 0..1 and score, by method.
    title, ylabel : str
        Title of the figure, and label of the score axis.
    published : mapping of str to (float, float), optional
        Published sampling rate (0..1) and score, by method.
    spread : mapping of str to sequence of float, optional
        Half length of the error bar of each point, by method.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    figure = _figure(8.5, 4.6)
    axes = figure.add_subplot()
    for name, points in curves.items():
        rates, scores = zip(*points, strict=True)
        (line,) = axes.plot(100.0 * np.asarray(rates), scores, marker="o", ms=3, label=name)
        if spread and name in spread:
            axes.errorbar(
                100.0 * np.asarray(rates),
                scores,
                yerr=spread[name],
                fmt="none",
                capsize=3,
                color=line.get_color(),
            )
        if published and name in published:
            rate, score = published[name]
            axes.plot(
                100.0 * rate,
                score,
                "D",
                mfc="none",
                color=line.get_color(),
                label=f"{name}, published",
            )
    axes.set(title=title, xlabel="sampled pixels outdoors (%)", ylabel=ylabel)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="x-small")
    _save(figure, path)


def draw_maps(path: Path, panels: Mapping[str, FloatArray], *, title: str) -> None:
    """Plot maps on the 0..1 scale side by side, with NaN in white.

    Parameters
    ----------
    path : Path
        PNG to write.
    panels : mapping of str to ndarray of float, shape (H, W)
        Maps on the 0..1 scale, by title.
    title : str
        Title of the figure.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = _figure(2.7 * columns + 0.6, 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, values) in zip(grid.flat, panels.items(), strict=False):
        image = axes.imshow(values, vmin=0.0, vmax=1.0, cmap="viridis", interpolation="nearest")
        axes.set_title(name, fontsize="small")
    figure.colorbar(image, ax=grid, shrink=0.7, label="0..1")
    figure.suptitle(title, fontsize="medium")
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """Create a figure without a window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)
