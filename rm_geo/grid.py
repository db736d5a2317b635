"""Georeferenced grids and the tiles that cover them.

:class:`Grid` is the only owner of georeferencing: everything else works on arrays and on
windows that a grid handed out. It is a thin immutable value around ``odc.geo``'s ``GeoBox``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS

from rm_geo._util.disk_columns import iter_blocks
from rm_geo._util.geobox import GeoBox
from rm_geo._util.median import median
from rm_geo.errors import CrsError, InputError

CrsLike: TypeAlias = CRS | str | int
"""What is read as a CRS: a pyproj CRS, a name such as ``EPSG:32633``, or an EPSG code."""


@dataclass(frozen=True)
class Tile:
    """A square window of a grid, which may reach over the grid's edges.

    Attributes
    ----------
    row, col : int
        Grid indices of the tile's north-west pixel; negative where the tile begins
        outside (a grid smaller than one tile).
    size : int
        Pixels along each side.

    Examples
    --------
    >>> tile = Tile(row=-1, col=2, size=3)
    >>> tile.rows, tile.cols
    (slice(-1, 2, None), slice(2, 5, None))
    """

    row: int
    col: int
    size: int

    @property
    def rows(self) -> slice:
        """Rows of the grid, which may lie outside it."""
        return slice(self.row, self.row + self.size)

    @property
    def cols(self) -> slice:
        """Columns of the grid, which may lie outside it."""
        return slice(self.col, self.col + self.size)

    def clip(self, shape: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Cut off what reaches over the edges of a raster.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the raster.

        Returns
        -------
        raster, tile : tuple of slice
            Rows and columns of the part inside, in the raster and in the tile.

        Examples
        --------
        >>> Tile(row=-2, col=0, size=4).clip((10, 10))[0]
        (slice(0, 2, None), slice(0, 4, None))
        """
        raster, tile = [], []
        for start, length in ((self.row, shape[0]), (self.col, shape[1])):
            low, high = max(start, 0), min(start + self.size, length)
            raster.append(slice(low, max(low, high)))
            tile.append(slice(low - start, max(low, high) - start))
        return (raster[0], raster[1]), (tile[0], tile[1])

    def scaled(self, factor: int) -> Tile:
        """Give the tile on a grid that is refined by a whole factor.

        Parameters
        ----------
        factor : int
            As for :meth:`Grid.scaled`.

        Returns
        -------
        Tile
            The same area in the finer pixels.

        Examples
        --------
        >>> Tile(row=1, col=2, size=3).scaled(4)
        Tile(row=4, col=8, size=12)
        """
        return Tile(self.row * factor, self.col * factor, self.size * factor)


@dataclass(frozen=True)
class Grid:
    """A north-up raster geometry in a projected CRS with metres.

    Parameters
    ----------
    geobox : odc.geo.geobox.GeoBox
        Shape, transform and CRS. Square pixels, no rotation, metres.

    Raises
    ------
    CrsError
        If the CRS is missing or its axes are not in metres.
    InputError
        If the pixels are not square or the raster is rotated or flipped.

    Examples
    --------
    >>> grid = Grid.create(500_000, 5_000_000, (200, 300), 1.0, "EPSG:32633")
    >>> grid.shape, grid.bounds
    ((200, 300), (500000.0, 4999800.0, 500300.0, 5000000.0))
    """

    geobox: GeoBox

    def __post_init__(self) -> None:
        transform = self.geobox.affine
        if self.geobox.crs is None:
            raise CrsError("The grid has no CRS.", hint="Give one, such as EPSG:32633.")
        if not is_metric(self.crs):
            raise CrsError(
                f"The CRS {self.crs.name!r} is not a projected CRS with metres.",
                hint="Choose a projected one, such as the UTM zone of the area.",
            )
        if transform.b or transform.d or not math.isclose(transform.a, -transform.e):
            raise InputError(
                "The raster is rotated, flipped or has pixels that are not square.",
                hint="Warp it to a north-up grid with square pixels first (gdalwarp -tr X X).",
            )

    @classmethod
    def create(
        cls, west: float, north: float, shape: tuple[int, int], spacing_m: float, crs: CrsLike
    ) -> Grid:
        """Make a grid from its north-west corner.

        Parameters
        ----------
        west, north : float
            World coordinates of the outer corner of the first pixel, in metres.
        shape : tuple of int
            Rows and columns.
        spacing_m : float
            Side of a pixel in metres.
        crs : CRS, str or int
            A pyproj CRS, a name such as ``EPSG:32633``, or an EPSG code.

        Returns
        -------
        Grid
        """
        transform = Affine(spacing_m, 0.0, west, 0.0, -spacing_m, north)
        return cls(GeoBox(shape, transform, CRS.from_user_input(crs)))

    @classmethod
    def covering(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        crs: CrsLike,
        *,
        spacing_m: float = 1.0,
        margin_m: float = 0.0,
    ) -> Grid:
        """Cover points with a grid whose origin lies on whole multiples of the spacing.

        Every point falls into a pixel (row and column of :meth:`to_pixel`, rounded down, are
        inside the shape), at least ``margin_m`` from the edge.

        Parameters
        ----------
        x, y : array_like of float, shape (N,)
            Coordinates of the points in metres, in ``crs``.
        crs : CRS, str or int
            Projected CRS with metres.
        spacing_m : float
            Edge of a pixel in metres.
        margin_m : float
            Smallest distance of the points from the edge of the grid, in metres.

        Returns
        -------
        Grid

        Raises
        ------
        InputError
            If there are no points.

        Examples
        --------
        >>> Grid.covering([10.2, 12.9], [5.5, 5.5], 32633).shape
        (1, 3)
        """
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if xs.size == 0:
            raise InputError("No points to cover with a grid.")
        first_col = math.floor((float(xs.min()) - margin_m) / spacing_m)
        # Rows run south: a point on a pixel edge belongs to the pixel below it, so that the
        # southernmost one needs a row more, not the northernmost.
        first_row = math.ceil((float(ys.min()) - margin_m) / spacing_m) - 1
        end_col = math.floor((float(xs.max()) + margin_m) / spacing_m) + 1
        end_row = max(math.ceil((float(ys.max()) + margin_m) / spacing_m), first_row + 1)

        def covered() -> Grid:
            shape = (end_row - first_row, end_col - first_col)
            return cls.create(first_col * spacing_m, end_row * spacing_m, shape, spacing_m, crs)

        # A point on an edge may fall outside by the rounding of a product such as 3 * 0.1.
        grid = covered()
        row, col = grid.to_pixel([xs.min(), xs.max()], [ys.max(), ys.min()])
        first_col -= int(col[0] < 0)
        end_col += int(col[1] >= grid.shape[1])
        end_row += int(row[0] < 0)
        first_row -= int(row[1] >= grid.shape[0])
        return covered()

    @cached_property
    def crs(self) -> CRS:
        """The projected CRS."""
        return CRS.from_user_input(str(self.geobox.crs))

    @property
    def transform(self) -> Affine:
        """Affine transform from (col, row) to (x, y)."""
        return self.geobox.affine

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def spacing_m(self) -> float:
        """Side of a pixel in metres."""
        return float(self.geobox.affine.a)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the outer pixel edges, in metres."""
        west, north = self.transform.c, self.transform.f
        rows, cols = self.shape
        return west, north - rows * self.spacing_m, west + cols * self.spacing_m, north

    def to_pixel(
        self, x: ArrayLike, y: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Convert world coordinates to fractional pixel coordinates.

        Parameters
        ----------
        x, y : array_like of float
            Metres in the CRS of the grid; any shapes that broadcast.

        Returns
        -------
        row, col : ndarray of float64
            The centre of pixel 0 is at 0.5.

        Examples
        --------
        >>> Grid.create(100, 200, (5, 5), 10.0, 32633).to_pixel(105.0, 195.0)
        (array(0.5), array(0.5))
        """
        col = (np.asarray(x, dtype=np.float64) - self.transform.c) / self.spacing_m
        row = (self.transform.f - np.asarray(y, dtype=np.float64)) / self.spacing_m
        return np.asarray(row), np.asarray(col)

    def to_world(
        self, row: ArrayLike, col: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Convert fractional pixel coordinates to world coordinates.

        Parameters
        ----------
        row, col : array_like of float
            The centre of pixel 0 is at 0.5.

        Returns
        -------
        x, y : ndarray of float64
            Metres in the CRS of the grid.

        Examples
        --------
        >>> Grid.create(100, 200, (5, 5), 10.0, 32633).to_world(0.5, 0.5)
        (array(105.), array(195.))
        """
        x = np.asarray(col, dtype=np.float64) * self.spacing_m + self.transform.c
        y = self.transform.f - np.asarray(row, dtype=np.float64) * self.spacing_m
        return np.asarray(x), np.asarray(y)

    def scaled(self, factor: int) -> Grid:
        """Refine the pixels by a whole factor; the corners stay exact.

        Parameters
        ----------
        factor : int
            Fine pixels along each pixel.

        Returns
        -------
        Grid
            The same area in finer pixels.

        Examples
        --------
        >>> Grid.create(0, 0, (2, 3), 4.0, 32633).scaled(4).shape
        (8, 12)
        """
        west, _, _, north = self.bounds
        rows, cols = self.shape
        shape = (rows * factor, cols * factor)
        return Grid.create(west, north, shape, self.spacing_m / factor, self.crs)

    def window(self, rows: slice, cols: slice) -> Grid:
        """Give the grid of a rectangular part, which may reach beyond the edges.

        Parameters
        ----------
        rows, cols : slice
            Pixels, with start and stop.

        Returns
        -------
        Grid
            The part, with the same pixels.

        Examples
        --------
        >>> Grid.create(0, 0, (9, 9), 2.0, 32633).window(slice(1, 3), slice(2, 5)).bounds
        (4.0, -6.0, 10.0, -2.0)
        """
        x, y = self.to_world(rows.start, cols.start)
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        return Grid.create(float(x), float(y), shape, self.spacing_m, self.crs)

    def tiles(self, size: int, overlap: int) -> list[Tile]:
        """Cover the grid with overlapping square tiles, row by row from the north-west.

        Along each axis the tiles are spread evenly, so that neighbours overlap by at
        least ``overlap`` and none reaches beyond the grid. An axis shorter than a tile
        gets one tile, centred over it.

        Parameters
        ----------
        size : int
            Pixels along each side of a tile.
        overlap : int
            Smallest number of pixels that neighbours share, in 0..size - 1.

        Returns
        -------
        list of Tile
            Row by row from the north-west.

        Examples
        --------
        >>> Grid.create(0, 0, (256, 257), 1.0, 32633).tiles(256, 0)
        [Tile(row=0, col=0, size=256), Tile(row=0, col=1, size=256)]
        """
        return list(self._iter_tiles(size, overlap))

    def _iter_tiles(self, size: int, overlap: int) -> Iterator[Tile]:
        rows, cols = (tile_starts(length, size, overlap) for length in self.shape)
        for row in rows:
            for col in cols:
                yield Tile(row=row, col=col, size=size)


def tile_starts(length: int, size: int, overlap: int) -> list[int]:
    """First pixels of evenly spread tiles along one axis.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    size, overlap : int
        Pixels along a tile, and shared by neighbours at least.

    Returns
    -------
    list of int
        Negative for an axis shorter than a tile.

    Raises
    ------
    ValueError
        If ``overlap`` is not in 0..size - 1.

    Examples
    --------
    >>> tile_starts(600, 256, 64)
    [0, 172, 344]
    >>> tile_starts(100, 256, 64)
    [-78]
    """
    count = tile_count(length, size, overlap)
    if length <= size:
        return [-((size - length) // 2)]
    return [round(k * (length - size) / (count - 1)) for k in range(count)]


def tile_count(length: int, size: int, overlap: int) -> int:
    """Count the tiles along one axis, as :func:`tile_starts` lays them out.

    Parameters
    ----------
    length, size : int
        Pixels along the axis, and along a tile.
    overlap : int
        Fewest pixels that neighbours share.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If ``overlap`` is not in 0..size - 1.

    Examples
    --------
    >>> tile_count(600, 256, 64)
    3
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap must be in 0..{size - 1}, not {overlap}")
    return 1 if length <= size else math.ceil((length - overlap) / (size - overlap))


def is_metric(crs: CRS) -> bool:
    """Whether a CRS is projected with both horizontal axes in metres.

    Parameters
    ----------
    crs : pyproj.CRS
        Any CRS.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_metric(CRS.from_epsg(32633)), is_metric(CRS.from_epsg(4326))
    (True, False)
    """
    return bool(crs.is_projected) and all(
        axis.unit_name in {"metre", "meter"} for axis in crs.axis_info[:2]
    )


def metric_crs_for(longitude_deg: ArrayLike, latitude_deg: ArrayLike) -> CRS:
    """Choose the UTM zone (or polar stereographic CRS) for positions on WGS 84.

    Parameters
    ----------
    longitude_deg, latitude_deg : array_like
        Positions in degrees. The zone is that of their median, which a few stray points
        do not move; longitudes across the antimeridian are unwrapped first.

    Returns
    -------
    pyproj.CRS

    Raises
    ------
    CrsError
        If no position is finite.

    Examples
    --------
    >>> metric_crs_for([8.5, 8.6], [47.4, 47.4]).to_epsg()
    32632
    """
    longitude = np.atleast_1d(np.asarray(longitude_deg, dtype=np.float64))
    latitude = np.atleast_1d(np.asarray(latitude_deg, dtype=np.float64))

    def known() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        for lons, lats in iter_blocks(longitude, latitude):
            finite = np.isfinite(lons) & np.isfinite(lats)
            yield lons[finite], lats[finite]

    extents = [(float(lons.min()), float(lons.max())) for lons, _ in known() if lons.size]
    if not extents:
        raise CrsError("No finite position to choose a projected CRS for.")
    wraps = max(high for _, high in extents) - min(low for low, _ in extents) > 180.0
    lon = median(
        lambda: (np.where(wraps & (lons < 0.0), lons + 360.0, lons) for lons, _ in known())
    )
    lat = median(lambda: (lats for _, lats in known()))
    lon = (lon + 180.0) % 360.0 - 180.0
    if lat > 84.0:
        return CRS.from_epsg(32661)
    if lat < -80.0:
        return CRS.from_epsg(32761)
    zone = min(int((lon + 180.0) // 6.0) + 1, 60)
    return CRS.from_epsg((32600 if lat >= 0.0 else 32700) + zone)
