"""Training curves: reading the log of a training and plotting it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rm_geo._util.atomic import replacing
from rm_geo.errors import InputError

CURVES_NAME = "curves.png"

Series = dict[str, list[tuple[float, float]]]
"""Points (minutes, value) by name."""


@dataclass(frozen=True)
class TrainingCurves:
    """Losses and validation scores of a training over time.

    Attributes
    ----------
    losses, validation : dict of str to list of (float, float)
        Points (minutes of training, value) by name.
    """

    losses: Series
    validation: Series


def read_curves(log: Path) -> TrainingCurves:
    """Read the log of a training, a file of JSON lines.

    Parameters
    ----------
    log : Path
        The log. A missing file is an empty log: the training was stopped before its first line.

    Returns
    -------
    TrainingCurves
        Incomplete lines are ignored. Of several lines for one step, which a resumed training
        may write, the last one is used.

    Raises
    ------
    InputError
        If the log exists and cannot be read.
    """
    entries: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        lines = log.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The log {log} cannot be read: {error}.") from error
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        for kind in ("losses", "validation"):
            if kind in entry:
                entries[kind, int(entry["step"])] = entry
    course = TrainingCurves({}, {})
    for (kind, _), entry in sorted(entries.items(), key=lambda item: item[0][1]):
        series = course.losses if kind == "losses" else course.validation
        for name, value in entry[kind].items():
            series.setdefault(name, []).append((float(entry.get("minutes", 0.0)), float(value)))
    return course


def draw_curves(course: TrainingCurves, path: Path) -> bool:
    """Plot losses and validation scores against minutes of training.

    Parameters
    ----------
    course : TrainingCurves
        The curves.
    path : Path
        PNG file to write.

    Returns
    -------
    bool
        Whether the file was written. It is not if matplotlib is not installed or the curves are
        empty.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if not course.losses and not course.validation:
        return False
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    # Scores have different units, so each has its own panel.
    panels = [
        ("losses", course.losses),
        *((name, {name: points}) for name, points in course.validation.items()),
    ]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, series) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        for name, points in series.items():
            axes.plot(
                *zip(*points, strict=True), marker="." if len(points) < 30 else "", label=name
            )
        axes.set_title(title)
        axes.set_xlabel("minutes of training")
        axes.grid(visible=True, alpha=0.3)
        if title == "losses" and series:
            values = [value for points in series.values() for _, value in points]
            axes.set_yscale("log" if min(values) > 0.0 else "symlog")
            axes.legend(fontsize="small")
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)
    return True
