"""A PNG preview of a cell: the measured points, the radio map and the building map.

The maps are read from the GeoTIFFs that were just written, by GDAL from their overviews. Drawn with
Pillow: importing matplotlib and drawing with it takes as long as the network needs for a square
kilometre.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rasterio.enums import Resampling
from scipy import ndimage

from rm_geo._types import FloatArray
from rm_geo._util.atomic import replacing
from rm_geo.errors import OutputError
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import GDAL_ERRORS, gdal_reason
from rm_geo.products.colormap import BUILDING_RAMP, RSRP_BREAKS_DBM, RSRP_RAMP, ColourRamp
from rm_geo.products.fonts import sans_serif

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture."""

_LONGEST_SIDE_PX: Final = 600  # of a layer; the panel that shows it has fewer pixels
_PANEL_PX: Final = 546
_ASPECTS: Final = (0.35, 2.2)  # of a panel
_EDGE_PX, _GAP_PX, _BAR_PX, _BAR_ROOM_PX, _HEAD_PX = 16, 16, 20, 110, 98
_INK: Final = "#1a1a1a"
_PAPER: Final = "#ffffff"
_HEADING_PX, _TITLE_PX, _LABEL_PX = 18, 22, 14


class MeasuredPoints:
    """The measured pixels of a raster, averaged in blocks small enough for a preview.

    Parameters
    ----------
    grid : Grid
        Grid of the raster.

    Attributes
    ----------
    grid : Grid
        Grid of the raster.
    factor : int
        Side of a block in pixels.
    count : int
        Measured pixels so far.

    Examples
    --------
    >>> grid = Grid.create(500_000.0, 5_000_000.0, (2, 2), 1.0, 32633)
    >>> points = MeasuredPoints(grid)
    >>> points.add_rows(0, np.array([[-80.0, np.nan], [np.nan, np.nan]]))
    >>> points.mean_dbm().tolist(), points.count
    ([[-80.0, nan], [nan, nan]], 1)
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.factor = max(1, math.ceil(max(grid.shape) / _LONGEST_SIDE_PX))
        self.count = 0
        rows, cols = (-(-length // self.factor) for length in grid.shape)
        self._total = np.zeros((rows, cols))
        self._number = np.zeros((rows, cols))

    def add_rows(self, row: int, measured_dbm: NDArray[np.floating]) -> None:
        """Add rows of the raster; the number of rows per call does not change the result.

        Parameters
        ----------
        row : int
            Index of the first row.
        measured_dbm : ndarray, shape (rows, W)
            RSRP in dBm; NaN where nothing was measured.
        """
        rows, cols = np.nonzero(np.isfinite(measured_dbm))
        blocks = ((row + rows) // self.factor, cols // self.factor)
        np.add.at(self._total, blocks, measured_dbm[rows, cols])
        np.add.at(self._number, blocks, 1.0)
        self.count += rows.size

    def mean_dbm(self) -> FloatArray:
        """Average the measured pixels of each block.

        Returns
        -------
        ndarray of float32, shape (ceil(H / factor), ceil(W / factor))
            NaN where nothing was measured.
        """
        mean = self._total / np.maximum(self._number, 1.0)
        return np.where(self._number > 0, mean, np.nan).astype(np.float32)


def save_preview(
    path: str | os.PathLike[str],
    points: MeasuredPoints,
    radio_map: Path,
    buildings: Path | None = None,
    title: str = "",
) -> None:
    """Draw measured points, radio map and building map side by side into a PNG.

    Parameters
    ----------
    path : path-like
        The PNG to create or replace.
    points : MeasuredPoints
        Measured RSRP.
    radio_map : Path
        GeoTIFF of RSRP in dBm.
    buildings : Path, optional
        GeoTIFF of building probabilities, 0..1; without it the preview has two panels.
    title : str
        Heading, such as the name of the cell.

    Raises
    ------
    OutputError
        If the PNG cannot be written, or a GeoTIFF cannot be read.

    Examples
    --------
    >>> save_preview("7.png", points, Path("7_rsrp.tif"))  # doctest: +SKIP
    """
    maps = [(RSRP_RAMP, _read_reduced(radio_map))]
    if buildings is not None:
        maps.append((BUILDING_RAMP, _read_reduced(buildings)))
    drawn = _draw(points, maps, "".join(c if c.isprintable() else " " for c in title))
    buffer = io.BytesIO()
    drawn.save(buffer, format="png", compress_level=3)
    with replacing(path) as part:
        part.write_bytes(buffer.getvalue())


def _read_reduced(path: Path) -> FloatArray:
    """Read a raster at the size of a preview, from its overviews; NaN where it has no data."""
    try:
        with rasterio.open(path) as dataset:
            share = min(1.0, _LONGEST_SIDE_PX / max(dataset.shape))
            shape = tuple(max(1, round(length * share)) for length in dataset.shape)
            values = dataset.read(1, out_shape=shape, resampling=Resampling.average, masked=True)
    except GDAL_ERRORS as error:
        raise OutputError(
            f"{path} cannot be read for its preview: {gdal_reason(error)}",
            hint="Run the command again, on another disk if it fails again.",
        ) from error
    return np.asarray(values.astype(np.float32).filled(np.nan))


def thicken(sparse_dbm: FloatArray, radius_px: int) -> FloatArray:
    """Draw a disk around each measured pixel; where disks overlap, the strongest level is kept.

    Parameters
    ----------
    sparse_dbm : ndarray of float32, shape (H, W)
        NaN where nothing was measured.
    radius_px : int
        Radius of the disks.

    Returns
    -------
    ndarray of float32, shape (H, W)

    Examples
    --------
    >>> thicken(np.array([[np.nan, -80.0, np.nan]], np.float32), 1).tolist()
    [[-80.0, -80.0, -80.0]]
    """
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


def _draw(
    points: MeasuredPoints, maps: Sequence[tuple[ColourRamp, FloatArray]], title: str
) -> Image.Image:
    """Draw the panels, colour bars and heading of one preview."""
    height, width = points.grid.shape
    measured = points.mean_dbm()
    layers = [(RSRP_RAMP, thicken(measured, _point_radius(measured))), *maps]
    layout = _lay_out(len(layers), height / width)
    drawn = Image.new("RGB", layout.size, _PAPER)
    pen = ImageDraw.Draw(drawn)

    share = 100.0 * points.count / (height * width)
    headings = (f"Measured: {points.count:,} pixels ({share:.2g} %)", "Radio map", "Buildings")
    # Blocks of points may extend beyond the southern and eastern edge of the raster.
    source: tuple[float, float, float, float] | None
    source = (0.0, 0.0, width / points.factor, height / points.factor)
    for box, (ramp, values), heading in zip(layout.panels, layers, headings, strict=False):
        left, top, right, bottom = box
        image = Image.fromarray(ramp.rgb(values))
        # A box filter repeats pixels that grow and loses none that shrink.
        size = (right - left, bottom - top)
        drawn.paste(image.resize(size, Image.Resampling.BOX, box=source), (left, top))
        source = None  # maps fill their layers
        _frame(pen, box)
        _write(pen, heading, ((left + right) / 2, top - 8), _HEADING_PX, "ms", right - left)
    _draw_bar(drawn, layout.bars[0], RSRP_RAMP, RSRP_BREAKS_DBM, "RSRP in dBm")
    for bar in layout.bars[1:]:
        ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        _draw_bar(drawn, bar, BUILDING_RAMP, ticks, "Probability of a building")
    _draw_scale(pen, layout.panels[-1], width * points.grid.spacing_m)
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
        widest = max(widest, pen.textlength(text, font=sans_serif(_LABEL_PX)))
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
    half = max(length, pen.textlength(text, font=sans_serif(_LABEL_PX))) / 2
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
    font = sans_serif(size_px)
    kept = len(text)
    while kept > 0 and pen.textlength(_cut(text, kept), font=font) > room_px:
        kept -= 1
    pen.text(place, _cut(text, kept), fill=_INK, font=font, anchor=anchor)


def _cut(text: str, kept: int) -> str:
    """Keep a text's beginning, and show that there was more."""
    return text if kept == len(text) else text[:kept] + "\N{HORIZONTAL ELLIPSIS}"
