"""The radio maps of many cells on one grid, streamed in bands."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from rm_geo._types import FloatArray, IndexArray
from rm_geo.errors import InputError
from rm_geo.grid import CrsLike, Grid
from rm_geo.io.raster_reader import RasterFile, open_raster
from rm_geo.products.radio_map import LayerName, RadioMap, radio_map_of
from rm_geo.products.summary import titled
from rm_geo.sites.arfcn import carrier_mhz
from rm_geo.sites.site import Site, sites_named
from rm_geo.sites.table import read_sites

BandLayer: TypeAlias = Literal["std_db", "reported_probability", "building_probability"]
"""Layers of a band besides the level."""

DEFAULT_BAND_BYTES: Final = 192 * 2**20
"""Memory of the arrays of a band; products need some times as much while they compute."""

_TALLEST_PX: Final = 256
_LOWEST_PX: Final = 16
_NARROWEST_PX: Final = 256
_ALIGNED_PX: Final = 1e-3
_MARGIN_PX: Final = 3
_EMPTY_SHARE: Final = 200.0
_SMALL_PX: Final = 50_000_000
_MAP_ENDINGS: Final = (".tif", ".tiff")
_OTHER_LAYERS: Final = ("_buildings", "_buildings_mask", "_uncertainty", "_reported")
_CHECKED_PX: Final = 512
_LEVEL_UNITS: Final = frozenset({"", "dbm", "db(mw)", "dbm/re"})
_WORST_LEVEL_DBM: Final = -250.0
_BEST_LEVEL_DBM: Final = 40.0
_LARGEST_PCI: Final = 1007
_PCI_IN_NAME: Final = re.compile(r"(?:^|[-_ ])pci[-_ ]?(\d{1,4})(?!\d)", re.I)
_NUMBER_NAME: Final = re.compile(r"^(?:[2-5]G_)?(\d{1,4})(?:_|$)")
_CHANNEL_IN_NAME: Final = re.compile(r"(?:^|_)(?:u|nr|e)?arfcn-?(\d+)", re.I)


@dataclass(frozen=True, eq=False)
class CellMap:
    """The radio map of one cell, and what is known of the cell.

    Attributes
    ----------
    name : str
        Name of the cell; each name occurs once in a set.
    radio_map : RadioMap
        Its map, on its own grid.
    site : Site or None
        Its antenna, from a site table or the tags of the map.
    pci : int or None
        Physical cell identity, 0..1007.
    channel : int or None
        Downlink channel: EARFCN or NR-ARFCN.
    frequency_mhz : float or None
        Downlink carrier.
    technology : str
        Such as ``LTE``, ``NR`` or ``3G``; empty where unknown.
    quantity : str
        What the level is: RSRP, RSCP or RxLev.
    label : str
        Name as in the measurements, where it differs from the name of the files.
    path : Path or None
        File of the level; None for a map in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> cell = CellMap.of("154_earfcn1300", RadioMap(grid, np.full((2, 3), -90.0)))
    >>> cell.pci, cell.channel, cell.frequency_mhz
    (154, 1300, 1815.0)
    """

    name: str
    radio_map: RadioMap
    site: Site | None = None
    pci: int | None = None
    channel: int | None = None
    frequency_mhz: float | None = None
    technology: str = ""
    quantity: str = "RSRP"
    label: str = ""
    path: Path | None = None

    @classmethod
    def of(
        cls,
        name: str,
        radio_map: RadioMap,
        *,
        quantity: str = "RSRP",
        path: Path | None = None,
    ) -> CellMap:
        """Read what the tags and the name of a map tell of its cell.

        Parameters
        ----------
        name : str
            Name of the cell.
        radio_map : RadioMap
            Its map. Tags ``pci``, ``channel``, ``frequency_mhz``, ``technology`` and
            ``cell_name`` are read; where they are missing, a name such as
            ``154_earfcn1300`` gives the PCI and the channel.
        quantity : str
            What the level is.
        path : Path, optional
            File of the level.

        Returns
        -------
        CellMap
        """
        tags = radio_map.tags
        site = radio_map.site
        channel = _whole(tags.get("channel"), None) or _found(_CHANNEL_IN_NAME, name, None)
        named_pci = _found(_PCI_IN_NAME, name, _LARGEST_PCI)
        if named_pci is None:
            named_pci = _found(_NUMBER_NAME, name, _LARGEST_PCI)
        pci = _whole(tags.get("pci"), _LARGEST_PCI)
        technology = tags.get("technology", "")
        return cls(
            name,
            radio_map,
            site,
            named_pci if pci is None else pci,
            channel,
            _frequency(tags, channel, technology, site),
            technology,
            quantity,
            tags.get("cell_name", ""),
            path,
        )

    @property
    def title(self) -> str:
        """Name in messages."""
        return titled(self.name, self.label)

    @property
    def carrier(self) -> str | None:
        """Carrier, equal for cells that interfere with each other; None where unknown.

        A channel and the frequency that it stands for give the same carrier.
        """
        if self.frequency_mhz is not None:
            return f"{self.frequency_mhz:.1f} MHz"
        return None if self.channel is None else f"channel {self.channel}"


@dataclass(frozen=True, eq=False)
class MapSetBand:
    """A rectangular part of the maps of a set; cells that do not reach into it are left out.

    A band covers all columns, unless the arrays of so many cells would need too much memory.

    Attributes
    ----------
    rows, cols : slice
        Pixels of the grid of the set.
    cells : ndarray of int64, shape (n,)
        Positions in ``RadioMapSet.cells`` of the cells that reach into the band, ascending; at
        least one.
    rsrp_dbm : ndarray of float32, shape (n, h, w)
        Levels in dBm; NaN where unknown.
    std_db : ndarray of float32, shape (n, h, w), or None
        Standard deviations in dB, NaN where a cell has none; None if no cell has any.
    reported : ndarray of float32, shape (n, h, w), or None
        Probability that a cell is reported, NaN where a cell has none; None if no cell has any.
    buildings : ndarray of float32, shape (n, h, w), or None
        Probability of a building by the map of each cell; None if no cell has any, or it is not
        asked for.
    """

    rows: slice
    cols: slice
    cells: IndexArray
    rsrp_dbm: FloatArray
    std_db: FloatArray | None = None
    reported: FloatArray | None = None
    buildings: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


class _Source(Protocol):
    """A map on the grid of the set."""

    @property
    def rows(self) -> slice:
        """Rows that the map covers, inside the grid of the set."""

    @property
    def cols(self) -> slice:
        """Columns that the map covers, inside the grid of the set."""

    def read(self, layer: LayerName, rows: slice, cols: slice) -> FloatArray:
        """Read a window that lies in the covered part."""


@dataclass(frozen=True, eq=False)
class _Aligned:
    """A map whose pixels are pixels of the set."""

    radio_map: RadioMap
    row: int
    col: int

    @property
    def rows(self) -> slice:
        """Covered rows."""
        return slice(self.row, self.row + self.radio_map.shape[0])

    @property
    def cols(self) -> slice:
        """Covered columns."""
        return slice(self.col, self.col + self.radio_map.shape[1])

    def read(self, layer: LayerName, rows: slice, cols: slice) -> FloatArray:
        """Read a window."""
        part = self.radio_map.window(
            slice(rows.start - self.row, rows.stop - self.row),
            slice(cols.start - self.col, cols.stop - self.col),
        )
        return _layer(part, layer)


@dataclass(frozen=True, eq=False)
class _Warped:
    """A map with pixels of its own, resampled bilinearly to those of the set."""

    radio_map: RadioMap
    grid: Grid
    rows: slice
    cols: slice

    def read(self, layer: LayerName, rows: slice, cols: slice) -> FloatArray:
        """Read and resample a window."""
        target = self.grid.window(rows, cols)
        values: FloatArray = np.full(target.shape, np.nan, dtype=np.float32)
        source_rows, source_cols = _footprint(target, self.radio_map.grid, _margin(self, target))
        height, width = self.radio_map.shape
        inside = (
            slice(max(source_rows.start, 0), min(source_rows.stop, height)),
            slice(max(source_cols.start, 0), min(source_cols.stop, width)),
        )
        if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
            return values
        part = self.radio_map.window(*inside)
        ratio = part.grid.spacing_m / target.spacing_m
        reproject(
            np.array(_layer(part, layer)),
            values,
            src_transform=part.grid.transform,
            src_crs=part.grid.crs,
            src_nodata=np.nan,
            dst_transform=target.transform,
            dst_crs=target.crs,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
            tolerance=0.0,
            # Else GDAL estimates the ratio of the pixels from the windows, margin included.
            XSCALE=f"{ratio:.9f}",
            YSCALE=f"{ratio:.9f}",
        )
        return values


@dataclass(frozen=True, eq=False)
class RadioMapSet:
    """The radio maps of many cells on one grid.

    Made by :meth:`of` of maps in memory, or by :func:`open_radio_map_set` of files; then values
    are read when :meth:`bands` asks for them.

    Attributes
    ----------
    cells : tuple of CellMap
        The cells, ordered by name.
    grid : Grid
        The common grid, which covers all maps.
    notes : tuple of str
        What a reader of the results should know: resampled maps, mixed quantities.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> other = Grid.create(500_001, 5_000_000, (2, 3), 1.0, 32633)
    >>> maps = {"a": RadioMap(grid, np.full((2, 3), -90.0)),
    ...         "b": RadioMap(other, np.full((2, 3), -80.0))}
    >>> map_set = RadioMapSet.of(maps)
    >>> map_set.grid.shape, [cell.name for cell in map_set.cells]
    ((2, 4), ['a', 'b'])
    >>> (band,) = map_set.bands()
    >>> band.rsrp_dbm[:, 0]
    array([[-90., -90., -90.,  nan],
           [ nan, -80., -80., -80.]], dtype=float32)
    """

    cells: tuple[CellMap, ...]
    grid: Grid
    notes: tuple[str, ...] = ()
    _sources: tuple[_Source, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        maps: Mapping[str, RadioMap] | Iterable[CellMap],
        *,
        sites: Sequence[Site] | None = None,
    ) -> RadioMapSet:
        """Place maps on one grid.

        Parameters
        ----------
        maps : mapping of str to RadioMap, or iterable of CellMap
            Maps by the names of their cells.
        sites : sequence of Site, optional
            Site table in the CRS of the set; replaces the sites of the maps that it names.

        Returns
        -------
        RadioMapSet
            Its grid is that of most maps, the finest where several occur as often, extended over
            all of them. Maps with other pixels are resampled bilinearly, with a note.

        Raises
        ------
        InputError
            If there is no map, two maps have the same name, or the maps lie so far apart that
            they cannot be of one plan.
        """
        cells = (
            [CellMap.of(name, radio_map) for name, radio_map in maps.items()]
            if isinstance(maps, Mapping)
            else list(maps)
        )
        if not cells:
            raise InputError("There is no radio map.", hint="Give at least one.")
        cells.sort(key=lambda cell: cell.name)
        _require_distinct(cells)
        grid = _common_grid(cells)
        sources = tuple(_placed(cell, grid) for cell in cells)
        if sites is not None:
            cells = [_with_site(cell, sites, grid) for cell in cells]
        return cls(tuple(cells), grid, _notes(cells, sources), sources)

    def has(self, layer: BandLayer) -> bool:
        """Whether any cell has a layer besides the level.

        Parameters
        ----------
        layer : {"building_probability", "std_db", "reported_probability"}
            Name of a layer of :class:`~rm_geo.RadioMap`.

        Returns
        -------
        bool
            True if at least one map has it.
        """
        return any(cell.radio_map.has(layer) for cell in self.cells)

    def position(self, name: str) -> int:
        """Give the position of a cell in ``cells``.

        Parameters
        ----------
        name : str
            Name of the cell.

        Returns
        -------
        int
            Index of the cell, from 0.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        for position, cell in enumerate(self.cells):
            if cell.name == name:
                return position
        raise InputError(f"There is no cell {name}.", hint=f"There are {self._shown()}.")

    def extent(self, position: int) -> tuple[slice, slice]:
        """Give the part of the grid that a map covers.

        Parameters
        ----------
        position : int
            Position of the cell in ``cells``.

        Returns
        -------
        rows, cols : slice
            Pixels of the grid of the set.
        """
        source = self._sources[position]
        return source.rows, source.cols

    def _shown(self) -> str:
        names = [cell.name for cell in self.cells]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

    def bands(
        self,
        max_bytes: int = DEFAULT_BAND_BYTES,
        *,
        layers: Sequence[BandLayer] = ("std_db", "reported_probability"),
    ) -> Iterator[MapSetBand]:
        """Go over the maps from north to south, and where necessary from west to east.

        Parameters
        ----------
        max_bytes : int
            Memory of the arrays of a band. More cells make lower and narrower bands, at least
            16 rows of 256 columns.
        layers : sequence of {"std_db", "reported_probability", "building_probability"}
            Which layers to read besides the level.

        Yields
        ------
        MapSetBand
            All bands of the same rows follow each other. Parts that no map reaches are left out.
        """
        wanted: list[LayerName] = [layer for layer in layers if self.has(layer)]
        height = self.grid.shape[0]
        start = 0
        while start < height:
            rows, columns = self._layout(start, max_bytes, 1 + len(wanted))
            for cols in columns:
                band = self._band(rows, cols, wanted)
                if band is not None:
                    yield band
            start = rows.stop

    def window(
        self,
        rows: slice,
        cols: slice,
        *,
        layers: Sequence[BandLayer] = ("std_db", "reported_probability"),
    ) -> MapSetBand | None:
        """Read a rectangular part of the maps.

        Parameters
        ----------
        rows, cols : slice
            Pixels of the grid, with start and stop; what lies outside is cut off.
        layers : sequence of {"std_db", "reported_probability", "building_probability"}
            Which layers to read besides the level.

        Returns
        -------
        MapSetBand or None
            None if no map reaches into the part.
        """
        wanted: list[LayerName] = [layer for layer in layers if self.has(layer)]
        height, width = self.grid.shape
        return self._band(_common(rows, slice(0, height)), _common(cols, slice(0, width)), wanted)

    def _layout(self, start: int, max_bytes: int, layers: int) -> tuple[slice, list[slice]]:
        """Choose the height of the next bands, and their columns."""
        height, width = self.grid.shape
        tall = _TALLEST_PX
        while True:
            rows = slice(start, min(start + tall, height))
            reaching = [s for s in self._sources if _overlap(s.rows, rows)]
            parts = [slice(0, width)] if reaching else []
            while parts:
                costs = [self._cost(reaching, rows, cols, layers) for cols in parts]
                if max(costs) <= max_bytes:
                    return rows, parts
                wide = parts[0].stop - parts[0].start
                if wide <= _NARROWEST_PX:
                    break
                wide = max(_NARROWEST_PX, -(-wide // (2 * _NARROWEST_PX)) * _NARROWEST_PX)
                parts = [slice(begin, min(begin + wide, width)) for begin in range(0, width, wide)]
            if not parts or tall <= _LOWEST_PX:
                return rows, parts
            tall //= 2

    @staticmethod
    def _cost(sources: Sequence[_Source], rows: slice, cols: slice, layers: int) -> int:
        """Bytes of the arrays of a band."""
        count = sum(_overlap(source.cols, cols) for source in sources)
        height, width = int(rows.stop - rows.start), int(cols.stop - cols.start)
        return 4 * layers * count * height * width

    def _band(self, rows: slice, cols: slice, layers: Sequence[LayerName]) -> MapSetBand | None:
        """Read a band; None if no map reaches into it."""
        reaching = [
            position
            for position, source in enumerate(self._sources)
            if _overlap(source.rows, rows) and _overlap(source.cols, cols)
        ]
        if not reaching:
            return None
        arrays = {layer: self._read(layer, reaching, rows, cols) for layer in layers}
        arrays["rsrp_dbm"] = self._read("rsrp_dbm", reaching, rows, cols)
        return MapSetBand(
            rows,
            cols,
            np.asarray(reaching, dtype=np.int64),
            arrays["rsrp_dbm"],
            arrays.get("std_db"),
            arrays.get("reported_probability"),
            arrays.get("building_probability"),
        )

    def _read(
        self, layer: LayerName, reaching: Sequence[int], rows: slice, cols: slice
    ) -> FloatArray:
        """Read a layer of some cells, shape (n, h, w)."""
        shape = (len(reaching), rows.stop - rows.start, cols.stop - cols.start)
        values: FloatArray = np.full(shape, np.nan, dtype=np.float32)
        for place, position in enumerate(reaching):
            if not self.cells[position].radio_map.has(layer):
                continue
            source = self._sources[position]
            inner_rows, inner_cols = _common(source.rows, rows), _common(source.cols, cols)
            values[
                place,
                inner_rows.start - rows.start : inner_rows.stop - rows.start,
                inner_cols.start - cols.start : inner_cols.stop - cols.start,
            ] = source.read(layer, inner_rows, inner_cols)
        return values


def open_radio_map_set(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    sites: str | os.PathLike[str] | Sequence[Site] | None = None,
    sites_crs: CrsLike | None = None,
) -> RadioMapSet:
    """Open the radio maps of many cells; their values are read band by band.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Folders and GeoTIFFs. Of a folder with files ``*_rsrp.tif``, as :func:`rm_geo.predict`
        writes it, these are read with ``_uncertainty.tif`` and ``_reported.tif`` beside them; of
        another folder all GeoTIFFs, one cell each, named by the file.
    sites : path-like or sequence of Site, optional
        Site table, in the CRS of the maps where it is a sequence.
    sites_crs : CRS, str or int, optional
        CRS of a site table that does not state one; that of the maps if not given.

    Returns
    -------
    RadioMapSet
        The cells, on one grid.

    Raises
    ------
    InputError
        If there is no map, a file cannot be read, its unit is not dBm, or a cell occurs twice.
    CrsError
        If the CRS of a map is missing or not in metres.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("7", "8"):
    ...         _ = RadioMap(grid, np.full((2, 3), -90.0)).write(f"{folder}/{name}_rsrp.tif")
    ...     [cell.name for cell in open_radio_map_set(folder).cells]
    ['7', '8']
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files = {file.path: file for path in given for file in _map_files(Path(path))}
    if not files:
        raise InputError("There is no radio map.", hint="Name folders or GeoTIFFs.")
    made = RadioMapSet.of([_open_cell(file) for file in files.values()])
    if sites is None:
        return made
    if isinstance(sites, (str, os.PathLike)):
        sites = read_sites(sites, target_crs=made.grid.crs, crs=sites_crs, usual_crs=made.grid.crs)
    cells = tuple(_with_site(cell, sites, made.grid) for cell in made.cells)
    unnamed = sum(cell.site is None for cell in cells)
    note = (f"The site table does not name {unnamed} of {len(cells)} cells.",) if unnamed else ()
    return replace(made, cells=cells, notes=made.notes + note)


def _map_files(path: Path) -> list[RasterFile]:
    """Open the maps that a path names."""
    if not path.exists():
        raise InputError(f"{path} does not exist.", hint="Check the path.", path=path)
    if path.is_file():
        return [open_raster(path)]
    rasters = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in _MAP_ENDINGS and file.is_file() and not file.name.startswith(".")
    )
    levels = [file for file in rasters if file.stem.endswith("_rsrp")]
    found = levels or [file for file in rasters if not file.stem.endswith(_OTHER_LAYERS)]
    opened = (open_raster(file, classes=True) for file in found)
    maps = [file for file in opened if "planning_product" not in file.tags]
    if not maps:
        raise InputError(
            f"There is no radio map in {path}.",
            hint="Name a folder of 'rm-geo predict', or of GeoTIFFs of RSRP in dBm.",
            path=path,
        )
    return maps


def _open_cell(file: RasterFile) -> CellMap:
    """Give the map of a cell, and check that it is a level in dBm."""
    _require_level(file)
    name = file.path.stem.removesuffix("_rsrp")
    quantity = file.tags.get("quantity", "RSRP")
    return CellMap.of(name, radio_map_of(file), quantity=quantity, path=file.path)


def _require_level(raster: RasterFile) -> None:
    """Refuse rasters of path loss, power or classes."""
    file, unit = raster.path, raster.unit.strip()
    said = unit.casefold()
    if said not in _LEVEL_UNITS:
        raise InputError(
            f"{file} is in {unit}, not in dBm.",
            hint="Radio maps are RSRP in dBm; convert path loss with the EIRP per resource "
            "element, and power with 10 log10(mW).",
            path=file,
        )
    if said:
        return
    rows, cols = raster.grid.shape
    middle = [
        slice(max(0, (n - _CHECKED_PX) // 2), max(0, (n - _CHECKED_PX) // 2) + min(n, _CHECKED_PX))
        for n in (rows, cols)
    ]
    values = raster.read(*middle)
    known = values[np.isfinite(values)]
    if known.size == 0:
        return
    low, high = float(known.min()), float(known.max())
    if low < _WORST_LEVEL_DBM or high > _BEST_LEVEL_DBM or low >= 0.0:
        raise InputError(
            f"{file} states no unit, and its values of {low:.4g} to {high:.4g} are no RSRP in dBm.",
            hint="It may be path loss, milliwatts or classes: export RSRP in dBm.",
            path=file,
        )


def _require_distinct(cells: Sequence[CellMap]) -> None:
    """Refuse two maps of one cell."""
    for one, other in pairwise(cells):
        if one.name == other.name:
            files = " and ".join(str(cell.path) for cell in (one, other) if cell.path is not None)
            raise InputError(
                f"The cell {one.name} has two maps{': ' + files if files else ''}.",
                hint="Leave one of them out, or rename a file.",
                path=other.path,
            )


def _common_grid(cells: Sequence[CellMap]) -> Grid:
    """Extend the grid of most maps over all of them."""
    grids = [cell.radio_map.grid for cell in cells]
    kinds = [_kind(grid) for grid in grids]
    counts = Counter(kinds)
    best = min(counts, key=lambda kind: (-counts[kind], kind[1], str(kind)))
    base = grids[kinds.index(best)]
    rows, cols = zip(*(_extent(grid, base) for grid in grids), strict=True)
    union = (
        slice(min(part.start for part in rows), max(part.stop for part in rows)),
        slice(min(part.start for part in cols), max(part.stop for part in cols)),
    )
    pixels = math.prod(part.stop - part.start for part in union)
    mapped = sum((r.stop - r.start) * (c.stop - c.start) for r, c in zip(rows, cols, strict=True))
    if pixels > max(_SMALL_PX, _EMPTY_SHARE * mapped):
        raise InputError(
            f"The maps lie so far apart that they cover {mapped / pixels:.2%} of the area between "
            "them.",
            hint="Plan areas that do not belong together one by one; check the CRS of the maps.",
        )
    return base.window(*union)


def _kind(grid: Grid) -> tuple[str, float, float, float]:
    """CRS, spacing and phase of the pixels of a grid: equal for grids with common pixels."""
    spacing = grid.spacing_m

    def phase(value: float) -> float:
        part = (value / spacing) % 1.0
        return round(part, 3) % 1.0

    return grid.crs.to_wkt(), spacing, phase(grid.transform.c), phase(grid.transform.f)


def _offset(grid: Grid, base: Grid) -> tuple[int, int] | None:
    """Row and column of a grid in another; None if they have no common pixels."""
    if grid.crs != base.crs or not math.isclose(grid.spacing_m, base.spacing_m, rel_tol=1e-9):
        return None
    row, col = (float(v) for v in base.to_pixel(grid.transform.c, grid.transform.f))
    if max(abs(row - round(row)), abs(col - round(col))) > _ALIGNED_PX:
        return None
    return round(row), round(col)


def _extent(grid: Grid, base: Grid) -> tuple[slice, slice]:
    """Pixels of another grid that a grid covers, which may lie outside it."""
    offset = _offset(grid, base)
    if offset is not None:
        rows, cols = grid.shape
        return slice(offset[0], offset[0] + rows), slice(offset[1], offset[1] + cols)
    return _footprint(grid, base, 0)


def _footprint(grid: Grid, base: Grid, margin_px: int) -> tuple[slice, slice]:
    """Pixels of another grid that a grid covers, with a margin; may lie outside it."""
    west, south, east, north = grid.bounds
    if grid.crs != base.crs:
        change = Transformer.from_crs(grid.crs, base.crs, always_xy=True)
        west, south, east, north = change.transform_bounds(west, south, east, north, densify_pts=21)
    row, col = base.to_pixel([west, east], [north, south])
    return (
        slice(math.floor(row[0] + 1e-6) - margin_px, math.ceil(row[1] - 1e-6) + margin_px),
        slice(math.floor(col[0] + 1e-6) - margin_px, math.ceil(col[1] - 1e-6) + margin_px),
    )


def _margin(source: _Warped, target: Grid) -> int:
    """Pixels of the map around a window that its resampled values depend on."""
    scale = target.spacing_m / source.radio_map.grid.spacing_m
    return math.ceil(_MARGIN_PX * max(1.0, scale))


def _placed(cell: CellMap, grid: Grid) -> _Source:
    """Place a map on the grid of the set."""
    offset = _offset(cell.radio_map.grid, grid)
    if offset is not None:
        return _Aligned(cell.radio_map, *offset)
    rows, cols = _footprint(cell.radio_map.grid, grid, 0)
    height, width = grid.shape
    return _Warped(
        cell.radio_map,
        grid,
        slice(max(rows.start, 0), min(rows.stop, height)),
        slice(max(cols.start, 0), min(cols.stop, width)),
    )


def _notes(cells: Sequence[CellMap], sources: Sequence[_Source]) -> tuple[str, ...]:
    """Say which maps were resampled, and whether the levels are of one kind."""
    notes = []
    warped = [c.name for c, s in zip(cells, sources, strict=True) if isinstance(s, _Warped)]
    if warped:
        shown = ", ".join(warped[:5]) + (f" and {len(warped) - 5} more" if warped[5:] else "")
        one = len(warped) == 1
        which = "1 map has" if one else f"{len(warped)} maps have"
        were = "was" if one else "were"
        notes.append(
            f"{which} other pixels than the rest, and {were} resampled bilinearly: {shown}."
        )
    quantities = sorted({cell.quantity for cell in cells})
    if len(quantities) > 1:
        notes.append(
            f"The levels are of several kinds ({', '.join(quantities)}): cells of different "
            "technologies are not comparable in dBm."
        )
    return tuple(notes)


def _with_site(cell: CellMap, sites: Sequence[Site], target: Grid) -> CellMap:
    """Give a cell its site of a table, where that names it."""
    names = [cell.name, cell.label]
    if cell.channel is not None or "_" in cell.name:
        names.append(cell.name.rpartition("_")[0])
    if cell.pci is not None:
        names.append(str(cell.pci))
    known = [name for name in dict.fromkeys(names) if name]
    fitting = sites_named(sites, known, cell.frequency_mhz)
    if not fitting:
        return cell
    x, y = _middle(cell.radio_map.grid, target)
    site = min(fitting, key=lambda one: math.hypot(one.x - x, one.y - y))
    mhz = site.frequency_mhz if cell.frequency_mhz is None else cell.frequency_mhz
    return replace(cell, site=replace(site, frequency_mhz=mhz), frequency_mhz=mhz)


def _middle(grid: Grid, target: Grid) -> tuple[float, float]:
    """Middle of a grid, in the CRS of another."""
    west, south, east, north = grid.bounds
    x, y = (west + east) / 2.0, (south + north) / 2.0
    if grid.crs != target.crs:
        x, y = Transformer.from_crs(grid.crs, target.crs, always_xy=True).transform(x, y)
    return float(x), float(y)


def _frequency(
    tags: Mapping[str, str], channel: int | None, technology: str, site: Site | None
) -> float | None:
    """Carrier of a cell: of its channel, else of its tags."""
    if channel is not None and technology not in {"2G", "3G"}:
        mhz = carrier_mhz(channel)
        if mhz is not None:
            return mhz
    if site is not None and site.frequency_mhz is not None:
        return site.frequency_mhz
    if tags.get("frequency") == "assumed":
        return None
    try:
        return float(tags["frequency_mhz"])
    except (KeyError, ValueError):
        return None


def _whole(text: str | None, highest: int | None) -> int | None:
    """Read a whole number that is not negative; None for anything else."""
    if text is None or not text.strip().isdecimal():
        return None
    number = int(text)
    return None if highest is not None and number > highest else number


def _found(pattern: re.Pattern[str], name: str, highest: int | None) -> int | None:
    """Find a number in a name."""
    match = pattern.search(name)
    return None if match is None else _whole(match[1], highest)


def _layer(part: RadioMap, layer: LayerName) -> FloatArray:
    """Read a layer that a map has."""
    values: FloatArray | None = getattr(part, layer)
    assert values is not None
    return values


def _overlap(one: slice, other: slice) -> bool:
    """Whether two ranges have a common pixel."""
    return bool(one.start < other.stop and other.start < one.stop)


def _common(one: slice, other: slice) -> slice:
    """Pixels that two ranges have in common."""
    return slice(max(one.start, other.start), min(one.stop, other.stop))
