"""Rasters as layers of the map in a report: reduced pictures inside the file."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from rm_geo._types import FloatArray
from rm_geo.grid import Grid
from rm_geo.io.raster_reader import open_raster, opened_raster
from rm_geo.products.layer_style import MISSING_INDEX, LayerStyle, style_of

LONGEST_SIDE_PX: Final = 1600
"""Longest side of a picture; larger rasters are reduced."""

_SHORTEST_PX: Final = 128


@dataclass(frozen=True)
class Frame:
    """The plane of the map: metres from an origin in a projected CRS.

    Attributes
    ----------
    crs : pyproj.CRS
        CRS of the map.
    x, y : float
        Origin in that CRS; small numbers keep the precision of the browser.
    """

    crs: CRS
    x: float
    y: float

    @classmethod
    def of(cls, grid: Grid) -> Frame:
        """Give the plane of a grid, its origin in the south-west corner."""
        west, south, _, _ = grid.bounds
        return cls(grid.crs, west, south)


@dataclass(frozen=True)
class MapLayer:
    """A picture on the map.

    Attributes
    ----------
    name : str
        Name of the file.
    title : str
        Name in the list of layers.
    group : str
        Heading in the list of layers.
    legend_title : str
        Quantity with unit.
    legend : tuple of (colour, label)
        From top to bottom.
    bounds : tuple of float
        West, south, east and north in metres from the origin of the frame.
    png : bytes
        The picture.
    values : tuple of (int, int, int, str)
        Red, green, blue and what that colour stands for.
    reduced_to_m : float or None
        Side of the pixels of the picture, if they are larger than those of the raster.
    """

    name: str
    title: str
    group: str
    legend_title: str
    legend: tuple[tuple[str, str], ...]
    bounds: tuple[float, float, float, float]
    png: bytes
    values: tuple[tuple[int, int, int, str], ...]
    reduced_to_m: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the layer as the script of the page takes it."""
        return {
            "name": self.name,
            "title": self.title,
            "group": self.group,
            "legendTitle": self.legend_title,
            "legend": [list(entry) for entry in self.legend],
            "bounds": list(self.bounds),
            "image": "data:image/png;base64," + base64.b64encode(self.png).decode("ascii"),
            "values": [list(entry) for entry in self.values],
            "reducedTo": self.reduced_to_m,
        }


def raster_layer(
    path: Path,
    frame: Frame,
    title: str,
    group: str,
    *,
    max_bytes: int,
    longest_px: int = LONGEST_SIDE_PX,
    style: LayerStyle | None = None,
) -> MapLayer:
    """Draw a raster.

    Parameters
    ----------
    path : Path
        A raster of one band.
    frame : Frame
        The map; a raster in another CRS is warped.
    title, group : str
        Names in the list of layers.
    max_bytes : int
        Largest size of the picture; a larger one is reduced further.
    longest_px : int
        Longest side of the picture.
    style : LayerStyle, optional
        Its colours; those of :func:`rm_geo.products.layer_style.style_of` if not given.

    Returns
    -------
    MapLayer

    Raises
    ------
    InputError
        If the raster cannot be read.
    """
    style = style or style_of(path)
    spacing_m = open_raster(path, classes=True).grid.spacing_m
    side = longest_px
    while True:
        values, bounds = _read(path, frame, side, style)
        indices = style.indices(values)
        png = _encode(indices, style)
        if len(png) <= max_bytes or max(values.shape) <= _SHORTEST_PX:
            break
        side = max(_SHORTEST_PX, int(max(values.shape) * min(0.9, math.sqrt(max_bytes / len(png)))))
    return _layer(path.name, title, group, style, indices, bounds, frame, png, spacing_m)


def array_layer(
    name: str,
    values: FloatArray,
    grid: Grid,
    frame: Frame,
    style: LayerStyle,
    title: str,
    group: str,
    *,
    spacing_m: float,
) -> MapLayer:
    """Draw an array.

    Parameters
    ----------
    name : str
        Name of the layer.
    values : ndarray of float32, shape (h, w)
        NaN where unknown.
    grid : Grid
        Its pixels.
    frame : Frame
        The map, in the CRS of the grid.
    style : LayerStyle
        Colours.
    title, group : str
        Names in the list of layers.
    spacing_m : float
        Side of the pixels of what the array is reduced from.

    Returns
    -------
    MapLayer
    """
    indices = style.indices(values)
    png = _encode(indices, style)
    return _layer(name, title, group, style, indices, grid.bounds, frame, png, spacing_m)


def _layer(
    name: str,
    title: str,
    group: str,
    style: LayerStyle,
    indices: NDArray[np.uint8],
    bounds: tuple[float, float, float, float],
    frame: Frame,
    png: bytes,
    spacing_m: float,
) -> MapLayer:
    """Put a layer together."""
    west, south, east, north = bounds
    pixel_m = (east - west) / indices.shape[1]
    texts, palette = style.value_texts(), style.palette()
    used = np.unique(indices)
    return MapLayer(
        name,
        title,
        group,
        style.title,
        tuple((entry.colour, entry.label) for entry in style.legend()),
        (west - frame.x, south - frame.y, east - frame.x, north - frame.y),
        png,
        tuple(
            (*(int(part) for part in palette[index, :3]), texts[index])
            for index in used
            if index != MISSING_INDEX
        ),
        round(pixel_m, 2) if pixel_m > 1.01 * spacing_m else None,
    )


def _read(
    path: Path, frame: Frame, longest_px: int, style: LayerStyle
) -> tuple[FloatArray, tuple[float, float, float, float]]:
    """Read a raster in the CRS of the map, reduced to a longest side."""
    with opened_raster(path) as dataset:
        if CRS.from_user_input(dataset.crs.to_wkt()) == frame.crs:
            return _reduced(dataset, longest_px, style), tuple(dataset.bounds)
        with WarpedVRT(dataset, crs=frame.crs.to_wkt(), resampling=Resampling.nearest) as warped:
            return _reduced(warped, longest_px, style), tuple(warped.bounds)


def _reduced(dataset: Any, longest_px: int, style: LayerStyle) -> FloatArray:  # noqa: ANN401
    """Read an open raster: means of quantities, the most frequent class."""
    share = min(1.0, longest_px / max(dataset.shape))
    shape = tuple(max(1, round(length * share)) for length in dataset.shape)
    how = Resampling.mode if style.ramp is None else Resampling.average
    if share == 1.0:
        how = Resampling.nearest
    read = dataset.read(1, out_shape=shape, resampling=how, masked=True)
    values = np.ma.filled(read.astype(np.float32), np.nan)
    scale, offset = dataset.scales[0], dataset.offsets[0]
    return np.asarray(values * scale + offset, dtype=np.float32)


def _encode(indices: NDArray[np.uint8], style: LayerStyle) -> bytes:
    """Write a picture with a palette, transparent where nothing is known."""
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette(style.palette()[:, :3].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="png", transparency=MISSING_INDEX, compress_level=5)
    return buffer.getvalue()
