"""Coordinate reference systems: checks, and conversion to projected metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from pyproj import CRS, Proj, Transformer
from pyproj.exceptions import CRSError, ProjError

from rm_geo._types import Float64Array
from rm_geo._util.disk_columns import empty_column, iter_blocks
from rm_geo._util.median import median
from rm_geo.errors import CrsError
from rm_geo.grid import CrsLike, is_metric, metric_crs_for

WORST_SCALE_ERROR: Final = 0.01
"""Largest scale error of a projection that is accepted as metric (1 %)."""

_MISFIT_HINT: Final = "Correct the CRS in the file (ogr2ogr -a_srs), or `crs` where it has none."


@dataclass(frozen=True)
class MetricPositions:
    """Positions in a projected CRS with metres.

    Attributes
    ----------
    x, y : ndarray of float64, shape (N,)
        Metres; infinite where the CRS cannot express the position.
    crs : pyproj.CRS
        The projected CRS.
    note, warning : str
        What was changed; empty if nothing was.
    """

    x: Float64Array
    y: Float64Array
    crs: CRS
    note: str = ""
    warning: str = ""


def parse_crs(crs: CrsLike, parameter: str = "crs") -> CRS:
    """Parse a CRS that a user gave.

    Parameters
    ----------
    crs : CrsLike
        EPSG code, WKT, PROJ text or a CRS.
    parameter : str
        Name of the option that gave it, for messages.

    Returns
    -------
    pyproj.CRS

    Raises
    ------
    CrsError
        If it is not a CRS.

    Examples
    --------
    >>> parse_crs("EPSG:32633").name
    'WGS 84 / UTM zone 33N'
    """
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise CrsError(
            f"{str(crs)[:80]!r} (`{parameter}`) is not a CRS.",
            hint="Give an EPSG code such as EPSG:4326, or WKT.",
            parameter=parameter,
        ) from error


def source_crs(crs: CRS | None, source: str, parameter: str = "crs") -> CRS:
    """Check that coordinates can be converted to metres; drop the vertical part of the CRS.

    Parameters
    ----------
    crs : pyproj.CRS or None
        CRS of the file, or of the user.
    source : str
        The file, for messages.
    parameter : str
        The option for the CRS, for hints.

    Returns
    -------
    pyproj.CRS
        Geographic or projected, two-dimensional.

    Raises
    ------
    CrsError
        If there is no CRS, or it is local, vertical or geocentric.
    """
    if crs is None:
        raise CrsError(
            f"{source} has no CRS.",
            hint=f"Give the CRS of the coordinates with `{parameter}`, such as EPSG:4326.",
            parameter=parameter,
        )
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if crs.is_bound and crs.source_crs is not None and not crs.is_geographic:
        plain = crs.source_crs
        if not (plain.is_geographic or plain.is_projected):
            crs = plain
    if not (crs.is_geographic or crs.is_projected):
        raise CrsError(
            f"The CRS of {source}, {crs.name!r}, is {crs.type_name}: its coordinates have no "
            "place on Earth in metres.",
            hint=f"Give the true CRS with `{parameter}`.",
            parameter=parameter,
        )
    return crs


class CoordinateStats:
    """Statistics of the coordinates of a file, collected in chunks."""

    def __init__(self) -> None:
        self._count = 0
        self._like_degrees = 0
        self._within_180 = True
        self._fractions = False
        self._first: tuple[float, float] | None = None
        self._unlike: tuple[float, float] | None = None
        self._extent = (np.inf, np.inf, -np.inf, -np.inf)

    @classmethod
    def at(cls, x: Float64Array, y: Float64Array) -> CoordinateStats:
        """Collect the statistics of all coordinates at once.

        Parameters
        ----------
        x, y : ndarray of float64, shape (N,)
            Coordinates.

        Returns
        -------
        CoordinateStats
        """
        look = cls()
        look.add(x, y)
        return look

    def add(self, x: Float64Array, y: Float64Array) -> None:
        """Add coordinates.

        Parameters
        ----------
        x, y : ndarray of float64, shape (N,)
            Coordinates; those that are not finite, or (0, 0), are ignored.
        """
        finite = np.isfinite(x) & np.isfinite(y) & ~((x == 0.0) & (y == 0.0))
        if not finite.any():
            return
        xs, ys = x[finite], y[finite]
        like_degrees = (np.abs(xs) <= 360.0) & (np.abs(ys) <= 90.0)
        self._count += xs.size
        self._like_degrees += int(np.count_nonzero(like_degrees))
        self._within_180 &= bool((np.abs(xs) <= 180.0).all())
        self._fractions = self._fractions or bool(np.any(xs % 1.0))
        self._first = self._first or (float(xs[0]), float(ys[0]))
        if self._unlike is None and not like_degrees.all():
            place = int(np.argmin(like_degrees))
            self._unlike = float(xs[place]), float(ys[place])
        west, south, east, north = self._extent
        self._extent = (
            min(west, float(xs.min())),
            min(south, float(ys.min())),
            max(east, float(xs.max())),
            max(north, float(ys.max())),
        )

    def check(self, crs: CRS, source: str, parameter: str = "crs") -> None:
        """Check that coordinates fit a CRS: not metres in place of degrees, or the reverse.

        Parameters
        ----------
        crs : pyproj.CRS
            The CRS.
        source : str
            The file, for messages.
        parameter : str
            Name of the option for its CRS, for messages.

        Raises
        ------
        CrsError
            If most coordinates of a geographic CRS are beyond its range, or all of a projected
            CRS look like degrees; the hint names the parameter.
        """
        if self._first is None:
            return
        if crs.is_geographic and self._like_degrees / self._count < 0.5 and self._unlike:
            x, y = self._unlike
            raise CrsError(
                f"The coordinates of {source} are not degrees, as {crs.name!r} says: "
                f"({x:g}, {y:g}).",
                hint=f"Give their CRS with `{parameter}`, such as EPSG:32633.",
                parameter=parameter,
            )
        # A made-up scene may lie this near a projected origin; it spans more than a few metres.
        west, south, east, north = self._extent
        narrow = east - west < 5.0 and north - south < 5.0 and self._fractions
        like_degrees = self._like_degrees == self._count and self._within_180
        if crs.is_projected and like_degrees and narrow:
            x, y = self._first
            raise CrsError(
                f"The coordinates of {source} look like degrees, and {crs.name!r} is projected: "
                f"({x:g}, {y:g}).",
                hint=f"Give their CRS with `{parameter}`, such as EPSG:4326.",
                parameter=parameter,
            )


def to_metres(
    x: Float64Array,
    y: Float64Array,
    crs: CRS,
    source: str,
    *,
    target: CRS | None = None,
    in_place: bool = False,
) -> MetricPositions:
    """Convert positions to a projected CRS in metres.

    A projected CRS with true metres is kept. Degrees, feet, and projections whose metre is
    off (Web Mercator's by half at 50 degrees of latitude) go to the UTM zone of the
    positions, beyond 84 degrees north and 80 south to polar stereographic.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Finite coordinates, x (or longitude) first whatever the CRS says of its axes.
    crs : pyproj.CRS
        Their CRS, geographic or projected.
    source : str
        The file, for messages.
    target : pyproj.CRS, optional
        The projected CRS to use.
    in_place : bool
        Whether to overwrite ``x`` and ``y`` with the result.

    Returns
    -------
    MetricPositions

    Raises
    ------
    CrsError
        If the unit of the target is not the metre, or no position can be converted.
    """
    if target is not None:
        require_metric(target)
    metric = is_metric(crs)
    longitude, latitude = _middle(x, y, crs, source)
    into = (x, y) if in_place else None
    if target is None:
        if metric and (error := scale_error(crs, longitude, latitude)) <= WORST_SCALE_ERROR:
            return MetricPositions(x, y, crs)
        lon, lat = (x, y) if _is_wgs84(crs) else _transform(x, y, crs, CRS.from_epsg(4326), source)
        target = metric_crs_for(lon, lat)
        warning = ""
        if metric:
            warning = (
                f"A metre of {crs.name!r} is {_percent(error)} off a metre on the ground here; "
                f"reprojected to {target.name!r}."
            )
        xs, ys = _transform(x, y, crs, target, source, into)
        note = "" if warning else f"Reprojected from {crs.name!r} to {target.name!r}."
        return MetricPositions(xs, ys, target, note, warning)
    error = scale_error(target, longitude, latitude)
    warning = ""
    if error > WORST_SCALE_ERROR:
        warning = (
            f"A metre of {target.name!r} is {_percent(error)} off a metre on the ground here; "
            f"{metric_crs_for(longitude, latitude).name!r} would be true."
        )
    if target.equals(crs):
        return MetricPositions(x, y, crs, "", warning)
    xs, ys = _transform(x, y, crs, target, source, into)
    note = f"Reprojected from {crs.name!r} to {target.name!r}."
    return MetricPositions(xs, ys, target, note, warning)


def in_crs(
    x: Float64Array, y: Float64Array, crs: CRS, target: CRS, source: str
) -> tuple[Float64Array, Float64Array]:
    """Convert positions to another CRS.

    Parameters
    ----------
    x, y : ndarray of float64, shape (N,)
        Finite coordinates, x (or longitude) first whatever the CRS says of its axes.
    crs, target : pyproj.CRS
        Their CRS, and the one to convert to.
    source : str
        The file, for messages.

    Returns
    -------
    x, y : ndarray of float64, shape (N,)
        Infinite where a position cannot be converted; not copied if the CRS are equal.

    Raises
    ------
    CrsError
        If no position can be converted.

    Examples
    --------
    >>> degrees = CRS.from_epsg(4326)
    >>> x, y = in_crs(np.array([15.0]), np.array([0.0]), degrees, CRS.from_epsg(32633), "a.csv")
    >>> x.round(), y.round()
    (array([500000.]), array([0.]))
    """
    return (x, y) if target.equals(crs) else _transform(x, y, crs, target, source)


def require_metric(target: CRS) -> None:
    """Check that a CRS is projected, with metres as its unit.

    Parameters
    ----------
    target : pyproj.CRS
        CRS for maps.

    Raises
    ------
    CrsError
        If it is not.

    Examples
    --------
    >>> require_metric(CRS.from_epsg(32633))
    """
    if not is_metric(target):
        raise CrsError(
            f"The target CRS {target.name!r} is not a projected CRS with metres.",
            hint="Choose a projected one, such as the UTM zone of the area.",
            parameter="target_crs",
        )


def scale_error(crs: CRS, longitude_deg: float, latitude_deg: float) -> float:
    """Compute the relative scale error of a projection at a position.

    Parameters
    ----------
    crs : pyproj.CRS
        A projected CRS.
    longitude_deg, latitude_deg : float
        The position.

    Returns
    -------
    float
        The larger of the errors along meridian and parallel; infinite where the projection is
        not defined.

    Examples
    --------
    >>> round(scale_error(CRS.from_epsg(3857), 13.0, 50.0), 2)
    0.56
    """
    try:
        factors = Proj(crs).get_factors(longitude_deg, latitude_deg)
    except (CRSError, ProjError):
        return float("inf")
    scales = (float(factors.meridional_scale), float(factors.parallel_scale))
    error = max(abs(scale - 1.0) for scale in scales)
    return error if np.isfinite(error) else float("inf")


def _middle(x: Float64Array, y: Float64Array, crs: CRS, source: str) -> tuple[float, float]:
    """Give longitude and latitude of the position nearest to the median."""
    middle_x = median(lambda: (block for (block,) in iter_blocks(x)))
    middle_y = median(lambda: (block for (block,) in iter_blocks(y)))
    nearest, best, begin = 0, np.inf, 0
    for xs, ys in iter_blocks(x, y):
        distance = np.abs(xs - middle_x) + np.abs(ys - middle_y)
        place = int(np.argmin(distance))
        if distance[place] < best:
            nearest, best = begin + place, float(distance[place])
        begin += xs.size
    one = (x[nearest : nearest + 1], y[nearest : nearest + 1])
    lon, lat = one if _is_wgs84(crs) else _transform(*one, crs, CRS.from_epsg(4326), source)
    return float(lon[0]), float(lat[0])


def _transform(
    x: Float64Array,
    y: Float64Array,
    crs: CRS,
    target: CRS,
    source: str,
    into: tuple[Float64Array, Float64Array] | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Transform positions; infinite where that fails, an error if it fails for all."""
    xs, ys = into or (empty_column(x.size, np.float64), empty_column(x.size, np.float64))
    possible = False
    try:
        transformer = Transformer.from_crs(crs, target, always_xy=True)
        for x_in, y_in, x_out, y_out in iter_blocks(x, y, xs, ys):
            x_out[:], y_out[:] = transformer.transform(x_in, y_in)
            possible = possible or bool((np.isfinite(x_out) & np.isfinite(y_out)).any())
    except ProjError as error:
        raise CrsError(
            f"The coordinates of {source} cannot be brought from {crs.name!r} to "
            f"{target.name!r}: {str(error).splitlines()[0]}.",
            hint=_MISFIT_HINT,
        ) from error
    if not possible:
        raise CrsError(
            f"The coordinates of {source} do not fit its CRS {crs.name!r}.", hint=_MISFIT_HINT
        )
    return xs, ys


def _is_wgs84(crs: CRS) -> bool:
    """Whether coordinates are longitude and latitude on WGS 84 already."""
    return crs.to_authority() in {("EPSG", "4326"), ("OGC", "CRS84")}


def _percent(share: float) -> str:
    """Write a share for a message."""
    return f"{100.0 * share:.0f} %" if np.isfinite(share) else "immeasurably"
