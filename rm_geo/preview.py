"""One picture of a result: the measured points, the radio map and the buildings."""

from __future__ import annotations

import io
import math
import os
import warnings
from typing import Final, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from rm_geo.atomic import replacing
from rm_geo.grid import Grid
from rm_geo.picture import Picture, PictureBuilder

FloatArray: TypeAlias = NDArray[np.float32]

RSRP_BREAKS_DBM: Final = (-120.0, -110.0, -100.0, -90.0, -80.0, -70.0)
"""Breaks of the planners' colour ramp."""

RSRP_COLOURS: Final = ("#4b2991", "#2b6cd4", "#18a7a0", "#76bf45", "#f2c230", "#d7301f")
"""Colours at the breaks, from weak to strong; between them the ramp is continuous."""

_BELOW_COLOUR: Final = "#6b6b6b"
_ABOVE_COLOUR: Final = "#7f0d10"
_BUILDING_RAMP: Final = LinearSegmentedColormap.from_list("buildings", ["#f4f1ea", "#8c2d19"])
_FIGURE_DPI: Final = 130
_ASPECTS: Final = (0.35, 2.2)  # of a panel
_NO_DATA_COLOUR: Final = "#ffffff"


def save_preview(
    path: str | os.PathLike[str],
    sparse_dbm: NDArray[np.floating],
    radio_map_dbm: NDArray[np.floating],
    building_probability: NDArray[np.floating] | None,
    grid: Grid,
    title: str = "",
) -> None:
    """Draw measured points, radio map and building map side by side into a PNG.

    Parameters
    ----------
    path : path-like
        The PNG to make or to replace.
    sparse_dbm : ndarray, shape (H, W)
        Measured RSRP in dBm; NaN where nothing was measured.
    radio_map_dbm : ndarray, shape (H, W)
        RSRP everywhere in dBm; NaN where unknown.
    building_probability : ndarray, shape (H, W), or None
        0..1, NaN where unknown; without it the picture has two panels.
    grid : Grid
        Where the pixels are; for the scale bar.
    title : str
        Heading, such as the cell's name.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If a raster does not have the grid's shape.
    """
    rasters = [sparse_dbm, radio_map_dbm]
    if building_probability is not None:
        rasters.append(building_probability)
    for raster in rasters:
        if raster.shape != grid.shape:
            raise ValueError(f"a raster of shape {raster.shape} on a grid of {grid.shape}")
    builder = PictureBuilder(grid, buildings=building_probability is not None)
    builder.add_rows(0, rasters)
    save_picture(path, builder.picture(), title)


def save_picture(path: str | os.PathLike[str], picture: Picture, title: str = "") -> None:
    """Draw a picture whose layers were gathered before into a PNG.

    Parameters
    ----------
    path : path-like
        The PNG to make or to replace.
    picture : Picture
        As :class:`PictureBuilder` gives it.
    title : str
        Heading, such as the cell's name.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    canvas = _draw(picture, "".join(c if c.isprintable() else " " for c in title))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; that is no news to anybody.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # No software version, so that the same result gives the same bytes.
        canvas.print_png(  # type: ignore[no-untyped-call]
            buffer, metadata={"Software": None}, pil_kwargs={"compress_level": 3}
        )
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())


def rsrp_colours() -> tuple[Colormap, Normalize]:
    """Colour map and norm of RSRP: the planners' ramp, grey below and dark red above it."""
    ramp = LinearSegmentedColormap.from_list("rsrp", RSRP_COLOURS)
    limits = Normalize(RSRP_BREAKS_DBM[0], RSRP_BREAKS_DBM[-1])
    return ramp.with_extremes(under=_BELOW_COLOUR, over=_ABOVE_COLOUR, bad=_NO_DATA_COLOUR), limits


def thicken(sparse_dbm: FloatArray, radius_px: int) -> FloatArray:
    """Give each measured pixel a disk of its level; the strongest wins where they meet."""
    if radius_px < 1:
        return sparse_dbm
    offsets = np.arange(-radius_px, radius_px + 1)
    disk = offsets[:, None] ** 2 + offsets**2 <= radius_px**2 + 0.5
    lowest = np.float32(-np.inf)
    filled = np.where(np.isfinite(sparse_dbm), sparse_dbm, lowest)
    spread = ndimage.maximum_filter(filled, footprint=disk, mode="constant", cval=lowest)
    return np.where(np.isfinite(spread), spread, np.nan).astype(np.float32)


def _draw(picture: Picture, title: str) -> FigureCanvasAgg:
    """Draw the panels, colour bars and heading of one figure."""
    grid = picture.grid
    height, width = grid.shape
    canvas, axes, bars = _lay_out(3 if picture.buildings is not None else 2, height / width)
    points = thicken(picture.points, _point_radius(picture.points))
    # Blocks may hang over the raster's southern and eastern edge, where the axes cut them.
    block_m = picture.factor * grid.spacing_m
    north_m, east_m = height * grid.spacing_m, width * grid.spacing_m
    extent = (0.0, points.shape[1] * block_m, north_m - points.shape[0] * block_m, north_m)
    measured = picture.measured
    share = 100.0 * measured / (height * width)
    headings = [f"Measured: {measured:,} pixels ({share:.2g} %)", "Radio map", "Buildings"]
    for ax, heading in zip(axes, headings, strict=False):
        ax.set_title(heading, fontsize=10)
        ax.set_facecolor(_NO_DATA_COLOUR)
        ax.set_xticks([])
        ax.set_yticks([])
    colours, limits = rsrp_colours()
    for ax, image in zip(axes, (points, picture.radio_map), strict=False):
        ax.imshow(image, cmap=colours, norm=limits, extent=extent, interpolation="nearest")
    levels = canvas.figure.colorbar(ScalarMappable(limits, colours), cax=bars[0], extend="both")
    levels.set_ticks(list(RSRP_BREAKS_DBM))
    levels.set_label("RSRP in dBm", fontsize=8)
    if picture.buildings is not None:
        drawn = axes[2].imshow(
            picture.buildings,
            cmap=_BUILDING_RAMP,
            vmin=0,
            vmax=1,
            extent=extent,
            interpolation="nearest",
        )
        canvas.figure.colorbar(drawn, cax=bars[1]).set_label(
            "Probability of a building", fontsize=8
        )
    for bar in bars:
        bar.tick_params(labelsize=8)
    for ax in axes:
        ax.set_xlim(0.0, east_m)
        ax.set_ylim(0.0, north_m)
        ax.set_aspect("auto" if _is_extreme(height / width) else "equal")
    _add_scale_bar(axes[-1], east_m, north_m)
    canvas.figure.suptitle(title, fontsize=12, parse_math=False)
    return canvas


def _lay_out(panels: int, aspect: float) -> tuple[FigureCanvasAgg, list[Axes], list[Axes]]:
    """Place panels of a raster's proportions, and a colour bar after the second and third.

    By hand, because matplotlib's layout engines draw everything twice.
    """
    shown = min(max(aspect, _ASPECTS[0]), _ASPECTS[1])
    panel = 4.2 if shown <= 1.2 else 4.2 * math.sqrt(1.2 / shown)
    edge, gap, bar, bar_room, head = 0.12, 0.12, 0.15, 0.85, 0.75
    width = 2 * edge + panels * panel + gap + (panels - 1) * bar_room
    height = edge + panel * shown + head
    figure = Figure(figsize=(width, height), dpi=_FIGURE_DPI)
    canvas = FigureCanvasAgg(figure)

    def place(left: float, size: float) -> Axes:
        return figure.add_axes((left / width, edge / height, size / width, panel * shown / height))

    axes, bars = [], []
    left = edge
    for index in range(panels):
        axes.append(place(left, panel))
        left += panel
        if index == 0:
            left += gap
        else:
            bars.append(place(left + 0.1, bar))
            left += bar_room
    return canvas, axes, bars


def _is_extreme(aspect: float) -> bool:
    """Whether a raster is so long that its panels are stretched to stay legible."""
    return not _ASPECTS[0] <= aspect <= _ASPECTS[1]


def _point_radius(points: FloatArray) -> int:
    """Radius in picture pixels at which rare points are visible and dense ones apart."""
    share = float(np.isfinite(points).mean())
    if share > 0.12:
        return 0
    return max(1, round(float(max(points.shape)) / (350.0 if share > 0.02 else 180.0)))


def _add_scale_bar(ax: Axes, width_m: float, height_m: float) -> None:
    """Draw a bar of a round length, at most a third of the width, with its length."""
    length = _round_length(width_m / 3.0)
    left, bottom = 0.04 * width_m, 0.04 * height_m
    thickness = 0.012 * max(height_m, 0.4 * width_m)
    pad = 1.5 * thickness
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    ax.add_patch(
        Rectangle(
            (left - pad, bottom - pad),
            length + 2 * pad,
            thickness + 2 * pad,
            facecolor="white",
            edgecolor="none",
            alpha=0.8,
            zorder=3,
        )
    )
    ax.add_patch(
        Rectangle((left, bottom), length, thickness, facecolor="black", edgecolor="none", zorder=4)
    )
    ax.annotate(
        text,
        (left + length / 2, bottom + thickness + pad),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8,
        zorder=5,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "alpha": 0.8, "lw": 0},
    )


def _round_length(limit_m: float) -> float:
    """Largest of 1, 2 or 5 times a power of ten that is not above a limit."""
    power = 10.0 ** math.floor(math.log10(limit_m))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= limit_m * (1 + 1e-9))
