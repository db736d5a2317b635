"""Radio maps as immutable values, in memory or read from their files on demand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rm_geo._types import FloatArray
from rm_geo.errors import DependencyError, InputError, OutputError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.raster_reader import RasterFile, open_raster
from rm_geo.sites.site import Site

if TYPE_CHECKING:
    import xarray

LayerName: TypeAlias = Literal["rsrp_dbm", "building_probability", "std_db", "reported_probability"]
"""Names of the layers of a radio map."""

_BLOCK_PX: Final = 256


@dataclass(frozen=True)
class _LayerKind:
    """How a layer is written: ending of its file, band name, unit and quantity."""

    ending: str
    band: str
    unit: str
    quantity: str


_KINDS: Final[Mapping[LayerName, _LayerKind]] = MappingProxyType(
    {
        "rsrp_dbm": _LayerKind("_rsrp", "RSRP", "dBm", "RSRP"),
        "building_probability": _LayerKind(
            "_buildings", "building probability", "1", "building probability"
        ),
        "std_db": _LayerKind(
            "_uncertainty", "standard deviation", "dB", "standard deviation of RSRP"
        ),
        "reported_probability": _LayerKind(
            "_reported",
            "probability of being reported",
            "1",
            "probability of being reported",
        ),
    }
)


@dataclass(frozen=True)
class _Window:
    """A window of a raster file that is read when its values are asked for."""

    file: RasterFile
    rows: slice
    cols: slice

    def cut(self, rows: slice, cols: slice) -> _Window:
        """Cut a window out of the window."""
        return _Window(
            self.file,
            slice(self.rows.start + rows.start, self.rows.start + rows.stop),
            slice(self.cols.start + cols.start, self.cols.start + cols.stop),
        )

    def values(self) -> FloatArray:
        """Read the values, shape (rows, cols)."""
        return self.file.read(self.rows, self.cols)


@dataclass(frozen=True, eq=False)
class RadioMap:
    """A radio map: RSRP on a grid, and where known building probability and deviation.

    Made of arrays, or opened from files by :func:`open_radio_map`; then each layer is read when
    it is first asked for, and :meth:`window` and :meth:`bands` read only what they need.

    Parameters
    ----------
    grid : Grid
        Geometry of all layers.
    rsrp_dbm : array_like of float, shape (H, W)
        RSRP in dBm; NaN where unknown.
    building_probability : array_like of float, shape (H, W), optional
        Probability of a building, 0..1; NaN where unknown.
    std_db : array_like of float, shape (H, W), optional
        Standard deviation of the RSRP in dB; NaN where unknown.
    reported_probability : array_like of float, shape (H, W), optional
        Probability that a pass reports the cell, 0..1; NaN where unknown.
    site : Site, optional
        The cell's transmitter.
    tags : mapping of str to str, optional
        Provenance: method, parameters, versions.

    Raises
    ------
    ValueError
        If a layer has another shape than the grid.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> radio_map = RadioMap(grid, np.full((2, 3), -90.0), tags={"method": "example"})
    >>> radio_map.rsrp_dbm.dtype, radio_map.std_db is None
    (dtype('float32'), True)
    >>> radio_map.sample([500_000.5, 0.0], [4_999_999.5, 0.0])
    array([-90.,  nan], dtype=float32)
    """

    grid: Grid
    _layers: dict[str, FloatArray | _Window] = field(repr=False)
    site: Site | None = None
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __init__(
        self,
        grid: Grid,
        rsrp_dbm: ArrayLike,
        building_probability: ArrayLike | None = None,
        std_db: ArrayLike | None = None,
        *,
        reported_probability: ArrayLike | None = None,
        site: Site | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        given = {
            "rsrp_dbm": rsrp_dbm,
            "building_probability": building_probability,
            "std_db": std_db,
            "reported_probability": reported_probability,
        }
        layers = {name: _frozen(values) for name, values in given.items() if values is not None}
        for name, values in layers.items():
            if values.shape != grid.shape:
                raise ValueError(f"{name} has the shape {values.shape}, the grid {grid.shape}")
        self._fill(grid, layers, site, tags or {})

    def _fill(
        self,
        grid: Grid,
        layers: Mapping[str, FloatArray | _Window],
        site: Site | None,
        tags: Mapping[str, str],
    ) -> None:
        """Set the attributes, once."""
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "_layers", dict(layers))
        object.__setattr__(self, "site", site)
        object.__setattr__(self, "tags", MappingProxyType(dict(tags)))

    @classmethod
    def _of(
        cls,
        grid: Grid,
        layers: Mapping[str, FloatArray | _Window],
        site: Site | None,
        tags: Mapping[str, str],
    ) -> RadioMap:
        """Make a map of layers that are known to fit."""
        made = cls.__new__(cls)
        made._fill(grid, layers, site, tags)
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid.shape

    @property
    def layers(self) -> tuple[LayerName, ...]:
        """Names of the layers that there are, ``rsrp_dbm`` first."""
        return tuple(name for name in _KINDS if name in self._layers)

    @property
    def rsrp_dbm(self) -> FloatArray:
        """RSRP in dBm, shape (H, W), read-only; NaN where unknown."""
        return self._read("rsrp_dbm")

    @property
    def building_probability(self) -> FloatArray | None:
        """Probability of a building, 0..1, shape (H, W), read-only; None without that layer."""
        return self._read("building_probability") if self.has("building_probability") else None

    @property
    def std_db(self) -> FloatArray | None:
        """Standard deviation in dB, shape (H, W), read-only; None without that layer."""
        return self._read("std_db") if self.has("std_db") else None

    @property
    def reported_probability(self) -> FloatArray | None:
        """Probability that a pass reports the cell, 0..1, shape (H, W); None without that layer."""
        return self._read("reported_probability") if self.has("reported_probability") else None

    def has(self, layer: LayerName) -> bool:
        """Tell whether there is a layer, reading nothing.

        Parameters
        ----------
        layer : {"rsrp_dbm", "building_probability", "std_db", "reported_probability"}
            Name of a layer.

        Returns
        -------
        bool
            True if the map has it.
        """
        return layer in self._layers

    def _read(self, layer: LayerName) -> FloatArray:
        """Give a layer; what is read from a file is kept."""
        values = self._layers[layer]
        if isinstance(values, _Window):
            values = _frozen(values.values())
            self._layers[layer] = values  # the same values, in memory
        return values

    def load(self) -> RadioMap:
        """Read all layers that are not in memory yet.

        Returns
        -------
        RadioMap
            This map, which needs its files no more.
        """
        for layer in self.layers:
            self._read(layer)
        return self

    def window(self, rows: slice, cols: slice) -> RadioMap:
        """Cut out a part; of a map that is opened from files nothing is read yet.

        Parameters
        ----------
        rows, cols : slice
            Pixels, with start and stop; what lies outside the map is left out.

        Returns
        -------
        RadioMap
            The part, with the same site and tags.

        Raises
        ------
        ValueError
            If no pixel is left.
        """
        (first_row, end_row, _), (first_col, end_col, _) = (
            axis.indices(length) for axis, length in zip((rows, cols), self.shape, strict=True)
        )
        if end_row <= first_row or end_col <= first_col:
            raise ValueError(f"no pixel of {self.shape} is in rows {rows} and columns {cols}")
        inside = slice(first_row, end_row), slice(first_col, end_col)
        layers: dict[str, FloatArray | _Window] = {
            name: values.cut(*inside) if isinstance(values, _Window) else values[inside]
            for name, values in self._layers.items()
        }
        return self._of(self.grid.window(*inside), layers, self.site, self.tags)

    def bands(self, rows: int = _BLOCK_PX) -> Iterator[RadioMap]:
        """Go over the map from north to south, some rows at a time.

        Parameters
        ----------
        rows : int
            Rows of each band; the last may have fewer.

        Yields
        ------
        RadioMap
            A band over all columns. Of a map that is opened from files only the layers that
            are asked for are read, and nothing is kept.

        Examples
        --------
        >>> import numpy as np
        >>> from rm_geo import Grid, RadioMap
        >>> grid = Grid.create(500_000, 5_000_000, (5, 3), 1.0, 32633)
        >>> [band.shape for band in RadioMap(grid, np.zeros((5, 3))).bands(2)]
        [(2, 3), (2, 3), (1, 3)]
        """
        if rows < 1:
            raise ValueError(f"a band has at least one row, not {rows}")
        for start in range(0, self.shape[0], rows):
            yield self.window(slice(start, start + rows), slice(0, self.shape[1]))

    def sample(self, x: ArrayLike, y: ArrayLike, *, layer: LayerName = "rsrp_dbm") -> FloatArray:
        """Read the pixels around points.

        Parameters
        ----------
        x, y : array_like of float, shape (n,)
            World coordinates in metres, in the CRS of the grid.
        layer : {"rsrp_dbm", "building_probability", "std_db", "reported_probability"}
            What to read.

        Returns
        -------
        ndarray of float32, shape (n,)
            Values; NaN outside the map, and where they are unknown.

        Raises
        ------
        InputError
            If the map has no such layer.
        """
        if not self.has(layer):
            raise InputError(f"The radio map has no {layer}.", hint=f"It has {self.layers}.")
        rows, cols = np.broadcast_arrays(*self.grid.to_pixel(x, y))
        found = np.full(rows.size, np.nan, dtype=np.float32)
        pixel = np.floor(np.column_stack([rows.ravel(), cols.ravel()]))
        inside = np.flatnonzero(((pixel >= 0) & (pixel < self.shape)).all(axis=1))
        places = pixel[inside].astype(np.int64)
        corners, of_block = np.unique(places // _BLOCK_PX, axis=0, return_inverse=True)
        for number, (row, col) in enumerate(corners * _BLOCK_PX):
            own = of_block.ravel() == number
            block = self.window(slice(row, row + _BLOCK_PX), slice(col, col + _BLOCK_PX))
            place = places[own] - (row, col)
            found[inside[own]] = block._read(layer)[place[:, 0], place[:, 1]]
        return found.reshape(rows.shape)

    def write(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the layers as cloud-optimised GeoTIFFs with a finite nodata value.

        Parameters
        ----------
        path : path-like
            File of the RSRP, such as ``40_rsrp.tif``. Further layers are written beside it:
            ``40_buildings.tif``, ``40_uncertainty.tif``, ``40_reported.tif``.

        Returns
        -------
        tuple of Path
            The files, that of the RSRP first.

        Raises
        ------
        OutputError
            If a file cannot be written, or the file of a layer that this map does not have lies
            there: it would be taken for this map's.
        """
        target = Path(path)
        files = {name: _beside(target, name) for name in _KINDS}
        for name, file in files.items():
            if not self.has(name) and file.exists():
                raise OutputError(
                    f"{file} belongs to another map: this one has no such layer.",
                    hint="Move it away, or choose another name.",
                )
        written = []
        for name in self.layers:
            kind = _KINDS[name]
            write_raster(
                files[name],
                (band._read(name) for band in self.bands()),
                self.grid,
                tags={
                    **self.tags,
                    **self._site_tags(),
                    "units": kind.unit,
                    "quantity": kind.quantity,
                },
                band_descriptions=[kind.band],
                unit=None if kind.unit == "1" else kind.unit,
            )
            written.append(files[name])
        return tuple(written)

    def to_xarray(self) -> xarray.Dataset:
        """Convert to an xarray dataset as rioxarray and odc-geo read it.

        Returns
        -------
        xarray.Dataset
            A variable of each layer over ``y`` and ``x`` (pixel centres in metres), NaN where
            unknown; the CRS and the transform in ``spatial_ref``; the tags as attributes.

        Raises
        ------
        DependencyError
            If xarray is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from rm_geo import Grid, RadioMap
        >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
        >>> dataset = RadioMap(grid, np.full((2, 3), -90.0)).to_xarray()
        >>> dict(dataset.sizes), float(dataset.x[0]), dataset.rsrp_dbm.units
        ({'y': 2, 'x': 3}, 500000.5, 'dBm')
        >>> RadioMap.from_xarray(dataset).grid == grid
        True
        """
        module, coordinates = _import_xarray()
        coords = coordinates(self.grid.geobox)
        variables = {}
        for name in self.layers:
            kind = _KINDS[name]
            values = self._read(name).copy()
            variable = module.DataArray(
                values, coords, ("y", "x"), attrs={"units": kind.unit, "long_name": kind.quantity}
            )
            variable.encoding["grid_mapping"] = "spatial_ref"
            variables[name] = variable
        made: xarray.Dataset = module.Dataset(variables, attrs={**self.tags, **self._site_tags()})
        return made

    @classmethod
    def from_xarray(cls, dataset: xarray.Dataset | xarray.DataArray) -> RadioMap:
        """Make a radio map of an xarray dataset or array.

        Parameters
        ----------
        dataset : xarray.Dataset or xarray.DataArray
            Over ``y`` and ``x``, with a projected CRS in metres in ``spatial_ref``, as rioxarray
            makes it. A dataset has ``rsrp_dbm``, and may have ``building_probability``,
            ``std_db`` and ``reported_probability``; an array is RSRP in dBm. A ``_FillValue``
            that is still in the values becomes NaN.

        Returns
        -------
        RadioMap

        Raises
        ------
        DependencyError
            If xarray is not installed.
        InputError
            If there is no RSRP, or no georeferencing.
        CrsError
            If the CRS is not a projected one in metres.
        """
        _import_xarray()
        if not hasattr(dataset, "data_vars"):  # an array
            dataset = dataset.squeeze().to_dataset(name="rsrp_dbm")
        if "rsrp_dbm" not in dataset:
            raise InputError(
                "The dataset has no variable rsrp_dbm.", hint="Rename that of the RSRP in dBm."
            )
        grid = _grid_of(dataset)
        layers = {
            name: _unmasked(dataset[name].squeeze()) for name in _KINDS if name in dataset.variables
        }
        tags = {str(key): str(value) for key, value in dataset.attrs.items()}
        return cls(grid, **layers, site=_site_of(tags), tags=tags)

    def _site_tags(self) -> dict[str, str]:
        """Tags from which the site is read again."""
        if self.site is None:
            return {}
        tags = {"transmitter_xy": f"{self.site.x:.2f} {self.site.y:.2f}"}
        if self.site.frequency_mhz is not None:
            tags["frequency_mhz"] = f"{self.site.frequency_mhz:g}"
        return {name: text for name, text in tags.items() if name not in self.tags}


def open_radio_map(path: str | os.PathLike[str]) -> RadioMap:
    """Open a radio map from its GeoTIFF; values are read when they are asked for.

    Parameters
    ----------
    path : path-like
        Raster of RSRP in dBm, such as ``40_rsrp.tif``. ``40_buildings.tif``,
        ``40_uncertainty.tif`` and ``40_reported.tif`` beside it become the layers
        ``building_probability``, ``std_db`` and ``reported_probability``.

    Returns
    -------
    RadioMap
        With the site that the tags of the file name.

    Raises
    ------
    InputError
        If the file is missing, damaged or no raster of one band, or a file beside it has
        another grid.
    CrsError
        If its CRS is missing, geographic or not in metres.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rm_geo import Grid, RadioMap, open_radio_map
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 1.0, 32633)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = RadioMap(grid, np.full((2, 3), -90.0)).write(f"{folder}/7_rsrp.tif")
    ...     radio_map = open_radio_map(f"{folder}/7_rsrp.tif")
    ...     print(radio_map.layers, radio_map.sample(500_001.5, 4_999_999.5))
    ('rsrp_dbm',) -90.0
    """
    return radio_map_of(open_raster(path))


def radio_map_of(main: RasterFile) -> RadioMap:
    """Make a radio map of an opened raster, and of the files of its other layers beside it.

    Parameters
    ----------
    main : RasterFile
        RSRP in dBm.

    Returns
    -------
    RadioMap

    Raises
    ------
    InputError, CrsError
        As of :func:`open_radio_map`.
    """
    path = main.path
    files: dict[LayerName, RasterFile] = {"rsrp_dbm": main}
    for name in _KINDS:
        file = _beside(path, name)
        if name == "rsrp_dbm" or not file.exists():
            continue
        files[name] = open_raster(file)
        if files[name].grid != main.grid:
            raise InputError(
                f"{file} has another grid than {path}.",
                hint="Move it away: it is not of this map.",
            )
    rows, cols = (slice(0, length) for length in main.grid.shape)
    layers: dict[str, FloatArray | _Window] = {
        name: _Window(file, rows, cols) for name, file in files.items()
    }
    tags = {key: text for key, text in main.tags.items() if key not in {"units", "quantity"}}
    return RadioMap._of(main.grid, layers, _site_of(tags), tags)


def _beside(path: Path, layer: LayerName) -> Path:
    """Name the file of a layer beside that of the RSRP."""
    if layer == "rsrp_dbm":
        return path
    return path.with_name(f"{path.stem.removesuffix('_rsrp')}{_KINDS[layer].ending}{path.suffix}")


def _frozen(values: ArrayLike) -> FloatArray:
    """Give values as float32 that cannot be written to."""
    array: FloatArray = np.asarray(values, dtype=np.float32).view()
    array.flags.writeable = False
    return array


def _site_of(tags: Mapping[str, str]) -> Site | None:
    """Read the site from the tags of a map; None where they name none."""
    try:
        x, y = (float(text) for text in tags["transmitter_xy"].split())
        frequency = None if tags.get("frequency") == "assumed" else tags.get("frequency_mhz")
        return Site(
            x,
            y,
            frequency_mhz=None if frequency is None else float(frequency),
            uncertainty_m=float(tags.get("transmitter_uncertainty_m", 0.0)),
            cell=tags.get("cell_name") or tags.get("cell"),
        )
    except (KeyError, ValueError):
        return None


def _import_xarray() -> tuple[Any, Any]:
    """Import xarray and the function that makes coordinates of a geobox."""
    try:
        import xarray
    except ImportError as error:
        raise DependencyError(
            "Radio maps become datasets by xarray, which is not installed.",
            hint='Install it with: pip install "rm-geo[xarray]"',
        ) from error
    from odc.geo.xr import xr_coords

    return xarray, xr_coords


def _grid_of(dataset: xarray.Dataset | xarray.DataArray) -> Grid:
    """Give the grid of a dataset."""
    from affine import Affine
    from odc.geo.geobox import GeoBox

    geobox = dataset.odc.geobox
    if geobox is None or geobox.crs is None:
        raise InputError(
            "The dataset has no georeferencing.",
            hint="Give it one: coordinates x and y, and a CRS in spatial_ref (rioxarray).",
        )
    text = str(dataset.coords["spatial_ref"].attrs.get("GeoTransform", ""))
    if text and "spatial_ref" in dataset.coords:
        # Exact, where the coordinates are pixel centres as floating point numbers.
        exact = Affine.from_gdal(*(float(number) for number in text.split()))
        if exact.almost_equals(geobox.affine, 1e-6 * abs(geobox.affine.a)):
            geobox = GeoBox(geobox.shape, exact, geobox.crs)
    return Grid(geobox)


def _unmasked(variable: xarray.DataArray) -> NDArray[np.float32]:
    """Give the values of a variable, NaN in place of a nodata value that is still in them."""
    values = np.array(variable.values, dtype=np.float32)
    fill = variable.attrs.get("_FillValue", variable.attrs.get("nodata"))
    if fill is not None and np.isfinite(float(fill)):
        values[values == np.float32(fill)] = np.nan
    return values
