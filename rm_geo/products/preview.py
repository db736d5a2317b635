"""One picture of a result: the measured points, the radio map and the buildings.

Drawn with Pillow: importing matplotlib and drawing with it took as long as the network needed for a
square kilometre.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from rm_geo._types import FloatArray
from rm_geo._util.atomic import replacing
from rm_geo.grid import Grid
from rm_geo.products.colormap import BUILDING_RAMP, RSRP_BREAKS_DBM, RSRP_RAMP, ColourRamp
from rm_geo.products.preview_layers import Picture, PictureBuilder

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture."""

_PANEL_PX: Final = 546
_ASPECTS: Final = (0.35, 2.2)  # of a panel
_EDGE_PX, _GAP_PX, _BAR_PX, _BAR_ROOM_PX, _HEAD_PX = 16, 16, 20, 110, 98
_INK: Final = "#1a1a1a"
_PAPER: Final = "#ffffff"
_HEADING_PX, _TITLE_PX, _LABEL_PX = 18, 22, 14


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
    drawn = _draw(picture, "".join(c if c.isprintable() else " " for c in title))
    buffer = io.BytesIO()
    drawn.save(buffer, format="png", compress_level=3)
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())


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


@dataclass(frozen=True)
class _Layout:
    """Where everything goes.

    Attributes
    ----------
    size : (int, int)
        Width and height of the picture.
    panels : tuple of boxes
        One for each layer.
    bars : tuple of boxes
        Colour bars, after the second and the third panel.
    """

    size: tuple[int, int]
    panels: tuple[Box, ...]
    bars: tuple[Box, ...]


def _lay_out(panels: int, aspect: float) -> _Layout:
    """Place panels of a raster's proportions, and a colour bar after the second and third."""
    shown = min(max(aspect, _ASPECTS[0]), _ASPECTS[1])
    width = round(_PANEL_PX if shown <= 1.2 else _PANEL_PX * math.sqrt(1.2 / shown))
    height = round(width * shown)
    top, bottom = _HEAD_PX, _HEAD_PX + height
    boxes, bars = [], []
    left = _EDGE_PX
    for index in range(panels):
        boxes.append((left, top, left + width, bottom))
        left += width + _GAP_PX
        if index > 0:
            bars.append((left, top, left + _BAR_PX, bottom))
            left += _BAR_ROOM_PX
    return _Layout((left + _EDGE_PX, bottom + _EDGE_PX), tuple(boxes), tuple(bars))


def _draw(picture: Picture, title: str) -> Image.Image:
    """Draw the panels, colour bars and heading of one figure."""
    height, width = picture.grid.shape
    layers = [
        (RSRP_RAMP, thicken(picture.points, _point_radius(picture.points))),
        (RSRP_RAMP, picture.radio_map),
    ]
    if picture.buildings is not None:
        layers.append((BUILDING_RAMP, picture.buildings))
    layout = _lay_out(len(layers), height / width)
    drawn = Image.new("RGB", layout.size, _PAPER)
    pen = ImageDraw.Draw(drawn)

    share = 100.0 * picture.measured / (height * width)
    headings = (f"Measured: {picture.measured:,} pixels ({share:.2g} %)", "Radio map", "Buildings")
    # Blocks may hang over the raster's southern and eastern edge, where they are cut.
    source = (0.0, 0.0, width / picture.factor, height / picture.factor)
    for box, (ramp, values), heading in zip(layout.panels, layers, headings, strict=False):
        left, top, right, bottom = box
        image = Image.fromarray(ramp.rgb(values))
        # A box filter repeats pixels that grow and loses none that shrink.
        size = (right - left, bottom - top)
        drawn.paste(image.resize(size, Image.Resampling.BOX, box=source), (left, top))
        _frame(pen, box)
        _write(pen, heading, ((left + right) / 2, top - 8), _HEADING_PX, "ms", right - left)
    _draw_bar(drawn, layout.bars[0], RSRP_RAMP, RSRP_BREAKS_DBM, "RSRP in dBm")
    for bar in layout.bars[1:]:
        ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        _draw_bar(drawn, bar, BUILDING_RAMP, ticks, "Probability of a building")
    _draw_scale(pen, layout.panels[-1], width * picture.grid.spacing_m)
    _write(
        pen,
        title,
        (layout.size[0] / 2, _HEAD_PX / 3),
        _TITLE_PX,
        "mm",
        layout.size[0] - 2 * _EDGE_PX,
    )
    return drawn


def _draw_bar(
    drawn: Image.Image, box: Box, ramp: ColourRamp, ticks: Sequence[float], label: str
) -> None:
    """Draw a ramp from bottom to top, with arrows where it has colours for values outside."""
    left, top, right, bottom = box
    pen = ImageDraw.Draw(drawn)
    middle, arrow = (left + right) / 2, 0.8 * _BAR_PX
    if ramp.above is not None:
        pen.polygon(
            [(left, top + arrow), (middle, top), (right, top + arrow)],
            fill=ramp.above,
            outline=_INK,
        )
        top += round(arrow)
    if ramp.below is not None:
        pen.polygon(
            [(left, bottom - arrow), (middle, bottom), (right, bottom - arrow)],
            fill=ramp.below,
            outline=_INK,
        )
        bottom -= round(arrow)
    values = np.linspace(ramp.highest, ramp.lowest, bottom - top)
    strip = np.repeat(ramp.rgb(values)[:, None], right - left, axis=1)
    drawn.paste(Image.fromarray(strip), (left, top))
    _frame(pen, (left, top, right, bottom))
    widest = 0.0
    for tick in ticks:
        y = bottom - (tick - ramp.lowest) / (ramp.highest - ramp.lowest) * (bottom - top)
        pen.line([(right, y), (right + 5, y)], fill=_INK)
        text = f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        _write(pen, text, (right + 9, y), _LABEL_PX, "lm")
        widest = max(widest, pen.textlength(text, font=_font(_LABEL_PX)))
    upright = Image.new("RGB", (bottom - top, 2 * _LABEL_PX), _PAPER)
    _write(
        ImageDraw.Draw(upright),
        label,
        (upright.width / 2, _LABEL_PX),
        _LABEL_PX,
        "mm",
        upright.width,
    )
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    drawn.paste(turned, (round(right + 10 + widest), top))


def _draw_scale(pen: ImageDraw.ImageDraw, panel: Box, width_m: float) -> None:
    """Draw a bar of a round length, at most a third of the panel's width, with its length."""
    length_m = _round_length(width_m / 3.0)
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    panel_px = panel[2] - panel[0]
    length = length_m / width_m * panel_px
    left, bottom = panel[0] + 0.04 * panel_px, panel[3] - 16.0
    middle = left + length / 2
    half = max(length, pen.textlength(text, font=_font(_LABEL_PX))) / 2
    pen.rectangle((middle - half - 8, bottom - 32, middle + half + 8, bottom + 8), fill=_PAPER)
    pen.rectangle((left, bottom - 6, left + length, bottom), fill=_INK)
    _write(pen, text, (middle, bottom - 12), _LABEL_PX, "ms")


def _round_length(limit_m: float) -> float:
    """Largest of 1, 2 or 5 times a power of ten that is not above a limit."""
    power = 10.0 ** math.floor(math.log10(limit_m))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= limit_m * (1 + 1e-9))


def _point_radius(points: FloatArray) -> int:
    """Radius in picture pixels at which rare points are visible and dense ones apart."""
    share = float(np.isfinite(points).mean())
    if share > 0.12:
        return 0
    return max(1, round(float(max(points.shape)) / (350.0 if share > 0.02 else 180.0)))


def _frame(pen: ImageDraw.ImageDraw, box: Box) -> None:
    """Draw a line around what fills a box."""
    left, top, right, bottom = box
    pen.rectangle((left - 1, top - 1, right, bottom), outline=_INK)


def _write(
    pen: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float],
    size_px: int,
    anchor: str,
    room_px: float = math.inf,
) -> None:
    """Write a text, its end cut off where there is no room for it."""
    font = _font(size_px)
    kept = len(text)
    while kept > 0 and pen.textlength(_cut(text, kept), font=font) > room_px:
        kept -= 1
    pen.text(place, _cut(text, kept), fill=_INK, font=font, anchor=anchor)


def _cut(text: str, kept: int) -> str:
    """Keep a text's beginning, and show that there was more."""
    return text if kept == len(text) else text[:kept] + "\N{HORIZONTAL ELLIPSIS}"


def _font(size_px: int) -> Font:
    """Give the sans serif that matplotlib carries, for it has more scripts than Pillow's own."""
    # Where a package lies can be asked without importing it.
    found = find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size_px)
    return ImageFont.load_default(size_px)
