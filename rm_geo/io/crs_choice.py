"""Choice of the CRS of a file: the CRS that it declares, or else the one that the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyproj import CRS

from rm_geo.errors import CrsError
from rm_geo.io.crs import CoordinateStats, source_crs
from rm_geo.io.tables import Source
from rm_geo.io.tables.column_roles import LATITUDE, LONGITUDE, is_named

_WGS84: Final = 4326


@dataclass(frozen=True)
class CrsChoice:
    """The CRS chosen for the coordinates of a file.

    Attributes
    ----------
    crs : pyproj.CRS
        Geographic or projected.
    warning : str
        If the file and the user contradict each other: which CRS is used. Empty otherwise.
    alternative : pyproj.CRS or None
        The user's CRS, if the file declares another one; :meth:`check` may fall back to it.
    parameter : str
        Option by which the user gives the CRS, for messages.

    Examples
    --------
    >>> CrsChoice.choose(None, CRS.from_epsg(32633), "drive.csv").crs.to_epsg()
    32633
    """

    crs: CRS
    warning: str = ""
    alternative: CRS | None = None
    parameter: str = "crs"

    @classmethod
    def choose(
        cls, own: CRS | None, given: CRS | None, source: str, parameter: str = "crs"
    ) -> CrsChoice:
        """Choose between the CRS that a file declares and the one that a user gave.

        The file has precedence. The user's CRS is used only if the file declares none, or one
        that cannot be located on Earth.

        Parameters
        ----------
        own, given : pyproj.CRS or None
            CRS of the file, and of the user.
        source, parameter : str
            The file, and the parameter for its CRS; for messages.

        Returns
        -------
        CrsChoice

        Raises
        ------
        CrsError
            If there is no CRS, or it is local, vertical or geocentric.
        """
        if own is None or given is None:
            return cls(
                source_crs(given if own is None else own, source, parameter), parameter=parameter
            )
        wanted = source_crs(given, source, parameter)
        try:
            kept = source_crs(own, source, parameter)
        except CrsError as error:
            return cls(wanted, _overridden(error, wanted, parameter), parameter=parameter)
        if _is_same(kept, wanted):
            return cls(kept, parameter=parameter)
        warning = (
            f"{source} declares the CRS {kept.name!r}, which is used: "
            f"{wanted.name!r} (`{parameter}`) applies to files that declare none."
        )
        return cls(kept, warning, wanted, parameter)

    @classmethod
    def choose_for_source(
        cls, source: Source, given: CRS | None, parameter: str = "crs"
    ) -> CrsChoice:
        """Choose as :meth:`choose` does, for an opened file with a geometry.

        Parameters
        ----------
        source : Source
            The opened file.
        given : pyproj.CRS or None
            CRS of the user.
        parameter : str
            Option for the CRS, for messages.

        Returns
        -------
        CrsChoice

        Raises
        ------
        CrsError
            As :meth:`choose`; also if the file's CRS is invalid and the user gave none.
        """
        if source.crs_fault and given is None:
            raise CrsError(
                source.crs_fault, hint=f"Give it with `{parameter}`.", parameter=parameter
            )
        return cls.choose(source.crs, given, source.label, parameter)

    @classmethod
    def choose_for_columns(
        cls, source: Source, column_of: Mapping[str, str], given: CRS | None
    ) -> CrsChoice:
        """Choose the CRS of a geometry, or of columns of coordinates.

        Columns named longitude and latitude are in WGS 84 unless the user gives another CRS.

        Parameters
        ----------
        source : Source
            The opened file.
        column_of : mapping of str to str
            Columns of ``x`` and ``y``; neither for those of the geometry.
        given : pyproj.CRS or None
            CRS of the user.

        Returns
        -------
        CrsChoice

        Raises
        ------
        CrsError
            As :meth:`choose_for_source`.
        """
        if "x" not in column_of:
            return cls.choose_for_source(source, given)
        is_degrees = is_named(column_of["x"], LONGITUDE) and is_named(column_of["y"], LATITUDE)
        by_names = CRS.from_epsg(_WGS84) if is_degrees else None
        return cls.choose(None, by_names if given is None else given, source.label)

    def check(self, stats: CoordinateStats, source: str) -> CrsChoice:
        """Check the choice against the coordinates.

        A declared CRS that contradicts the coordinates is ignored if the user gave another:
        GeoJSON is in degrees unless it says otherwise, and many files hold metres instead.

        Parameters
        ----------
        stats : CoordinateStats
            Statistics of the coordinates.
        source : str
            The file, for messages.

        Returns
        -------
        CrsChoice
            This choice, or the alternative with a warning.

        Raises
        ------
        CrsError
            If the coordinates contradict the CRS, and the alternative too if there is one.
        """
        try:
            stats.check(self.crs, source, self.parameter)
        except CrsError as error:
            if self.alternative is None:
                raise
            stats.check(self.alternative, source, self.parameter)
            warning = _overridden(error, self.alternative, self.parameter)
            return CrsChoice(self.alternative, warning, parameter=self.parameter)
        return self


def _overridden(error: CrsError, given: CRS, parameter: str) -> str:
    """Say that the CRS of the user is used, and why."""
    return f"{error.message} {given.name!r} is used instead, as given by `{parameter}`."


def _is_same(first: CRS, second: CRS) -> bool:
    """Whether two CRS differ at most in the order of their axes and in their spelling."""
    if first.equals(second, ignore_axis_order=True):
        return True
    codes = first.to_2d().to_epsg(), second.to_2d().to_epsg()
    return codes[0] is not None and codes[0] == codes[1]
