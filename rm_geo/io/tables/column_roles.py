"""Finding columns by the names that drive-test tools give them.

Names are compared in a normal form (lower case, no punctuation, no unit), against
patterns in order of preference. Two columns on the same rung are a question for the
user, not a coin to toss: RSRP of LTE and of NR side by side, say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rm_geo.errors import InputError, UsageError

# Units at the end of a name or in brackets behind it. Nothing else in brackets is dropped:
# "RSRP (TX0-RX1)" is another column than "RSRP".
_BRACKETED_UNIT: Final = re.compile(
    r"[\(\[\{<]\s*(?:dbm|db|deg|degrees|dd|decimal|decimal degrees|°|m|metres|meters|mhz|utc|"
    r"wgs ?84)\s*[\)\]\}>]"
)
_TRAILING_UNIT: Final = re.compile(r"[\s_\-.,:;/]+(?:dbm|deg|degrees|dd|wgs84|utc)\s*$")


def normalise(name: str) -> str:
    """Bring the name of a column to its normal form.

    Examples
    --------
    >>> normalise("NR SS-RSRP [dBm]"), normalise("gps_Latitude_deg")
    ('nrssrsrp', 'gpslatitude')
    """
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = _BRACKETED_UNIT.sub(" ", text).strip()
    text = _TRAILING_UNIT.sub("", text)
    return re.sub(r"[\W_]+", "", text)


@dataclass(frozen=True)
class Role:
    """What a column can be, and how it is recognised.

    Attributes
    ----------
    name : str
        For messages.
    option : str
        The command-line option that names the column.
    rungs : tuple of patterns
        Whole normal forms, the preferred ones first.
    refused : pattern
        Parts of a normal form that rule a column out.
    decides : bool
        Whether two candidates on one rung are an error; otherwise the role stays empty.
    """

    name: str
    option: str
    rungs: tuple[re.Pattern[str], ...]
    refused: re.Pattern[str]
    decides: bool = True


def _whole(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for a whole normal form."""
    return re.compile(rf"(?:{pattern})\Z")


# Words that loggers put around a quantity without changing what it is.
_TECHNOLOGY: Final = (
    r"(?:lte|eutra|eutran|e|nr|5g|4g|en?dc|nsa|sa|ss|ssb|crs|cell|serving|srv|primary|"
    r"pcell|pcc|best|top1?|main|measured|meas|registered|ue|phone|radio|signal|data|dominant)"
)
_PLACE: Final = (
    r"(?:gps|gnss|location|loc|geo|position|pos|point|map|start|wgs84|ue|phone|rx|receiver)"
)
_NOT_MINE: Final = r"neigh|nbr|nbor|(?<!eutra)ncell|adjacent|detected|monitored"
_STATISTIC: Final = (
    r"delta|diff|count|stddev|std|var|thresh|error|index|idx|rank|class|colou?r|qual"
)

RSRP: Final = Role(
    "RSRP",
    "--rsrp-column",
    (
        _whole(rf"{_TECHNOLOGY}*rsrp{_TECHNOLOGY}*(?:value|val|dbm)?"),
        _whole(r".*rsrp.*"),
        _whole(
            r"(?:rx|rs|received|receive|recv|ref|reference|referencesignal)*"
            r"(?:received|receive|rx)(?:signal)?(?:power|pwr|level|strength)(?:dbm)?"
        ),
        _whole(rf"{_TECHNOLOGY}*(?:level|strength|power|dbm)|signal"),
    ),
    re.compile(
        rf"rsrq|sinr|rssi|snr|rscp|(?<!me)asu|mw$|watt|tx(?:power|pwr)|^n\d+|predicted|"
        rf"{_NOT_MINE}|{_STATISTIC}"
    ),
)
"""Reference signal received power; a plain ``rsrp`` before ports, filters and other words."""

CELL: Final = Role(
    "cell",
    "--cell-column",
    (
        _whole(rf"{_TECHNOLOGY}*(?:n|e|nr)?(?:cgi|cellglobalid|cellglobalidentity|globalcellid)"),
        _whole(rf"{_TECHNOLOGY}*(?:eci|nci|ecellid|cellidentity|cellidentifier|eutrancellid)"),
        _whole(rf"{_TECHNOLOGY}*(?:cellid|cid|ci|uniquecellid|cellkey|cellno|cellnumber)"),
        _whole(rf"{_TECHNOLOGY}*(?:cell|cellname|sector|sectorname|sectorid)|cell"),
        _whole(
            rf"{_TECHNOLOGY}*(?:pci|physicalcellid|physicalcellidentity|physcellid|pcid|phycid)"
        ),
        _whole(r"(?:transmitter|tx|bs|basestation|enb|enodeb|gnb|gnodeb|site)(?:id|name)?"),
    ),
    re.compile(rf"type|tech|{_NOT_MINE}|{_STATISTIC}"),
)
"""Identity of the cell: globally unique numbers before names before the physical cell id."""

LONGITUDE: Final = Role(
    "longitude",
    "--x-column",
    (_whole(rf"{_PLACE}*(?:longitude|lon|lng|long|longitud|laengengrad|längengrad){_PLACE}*"),),
    re.compile(rf"target|site|{_NOT_MINE}"),
)
"""Longitude in degrees."""

LATITUDE: Final = Role(
    "latitude",
    "--y-column",
    (_whole(rf"{_PLACE}*(?:latitude|lat|latitud|breitengrad){_PLACE}*"),),
    re.compile(rf"target|site|{_NOT_MINE}"),
)
"""Latitude in degrees."""

EASTING: Final = Role(
    "x coordinate",
    "--x-column",
    (_whole(rf"{_PLACE}*(?:x|easting|east|utmx|utme|xcoord|coordx|xcoordinate|utmeasting)(?:m)?"),),
    re.compile(_NOT_MINE),
)
"""Easting in the units of a CRS that the user gives."""

NORTHING: Final = Role(
    "y coordinate",
    "--y-column",
    (
        _whole(
            rf"{_PLACE}*(?:y|northing|north|utmy|utmn|ycoord|coordy|ycoordinate|utmnorthing)(?:m)?"
        ),
    ),
    re.compile(_NOT_MINE),
)
"""Northing in the units of a CRS that the user gives."""

TIME: Final = Role(
    "time",
    "--time-column",
    (
        _whole(
            r"(?:gps|utc|local|device|measurement|sample|log|event|unix|epoch)*"
            r"(?:timestamp|datetime|dateandtime|datetimestamp)(?:ms|s|utc|gps|local)?"
        ),
        _whole(r"(?:gps|utc|device|measurement|sample|log|unix|epoch)*time(?:ms|s|utc)?|utc|epoch"),
        _whole(r"date"),
    ),
    re.compile(r"delta|elapsed|duration|diff|zone"),
    decides=False,
)
"""Time of the measurement."""

EARFCN: Final = Role(
    "channel number",
    "--earfcn-column",
    (_whole(rf"{_TECHNOLOGY}*(?:dl)?(?:earfcn|nrarfcn|arfcn)(?:dl|{_TECHNOLOGY})*"),),
    re.compile(rf"^ul|earfcnul|{_NOT_MINE}|{_STATISTIC}"),
    decides=False,
)
"""EARFCN or NR-ARFCN of the downlink carrier."""


def find_column(
    names: Sequence[str], role: Role, source: str, *, chosen: str | None = None
) -> str | None:
    """Find the column of a role.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    role : Role
        What is looked for.
    source : str
        The file, for messages.
    chosen : str, optional
        The column that the user named; compared literally, then without regard to case.

    Returns
    -------
    str or None
        The column; None where no name fits, or where several do and the role does not
        decide anything.

    Raises
    ------
    UsageError
        If the file does not have the chosen column.
    InputError
        If several columns fit equally well.
    """
    if chosen is not None:
        return _chosen_column(names, role, source, chosen)
    for rung in role.rungs:
        found = candidates(names, role, rung)
        if len(found) == 1:
            return found[0]
        if len(found) > 1 and role.decides:
            raise InputError(
                f"{source} has {len(found)} columns that may hold the {role.name}: "
                f"{quoted(found)}.",
                hint=f"Choose one with {role.option}.",
            )
        if found:
            return None
    return None


def candidates(names: Sequence[str], role: Role, rung: re.Pattern[str]) -> list[str]:
    """Columns that stand on one rung of a role."""
    normal = {name: normalise(name) for name in names}
    return [n for n in names if rung.match(normal[n]) and not role.refused.search(normal[n])]


def require_column(
    names: Sequence[str], role: Role, source: str, *, chosen: str | None = None
) -> str:
    """Find the column of a role that cannot be done without.

    Raises
    ------
    InputError
        If there is none, or several that fit equally well.
    """
    found = find_column(names, role, source, chosen=chosen)
    if found is None:
        raise InputError(
            f"{source} has no {role.name} column. Its columns are {quoted(names)}.",
            hint=f"Name it with {role.option}.",
        )
    return found


def quoted(names: Sequence[str], limit: int = 30) -> str:
    """List names for a message, the first few of very many."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _chosen_column(names: Sequence[str], role: Role, source: str, chosen: str) -> str:
    """Check the column that the user named."""
    if chosen in names:
        return chosen
    alike = [name for name in names if name.casefold() == chosen.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise UsageError(
        f"{source} has no column {chosen!r} ({role.option}). Its columns are {quoted(names)}."
    )


def is_named(name: str, role: Role) -> bool:
    """Whether the name of a column speaks for a role."""
    return any(candidates([name], role, rung) for rung in role.rungs)
