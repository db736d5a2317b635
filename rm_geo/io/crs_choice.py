"""Which CRS coordinates are in: the one that their file states, or else the one that is given."""

from __future__ import annotations

from dataclasses import dataclass

from pyproj import CRS

from rm_geo.errors import CrsError
from rm_geo.io.crs import CoordinateStats, source_crs
from rm_geo.io.tables import Source


@dataclass(frozen=True)
class CrsChoice:
    """The CRS of a file's coordinates.

    Attributes
    ----------
    crs : pyproj.CRS
        Geographic or projected.
    warning : str
        Where the file and the user say different things: whose word is taken. Empty otherwise.
    instead : pyproj.CRS or None
        What the user gave, where the file's is taken and the coordinates may yet belie it.
    option : str
        How the user gives it, for messages.
    """

    crs: CRS
    warning: str = ""
    instead: CRS | None = None
    option: str = "--crs"

    @classmethod
    def of(
        cls, own: CRS | None, given: CRS | None, source: str, option: str = "--crs"
    ) -> CrsChoice:
        """Choose between what a file states and what a user gave; the file knows better.

        Only a file that states none, or one without a place on Earth, gets the user's.

        Parameters
        ----------
        own, given : pyproj.CRS or None
            The file's, and the user's.
        source, option : str
            The file, and how the user gives its CRS, for messages.

        Raises
        ------
        CrsError
            If there is none, or it is local, vertical or geocentric.
        """
        if own is None or given is None:
            return cls(source_crs(given if own is None else own, source, option), option=option)
        wanted = source_crs(given, source, option)
        try:
            kept = source_crs(own, source, option)
        except CrsError as error:
            return cls(wanted, _overridden(error, wanted, option), option=option)
        if _is_same(kept, wanted):
            return cls(kept, option=option)
        warning = (
            f"{source} states a CRS of its own, {kept.name!r}, which is kept: "
            f"{wanted.name!r} ({option}) is for files that state none."
        )
        return cls(kept, warning, wanted, option)

    @classmethod
    def of_source(cls, source: Source, given: CRS | None, option: str = "--crs") -> CrsChoice:
        """Choose as :meth:`of` does, of a file with a geometry.

        Raises
        ------
        CrsError
            Also if what the file says is no CRS, and none is given.
        """
        if source.crs_fault and given is None:
            raise CrsError(source.crs_fault, hint=f"Give it with {option}.")
        return cls.of(source.crs, given, source.label, option)

    def confirmed(self, look: CoordinateStats, source: str) -> CrsChoice:
        """Check the choice by the coordinates; what they belie is no statement.

        GeoJSON is in degrees unless it says otherwise, and many files of metres do not.

        Raises
        ------
        CrsError
            If the coordinates are plainly not in the CRS, nor in the one that was given.
        """
        try:
            look.check(self.crs, source, self.option)
        except CrsError as error:
            if self.instead is None:
                raise
            look.check(self.instead, source, self.option)
            warning = _overridden(error, self.instead, self.option)
            return CrsChoice(self.instead, warning, option=self.option)
        return self


def _overridden(error: CrsError, given: CRS, option: str) -> str:
    """Say that the user's word is taken, and why."""
    return f"{error.message} {given.name!r} is taken, as {option} says."


def _is_same(first: CRS, second: CRS) -> bool:
    """Whether two CRS differ at most in the order of their axes and in their spelling."""
    if first.equals(second, ignore_axis_order=True):
        return True
    codes = first.to_2d().to_epsg(), second.to_2d().to_epsg()
    return codes[0] is not None and codes[0] == codes[1]
