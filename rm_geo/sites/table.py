"""Site tables: where a network's transmitters stand and how they radiate."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from rm_geo._types import Float64Array
from rm_geo.errors import InputError, about_its_file
from rm_geo.grid import CrsLike
from rm_geo.io.crs import CoordinateStats, parse_crs, to_metres
from rm_geo.io.crs_choice import CrsChoice
from rm_geo.io.tables import Source, Table, open_source
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.arrow import to_cells, to_numbers
from rm_geo.io.tables.column_roles import Role
from rm_geo.progress import Progress
from rm_geo.sites.arfcn import carrier_mhz
from rm_geo.sites.site import DEFAULT_HEIGHT_M, Site

_CRS_PARAMETER: Final = "sites_crs"
_NOTHING: Final = re.compile(r"(?!)")
_SITE: Final = r"(?:site|cell|sector|tx|transmitter|antenna|ant|bs|bts|enb|gnb|mast|tower|rs)*"


def _role(name: str, *patterns: str, refused: re.Pattern[str] = _NOTHING) -> Role:
    """Make a role of a site table; its columns cannot be named by options."""
    compiled = tuple(re.compile(rf"(?:{_SITE}(?:{pattern}))\Z") for pattern in patterns)
    return Role(name, None, compiled, refused)


_CELL: Final = Role("cell", None, roles.CELL.patterns, roles.CELL.refused)
_LONGITUDE: Final = _role("longitude", "longitude|lon|lng|long")
_LATITUDE: Final = _role("latitude", "latitude|lat")
_EASTING: Final = _role("x coordinate", "x|easting|east|utmx|xcoord|xm")
_NORTHING: Final = _role("y coordinate", "y|northing|north|utmy|ycoord|ym")
_HEIGHT: Final = _role("antenna height", "(?:height|hgt|heightm|hba|agl|heightagl)(?:m|agl)*")
_EIRP: Final = _role("EIRP", "(?:eirp|eirpre|eirpperre|rseirp|eirpdbm|eirpredbm)")
_AZIMUTH: Final = _role("azimuth", "azimuth|azi|azim|bearing|direction|azimuthdeg")
_TILT: Final = _role("downtilt", "(?:total)?(?:downtilt|tilt|downtiltdeg|tiltdeg)")
_BEAMWIDTH: Final = _role("beamwidth", "(?:h|horizontal)?(?:beamwidth|hpbw|beamwidthdeg)")
_FREQUENCY: Final = _role("frequency", "(?:carrier|dl|centre|center)*(?:frequency|freq)(?:mhz)?")
_LOAD: Final = _role("load", "(?:dl|prb|rb)*(?:load|utili[sz]ation)")
_CHANNEL: Final = _role("channel number", "(?:dl)?(?:earfcn|nrarfcn|arfcn)(?:dl)?")


@dataclass(frozen=True)
class _Quantity:
    """A number per site: how it is found, its possible range, its value where none is given."""

    role: Role
    lowest: float
    highest: float
    default: float = np.nan
    convert: Callable[[Float64Array], Float64Array] = np.asarray


_QUANTITIES: Final = {
    "height_m": _Quantity(_HEIGHT, 0.1, 1000.0, DEFAULT_HEIGHT_M),
    "eirp_dbm": _Quantity(_EIRP, -60.0, 100.0),
    "azimuth_deg": _Quantity(_AZIMUTH, -360.0, 360.0, convert=lambda deg: np.mod(deg, 360.0)),
    "downtilt_deg": _Quantity(_TILT, -90.0, 90.0, 0.0),
    "beamwidth_deg": _Quantity(_BEAMWIDTH, 1.0, 360.0, 65.0),
    "frequency_mhz": _Quantity(_FREQUENCY, 30.0, 300_000.0),
    "load": _Quantity(_LOAD, 0.0, 1.0),
}


@about_its_file
def read_sites(
    path: str | os.PathLike[str],
    *,
    target_crs: CrsLike,
    crs: CrsLike | None = None,
    usual_crs: CrsLike | None = None,
    layer: str | None = None,
    progress: Progress | None = None,
) -> tuple[Site, ...]:
    r"""Read a site table: one row per cell.

    Columns, by their usual names: the cell (``pci``, ``cell``, ``eci``, ...); longitude and
    latitude, x and y, or a geometry; and where known ``height_m``, ``eirp_dbm`` (per
    resource element), ``azimuth``, ``downtilt``, ``beamwidth``, ``frequency_mhz`` or
    ``earfcn`` (also NR-ARFCN), and ``load`` (share of the resource elements in use, 0..1).

    Parameters
    ----------
    path : path-like
        CSV, GPKG, GeoJSON, ... as for measurements.
    target_crs : CRS, str or int
        The CRS of the result: that of the measurements.
    crs : CRS, str or int, optional
        CRS of the coordinates, where the table does not state one: its own, or that of columns
        of longitude and latitude, is kept.
    usual_crs : CRS, str or int, optional
        The CRS where neither says, such as that of measurements without one of their own.
    layer : str, optional
        The layer, in files with several.
    progress : Progress, optional
        Receives a warning if the table states another CRS than the one given.

    Returns
    -------
    tuple of Site
        In the order of the file; ``cell`` None where the table names none, and so are EIRP,
        azimuth, frequency and load where it does not say.

    Raises
    ------
    InputError
        If the file cannot be read, a site has no position, or a value is out of its range.
    CrsError
        If there is no CRS.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sites.csv")
    ...     _ = path.write_text("cell,longitude,latitude,height_m\n40,15.0,45.0,30\n")
    ...     (site,) = read_sites(path, target_crs="EPSG:32633")
    >>> site.cell, round(site.x), site.height_m
    ('40', 500000, 30.0)
    """
    source = open_source(path, layer=layer)
    target = parse_crs(target_crs, "target_crs")
    given = None if crs is None else parse_crs(crs, _CRS_PARAMETER)
    usual = None if usual_crs is None else parse_crs(usual_crs)
    taken = _choose_columns(source)
    table = source.load(tuple(dict.fromkeys(taken.values())))
    x, y, own = _coordinates(source, table, taken)
    wanted = usual if given is None and own is None else given
    stated = CrsChoice.choose_for_source(replace(source, crs=own), wanted, _CRS_PARAMETER)
    stated = stated.check(CoordinateStats.at(x, y), source.label)
    if stated.warning and progress is not None:
        progress.log(f"Warning: {stated.warning}")
    positions = to_metres(x, y, stated.crs, source.label, target=target)
    cells = _cells(table, taken, x.size)
    values = {key: _values(source, table, taken, key, x.size) for key in _QUANTITIES}
    if "channel" in taken:
        channels = _numbers(source, table, taken["channel"])
        from_channel = np.array([carrier_mhz(channel) or np.nan for channel in channels])
        unstated = np.isnan(values["frequency_mhz"])
        values["frequency_mhz"] = np.where(unstated, from_channel, values["frequency_mhz"])
        _require(
            source,
            "channel number",
            cells,
            unstated & ~np.isnan(channels) & np.isnan(from_channel),
            channels,
            "is in no band of LTE or NR",
        )
    return tuple(_site(i, positions.x, positions.y, cells, values) for i in range(x.size))


def _site(
    i: int,
    x: Float64Array,
    y: Float64Array,
    cells: NDArray[np.object_],
    values: dict[str, Float64Array],
) -> Site:
    """Put one row together."""
    row = {key: float(column[i]) for key, column in values.items()}
    site = Site(
        x=float(x[i]),
        y=float(y[i]),
        height_m=row["height_m"],
        downtilt_deg=row["downtilt_deg"],
        beamwidth_deg=row["beamwidth_deg"],
        cell=cells[i],
    )
    maybe = ("eirp_dbm", "azimuth_deg", "frequency_mhz", "load")
    known = {key: row[key] for key in maybe if np.isfinite(row[key])}
    return replace(site, **known)  # type: ignore[arg-type]  # all are float | None


def _cells(table: Table, taken: dict[str, str], count: int) -> NDArray[np.object_]:
    """Names of the cells, None where the table has none."""
    if "cell" not in taken:
        return np.full(count, None, dtype=object)
    return np.asarray(to_cells(table.columns[taken["cell"]]), dtype=object)


def _choose_columns(source: Source) -> dict[str, str]:
    """Find the column of each role; ``x`` and ``y`` only where they are not the geometry."""
    taken: dict[str, str] = {}
    if not source.has_geometry:
        for pair in ((_LONGITUDE, _LATITUDE), (_EASTING, _NORTHING)):
            found = [roles.find_column(source.names, role, source.label) for role in pair]
            if found[0] is not None and found[1] is not None:
                taken["x"], taken["y"] = found[0], found[1]
                break
        else:
            raise InputError(
                f"The site table {source.label} has no geometry and no longitude and latitude "
                f"columns. Its columns are {roles.quoted(source.names)}.",
                hint="Name them longitude and latitude, or x and y.",
            )
    others = {"cell": _CELL, "channel": _CHANNEL}
    others |= {key: quantity.role for key, quantity in _QUANTITIES.items()}
    for key, role in others.items():
        if (found_one := roles.find_column(source.names, role, source.label)) is not None:
            taken[key] = found_one
    return taken


def _coordinates(
    source: Source, table: Table, taken: dict[str, str]
) -> tuple[Float64Array, Float64Array, CRS | None]:
    """Coordinates of all sites, and their CRS where the table states it."""
    if "x" in taken:
        x, y = (_numbers(source, table, taken[axis]) for axis in ("x", "y"))
        own = CRS.from_epsg(4326) if roles.is_named(taken["x"], _LONGITUDE) else None
    elif table.x is not None and table.y is not None:
        x, y, own = table.x, table.y, source.crs
    else:
        raise InputError(f"The site table {source.label} has a layer without geometry.")
    if x.size == 0:
        raise InputError(f"The site table {source.label} has no rows.", hint="Export it again.")
    missing = ~(np.isfinite(x) & np.isfinite(y)) | ((x == 0.0) & (y == 0.0))
    if missing.any():
        rows = ", ".join(str(row + 1) for row in np.flatnonzero(missing)[:5])
        raise InputError(
            f"{int(missing.sum())} of the {x.size} sites in {source.label} have no position "
            f"(row {rows}).",
            hint="Complete them or take them out.",
        )
    return x, y, own


def _values(
    source: Source, table: Table, taken: dict[str, str], key: str, count: int
) -> Float64Array:
    """Give a quantity of all sites, in its range, or its default."""
    quantity = _QUANTITIES[key]
    if key not in taken:
        return np.full(count, quantity.default)
    values = _numbers(source, table, taken[key])
    wrong = (values < quantity.lowest) | (values > quantity.highest)
    cells = _cells(table, taken, count)
    _require(
        source,
        quantity.role.name,
        cells,
        wrong,
        values,
        f"is outside {quantity.lowest:g}..{quantity.highest:g}",
    )
    return np.asarray(quantity.convert(np.where(np.isnan(values), quantity.default, values)))


def _require(
    source: Source,
    quantity: str,
    cells: NDArray[np.object_],
    wrong: NDArray[np.bool_],
    values: Float64Array,
    complaint: str,
) -> None:
    """Raise over the first wrong value."""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"The {quantity} {values[row]:g} of cell {cells[row]!r} (row {row + 1}) in "
            f"{source.label} {complaint}.",
            hint="Correct the site table.",
        )


def _numbers(source: Source, table: Table, name: str) -> Float64Array:
    """Give a numeric column of a site table, in which text is an error."""
    numbers = to_numbers(table.columns[name], name, source.label)
    if numbers.is_text.any():
        raise InputError(
            f"The column {name!r} of {source.label} holds text: {roles.quoted(numbers.examples)}.",
            hint="Correct the site table.",
        )
    return numbers.values
