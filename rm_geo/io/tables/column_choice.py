"""Choice of the columns of a file of measurements, by their names or as the user names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rm_geo.errors import InputError, UsageError
from rm_geo.io.tables import column_roles as roles
from rm_geo.io.tables.identity_columns import (
    SHARED_ROLES,
    IdentityColumns,
    choose_identity_columns,
)
from rm_geo.io.tables.neighbours import NeighbourColumns, find_neighbours
from rm_geo.io.tables.row_filter import RowFilter
from rm_geo.io.tables.source import Source


@dataclass(frozen=True)
class ColumnChoice:
    """The columns of a file that are read, and their roles.

    Attributes
    ----------
    columns : mapping of str to str
        Columns of ``RSRP``, ``time``, and ``x`` and ``y`` where they are not the geometry.
    identity : IdentityColumns
        Columns that identify the cell.
    neighbours : tuple of NeighbourColumns
        Columns of further cells of each row.
    where : RowFilter, optional
        Rows that are read.
    """

    columns: Mapping[str, str]
    identity: IdentityColumns = field(default_factory=IdentityColumns)
    neighbours: tuple[NeighbourColumns, ...] = ()
    where: RowFilter | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, each once.

        Returns
        -------
        tuple of str

        Examples
        --------
        >>> ColumnChoice({"RSRP": "level"}, IdentityColumns({"pci": "PCI"})).names
        ('level', 'PCI')
        """
        names = [*self.columns.values(), *self.identity.columns.values()]
        names += [name for cell in self.neighbours for name in cell.columns]
        names += [] if self.where is None else self.where.columns
        return tuple(dict.fromkeys(names))

    @property
    def is_of_any_technology(self) -> bool:
        """Whether the level column has levels of 2G and 3G, too, and not RSRP alone.

        In a column of RSRP, the value in a row of 2G or 3G is that of an earlier row.
        """
        return roles.is_level_of_any_technology(self.columns["RSRP"])

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the cleaning report: what no column holds."""
        if self.identity.has_identity:
            return ()
        return ("No cell column was found: all rows are one cell (`cell_column`).",)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warning if no column identifies the cell and the name of a column suggests it may."""
        if self.identity.has_identity or not self.identity.unrecognised:
            return ()
        return (
            "No cell column was recognised, and all rows are read as one cell, but "
            f"{roles.quoted(self.identity.unrecognised)} may identify it: choose with "
            "`cell_column`.",
        )


def choose_columns(
    source: Source,
    *,
    rsrp: str | None = None,
    x: str | None = None,
    y: str | None = None,
    time: str | None = None,
    identity: Mapping[str, str | None] | None = None,
    where: str | None = None,
) -> ColumnChoice:
    r"""Find the column of each role; those of ``x`` and ``y`` where they are not the geometry.

    Parameters
    ----------
    source : Source
        The opened file.
    rsrp, x, y, time : str, optional
        Columns that the user names.
    identity : mapping of str to str, optional
        Columns of the identity that the user names, as in :func:`choose_identity_columns`.
    where : str, optional
        Rows to read, an expression over columns.

    Returns
    -------
    ColumnChoice

    Raises
    ------
    InputError
        If a column is missing, or several fit equally well. All such questions are one error.
    UsageError
        If the file does not have a column that the user names.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from rm_geo.io.tables import open_source
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drive.csv")
    ...     _ = path.write_text("lon,lat,pci,rsrp\n13,52,40,-90\n")
    ...     choice = choose_columns(open_source(path))
    >>> choice.names
    ('lon', 'lat', 'rsrp', 'pci')
    """
    names, label = source.names, source.label
    column_of: dict[str, str] = {}
    if (x is None) != (y is None):
        raise UsageError(
            "`x_column` and `y_column` go together: give both or none.",
            parameter="y_column" if y is None else "x_column",
        )
    questions: list[InputError] = []
    if x is not None or not source.has_geometry:
        try:
            column_of["x"], column_of["y"] = _coordinate_columns(source, x, y)
        except InputError as error:
            questions.append(error)
    if "x" in column_of:
        for axis, pattern in roles.HEMISPHERES.items():
            letters = [name for name in names if pattern.match(roles.normalise(name))]
            if len(letters) == 1 and letters[0] != column_of[axis]:
                column_of[f"hemisphere of {axis}"] = letters[0]
    neighbours = () if rsrp is not None else find_neighbours(names)
    own = [name for name in names if not any(name in cell.columns for cell in neighbours)]
    serving: dict[str, str] = {}
    try:
        if rsrp is None and neighbours and roles.find_column(own, roles.RSRP, label) is None:
            first, *rest = neighbours  # scanners number all cells
            column_of["RSRP"], serving, neighbours = first.level, dict(first.identity), tuple(rest)
        else:
            column_of["RSRP"] = roles.require_column(
                own if rsrp is None else names, roles.RSRP, label, chosen=rsrp
            )
        if rsrp is not None and roles.is_other_quantity(column_of["RSRP"]):
            raise UsageError(
                f"The column {column_of['RSRP']!r} of {label} is, by its name, not an RSRP in "
                "dBm but a ratio in dB.",
                hint="Choose the RSRP with `rsrp_column`, or rename the column.",
                parameter="rsrp_column",
            )
    except InputError as error:
        questions.append(error)
    if (found := roles.find_column(names, roles.TIME, label, chosen=time)) is not None:
        column_of["time"] = found
    found_identity = IdentityColumns()
    try:
        found_identity = choose_identity_columns(
            [name for name in own if name not in column_of.values()],
            column_of.get("RSRP", ""),
            label,
            chosen=identity,
        )
    except InputError as error:
        questions.append(error)
    _ask_at_once(questions)
    if serving:
        network = {k: name for k, name in found_identity.columns.items() if k in SHARED_ROLES}
        found_identity = IdentityColumns({**network, **serving}, found_identity.unrecognised)
    rows = None if where is None else RowFilter.parse(where, list(names), label)
    return ColumnChoice(column_of, found_identity, neighbours, rows)


def _ask_at_once(questions: Sequence[InputError]) -> None:
    """Raise all questions about the columns of a file as one error."""
    if not questions:
        return
    if len(questions) == 1:
        raise questions[0]
    hints = dict.fromkeys(error.hint for error in questions if error.hint)
    raise InputError(
        " ".join(error.message for error in questions),
        hint=" ".join(hints),
        parameter=questions[0].parameter,
    )


def _coordinate_columns(source: Source, x: str | None, y: str | None) -> tuple[str, str]:
    """Find longitude and latitude, or else x and y."""
    names, label = source.names, source.label
    if x is not None and y is not None:
        return (
            roles.require_column(names, roles.EASTING, label, chosen=x),
            roles.require_column(names, roles.NORTHING, label, chosen=y),
        )
    for first, second in ((roles.LONGITUDE, roles.LATITUDE), (roles.EASTING, roles.NORTHING)):
        found = (
            roles.find_column(names, first, label),
            roles.find_column(names, second, label),
        )
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    raise InputError(
        f"{label} has no geometry and no longitude and latitude columns. Its columns are "
        f"{roles.quoted(names)}.",
        hint="Name the coordinates with `x_column` and `y_column`.",
        parameter="x_column",
    )
